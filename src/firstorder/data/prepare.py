"""Prepare a dataset: verify its raw files, decode them, check them, write one file of tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from firstorder.config import Dataset
from firstorder.data.checksums import check
from firstorder.data.prepared import Pixels, Split, label_problem, write_prepared
from firstorder.data.readers import cifar, digits, idx, photo_patches
from firstorder.data.webvision import webvision
from firstorder.errors import DataError

READERS: dict[str, Callable[[Dataset, Path], dict[str, Split]]] = {
    "digits": digits,
    "photo_patches": photo_patches,
    "idx": idx,
    "cifar": cifar,
    "webvision": webvision,
}


def prepare(name: str, dataset: Dataset, raw_folder: str | Path, destination: str | Path) -> None:
    """Decode the raw files of dataset `name` in `raw_folder` and write `destination`.

    Raises DataError when a raw file is missing, damaged or not the published one, or when what
    it holds does not have the declared sizes, shape and labels.
    """
    folder = Path(raw_folder)
    for file in dataset.files:
        check(folder / file.name, file)
    splits = READERS[dataset.reader](dataset, folder)
    if dataset.resize:
        splits = {
            key: Split(resized(split.images, dataset.shape[1:]), split.labels)
            for key, split in splits.items()
        }
    counts = {"train": dataset.train, "test": dataset.test, **dataset.extra_tests}
    for key, count in counts.items():
        problem = _problem(splits.get(key), count, dataset)
        if problem is not None:
            raise DataError(
                f"{name}: {key}: {problem}; "
                f"correct its entry in datasets.yaml or the files in {folder}"
            )
    write_prepared(destination, name, dataset.classes, {key: splits[key] for key in counts})


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
