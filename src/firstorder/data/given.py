"""Noise that a user gives: a matrix of probabilities, or the labels themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from firstorder.config import ConfigError, Dataset, Noise
from firstorder.data import parts
from firstorder.data.lists import label_numbers, lines
from firstorder.data.readers.npz import read_npy
from firstorder.errors import DataError

ROUNDED = 1e-3
"""By how much a row may miss 1, since people round; it is scaled to 1."""


def check(noise: Noise, dataset: Dataset, where: str) -> None:
    """Refuse a file of noise that does not fit the dataset, before anything is planned.

    Raises ConfigError that begins with the key `where`.
    """
    try:
        if noise.kind == "matrix":
            matrix(noise.path or "", dataset)
        elif noise.kind == "labels":
            labels(noise.path or "", dataset, parts.published(dataset)["train"])
    except DataError as error:
        raise ConfigError(f"{where}: {error}") from None


def matrix(path: str | Path, dataset: Dataset) -> np.ndarray:
    """The transition matrix (K, K) in a CSV or `.npy` file: row = true class, column = given label.

    Lines of a CSV file that begin with `#` are passed over. Raises DataError unless each row has K
    probabilities that sum to one.
    """
    path, classes = _plain(path), len(dataset.classes)
    rows = dict(_array_rows(path) if path.suffix.lower() == ".npy" else _text_rows(path))
    for where, row in rows.items():
        if len(row) != classes:
            raise DataError(f"{where}: {len(row)} numbers for the {classes} classes")
        wrong = [share for share in row if not 0 <= share <= 1]
        if wrong:
            raise DataError(f"{where}: {wrong[0]:g} is no probability")
        if abs(sum(row) - 1) > ROUNDED:
            raise DataError(f"{where}: not probabilities that sum to 1 (they sum to {sum(row):g})")
    if len(rows) != classes:
        raise DataError(f"{path}: {len(rows)} rows for the {classes} classes")
    found = np.array(list(rows.values()))
    return found / found.sum(1, keepdims=True)


CONTAINERS = (".npz", ".pt", ".pth", ".pkl", ".pickle", ".mat", ".h5", ".hdf5", ".parquet", ".xlsx")
"""Ends of files that hold an array among other things."""


def _plain(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if path.suffix.lower() in CONTAINERS:
        raise DataError(f"{path}: save its array alone, as .npy, or as text")
    return path


def _array_rows(path: Path) -> Iterator[tuple[str, list[float]]]:
    found = read_npy(path)
    if found.ndim != 2:
        raise DataError(f"{path}: an array of shape {found.shape} is no matrix")
    for number, row in enumerate(found.astype(float).tolist(), start=1):
        yield f"{path}: row {number}", row


def _text_rows(path: Path) -> Iterator[tuple[str, list[float]]]:
    for number, line in lines(path):
        where = f"{path}: line {number}"
        if line.startswith("#"):
            continue
        try:
            cells = line.split(",") if "," in line else line.split()
            yield where, [float(cell) for cell in cells]
        except ValueError:
            raise DataError(
                f"{where}: {line[:60]!r} are not numbers with commas or spaces between them "
                "(none after the last); shares are from 0 to 1, and a heading begins with #"
            ) from None


def labels(path: str | Path, dataset: Dataset, count: int) -> np.ndarray:
    """The labels (N,) int64 in a file, in the order of the published training images.

    A `.npy` of integers, or a text with one class name or label number a line. Raises DataError
    unless there are `count`, all of the dataset's classes.
    """
    path, classes = _plain(path), len(dataset.classes)
    if path.suffix.lower() == ".npy":
        found = read_npy(path)
        if found.dtype.kind not in "iu" or found.ndim != 1:
            raise DataError(f"{path}: {found.dtype} of shape {found.shape} are no labels")
        array = found.astype(np.int64)
    else:
        texts = [(f"{path}: line {number}", text) for number, text in lines(path)]
        heading = "; if it is a heading, remove it"
        known = label_numbers(dataset.classes, texts, heading)
        array = np.array([known[text] for _, text in texts], dtype=np.int64)
    if array.shape != (count,):
        raise DataError(f"{path}: {len(array)} labels for {count} training images")
    if count and (array.min() < 0 or array.max() >= classes):
        raise DataError(f"{path}: labels outside 0 to {classes - 1}")
    return array
