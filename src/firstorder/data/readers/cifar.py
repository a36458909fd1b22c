"""CIFAR-10 and CIFAR-100 (fine labels), python version: pickled batches, packed or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from firstorder.config import Dataset
from firstorder.data import parts
from firstorder.data.archives import LARGEST, tar_members, unpacked
from firstorder.data.pickles import load_plain
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, reader
from firstorder.errors import DataError

SHAPE = (3, 32, 32)


class Variant(NamedTuple):
    """What the files of a CIFAR dataset and the keys of their dictionaries are called."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: bytes
    meta: str
    names: bytes


CIFAR10 = Variant(
    archive="cifar-10-python.tar.gz",
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{batch}" for batch in range(1, 6)),
    test=("test_batch",),
    labels=b"labels",
    meta="batches.meta",
    names=b"label_names",
)
CIFAR100 = Variant(
    archive="cifar-100-python.tar.gz",
    folder="cifar-100-python",
    train=("train",),
    test=("test",),
    labels=b"fine_labels",
    meta="meta",
    names=b"fine_label_names",
)


def layouts(dataset: Dataset, folder: Path) -> Iterator[dict[str, Path]]:
    """The archive, its .gz unpacked or not, or its files (in the root of torchvision's CIFAR10);
    CIFAR-10's class names where they are."""
    if not fits(dataset, "cifar"):
        return
    for variant in (CIFAR100,) if len(dataset.classes) == 100 else (CIFAR10, CIFAR100):
        yield from packed(variant.archive, folder)
        for place in (folder / variant.folder, folder):
            files = {name: place / name for name in _batches(variant, dataset)}
            meta = {variant.meta: place / variant.meta}
            # `train` and `test` alone are no sign of CIFAR-100: folders of images are called so.
            yield {**files, **(present(meta) if variant is CIFAR10 else meta)}


def fits(dataset: Dataset, reader: str) -> bool:
    """Whether CIFAR's images, resized if that is declared, have the shape of `dataset`.

    DataError where they have not and no other than `reader` is looked for.
    """
    if dataset.shape == SHAPE or (dataset.resize and dataset.shape[0] == SHAPE[0]):
        return True
    if dataset.reader == reader and dataset.unverified:
        raise DataError(
            f"{dataset.title}: shape: {list(dataset.shape)}, and images of reader {reader} are "
            f"{list(SHAPE)}; write that, or `resize: true`"
        )
    return False


def packed(archive: str, folder: Path) -> Iterator[dict[str, Path]]:
    """An archive as it is published, or with its .gz unpacked."""
    for name in (archive, archive.removesuffix(".gz")):
        yield {archive: folder / name}


def present(files: dict[str, Path]) -> dict[str, Path]:
    """Those of `files` that exist."""
    return {name: path for name, path in files.items() if path.exists()}


def _batches(variant: Variant, dataset: Dataset) -> tuple[str, ...]:
    return (*variant.train, *(variant.test if "test" in parts.wanted(dataset) else ()))


@reader("cifar", layouts=layouts, channels=(3,))
def cifar(dataset: Dataset, files: Files) -> dict[str, Split]:
    """The splits train and test, in published order.

    An archive is read in memory and never unpacked, and its pickles may hold nothing but data.
    """
    first, path = next(iter(files.items()))
    variant = CIFAR100 if first in (CIFAR100.archive, *CIFAR100.train) else CIFAR10
    names = (*_batches(variant, dataset), variant.meta)
    if first == variant.archive:
        packed = tar_members(path, {f"{variant.folder}/{name}" for name in names})
        contents = {name: packed[f"{variant.folder}/{name}"] for name in names}
    else:
        contents = {name: unpacked(files[name], LARGEST) for name in names if name in files}
        path = path.parent
    loaded = {name: load_plain(contents.pop(name), f"{path}: {name}") for name in list(contents)}
    if variant.meta in loaded:
        check_classes(dataset, _entry(loaded, variant.meta, variant.names, path), path)

    def split(batches: tuple[str, ...]) -> Split:
        images = [_pixels(_entry(loaded, batch, b"data", path), path) for batch in batches]
        labels = [_labels(_entry(loaded, batch, variant.labels, path), path) for batch in batches]
        return Split(np.concatenate(images).reshape(-1, 3, 32, 32), np.concatenate(labels))

    published = {"train": variant.train, "test": variant.test}
    return {name: split(published[name]) for name in published if name in parts.wanted(dataset)}


def check_classes(dataset: Dataset, found: Any, path: Path) -> None:
    """Refuse files whose class names differ from those declared."""
    names = tuple(
        name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in found
    )
    if names != dataset.classes:
        raise DataError(
            f"{path}: its classes are {', '.join(names)}; declare these in datasets.yaml"
        )


def _entry(loaded: dict[str, Any], name: str, key: bytes, path: Path) -> Any:
    """`key` of a file's dictionary, whether it was written by Python 2 (bytes) or 3."""
    content = loaded[name]
    if isinstance(content, dict):
        for spelled in (key, key.decode()):
            if isinstance(content.get(spelled), (list, np.ndarray)):
                return content[spelled]
    raise DataError(f"{path}: {name} has no {key.decode()}; replace it")


def _pixels(found: Any, path: Path) -> np.ndarray:
    pixels = np.asarray(found)
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (3072,):
        raise DataError(f"{path}: images are not rows of 3072 bytes; replace it")
    return pixels


def _labels(found: Any, path: Path) -> np.ndarray:
    labels = np.asarray(found)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(f"{path}: labels are not integers; replace it")
    return labels.astype(np.int64)
