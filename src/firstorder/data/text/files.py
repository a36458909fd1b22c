"""Bytes of a text file, or one line that says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from firstorder.errors import DataError
from firstorder.files import read_regular

LARGEST = 2**30
"""Bytes of a file; the largest published one, Yelp's, has 450 MB."""


def decoded(data: bytes, where: str | Path) -> str:
    """`data` as UTF-8 text (a byte order mark is skipped); DataError names `where`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{where}: not UTF-8: byte 0x{data[error.start]:02x} in line {line}; "
            "convert the file to UTF-8"
        ) from None


def read(path: str | Path) -> str:
    """The text of a file."""
    if Path(path).is_dir():
        raise DataError(f"{path}: a folder, not a text file")
    return decoded(read_regular(path, LARGEST), path)
