"""A test set held out from the published training images."""

from __future__ import annotations

import numpy as np

from firstorder.config import Dataset
from firstorder.data.prepared import Pixels, Split
from firstorder.data.subset import stratified_subset
from firstorder.streams import numpy_stream

EXTRA = "published"
"""The extra test set that the published test images become, as far as they are declared."""


def held_out(labels: np.ndarray, count: int) -> np.ndarray:
    """bool (N,): a fixed part of `count` examples, with the class shares of `labels` (N,).

    The part of a smaller count lies inside that of a larger one.
    """
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[stratified_subset(labels, count, numpy_stream(0, "held out"))] = True
    return chosen


def train_indices(dataset: Dataset, labels: np.ndarray) -> np.ndarray:
    """Which of the published training examples, with true `labels` (N,), `dataset` trains on."""
    if dataset.test_from == "test":
        return np.arange(len(labels))
    return np.flatnonzero(~held_out(labels, dataset.test))


def wanted(dataset: Dataset) -> tuple[str, ...]:
    """The published splits that `dataset` is made of."""
    tested = dataset.test_from == "test" or EXTRA in dataset.extra_tests
    others = (name for name in dataset.extra_tests if name != EXTRA)
    return ("train", *(("test",) if tested else ()), *others)


def published(dataset: Dataset) -> dict[str, int]:
    """How many examples the splits have from which `dataset` is made, as far as it says."""
    if dataset.test_from == "train":  # of the test images it takes the first ones
        others = {name: n for name, n in dataset.extra_tests.items() if name != EXTRA}
        return {"train": dataset.train + dataset.test, **others}
    return {"train": dataset.train, "test": dataset.test, **dataset.extra_tests}


def divide(dataset: Dataset, splits: dict[str, Split]) -> dict[str, Split]:
    """The splits of `dataset` from those published.

    With `test_from: train` the test set is held out from the training images, and the first
    published test images become the extra test set `published`, if it is declared. Every split
    has as many labels as images, and the training split as many as `published` says.
    """
    if dataset.test_from == "test":
        return splits
    train = splits["train"]
    tested = held_out(train.labels, dataset.test)
    found = {**splits, "train": _some(train, ~tested), "test": _some(train, tested)}
    count = dataset.extra_tests.get(EXTRA)
    if count is not None and "test" in splits:
        images, labels = splits["test"]
        found[EXTRA] = Split(images[:count], labels[:count])
    return found


def _some(split: Split, chosen: np.ndarray) -> Split:
    images: Pixels = split.images
    return Split(images[:][chosen], split.labels[chosen])
