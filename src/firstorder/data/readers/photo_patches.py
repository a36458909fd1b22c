"""Patches of the two photographs that scikit-learn bundles."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from PIL import Image

from firstorder.config import Dataset
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, reader

PATCH = 32
LARGEST_CROP = 128
LEAST_CONTRAST = 8.0
"""Grey levels (standard deviation) below which a patch is blank sky or shade, and left out."""
HELD_OUT = ((205, 365), (345, 505))
"""Columns of each photo (640 wide) that only test patches show: part of its object (a tower, a
flower), part of its background."""


@reader("photo_patches")
def photo_patches(dataset: Dataset, files: Files) -> dict[str, Split]:
    """Square patches, resized to 32 x 32, of the two photos that scikit-learn bundles; no labels.

    Test patches come from a band of columns of each photo, training patches from both sides
    of it, so no pixel is in both. Sides are log-uniform in [32, 128] pixels.
    """
    from sklearn.datasets import load_sample_images

    train, test = [], []
    for photo, (left, right) in zip(load_sample_images().images, HELD_OUT, strict=True):
        train += [photo[:, :left], photo[:, right:]]
        test += [photo[:, left:right]]
    return {
        "train": Split(patches(train, dataset.train), np.full(dataset.train, -1)),
        "test": Split(patches(test, dataset.test), np.full(dataset.test, -1)),
    }


def patches(photos: Sequence[np.ndarray], count: int) -> np.ndarray:
    """`count` patches (count, 3, 32, 32) uint8 of `photos` (H, W, 3 each), by their areas.

    Photo, size and position follow a four-dimensional Weyl sequence, which fills their space
    more evenly than random draws: patches resemble one another as little as possible, and
    a longer sequence begins like a shorter one.
    """
    root = 1.1673039782614187  # of x^5 = x + 1: the most even sequence in four dimensions
    shares = np.cumsum([photo.shape[0] * photo.shape[1] for photo in photos])
    found: list[np.ndarray] = []
    for step in itertools.count(1):
        which, size, down, right = step * root ** -np.arange(1.0, 5.0) % 1.0
        photo = photos[int(np.searchsorted(shares, which * shares[-1], side="right"))]
        side = round(PATCH * (LARGEST_CROP / PATCH) ** size)
        top = int(down * (photo.shape[0] - side + 1))
        left = int(right * (photo.shape[1] - side + 1))
        crop = Image.fromarray(np.ascontiguousarray(photo[top : top + side, left : left + side]))
        patch = np.asarray(crop.resize((PATCH, PATCH), Image.Resampling.BILINEAR))
        if patch.std(axis=(0, 1)).mean() >= LEAST_CONTRAST:
            found.append(patch.transpose(2, 0, 1))
        if len(found) == count:
            return np.stack(found)
    raise AssertionError("unreachable: the sequence has no end")
