"""Noise that a user gives: a matrix of probabilities, or the labels themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from firstorder.config import Dataset
from firstorder.data.lists import lines
from firstorder.data.readers.npz import read_npy
from firstorder.errors import DataError

ROUNDED = 1e-3
"""By how much a row may miss 1, since people round; it is scaled to 1."""


def matrix(path: str | Path, dataset: Dataset) -> np.ndarray:
    """The transition matrix (K, K) in a CSV file: row = true class, column = given label.

    Lines that begin with `#` are passed over. Raises DataError unless each row has K
    probabilities that sum to one.
    """
    path, classes = Path(path).expanduser(), len(dataset.classes)
    rows = []
    for number, line in lines(path):
        if line.startswith("#"):
            continue
        try:
            row = [float(cell) for cell in line.replace(",", " ").split()]
        except ValueError:
            raise DataError(f"{path}: line {number}: {line[:60]!r} are not numbers") from None
        where = f"{path}: line {number}"
        if len(row) != classes:
            raise DataError(f"{where}: {len(row)} numbers for the {classes} classes")
        if not all(0 <= share <= 1 for share in row) or abs(sum(row) - 1) > ROUNDED:
            raise DataError(f"{where}: not probabilities that sum to 1 (they sum to {sum(row):g})")
        rows.append(row)
    if len(rows) != classes:
        raise DataError(f"{path}: {len(rows)} rows for the {classes} classes")
    found = np.array(rows)
    return found / found.sum(1, keepdims=True)


def labels(path: str | Path, dataset: Dataset, count: int) -> np.ndarray:
    """The labels (N,) int64 in a file, in the order of the training images.

    A `.npy` of integers, or a text with one class name or label number a line. Raises DataError
    unless there are `count`, all of the dataset's classes.
    """
    path, classes = Path(path).expanduser(), len(dataset.classes)
    if path.suffix == ".npy":
        found = read_npy(path)
        if found.dtype.kind not in "iu" or found.ndim != 1:
            raise DataError(f"{path}: {found.dtype} of shape {found.shape} are no labels")
        array = found.astype(np.int64)
    else:
        known = {str(label): label for label in range(classes)}
        known |= {name: label for label, name in enumerate(dataset.classes)}
        array = np.array([_label(path, each, known) for each in lines(path)], dtype=np.int64)
    if array.shape != (count,):
        raise DataError(f"{path}: {len(array)} labels for {count} training images")
    if count and (array.min() < 0 or array.max() >= classes):
        raise DataError(f"{path}: labels outside 0 to {classes - 1}")
    return array


def _label(path: Path, line: tuple[int, str], known: dict[str, int]) -> int:
    number, text = line
    if text not in known:
        raise DataError(f"{path}: line {number}: {text[:60]!r} is no class of the dataset")
    return known[text]
