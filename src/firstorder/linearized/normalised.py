"""Kernels brought to a common trace, and centred kernels.

The trace of a network's kernel grows by orders of magnitude in training. A kernel c K at learning
rate lr is K at learning rate c lr, so two kernels are compared at one trace, or not at all.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 1_024
"""Rows of a kernel that are in float64 at a time."""


def scale_to(kernel: Tensor, other: Tensor) -> float:
    """tr(other) / tr(kernel) for kernels of the same training examples.

    A kernel of these, or of test with training examples, times this has the trace of `other`.
    Raises ValueError for a kernel without trace.
    """
    own = float(kernel.diagonal().double().sum())
    if own <= 0:
        raise ValueError(f"a kernel of trace {own:g} cannot be brought to another trace")
    return float(other.diagonal().double().sum()) / own


def centred(kernel: Tensor, *tests: Tensor) -> tuple[Tensor, ...]:
    """The kernel of f - mean f over the training examples, (N, N), and that of test rows (M, N).

    With the mean function taken away, a constant is no direction of the kernel: class imbalance
    cannot speak through it. Rows sum to zero over the training examples.
    """
    return centre_(kernel.clone(), *(test.clone() for test in tests))


def centre_(kernel: Tensor, *tests: Tensor) -> tuple[Tensor, ...]:
    """`centred`, in place: for kernels of which the memory holds one copy."""
    columns = _mean(kernel, 0)
    total = columns.mean()
    for part in (*tests, kernel):
        rows = _mean(part, 1)
        part.sub_(rows.to(part)[:, None]).sub_((columns - total).to(part))
    return kernel, *tests


def _mean(matrix: Tensor, dim: int) -> Tensor:
    """The mean along `dim` in float64, block by block: never a float64 copy of the matrix."""
    blocks = matrix.split(ROWS)
    if dim == 1:
        return torch.cat([block.double().mean(1) for block in blocks])
    return torch.stack([block.double().sum(0) for block in blocks]).sum(0) / len(matrix)
