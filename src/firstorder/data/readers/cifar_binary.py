"""CIFAR-10 and CIFAR-100 (fine labels), binary version: records of label bytes and 3,072 pixels.

A test file may hold fewer records than published: what is missing is noticed by its count.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from firstorder.config import Dataset
from firstorder.data import parts
from firstorder.data.archives import LARGEST, tar_members, unpacked
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, reader
from firstorder.data.readers.cifar import check_classes, fits, packed, present
from firstorder.errors import DataError

PIXELS = 3072


class Variant(NamedTuple):
    """What the files of a CIFAR dataset are called, and the label bytes of a record."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: str
    label_bytes: int
    meta: str


CIFAR10 = Variant(
    archive="cifar-10-binary.tar.gz",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{batch}.bin" for batch in range(1, 6)),
    test="test_batch.bin",
    label_bytes=1,
    meta="batches.meta.txt",
)
CIFAR100 = Variant(
    archive="cifar-100-binary.tar.gz",
    folder="cifar-100-binary",
    train=("train.bin",),
    test="test.bin",
    label_bytes=2,  # coarse, then fine
    meta="fine_label_names.txt",
)
FIRST = "test_batch_first*.bin"
"""Some first records of the test file, where the rest is not to be had."""


def layouts(dataset: Dataset, folder: Path) -> Iterator[dict[str, Path]]:
    """The archive, its .gz unpacked or not, or its files, in their folder or here; class names
    where they are."""
    if not fits(dataset, "cifar_binary"):
        return
    for variant in (CIFAR100,) if len(dataset.classes) == 100 else (CIFAR10, CIFAR100):
        yield from packed(variant.archive, folder)
        for place in (folder / variant.folder, folder):
            files = {name: place / name for name in variant.train}
            if "test" in parts.wanted(dataset):
                tests = [place / variant.test, *sorted(place.glob(FIRST))]
                there = [path for path in tests if path.exists()]
                files[variant.test] = there[0] if there else tests[0]
            yield {**files, **present({variant.meta: place / variant.meta})}


@reader("cifar_binary", layouts=layouts, channels=(3,))
def cifar_binary(dataset: Dataset, files: Files) -> dict[str, Split]:
    """The splits train and test, in published order."""
    first, path = next(iter(files.items()))
    variant = CIFAR100 if first in (CIFAR100.archive, *CIFAR100.train) else CIFAR10
    published = {"train": variant.train, "test": (variant.test,)}
    batches = {name: published[name] for name in published if name in parts.wanted(dataset)}
    names = (*itertools.chain(*batches.values()), variant.meta)
    if first == variant.archive:
        packed = tar_members(path, {f"{variant.folder}/{name}" for name in names})
        contents = {name: packed[f"{variant.folder}/{name}"] for name in names}
    else:
        contents = {name: unpacked(files[name], LARGEST) for name in names if name in files}
        path = path.parent
    if variant.meta in contents:
        check_classes(dataset, contents[variant.meta].strip().splitlines(), path)

    def split(names: tuple[str, ...]) -> Split:
        rows = [_records(contents[name], variant, path / name) for name in names]
        records = np.concatenate(rows)
        labels = records[:, variant.label_bytes - 1].astype(np.int64)
        return Split(records[:, variant.label_bytes :].reshape(-1, 3, 32, 32), labels)

    return {name: split(each) for name, each in batches.items()}


def _records(content: bytes, variant: Variant, where: Path) -> np.ndarray:
    size = variant.label_bytes + PIXELS
    if not content or len(content) % size:
        raise DataError(f"{where}: {len(content)} bytes are not records of {size}; replace it")
    return np.frombuffer(content, np.uint8).reshape(-1, size)
