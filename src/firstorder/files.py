"""Atomic writes and content hashes.

Every file of the project reaches its final name by a rename in its own folder, after its
bytes are on disk: a reader sees the old file or the new one, never a part.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
import os
import platform
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstorder.errors import DataError

if TYPE_CHECKING:
    import numpy as np


def missing(path: str | Path) -> DataError:
    """The error for a file of the workflow that is not there."""
    return DataError(f"{path}: no such file; run the workflow, or `snakemake {path}`, to make it")


def damaged(path: str | Path, error: BaseException) -> DataError:
    """The error for a file of the workflow that cannot be read because of `error`."""
    reason = " ".join(str(error).split())[:200]
    return DataError(f"{path}: damaged ({reason}); delete it and run again")


def beside(path: Path) -> Path:
    """A temporary name beside `path`, never given twice; what killed processes left is removed.

    Of processes of another machine or container nothing is known: what those left stays.
    """
    start, end = f".{path.stem}.{_place()}-", f".tmp{path.suffix}"
    for each in temporaries(path):
        process = each.name.removeprefix(start).removesuffix(end).partition("-")[0]
        if each.name.startswith(start) and process.isdecimal() and not _lives(int(process)):
            _remove(each)
    return path.with_name(f"{start}{os.getpid()}-{secrets.token_hex(4)}{end}")


def temporaries(path: Path) -> list[Path]:
    """What lies under temporary names beside `path`, of any process of any machine."""
    return list(path.parent.glob(f".{glob.escape(path.stem)}.*.tmp{glob.escape(path.suffix)}"))


def in_the_way(folder: str) -> tuple[str, str] | None:
    """What is no folder in the place of `folder` or of one above it, and in words what it is.

    A file, or a link to nothing, such as to a disk that is not there. None when it can be made.
    """
    for place in (folder, *map(str, Path(folder).parents)):
        if os.path.lexists(place) and not os.path.isdir(place):
            return place, "a file" if os.path.exists(place) else "a link to nothing"
    return None


def discard(path: str | Path) -> None:
    """Remove a file that is no longer needed, with what killed processes left of it."""
    path = Path(path)
    for part in (path, *temporaries(path)):
        part.unlink(missing_ok=True)


def _place() -> str:
    """Where a process number means the same process: this host and, on Linux, this container."""
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        namespace = 0
    return f"{platform.node()}.{namespace}"


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it to `path`.

    The temporary name keeps the suffix, for libraries that choose a format by it. On an
    exception the temporary file is removed and `path` keeps what it held; an OSError that names
    no file (a write to a full disk) comes to name `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path)
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)  # of two links to one file nothing is renamed
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def read_regular(path: str | Path, most: int) -> bytes:
    """The bytes of a regular file of at most `most` bytes (a pipe would wait for ever).

    Raises DataError naming the file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise DataError(f"{path}: not a regular file; replace it")
            if found.st_size > most:
                raise DataError(f"{path}: {found.st_size} bytes are more than the {most} allowed")
            return stream.read(most + 1)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8, `\\n` line ends) to `path` atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_csv(
    path: str | Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()
) -> None:
    """Write rows as CSV atomically, floats with all their digits.

    `columns`: in their order; those of the first row where there are none.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_array(path: str | Path, values: np.ndarray) -> None:
    """Write an npy file atomically."""
    import numpy as np

    # A file that is open for reading too gets its bytes from Python: what numpy writes by itself
    # fails on a full disk without saying why.
    with replacing(path) as temporary, open(temporary, "w+b") as stream:
        np.save(stream, values)


def read_json(path: str | Path) -> Any:
    """Read a JSON file. Raises ValueError for what is not JSON, or nested beyond any record."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Short digest (12 hexadecimal digits) of a JSON-able value, independent of key order."""
    return text_digest(json.dumps(value, sort_keys=True, separators=(",", ":")))


def text_digest(text: str) -> str:
    """Short digest (12 hexadecimal digits) of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
