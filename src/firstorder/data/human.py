"""Human annotations of CIFAR (CIFAR-10N and CIFAR-100N, Wei et al. 2022).

The published `.pt` files are zip archives with the pickle of a dictionary of integer arrays or
lists, in the order of the training set. They are read without an unpickler (see `pickles`).
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from firstorder.config import Dataset
from firstorder.data import archives, pickles
from firstorder.data.parts import train_indices
from firstorder.errors import DataError
from firstorder.files import read_regular

CLEAN = "clean_label"
"""Key of the true labels."""

LARGEST = 64 * 2**20
"""Bytes of a file; CIFAR-10N has 2.4 MB."""


def read(path: str | Path) -> dict[str, np.ndarray]:
    """All label vectors of a CIFAR-N file, by key, int64 (N,).

    Raises DataError when the file is not a dictionary of integer vectors, or asks for anything
    but integer arrays.
    """
    path = Path(path)
    data = read_regular(path, LARGEST)
    if zipfile.is_zipfile(path):
        members = archives.zip_members(path, LARGEST)
        names = [name for name in members if name.endswith("data.pkl")]
        if len(names) != 1:
            raise _foreign(path, "no data.pkl in it")
        data = members[names[0]]
    loaded = pickles.load_plain(data, f"{path}: not a CIFAR-N label file")
    if not isinstance(loaded, dict) or CLEAN not in loaded:
        raise _foreign(path, f"no dictionary with {CLEAN!r}")
    return {str(key): _vector(path, key, value) for key, value in loaded.items()}


def annotation(path: str | Path, name: str, dataset: Dataset, clean: np.ndarray) -> np.ndarray:
    """The labels of annotation `name` of `dataset` for its training examples.

    Checked: the labels are those that datasets.yaml declares (by the SHA-256 of their int64),
    and the file's true labels are `clean` (N,).
    """
    vectors, key = read(path), dataset.human[name]
    if key not in vectors:
        raise DataError(f"{path}: no annotation {key!r}; it has {', '.join(vectors)}")
    expected = dataset.human_sha256.get(name)
    if expected is not None and (got := labels_sha256(vectors[key])) != expected:
        raise DataError(
            f"{path}: {key}: these are not the published labels (expected SHA-256 {expected}, "
            f"got {got}); move the file away and fetch it again"
        )
    if vectors[key].shape != vectors[CLEAN].shape:
        raise DataError(
            f"{path}: {key} has {vectors[key].size} labels for {vectors[CLEAN].size} examples"
        )
    chosen = train_indices(dataset, vectors[CLEAN])
    if not np.array_equal(vectors[CLEAN][chosen], clean):
        raise DataError(
            f"{path}: {CLEAN} differs from the labels of the dataset; "
            "both must be the training set in its published order"
        )
    return vectors[key][chosen]


def labels_sha256(labels: np.ndarray) -> str:
    """SHA-256 of labels (N,) as little-endian int64."""
    return hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()


def _vector(path: Path, key: object, value: object) -> np.ndarray:
    vector = np.asarray(value)
    if vector.ndim != 1 or vector.dtype.kind not in "iu":
        raise _foreign(path, f"{key!r} is no vector of integers")
    return vector.astype(np.int64)


def _foreign(path: Path, reason: str) -> DataError:
    return DataError(f"{path}: not a CIFAR-N label file ({reason}); replace it")
