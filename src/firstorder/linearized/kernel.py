"""The exact empirical neural tangent kernel of any network.

Theta(x, x')_kl = <grad_theta f_k(x), grad_theta f_l(x')> for the K outputs f_k, batch norm in
evaluation mode. The Gram matrix is built layer by layer from the factors of the Jacobian
(`layers`), block by block, the upper half only; the Jacobian is never formed but for parameters of
layers that have no factors of their own.

| `outputs` | result (N1, N2 examples) | backward passes | products for a pair of examples     |
|-----------|--------------------------|-----------------|-------------------------------------|
| "scalar"  | (N1, N2); K = 1          | 1               | sum over layers, see `layers`: I + O|
| "trace"   | (N1, N2): sum of k = l   | K               | I + K O, at most K P                |
| "full"    | (N1, N2, K, K)           | K               | I + K^2 O, at most K^2 P            |

N (= N1 = N2) examples of one kernel cost N forward passes, K N backward passes (both times N /
block when the factors do not fit into the memory) and half the products of all pairs; a
rectangular kernel N1 + N2 passes and all pairs. Memory: the result, 4 N^2 or 4 N^2 K^2 bytes in
float32 (none of it with `out` a file), and the factors, at most `memory_gib`. P is the number of
parameters, I and O are the widths of a layer. The diagonal costs the passes and N products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from firstorder import memory
from firstorder.linearized import mapped, probe
from firstorder.linearized.features import (
    FeatureMap,
    feature_map,
    jacobian_map,
    layer_map,
    squared_norms,
)
from firstorder.linearized.gemm import full_precision
from firstorder.linearized.layers import Factors
from firstorder.linearized.tangent import Outputs, frozen, heads

Progress = Callable[[int, int], None]
"""Called with the number of finished and of all rows."""

Method = Literal["auto", "layers", "jacobian"]

BLOCK = 512
WIDTH = 8192
"""Largest side of a block of the full form, in rows of the Jacobian."""
GIB = 1 << 30


def ntk(
    module: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    outputs: Outputs = "scalar",
    memory_gib: float = 4.0,
    dtype: torch.dtype = torch.float32,
    out: Tensor | np.ndarray | str | Path | None = None,
    progress: Progress | None = None,
    method: Method = "auto",
) -> Tensor:
    """The kernel of `x1` with `x2` (default: with itself), in host memory or in a file.

    Parameters
    ----------
    module: takes a batch (N, ...) of numbers or of integers and returns (N, K), or (N,).
    x1, x2: the examples, on the device and, if they are not integers, in the precision of the
        module; that is where and how it is computed.
    outputs: "scalar" and "trace" give (N1, N2), "full" gives (N1, N2, K, K); see the table above.
    memory_gib: bound on the memory of the factors, not on that of the result.
    dtype: precision of the result.
    out: where the result is written: a tensor or an array of its shape, or the path of a .npy
        file. The file is mapped, so that the result may exceed the memory.
    progress: is told of finished rows.
    method: "jacobian" is the slow method that knows no layers, "layers" does without checks
        whether a layer's factors are right.

    A few entries are compared with autograd (up to five examples alone, K backward passes each).
    Raises KernelError where they differ, TangentError for recurrent layers that have to be written
    as steps of a cell, ValueError for outputs or an `out` of another shape.
    """
    memory.keep_freed()
    columns = x1 if x2 is None else x2
    with full_precision():
        count = _count_outputs(module, x1, outputs)
        features = _feature_map(module, x1, method, outputs)
        shape = (len(x1), len(columns), *((count, count) if outputs == "full" else ()))
        with _destination(out, shape, dtype) as kernel:
            _fill_all(kernel, features, x1, x2, memory_gib, progress)
            probe.check(module, kernel, x1, columns, outputs)
    return mapped.opened(out) if isinstance(out, str | Path) else kernel


def diagonal(
    module: nn.Module, x: Tensor, batch: int = 64, *, outputs: Outputs = "scalar"
) -> Tensor:
    """Theta(x_n, x_n), on the device of the module: (N,), or (N, K, K) for outputs "full"."""
    with full_precision():
        features = feature_map(module, x[:2], outputs=outputs)
        count = _count_outputs(module, x, outputs)
        dtype = next(module.parameters()).dtype

        def of(part: Tensor) -> Tensor:
            if outputs != "full":
                return squared_norms(features(part), part)
            zero = torch.zeros(len(part), count, count, dtype=dtype, device=x.device)
            own = (factor.own_gram(count) for factor in features(part).layers.values())
            return sum(own, zero)

        found = torch.cat([of(part) for part in x.split(batch)])
        probe.check_diagonal(module, found, x, outputs)
        return found


def gram_of(a: Factors, b: Factors, outputs: int | None = None) -> Tensor | None:
    """J_a J_b^T, the sum over the layers that are alive in both; None when there is none.

    (N, M), or (N K, M K) for all pairs of K `outputs`.
    """
    total = None
    for name in (name for name in a.layers if name in b.layers):
        one, two = a.layers[name], b.layers[name]
        part = one.gram(two) if outputs is None else one.gram_of_outputs(two, outputs)
        total = part if total is None else total.add_(part)
    return total


def _count_outputs(module: nn.Module, x: Tensor, outputs: Outputs) -> int:
    """K. Raises ValueError as `heads` does."""
    with torch.no_grad():
        return heads(frozen(module)(x[:1]), outputs).shape[1]


@contextmanager
def _destination(
    out: Tensor | np.ndarray | str | Path | None, shape: tuple[int, ...], dtype: torch.dtype
) -> Iterator[Tensor]:
    """Where the kernel is written: a new tensor, a given one, or a new file."""
    if isinstance(out, str | Path):
        with mapped.created(out, shape, dtype) as kernel:
            yield kernel
        return
    if out is None:
        yield torch.empty(shape, dtype=dtype)
        return
    kernel = torch.from_numpy(out) if isinstance(out, np.ndarray) else out
    if tuple(kernel.shape) != shape or kernel.dtype != dtype:
        raise ValueError(
            f"out is {tuple(kernel.shape)} of {kernel.dtype}; the kernel is {shape} of {dtype}"
        )
    yield kernel


def _fill_all(
    kernel: Tensor,
    features: FeatureMap,
    x1: Tensor,
    x2: Tensor | None,
    memory_gib: float,
    progress: Progress | None,
) -> None:
    """All rows of the kernel, block by block; where memory runs out, in smaller blocks."""
    symmetric = x2 is None
    columns = x1 if x2 is None else x2
    per_example = max(1, features(x1[:2]).bytes // min(2, len(x1)))
    budget = int(memory_gib * GIB)
    count = len(x1) + (0 if symmetric else len(columns))
    keep = per_example * count <= budget
    size = BLOCK if keep else max(1, min(BLOCK, budget // (2 * per_example)))
    if kernel.dim() == 4:
        size = max(1, min(size, WIDTH // kernel.shape[2]))
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
    """Rows start to start + size of the kernel; if symmetric, those above give the left part.

    So a file is written once, from its beginning to its end.
    """
    stop = min(start + size, len(x1))
    outputs = kernel.shape[2] if kernel.dim() == 4 else None
    if symmetric and start:
        kernel[start:stop, :start] = _mirrored(kernel[:start, start:stop])
    rows = blocks.get(x1, start, stop)
    for left in range(start if symmetric else 0, len(x2), size):
        right = min(left + size, len(x2))
        on_diagonal = symmetric and left == start
        block = gram_of(rows, rows if on_diagonal else blocks.get(x2, left, right), outputs)
        if block is None:
            kernel[start:stop, left:right] = 0
            continue
        if on_diagonal:
            block = block.triu() + block.triu(1).T
        if outputs:
            block = block.view(stop - start, outputs, right - left, outputs).transpose(1, 2)
        kernel[start:stop, left:right] = block


def _mirrored(part: Tensor) -> Tensor:
    """Theta(x', x) of Theta(x, x'): examples and outputs change places."""
    return part.transpose(0, 1) if part.dim() == 2 else part.permute(1, 0, 3, 2)


def _feature_map(module: nn.Module, x: Tensor, method: Method, outputs: Outputs) -> FeatureMap:
    if method == "auto":
        return feature_map(module, x[:2], outputs=outputs)
    make = layer_map if method == "layers" else jacobian_map
    return make(module, outputs=outputs)
