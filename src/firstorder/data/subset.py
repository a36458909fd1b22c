"""Class-stratified subsets."""

from __future__ import annotations

import numpy as np


def stratified_subset(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Indices (count,) int64, ascending, of a random subset with the class shares of `labels`.

    Every class has its share of `count` up to one example. With the same generator state
    the subset of a smaller count lies inside that of a larger one: accuracy against training-set
    size is then measured on growing sets.
    """
    if not 0 <= count <= len(labels):
        raise ValueError(f"cannot take {count} of {len(labels)} examples")
    shuffled = generator.permutation(len(labels))
    _, classes, sizes = np.unique(labels[shuffled], return_inverse=True, return_counts=True)
    by_class = np.argsort(classes, kind="stable")
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(labels))
    rank[by_class] = np.arange(len(labels)) - np.repeat(starts, sizes)
    # The k-th example of a class of size n stands at (k + 1/2) / n of the way: classes interleave.
    order = np.argsort((rank + 0.5) / sizes[classes], kind="stable")
    return np.sort(shuffled[order[:count]]).astype(np.int64)
