"""Where a dataset's raw files are: the one answer for fetching, preparing and the doctor.

They may lie below `resources/`, in one of the dataset's `folders`, or at its own `path`; and a
public dataset in any container that a reader knows, since it is verified by its content. Nothing
here writes or deletes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firstorder.config import READERS, Dataset, File
from firstorder.data import readers
from firstorder.data.checksums import mismatch
from firstorder.data.lists import is_of_a_system
from firstorder.errors import DataError
from firstorder.jobs.provenance import sha256


@dataclass(frozen=True)
class Source:
    """Files that are in place, and the reader that reads them."""

    reader: str
    folder: Path
    files: dict[str, Path]
    """By the reader's names for them; none for bundled data."""


def folders(dataset: Dataset, folder: Path) -> tuple[Path, ...]:
    """Where raw files may be, in the order in which they are looked for.

    `folder` is the dataset's own, below `resources`. Relative `folders` lie in it or in the
    project; `~` is the home. A dataset with a `path` has its files there and nowhere else.
    """
    if dataset.path is not None:
        return (Path(dataset.path).expanduser(),)
    return places(folder, dataset.folders)


def places(folder: Path, others: Sequence[str | Path]) -> tuple[Path, ...]:
    """`folder`, and `others`: relative ones lie in it or in the project, `~` is the home.

    Those that may not be looked into are passed over. `..` leaves a folder that is not there, too.
    """
    named = (base / Path(other).expanduser() for other in others for base in (folder, Path()))
    found = dict.fromkeys(map(os.path.normpath, named))
    return (folder, *(Path(each) for each in found if _may_look_into(each)))


def _may_look_into(folder: str) -> bool:
    try:
        os.stat(folder)
    except PermissionError:
        return False
    except OSError:  # it is not there
        return True
    return os.access(folder, os.R_OK)


def find(dataset: Dataset, folder: Path) -> Source | None:
    """The files of `dataset` in the first place and container that is complete; None if none is.

    The declared reader comes first. Others are tried where the content is declared, by which a
    wrong container is refused; DataError where it is not, and several containers are there.
    """
    if not dataset.unverified:
        return next(_complete(dataset, folder), None)
    found = list(_complete(dataset, folder))
    places = [" ".join(dict.fromkeys(map(str, each.files.values()))) for each in found]
    if len(set(places)) > 1:
        raise DataError(f"{places[0]} and {places[1]}: both are there; leave one")
    return found[0] if found else None


def source(name: str, dataset: Dataset, folder: Path) -> Source:
    """As `find`; DataError, saying what is missing, where nothing is complete."""
    found = find(dataset, folder)
    if found is None:
        raise DataError(f"{name}: {missing(dataset, folder)}; {mend(dataset, folder)}")
    return found


def check(name: str, dataset: Dataset, folder: Path) -> None:
    """Refuse before anything is planned what can be seen then to be wrong.

    A reader of the user's own that cannot be imported, and data that are not there and of which
    no file is declared that could be fetched.
    """
    reader = readers.named(dataset.reader)
    if dataset.path is not None and reader.layouts is readers.nothing:
        raise DataError(f"{name}: reader {dataset.reader} reads no files; leave out `path`")
    if reader.channels and dataset.shape[0] not in reader.channels:
        several = " or ".join(map(str, reader.channels))
        raise DataError(
            f"{name}: shape: reader {dataset.reader} reads images of {several} channels"
        )
    if dataset.path is not None or not dataset.files:
        source(name, dataset, folder)


def inputs(dataset: Dataset, folder: Path) -> tuple[Path, ...]:
    """The files that preparing reads: those in place, or else those to be fetched into `folder`.

    A file in place counts also where it is wrong: fetching never replaces it, preparing says so.
    """
    found = find(dataset, folder)
    if found is not None:
        return tuple(found.files.values())
    return tuple(folder / file.name for file in dataset.files)


def copy_of(file: File, places: Sequence[Path]) -> tuple[Path | None, list[str]]:
    """A right copy of a raw `file`, and what is wrong with every other that was looked at."""
    others: list[str] = []
    for place in places:
        path = place / file.name
        # A folder is right where it is, and is not copied.
        problem = "not a regular file" if path.is_dir() else state(path, file)
        if problem is None:
            return path, others
        others.append(f"{path} ({problem})")
    return None, others


