"""What is said when the memory of a device or of the machine does not suffice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from firstorder.errors import OutOfMemoryError


def shortage(error: BaseException) -> str | None:
    """What could not be allocated, on one line; None when `error` is about something else.

    Torch's own exception is known by its name, so that the command line need not import torch.
    """
    text = " ".join(str(error).split())
    of_device = type(error).__name__ == "OutOfMemoryError" and isinstance(error, RuntimeError)
    if of_device or "DefaultCPUAllocator" in text:
        return text.partition("DefaultCPUAllocator: ")[2] or text.partition(". GPU ")[0]
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
