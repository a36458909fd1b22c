"""Kernels in files: written and read block by block, for N where the matrix exceeds the memory.

A mapped .npy file is a tensor whose pages the system reads when they are touched and drops when
it needs the memory: they count as the machine's page cache, not as the process's own memory.
Nothing here copies more than a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from firstorder import arrays, files
from firstorder.linearized.gemm import gram

BLOCK_BYTES = 2**28
"""Largest part of a kernel that is copied or moved at once."""


@contextmanager
def created(path: str | Path, shape: tuple[int, ...], dtype: torch.dtype) -> Iterator[Tensor]:
    """Yield a new tensor in the file `path` (.npy), which is there in full or not at all.

    The file is flushed and gets its name when the block ends without an exception.
    """
    kind = torch.empty(0, dtype=dtype).numpy().dtype
    with files.replacing(path) as temporary:
        array = np.lib.format.open_memmap(temporary, "w+", kind, shape)
        yield torch.from_numpy(array)
        array.flush()


def opened(path: str | Path) -> Tensor:
    """The tensor in a .npy file, mapped: changes to it stay in memory. DataError when damaged."""
    return torch.from_numpy(arrays.mapped(path))


def rows(kernel: Tensor, index: Tensor, columns: slice = slice(None)) -> Tensor:
    """K[index, columns] (B, M) as a new tensor, of a kernel (N, N') that may be a view or mapped.

    Only these numbers are read; neither the other rows nor the other columns are copied.
    """
    return kernel[:, columns].index_select(0, index.to(kernel.device))


def product(kernel: Tensor, v: Tensor) -> Tensor:
    """K v (N, b) for a kernel (N, M) and v (M, b), in the kernel's precision, on v's device.

    The kernel may be a view, mapped, or on another device: then it streams through in blocks of
    rows.
    """
    columns = v.T.to(kernel.dtype).contiguous()
    return torch.cat([gram(part.to(v.device), columns) for part in blocks(kernel)])


def blocks(kernel: Tensor) -> tuple[Tensor, ...]:
    """Views of a kernel (N, M) by rows, none larger than a block."""
    return kernel.split(max(1, BLOCK_BYTES // (kernel.shape[1] * kernel.element_size())))
