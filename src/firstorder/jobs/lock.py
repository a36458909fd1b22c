"""A lock on a folder of results: runs of two projects may share `results:`, one after the other.

Snakemake's own lock lies in the project's folder and knows nothing of other projects. This one
is of the operating system and goes with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from firstorder.errors import UserError

NAME = ".lock"
_held: list[int] = []
"""Descriptors that stay open as long as this process lives."""


def hold(root: str | Path) -> None:
    """Hold the lock of a folder until this process ends. Raises UserError when another has it."""
    Path(root).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(Path(root, NAME), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(
            f"{root}: a run from another folder writes there; wait for its end, or set another "
            "`results` in config.yaml"
        ) from None
    except OSError:  # a file system without locks
        os.close(descriptor)
        return
    _held.append(descriptor)
