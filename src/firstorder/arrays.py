"""Arrays that steps write and read: npz files, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from firstorder import files
from firstorder.errors import DataError


def write(path: str | Path, **arrays: Any) -> None:
    """Write an npz file."""
    with files.replacing(path) as temporary:
        np.savez(temporary, **arrays)


def read(path: str | Path, *names: str) -> dict[str, np.ndarray]:
    """Arrays of an npz file. DataError where the file is missing or damaged or has not all."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except FileNotFoundError:
        raise files.missing(path) from None
    except Exception as error:  # zipfile, struct and zlib each raise their own
        raise files.damaged(path, error) from None


def write_bits(path: str | Path, right: np.ndarray | None) -> None:
    """Write which examples are right (N,); none after divergence.

    `correct`: bits packed into uint8, the first in the highest place; `count`: how many.
    """
    known = np.zeros(0, bool) if right is None else right
    write(path, correct=np.packbits(known), count=len(known))


def read_bits(path: str | Path) -> np.ndarray:
    """What `write_bits` wrote, boolean (N,). DataError where it is missing or damaged."""
    found = read(path, "correct", "count")
    return np.unpackbits(found["correct"], count=int(found["count"])).astype(bool)


def mapped(path: str | Path) -> np.ndarray:
    """The array in an npy file, mapped: nothing is read yet, changes stay in memory.

    DataError where the file is missing or damaged.
    """
    try:
        found: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise files.missing(path) from None
    except (ValueError, OSError, EOFError) as error:
        raise files.damaged(path, error) from None
    if not isinstance(found, np.ndarray):  # an archive opens as well
        raise DataError(f"{path}: damaged (not one array); delete it and run again")
    return found
