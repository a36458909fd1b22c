"""The eigenvectors of a kernel, as far as they are more than rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from firstorder import arrays
from firstorder.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

NOISE = float(np.finfo(np.float32).eps)
"""The share of the largest eigenvalue below which those of a float32 kernel are rounding."""


def read_eigenvectors(path: str, task: int = 1) -> Tensor:
    """The leading eigenvectors (k, N) of spectrum.npz. DataError when missing or damaged, or when
    the one of index `task` (from 1) is beyond the rank of the kernel: its signs would be noise."""
    import torch

    found = arrays.read(path, "eigenvalues", "eigenvectors")
    values = found["eigenvalues"]
    rank = int((values > NOISE * values[0]).sum())
    if task > rank:
        raise DataError(
            f"{path}: eigenvector {task} is noise: the kernel has rank {rank} in float32; take "
            f"`tasks` up to {rank}, or a support of more examples that differ"
        )
    return torch.from_numpy(found["eigenvectors"])
