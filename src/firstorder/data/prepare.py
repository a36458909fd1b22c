"""Prepare a dataset: find its raw files, decode them, verify them, write one file of tensors."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from firstorder.config import Dataset
from firstorder.data import content, locate, parts, readers
from firstorder.data.prepared import Pixels, Split, label_problem, write_prepared
from firstorder.errors import DataError

log = logging.getLogger("firstorder")


def prepare(name: str, dataset: Dataset, raw_folder: str | Path, destination: str | Path) -> None:
    """Decode the raw files of dataset `name` and write `destination`.

    They are found in `raw_folder` or the dataset's other places (see `locate`), in any container
    where the content is declared. Raises DataError when a raw file is missing, damaged or not
    the published one, or when what it holds does not have the declared sizes, shape and labels.
    """
    folder = Path(raw_folder)
    source = locate.source(name, dataset, folder)
    if (found := locate.wrong(dataset, source)) is not None:
        raise DataError(f"{found[0]}: {found[1]}; move it away and fetch it again")
    published = readers.named(source.reader).read(dataset, source.files)
    problem = content.problem(dataset.content, published)
    if problem is not None:
        where = f"{source.folder} (reader {source.reader})" if source.files else source.reader
        raise DataError(f"{name}: {where}: {problem}")
    if source.files:
        log.info("%s: read from %s by %s", name, source.folder, source.reader)
    splits = parts.divide(dataset, published)
    if dataset.resize:
        splits = {key: _fitted(split, dataset.shape[1:]) for key, split in splits.items()}
    read = source.reader if ":" in source.reader else f"the files in {source.folder}"
    files = f" or {read}" if source.files else ""
    counts = {"train": dataset.train, "test": dataset.test, **dataset.extra_tests}
    for key, count in counts.items():
        problem = _problem(splits.get(key), count, dataset)
        if problem is not None:
            raise DataError(f"{name}: {key}: {problem}; correct its entry in datasets.yaml{files}")
    write_prepared(destination, name, dataset.classes, {key: splits[key] for key in counts})


def _fitted(split: Split, size: tuple[int, int]) -> Split:
    """`split` with images of `size` (height, width); what is no images is refused afterwards."""
    images = split.images
    right = len(images.shape) == 4 and images.dtype == np.uint8 and 0 not in images.shape
    if not right or images.shape[2:] == size:
        return split
    return Split(resized(split.images, size), split.labels)


def resized(images: Pixels, size: tuple[int, int]) -> np.ndarray:
    """Images (N, C, H, W) resized to `size` (height, width), bilinear, antialiased."""
    planes = images[:].reshape(-1, *images.shape[2:])
    found = [
        np.asarray(Image.fromarray(plane).resize(size[::-1], Image.Resampling.BILINEAR))
        for plane in planes
    ]
    return np.stack(found).reshape(*images.shape[:2], *size)


def _problem(split: Split | None, count: int, dataset: Dataset) -> str | None:
    if split is None:
        return "the raw files have no such images"
    images, labels = split
    if images.shape != (count, *dataset.shape) or images.dtype != np.uint8:
        return (
            f"images {images.shape} of {images.dtype}, "
            f"but {(count, *dataset.shape)} of uint8 are declared"
        )
    return label_problem(labels, count, len(dataset.classes))
