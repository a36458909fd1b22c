"""Prepare a dataset: find its raw files, decode them, verify them, write one file of tensors."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from firstorder.config import Dataset
from firstorder.data import content, locate, parts, readers
from firstorder.data.locate import Source
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
    published = read(name, dataset, source)
    if source.files:
        log.info("%s: read from %s by %s", name, source.folder, source.reader)
    _check_lists(name, dataset, source, published)
    splits = parts.divide(dataset, published)
    if dataset.resize:
        splits = {key: _fitted(split, dataset.shape[1:]) for key, split in splits.items()}
    counts = {"train": dataset.train, "test": dataset.test, **dataset.extra_tests}
    for key, count in counts.items():
        problem = _labels_problem(splits.get(key), count, dataset.classes)
        problem = problem or _images_problem(splits[key].images, (count, *dataset.shape))
        if problem is not None:
            raise DataError(f"{name}: {key}: {problem}; {_mend(source)}")
    held_out = dataset.test_from == "train"
    write_prepared(
        destination,
        name,
        dataset.classes,
        {key: splits[key] for key in counts},
        parts.train_indices(dataset, published["train"].labels) if held_out else None,
    )


def read(name: str, dataset: Dataset, source: Source) -> dict[str, Split]:
    """The published splits of dataset `name`, known by their content where that is declared.

    DataError where a file is damaged or not the published one.
    """
    if (wrong := locate.wrong(dataset, source)) is not None:
        raise DataError(f"{wrong[0]}: {wrong[1]}; move it away and fetch it again")
    taken = "" if source.reader == dataset.reader else f"; it was taken for {name}: move it away"
    try:
        published = readers.named(source.reader).read(dataset, source.files)
    except DataError as error:
        raise DataError(f"{error}{taken}") from None
    problem = content.problem(dataset.content, published)
    if problem is not None:
        if not source.files:
            raise DataError(f"{name}: {source.reader}: {problem}")
        files = ", ".join(dict.fromkeys(map(str, source.files.values())))
        raise DataError(f"{name}: {files} (reader {source.reader}): {problem}; move it away")
    return published


def check(name: str, dataset: Dataset, raw_folder: Path) -> None:
    """Refuse what lists of pictures say already; of other data nothing is read."""
    source = locate.source(name, dataset, raw_folder)
    reader = readers.named(source.reader)
    if reader.streamed:
        _check_lists(name, dataset, source, reader.read(dataset, source.files))


def _check_lists(name: str, dataset: Dataset, source: Source, published: dict[str, Split]) -> None:
    """Refuse splits without the declared number of images, a label each, and those that leave a
    class without a training image."""
    for key, count in parts.published(dataset).items():
        problem = _labels_problem(published.get(key), count, dataset.classes)
        if problem is None and key == "train":
            labels = published[key].labels
            there = set(labels[parts.train_indices(dataset, labels)].tolist())
            absent = [each for label, each in enumerate(dataset.classes) if label not in there]
            problem = f"no image of {', '.join(absent)} to train on" if absent else None
        if problem is not None:
            raise DataError(f"{name}: {key}: {problem}; {_mend(source)}")
    asked, test = dataset.extra_tests.get(parts.EXTRA, 0), published.get("test")
    if test is not None and test.images.shape[:1] < (asked,):
        problem = f"images {test.images.shape} of the test split, but {asked} are declared"
        raise DataError(f"{name}: {parts.EXTRA}: {problem}; {_mend(source)}")


def _images_problem(images: Pixels, declared: tuple[int, ...]) -> str | None:
    if images.shape != declared or images.dtype != np.uint8:
        return f"images {images.shape} of {images.dtype}, but {declared} of uint8 are declared"
    return None


def _labels_problem(split: Split | None, count: int, classes: tuple[str, ...]) -> str | None:
    if split is None:
        return "the raw files have no such images"
    shape = split.images.shape
    if split.labels.shape != shape[:1]:
        return f"images {shape} have labels of shape {split.labels.shape}"
    if shape[:1] != (count,):
        return f"images {shape}, but {count} are declared"
    return label_problem(split.labels, count, len(classes))


def _mend(source: Source) -> str:
    read = source.reader if ":" in source.reader else f"the files in {source.folder}"
    files = f" or {read}" if source.files else ""
    return f"correct its entry in datasets.yaml{files}"


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
