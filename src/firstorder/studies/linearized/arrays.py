"""Arrays that the steps write and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from firstorder import files
from firstorder.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


def read_array(path: str) -> Tensor:
    """An npy file as a tensor that maps it: nothing is read yet. DataError when damaged."""
    import torch

    try:
        return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; ask Snakemake for it") from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged ({reason}); delete it and run again") from None


def write_arrays(path: str, **arrays: Any) -> None:
    """Write an npz file atomically."""
    with files.replacing(path) as temporary:
        np.savez(temporary, **arrays)


NOISE = float(np.finfo(np.float32).eps)
"""The share of the largest eigenvalue below which those of a float32 kernel are rounding."""


def read_eigenvectors(path: str, task: int = 1) -> Tensor:
    """The leading eigenvectors (k, N) of spectrum.npz. DataError when missing or damaged, or when
    the one of index `task` (from 1) is beyond the rank of the kernel: its signs would be noise."""
    import torch

    try:
        with np.load(path, allow_pickle=False) as stored:
            values, vectors = stored["eigenvalues"], torch.from_numpy(stored["eigenvectors"])
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; ask Snakemake for it") from None
    except Exception as error:  # zipfile, struct and zlib each raise their own
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged ({reason}); delete it and run again") from None
    rank = int((values > NOISE * values[0]).sum())
    if task > rank:
        raise DataError(
            f"{path}: eigenvector {task} is noise: the kernel has rank {rank} in float32; take "
            f"`tasks` up to {rank}, or a support of more examples that differ"
        )
    return vectors
