"""From the probability of each label to labels: how many of a class get which.

A sampler takes the number of examples of a class, the row (K,) of the transition matrix, the
class, and a generator. It returns the labels (at most as many) that the first of the shuffled
examples get; the others keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

Sampler = Callable[[int, np.ndarray, int, np.random.Generator], np.ndarray]
ROUNDING = 1e-9
"""By how much an expected count may fall short of a whole number in floating point."""


def remainder(count: int, row: np.ndarray, true: int, generator: np.random.Generator) -> np.ndarray:
    """Counts by largest remainder: as many labels change as are expected, rounded.

    The realised rate of a class is within half a label of the declared one. Equal remainders
    are decided by the generator, so that no class is preferred.
    """
    expected = _others(row, true) * count
    counts = whole(expected)
    missing = int(CHANGED["remainder"](expected)) - int(counts.sum())
    shuffled = generator.permutation(len(row))
    rest = np.round(expected - counts, 9)[shuffled]
    counts[shuffled[np.argsort(-rest, kind="stable")[: max(missing, 0)]]] += 1
    return np.repeat(np.arange(len(row)), counts)


def floor(count: int, row: np.ndarray, true: int, generator: np.random.Generator) -> np.ndarray:
    """floor(T_ij n_i) labels for every class j (Ye et al. 2023): fewer than are declared."""
    return np.repeat(np.arange(len(row)), whole(_others(row, true) * count))


def by_class(count: int, row: np.ndarray, true: int, generator: np.random.Generator) -> np.ndarray:
    """floor((1 - T_ii) n_i) labels change, each to a class that is drawn."""
    others = _others(row, true)
    changed = int(CHANGED["class"](others * count))
    return generator.choice(len(row), changed, p=others / others.sum() if changed else row)


def iid(count: int, row: np.ndarray, true: int, generator: np.random.Generator) -> np.ndarray:
    """Every label is drawn."""
    return generator.choice(len(row), count, p=row)


SAMPLERS: dict[str, Sampler] = {
    "remainder": remainder,
    "floor": floor,
    "class": by_class,
    "iid": iid,
}
CHANGED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "remainder": lambda expected: whole(expected.sum(-1) + 0.5),
    "floor": lambda expected: whole(expected).sum(-1),
    "class": lambda expected: whole(expected.sum(-1)),
}
"""How many labels of a class change where `expected` (..., K) get each other one, by sampler."""


def draw(
    clean: np.ndarray, matrix: np.ndarray, sampler: str, generator: np.random.Generator
) -> np.ndarray:
    """Labels (N,) after noise with transition `matrix` (K, K), always from the true classes."""
    noisy = clean.copy()
    for true, row in enumerate(matrix):
        members = generator.permutation(np.flatnonzero(clean == true))
        given = SAMPLERS[sampler](len(members), row, true, generator)
        noisy[members[: len(given)]] = given
    return noisy


def sequential(
    clean: np.ndarray,
    pairs: Iterable[tuple[int, int]],
    rate: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Labels (N,) where one class after the other is flipped among the labels so far.

    What the released code of eps-softmax (Wang et al. 2024) does on CIFAR-10: a cat that became
    a dog may turn back, so at rate 0.4 only 24 % of the cats and 18.4 % of all labels are wrong.
    """
    noisy = clean.copy()
    for source, target in pairs:
        members = generator.permutation(np.flatnonzero(noisy == source))
        noisy[members[: whole(rate * len(members))]] = target
    return noisy


def sequential_matrix(
    classes: int,
    pairs: Iterable[tuple[int, int]],
    rate: float,
    sizes: np.ndarray | None = None,
) -> np.ndarray:
    """The share (K, K) of each class that gets each label by `sequential`, on average.

    Of classes of `sizes` (K,), whose counts are rounded down, or of large ones.
    """
    matrix = np.eye(classes)
    for source, target in pairs:
        share = rate
        if sizes is not None and (members := (sizes @ matrix)[source]):
            share = float(whole(rate * members) / members)
        step = np.eye(classes)
        step[source, source] -= share
        step[source, target] += share
        matrix = matrix @ step
    return matrix


def whole(expected: np.ndarray | float) -> np.ndarray:
    """Whole part of expected counts, forgiving rounding errors below a whole number."""
    return np.floor(np.asarray(expected) + ROUNDING).astype(np.int64)


def _others(row: np.ndarray, true: int) -> np.ndarray:
    return np.where(np.arange(len(row)) == true, 0.0, row)
