"""A dataset is known by its decoded pixels and labels, whatever file they came in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np

from firstorder.config import Content
from firstorder.data.prepared import BLOCK, Split


def digest(split: Split, count: int | None = None) -> str:
    """SHA-256 of the first `count` images and labels of `split` (all of them by default).

    Of the shape `N,C,H,W` in decimal and a line end, the pixels row by row, and the labels as
    little-endian int64.
    """
    count = len(split.labels) if count is None else count
    found = hashlib.sha256(",".join(map(str, (count, *split.images.shape[1:]))).encode() + b"\n")
    for block in _blocks(split, count):
        found.update(np.ascontiguousarray(block).tobytes())
    found.update(split.labels[:count].astype("<i8").tobytes())
    return found.hexdigest()


def unordered_digest(split: Split, count: int) -> str:
    """SHA-256 of the sorted SHA-256 of every labelled image: the same in any order."""
    each = []
    labels = split.labels.astype("<i8")
    for start, block in zip(range(0, count, BLOCK), _blocks(split, count), strict=True):
        for offset, image in enumerate(block):
            label = labels[start + offset].tobytes()
            each.append(hashlib.sha256(image.tobytes() + label).digest())
    return hashlib.sha256(b"".join(sorted(each))).hexdigest()


def problem(declared: Mapping[str, Content], splits: Mapping[str, Split]) -> str | None:
    """How the published `splits` differ from what is declared of them; None if they do not.

    A split that the files lack is passed over: whether it is needed is not asked here.
    """
    for name, content in declared.items():
        if name not in splits:
            continue
        split = splits[name]
        if split.images.dtype != np.uint8 or len(split.images.shape) != 4:
            return f"{name}: images {split.images.shape} of {split.images.dtype}"
        if len(split.labels) < content.count:
            return f"{name}: {len(split.labels)} images instead of {content.count}"
        got = digest(split, content.count)
        if got != content.sha256:
            return f"{name}: {_difference(split, content)} (SHA-256 {got} of pixels and labels)"
    return None


def _difference(split: Split, content: Content) -> str:
    whole = content.unordered is not None and len(split.labels) == content.count
    if whole and unordered_digest(split, content.count) == content.unordered:
        return "the published images in another order; name the files by their place in it"
    return "not the published images and labels"


def _blocks(split: Split, count: int) -> Iterator[np.ndarray]:
    for start in range(0, count, BLOCK):
        yield split.images[start : min(start + BLOCK, count)]
