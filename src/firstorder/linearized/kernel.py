"""The exact empirical neural tangent kernel of a scalar-output network.

Theta(x, x') = <grad_theta f(x), grad_theta f(x')>, batch norm in evaluation mode. The Gram
matrix is built layer by layer from the factors of the Jacobian (`layers`), block by block, the
upper half only; the Jacobian is never formed unless the network has layers of unknown structure.

Cost for N examples: N forward and backward passes (times N / block when the factors do not fit
into the memory) and N^2 / 2 times the operations per pair of `layers`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from firstorder import memory
from firstorder.linearized.features import (
    FeatureMap,
    feature_map,
    jacobian_map,
    layer_map,
    squared_norms,
)
from firstorder.linearized.gemm import full_precision
from firstorder.linearized.layers import Factors

Progress = Callable[[int, int], None]
"""Called with the number of finished and of all rows."""

BLOCK = 512
GIB = 1 << 30


def ntk(
    module: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    memory_gib: float = 4.0,
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
    method: Literal["auto", "layers", "jacobian"] = "auto",
) -> Tensor:
    """The kernel (N1, N2) of `x1` with `x2` (default: with itself), in host memory.

    Computed in the precision and on the device of the module; `memory_gib` bounds the memory of
    the factors, not that of the result. `jacobian` is the slow method that knows no layers.
    """
    memory.keep_freed()
    with full_precision():
        features = _feature_map(module, x1, method)
        symmetric = x2 is None
        columns = x1 if x2 is None else x2
        kernel = torch.empty(len(x1), len(columns), dtype=dtype)
        per_example = max(1, features(x1[:2]).bytes // min(2, len(x1)))
        budget = int(memory_gib * GIB)
        count = len(x1) + (0 if symmetric else len(columns))
        keep = per_example * count <= budget
        size = BLOCK if keep else max(1, min(BLOCK, budget // (2 * per_example)))
        blocks = _Blocks(features, keep)
        start = 0
        while start < len(x1):
            try:
                _fill(kernel, blocks, x1, columns, start, size, symmetric)
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size, blocks = (size + 1) // 2, _Blocks(features, keep=False)
                torch.cuda.empty_cache()
                continue
            start = min(start + size, len(x1))
            if progress:
                progress(start, len(x1))
        return kernel


def diagonal(module: nn.Module, x: Tensor, batch: int = 64) -> Tensor:
    """Theta(x_n, x_n) (N,), on the device of the module."""
    with full_precision():
        features = feature_map(module, x[:2])
        return torch.cat([squared_norms(features(part), part) for part in x.split(batch)])


def gram_of(a: Factors, b: Factors) -> Tensor | None:
    """J_a J_b^T, the sum over the layers that are alive in both; None when there is none."""
    total = None
    for name in (name for name in a.layers if name in b.layers):
        part = a.layers[name].gram(b.layers[name])
        total = part if total is None else total.add_(part)
    return total


class _Blocks:
    """The factors of blocks of examples, kept once computed if they all fit."""

    def __init__(self, features: FeatureMap, keep: bool) -> None:
        self._features, self._keep = features, keep
        self._known: dict[tuple[int, int, int], Factors] = {}

    def get(self, x: Tensor, start: int, stop: int) -> Factors:
        key = (id(x), start, stop)
        if key in self._known:
            return self._known[key]
        factors = self._features(x[start:stop])
        if self._keep:
            self._known[key] = factors
        return factors


def _fill(
    kernel: Tensor,
    blocks: _Blocks,
    x1: Tensor,
    x2: Tensor,
    start: int,
    size: int,
    symmetric: bool,
) -> None:
    """Rows start to start + size of the kernel; if symmetric, from the diagonal rightwards."""
    stop = min(start + size, len(x1))
    rows = blocks.get(x1, start, stop)
    for left in range(start if symmetric else 0, len(x2), size):
        right = min(left + size, len(x2))
        on_diagonal = symmetric and left == start
        block = gram_of(rows, rows if on_diagonal else blocks.get(x2, left, right))
        if block is None:
            kernel[start:stop, left:right] = 0
        elif on_diagonal:
            kernel[start:stop, left:right] = block.triu() + block.triu(1).T
        else:
            kernel[start:stop, left:right] = block
        if symmetric and not on_diagonal:
            kernel[left:right, start:stop] = kernel[start:stop, left:right].T


def _feature_map(
    module: nn.Module, x: Tensor, method: Literal["auto", "layers", "jacobian"]
) -> FeatureMap:
    if method == "auto":
        return feature_map(module, x[:2])
    return layer_map(module) if method == "layers" else jacobian_map(module)
