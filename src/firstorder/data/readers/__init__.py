"""Readers: one file each, found by its decorator.

A reader decodes one kind of container into the splits `train`, `test` and further ones:

    @reader("npz", layouts=layouts)
    def npz(dataset: Dataset, files: Files) -> dict[str, Split]:

`layouts(dataset, folder)` gives the files that it would read below `folder`, by the reader's own
names for them, once for every way in which they may lie there. The file is named as its reader.
A user's own reader is `file.py:function`, a function from the declaration, as far as decoding goes,
and the folder to `{"train": (images, labels), "test": (images, labels)}`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from firstorder.data.prepared import Split
from firstorder.errors import DataError
from firstorder.own import function, running, watching

if TYPE_CHECKING:
    from firstorder.config import Dataset

Files = Mapping[str, Path]
"""The files that a reader reads, by its names for them."""
Read = Callable[["Dataset", Files], dict[str, Split]]
Layouts = Callable[["Dataset", Path], Iterable[dict[str, Path]]]
OWN = "folder"
"""The name of the one thing that a user's own reader gets."""


@dataclass(frozen=True)
class Reader:
    """A reader and where it finds its files."""

    name: str
    read: Read
    layouts: Layouts
    channels: tuple[int, ...] = ()
    """How many its images may have; empty where the data say."""
    streamed: bool = False
    """Whether it lists pictures, which are decoded in blocks while the dataset is written."""


_READERS: dict[str, Reader] = {}


def nothing(dataset: Dataset, folder: Path) -> list[dict[str, Path]]:
    """The layout of bundled data: no files."""
    return [{}]


def reader(
    name: str,
    *,
    layouts: Layouts = nothing,
    channels: tuple[int, ...] = (),
    streamed: bool = False,
) -> Callable[[Read], Read]:
    """Register a reader under `name`, which is also that of its file."""

    def decorate(read: Read) -> Read:
        _READERS[name] = Reader(name, read, layouts, channels, streamed)
        return read

    return decorate


def only(
    paths: Iterable[Path],
    dataset: Dataset,
    is_there: Callable[[Path], bool] = Path.is_file,
    holds: Callable[[Path], object] = lambda path: path.stat()[1:3],
) -> Path:
    """The first of `paths` that is a file (or what `is_there` asks for), or the first.

    DataError where several are, each `holds` another thing (by default is another file: on some
    systems capitals are no other name), and nothing is declared that tells which has the data.
    """
    known = list(paths)
    there = [path for path in known if is_there(path)]
    if dataset.unverified and any(holds(path) != holds(there[0]) for path in there[1:]):
        raise DataError(f"{there[0]} and {there[1]}: both are there; leave one")
    return (there or known)[0]


def named(name: str) -> Reader:
    """The reader called `name`, or a user's own function `file.py:function`."""
    if ":" in name:
        own, module = function(name, "reader", DataError), name.rpartition(":")[0]
        try:
            inspect.signature(own).bind(None, None)
        except (TypeError, ValueError):  # ValueError: of some of Python's own, it cannot be told
            raise DataError(f"reader {name}: must take (dataset, folder)") from None

        def read(dataset: Dataset, files: Files) -> dict[str, Split]:
            with running(f"reader {name}", DataError), watching(module, below=files[OWN]):
                found = own(dataset, files[OWN])
            return _checked(name, found)

        return Reader(name, read, lambda dataset, folder: [{OWN: folder}])
    if name not in _READERS:
        importlib.import_module(f"{__name__}.{name}")
    return _READERS[name]


def _checked(name: str, found: object) -> dict[str, Split]:
    """What a user's reader returned, as splits; its shapes are checked by `prepare`."""
    if not isinstance(found, Mapping) or "train" not in found:
        kind = "one without train" if isinstance(found, Mapping) else type(found).__name__
        raise DataError(f"reader {name}: return a dictionary of splits, not {kind}")
    splits = {}
    for key, value in found.items():
        if not isinstance(value, tuple) or len(value) != 2:
            raise DataError(f"reader {name}: {key}: return a pair (images, labels)")
        images, labels = value
        try:
            if not isinstance(getattr(images, "dtype", None), np.dtype):
                images = np.asarray(images)
            labels = np.asarray(labels)
        except (ValueError, TypeError) as error:  # of lists of several lengths
            raise DataError(f"reader {name}: {key}: not an array ({error})") from None
        if images.dtype == object:
            raise DataError(f"reader {name}: {key}: images are not an array of numbers")
        if labels.dtype.kind not in "iu":
            raise DataError(f"reader {name}: {key}: labels are {labels.dtype}, not integers")
        splits[str(key)] = Split(images, labels.astype(np.int64))
    return splits
