"""MNIST's format: four files of big-endian sizes followed by bytes, gzipped or not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from firstorder.config import Dataset
from firstorder.data import parts
from firstorder.data.archives import unpacked
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, only, reader
from firstorder.errors import DataError

PREFIXES = {"train": "train", "test": "t10k"}
DIMENSIONS = {"images": 3, "labels": 1}
LARGEST = 2**31
"""Bytes that a file may unpack to where its header asks for more."""


def layouts(dataset: Dataset, folder: Path) -> Iterator[dict[str, Path]]:
    """The files, each packed or not: here, or below the root folder of torchvision."""
    if dataset.shape[0] != 1:
        return
    places = [".", f"{dataset.title.replace('-', '')}/raw", "raw"]
    if dataset.path is not None:  # data of one's own may have another title
        places += [str(each.relative_to(folder)) for each in sorted(folder.glob("*/raw"))]
    for place in dict.fromkeys(places):
        yield {
            # torchvision leaves what it unpacked beside the file that it got.
            f"{split} {kind}": only(
                _spelled(folder / place, f"{prefix}-{kind}", dimensions),
                dataset,
                holds=partial(unpacked, most=LARGEST),
            )
            for split, prefix in _prefixes(dataset)
            for kind, dimensions in DIMENSIONS.items()
        }


def _prefixes(dataset: Dataset) -> list[tuple[str, str]]:
    """The splits that are wanted, and what the names of their files begin with."""
    return [(split, PREFIXES[split]) for split in parts.wanted(dataset) if split in PREFIXES]


def _spelled(folder: Path, stem: str, dimensions: int) -> list[Path]:
    """The file under all the names that it may have, the published one first.

    Some that unpack it put it into a folder of its own name.
    """
    return [
        folder / f"{below}{stem}{mark}idx{dimensions}-ubyte{packed}"
        for mark in "-."
        for below, packed in (("", ".gz"), ("", ""), (f"{stem}{mark}idx{dimensions}-ubyte/", ""))
    ]


@reader("idx", layouts=layouts, channels=(1,))
def idx(dataset: Dataset, files: Files) -> dict[str, Split]:
    """The splits train and test, images with one channel."""
    return {
        split: Split(
            read_idx(files[f"{split} images"], 3)[:, None],
            read_idx(files[f"{split} labels"], 1).astype(np.int64),
        )
        for split, _ in _prefixes(dataset)
    }


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array in an IDX file; DataError if it is damaged or has another rank."""
    start = 4 + 4 * dimensions
    data = unpacked(path, LARGEST)
    if len(data) < start or data[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(f"{path}: not an IDX file of bytes in {dimensions} dimensions; replace it")
    shape = tuple(np.frombuffer(data[4:start], ">u4").tolist())
    array = np.frombuffer(data, np.uint8, offset=start)
    if array.size != math.prod(shape):
        raise DataError(f"{path}: {array.size} bytes do not make an array {shape}; replace it")
    return array.reshape(shape)
