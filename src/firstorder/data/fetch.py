"""Place raw files below `resources/`: from a local folder or over https, verified.

A file reaches its final name only when its checksum is right, and only if nothing is there: what
a person placed by hand is never overwritten or deleted, right or wrong. Of two processes that
place one file the first wins, and the second finds it in place.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from firstorder.config import File
from firstorder.data import locate
from firstorder.data.download import FinalError, download, shown
from firstorder.errors import DataError
from firstorder.files import beside


def place(
    name: str,
    file: File,
    folder: Path,
    folders: Sequence[str | Path] = (),
    help: str = "",
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Where the raw `file` of dataset `name` is, once it is right: in `folder` below its name.

    Does nothing where the right file is there already. Otherwise the first of `folders` (relative
    ones lie in `folder`) that has it serves, then the file's URLs in order. Raises one DataError
    that names the file, every source tried and why it failed, and `help`; also where another
    file has the name already, which stays.
    """
    destination = folder / file.name
    if os.path.lexists(destination):
        problem = locate.state(destination, file)
        if problem is None:
            return destination
        raise DataError(
            f"{name}: {destination}: {problem}; it stays: move it away, or put the right file there"
        )
    found, failures = locate.copy_of(file, locate.places(folder, folders)[1:])
    sources: list[Path | str] = [*([found] if found else []), *file.urls]
    for source in sources:
        try:
            if isinstance(source, Path):
                _copy(source, file, destination)
            else:
                download(source, file, destination, arrive, sleep)
            return destination
        except FinalError as failure:
            failures.append(f"{shown(str(source))} ({failure})")
        except OSError as error:  # a full disk names no file
            if error.filename is None:
                error.filename = str(destination)
            raise
    tried = "; ".join(failures) or "no source is declared"
    mend = " ".join(help.split()) or f"Place {file.name} at {destination}."
    raise DataError(f"{name}: cannot fetch {file.name}: tried {tried}. {mend}")


def arrive(temporary: Path, file: File, destination: Path) -> None:
    """Give the right file `temporary` its final name; one that is there already stays.

    Raises FinalError where what is there is another file.
    """
    with open(temporary, "rb") as stream:
        os.fsync(stream.fileno())
    try:
        os.link(temporary, destination)  # unlike a rename, it replaces nothing
    except OSError:  # something is there, or a file system without links
        if not os.path.lexists(destination):
            os.rename(temporary, destination)
            return
        problem = locate.state(destination, file)
        if problem is not None:
            raise FinalError(f"{destination} appeared meanwhile: {problem}; it stays") from None
    temporary.unlink(missing_ok=True)


def _copy(source: Path, file: File, destination: Path) -> None:
    """Copy the right file `source` to `destination`."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(destination)
    try:
        shutil.copyfile(source, temporary)
        problem = locate.state(temporary, file)  # it may have changed since it was looked at
        if problem is not None:
            raise FinalError(problem)
        arrive(temporary, file, destination)
    finally:
        temporary.unlink(missing_ok=True)
