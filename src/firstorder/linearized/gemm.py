"""Matrix products in full float32 precision, by the fastest library at hand.

On some CPUs torch's own product takes a generic path at half the speed of oneDNN, which torch
also carries. The choice depends on the machine and on a numerical self-test only, never on a
stopwatch: a race that ends differently twice would change the last digits of a kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

VIEW_NUMBERS = 2**25
"""How many numbers of a view are copied at once, to lie in order: 128 MiB."""


@contextmanager
def full_precision() -> Iterator[None]:
    """Forbid TF32 inside the block: products and convolutions on a GPU keep 24 bits."""
    backends = torch.backends
    switches: tuple[Any, ...] = (
        backends.cuda.matmul,
        backends.cudnn.conv,  # type: ignore[attr-defined]
        backends.cudnn.rnn,
    )
    before = [switch.fp32_precision for switch in switches]
    try:
        for switch in switches:
            switch.fp32_precision = "ieee"
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def gram(a: Tensor, b: Tensor) -> Tensor:
    """a b^T for a (m, k) and b (n, k).

    A view `a` that is large, as rows and columns of a kernel are, is not copied as a whole.
    """
    if a.device.type == "cpu" and a.dtype == torch.float32 and _onednn_is_exact():
        columns = b.contiguous()
        if a.is_contiguous() or a.numel() <= VIEW_NUMBERS:
            return _onednn(a.contiguous(), columns)
        out = a.new_empty(len(a), len(b))
        height = max(1, VIEW_NUMBERS // a.shape[1])
        for rows, part in zip(out.split(height), a.split(height), strict=True):
            rows.copy_(_onednn(part.contiguous(), columns))
        return out
    return a @ b.T


def batched_gram(a: Tensor, b: Tensor) -> Tensor:
    """a_i b_i^T for a (N, m, k) and b (N, n, k)."""
    on_cpu = a.device.type == "cpu" and a.dtype == torch.float32
    if on_cpu and _batched_onednn_is_exact(*a.shape[1:], b.shape[1]):
        return _batched_onednn(a, b)
    return torch.bmm(a, b.mT)


def _onednn(a: Tensor, b: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")


@cache
def _onednn_is_exact() -> bool:
    """Whether oneDNN's product exists here and rounds like float32.

    The operator is private: any failure to call it means that torch's own product is used. It
    may be set to multiply in bfloat16, which the comparison with float64 notices.
    """
    a = torch.linspace(-1.0, 1.0, 96 * 257).reshape(96, 257).sin()
    exact = a.double() @ a.double().T
    try:
        error = (_onednn(a, a).double() - exact).abs().max() / exact.abs().max()
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool(error < 2e-6)


def _batched_onednn(a: Tensor, b: Tensor) -> Tensor:
    """torch hands batches to oneDNN only with the licence to multiply in bfloat16."""
    switch: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = switch.fp32_precision
    try:
        switch.fp32_precision = "bf16"
        return torch.bmm(a, b.mT)
    finally:
        switch.fp32_precision = before


@cache
def _batched_onednn_is_exact(m: int, k: int, n: int) -> bool:
    """Whether oneDNN leaves the licence unused for (m, k) (k, n).

    Processors without matrix units for bfloat16 have no use for it.
    """
    a = torch.linspace(-1.0, 1.0, 2 * m * k).reshape(2, m, k).sin()
    b = torch.linspace(-2.0, 2.0, 2 * n * k).reshape(2, n, k).cos()
    exact = a.double() @ b.double().mT
    try:
        error = (_batched_onednn(a, b).double() - exact).abs().max() / exact.abs().max()
    except (AttributeError, RuntimeError):
        return False
    return bool(error < 2e-6)
