"""The part of a dataset whose kernel is computed: the first examples of a fixed shuffle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from firstorder import streams
from firstorder.data.prepared import Images, read_prepared

if TYPE_CHECKING:
    from torch import Tensor


def images(path: str, spec: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """The training and test images (N, C, H, W) of the prepared dataset `path`.

    `spec`: how many of each (`train`, `test`), and what they are standardised by (`mean`, `std`).
    """
    import torch

    from firstorder.data.images import standardise

    prepared = read_prepared(path)
    splits = (prepared.train_images, prepared.test_images)
    train, test = (
        standardise(torch.from_numpy(split[rows]), tuple(spec["mean"]), tuple(spec["std"]))
        for split, rows in zip(splits, _rows(prepared, spec), strict=True)
    )
    return train, test


def labels(path: str, spec: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Their classes (N,) int64, without reading a pixel; -1 where the dataset has no labels."""
    import torch

    prepared = read_prepared(path)
    train, test = _rows(prepared, spec)
    return (
        torch.from_numpy(prepared.train_labels[train]),
        torch.from_numpy(prepared.test_labels[test]),
    )


def _rows(prepared: Images, spec: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    train, test = (
        streams.numpy_stream(0, f"support-{part}").permutation(len(split))[: spec[part]]
        for part, split in (("train", prepared.train_labels), ("test", prepared.test_labels))
    )
    return train, test
