"""The machine's memory: how tensors come by it, and what is said when it does not suffice."""

from __future__ import annotations

import ctypes
import functools
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from firstorder.errors import OutOfMemoryError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3

OF_CUDA = ("CUDA error: out of memory", "ALLOC_FAILED")
"""What CUDA and its libraries say in an ordinary error when the device's memory is exhausted."""


def peak() -> int:
    """Bytes: the most that the process has held."""
    # The system counts in KiB, that of a Mac in bytes.
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


@functools.cache
def keep_freed() -> None:
    """Have the C library (glibc; others are left alone) hand freed tensors to the next ones.

    By default it returns large blocks to the system, which clears every page again on the way
    back: a quarter of the time of a training step on a CPU. Peak memory stays the same, but what
    a process has once used (in blocks below 2 GiB) it keeps until it ends.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_THRESHOLD, 2**31 - 1)


def shortage(error: BaseException) -> str | None:
    """What could not be allocated, on one line; None when `error` is about something else.

    Torch's own exception is known by its name, so that the command line need not import torch.
    """
    text = " ".join(str(error).split())
    of_device = type(error).__name__ == "OutOfMemoryError" and isinstance(error, RuntimeError)
    if of_device or "DefaultCPUAllocator" in text:
        return text.partition("DefaultCPUAllocator: ")[2] or text.partition(". GPU ")[0]
    if isinstance(error, RuntimeError) and any(sign in text for sign in OF_CUDA):
        return str(error).strip().splitlines()[0]
    return text or "the machine has no more" if isinstance(error, MemoryError) else None


@contextmanager
def advising(advice: str) -> Iterator[None]:
    """Turn a shortage of memory within the block into one line that ends with `advice`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = shortage(error)
        if reason is None:
            raise
        raise OutOfMemoryError(f"out of memory ({reason}); {advice}") from None