def fingerprint(found: Source) -> str:
    """SHA-256 of all files that a reader reads, by its names for them; of folders all in them."""
    hashes = {
        f"{key}/{name}": digest for key, root in found.files.items() for name, digest in _all(root)
    }
    text = json.dumps({"reader": found.reader, "files": hashes}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and hashes of all files in a folder."""
    if path.is_file():
        return sha256(str(path))
    return hashlib.sha256(json.dumps(dict(_all(path)), sort_keys=True).encode()).hexdigest()


def _all(root: Path) -> Iterator[tuple[str, str]]:
    """Relative name and SHA-256 of a file, or of every file in a folder but those of a system.

    Hidden ones count: a list, or a reader of the user's own, may name them.
    """
    for path in [root] if root.is_file() else _below(root, frozenset()):
        if path.is_file() and (path == root or not is_of_a_system(path.name)):
            yield path.relative_to(root).as_posix(), sha256(str(path))


def _below(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """What lies below a folder, through links too: the folder of a class may be one.

    `above`: the real paths of the folders on the way to it; a link to one of them is a circle.
    """
    real = os.path.realpath(folder)
    # What may not be read here, no reader reads.
    if real in above or not os.access(folder, os.R_OK | os.X_OK):
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _below(path, above | {real})
        else:
            yield path


def state(path: Path, file: File) -> str | None:
    """What is wrong with the raw `file` at `path`: `not there`, or how it differs; else None.

    A name without an ending, which has no checksum, may be that of a folder.
    """
    if not path.is_file():
        if (
            path.is_dir()
            and not Path(file.name).suffix
            and file.md5 is None
            and file.sha256 is None
        ):
            return None
        return "not there" if not path.exists() else "not a regular file"
    return mismatch(path, file)


def wrong(dataset: Dataset, found: Source) -> tuple[Path, str] | None:
    """The first located file that is declared with a checksum and has another, and how."""
    declared = {file.name: file for file in dataset.files}
    for path in found.files.values():
        if path.name in declared and path.is_file():
            problem = mismatch(path, declared[path.name])
            if problem is not None:
                return path, problem
    return None


def missing(dataset: Dataset, folder: Path) -> str:
    """What the most complete container lacks, in words."""
    places = folders(dataset, folder)
    lacks = [
        (-len(there), index, each.name, [path for path in files.values() if not path.exists()])
        for index, (each, place, files) in enumerate(_candidates(dataset, places))
        if (there := [path for path in files.values() if path.exists()]) or index == 0
    ]
    if not lacks:
        return f"no files in {', '.join(map(str, places))}"
    _, _, reader, paths = min(lacks)
    return f"no such file: {', '.join(map(str, paths))} (reader {reader})"


def mend(dataset: Dataset, folder: Path) -> str:
    """What to do where files are missing."""
    if dataset.path is not None:
        return f"correct `path: {dataset.path}` in datasets.yaml"
    if any(file.urls for file in dataset.files):
        return "fetch it first"
    return " ".join(dataset.help.split()) or f"place it in {folder}"


def _complete(dataset: Dataset, folder: Path) -> Iterator[Source]:
    for reader, place, files in _candidates(dataset, folders(dataset, folder)):
        if all(path.exists() for path in files.values()) and _verified(dataset, files):
            yield Source(reader.name, place, files)


def _verified(dataset: Dataset, files: dict[str, Path]) -> bool:
    """Whether there is something to know the files by, where something is declared at all."""
    checked = {each.name for each in dataset.files if each.md5 or each.sha256}
    if dataset.content or dataset.path is not None or not checked:
        return True
    return checked <= {path.name for path in files.values()}


def _files(reader: readers.Reader, dataset: Dataset, place: Path) -> list[Path]:
    return [path for files in reader.layouts(dataset, place) for path in files.values()]


def _candidates(
    dataset: Dataset, places: tuple[Path, ...]
) -> Iterator[tuple[readers.Reader, Path, dict[str, Path]]]:
    """Every reader, place and layout that might hold the dataset, the likeliest first."""
    own = readers.named(dataset.reader)
    for place in places:
        # Of a file, such as an archive, the reader may know where it would lie in its folder.
        inside = place.is_file() and place not in _files(own, dataset, place)
        for files in own.layouts(dataset, place.parent if inside else place):
            if not inside or place in files.values():
                yield own, place, files
    if not (dataset.content and dataset.files):
        return  # nothing tells whether another container holds the right data
    for place in places:
        for name in READERS:
            for files in readers.named(name).layouts(dataset, place):
                if files and name != dataset.reader:  # bundled data are in no place
                    yield readers.named(name), place, files
