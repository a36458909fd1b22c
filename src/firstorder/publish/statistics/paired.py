"""Paired tests between methods, groups of equals, and ranks over many cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import ceil, comb, log2
from typing import Literal

import numpy as np

from firstorder.publish.statistics.bootstrap import Name, Resampled, difference, effect
from firstorder.streams import numpy_stream

# scipy.stats takes a second to import: it is, where it is used.

ENUMERATED = 12
"""Most numbers of which all sign flips are listed."""


@dataclass(frozen=True)
class PairedTest:
    """A two-sided p-value, and the smallest that this test can give with so much data."""

    p: float
    smallest: float
    wins: int
    losses: int


def mcnemar(first: np.ndarray, second: np.ndarray) -> PairedTest:
    """McNemar's exact test that two methods are right equally often.

    `first` and `second` are bits (N,) of one training each, or (S, N) of S seeds. One training:
    binomial test on the examples on which they differ. Several: an example is one unit, with the
    difference of its numbers of seeds, and the signs of the units are flipped; predictions of one
    example by several seeds are not independent, so a pooled table would be too sure.
    """
    gain = _gain(first, second)
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    if np.abs(gain).max(initial=0) > 1:
        return sign_flips(gain)
    if wins + losses == 0:
        return PairedTest(1.0, 1.0, 0, 0)
    from scipy import stats

    p = stats.binomtest(wins, wins + losses).pvalue
    return PairedTest(float(p), 2.0 ** (1 - wins - losses), wins, losses)


def _gain(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How many more seeds of the first are right, per example, (N,)."""
    bits = [np.atleast_2d(np.asarray(x, int)) for x in (first, second)]
    if bits[0].shape != bits[1].shape:
        raise ValueError(f"bits of shapes {bits[0].shape} and {bits[1].shape} are not paired")
    return bits[0].sum(0) - bits[1].sum(0)


def sign_flips(differences: np.ndarray, *, flips: int = 20_000) -> PairedTest:
    """PairedTest that paired differences (n,) are symmetric about 0, by flipping their signs.

    All 2^n flips are listed for n <= 12, which gives the exact p-value; else `flips` are drawn.
    Five seeds give no p-value below 2 / 32 = 0.0625, six 0.031.
    """
    d = np.asarray(differences, float)
    d = np.round(d[d != 0], 12)
    wins, losses = int((d > 0).sum()), int((d < 0).sum())
    if not len(d):
        return PairedTest(1.0, 1.0, 0, 0)
    observed = abs(d.sum()) - 1e-9
    if len(d) <= ENUMERATED:
        signs = np.array(list(product((-1, 1), repeat=len(d))))
        return PairedTest(
            float((np.abs(signs @ d) >= observed).mean()), 2.0 ** (1 - len(d)), wins, losses
        )
    generator, beyond = numpy_stream(0, "sign flips"), 0
    for _ in range(-(-flips // 1000)):
        signs = 2 * generator.integers(2, size=(1000, len(d)), dtype=np.int8) - 1
        beyond += int((np.abs(signs @ d) >= observed).sum())
    total = 1000 * -(-flips // 1000)
    return PairedTest((beyond + 1) / (total + 1), 1 / (total + 1), wins, losses)


def holm(p: Mapping[Name, float]) -> dict[Name, float]:
    """p-values adjusted for their number by Holm's method, in the order given."""
    order = sorted(p, key=lambda name: p[name])
    adjusted: dict[Name, float] = {}
    largest = 0.0
    for done, name in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - done) * p[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p}


@dataclass(frozen=True)
class Equals:
    """The best method, those that cannot be told from it, and the adjusted p-value of each."""

    best: Name
    equals: tuple[Name, ...]
    p: Mapping[Name, float]


def equals_of_the_best(
    drawn: Resampled, names: Sequence[Name] | None = None, *, level: float = 0.05
) -> Equals:
    """The methods of a column that cannot be told from its best, the best among them.

    Every other method is compared with the best by the paired bootstrap, two-sided, and Holm's
    method over the comparisons: the truly best method is missing in at most 5 % of all cases. In
    a table these are printed bold, not one cell.
    """
    known = list(drawn.means if names is None else names)
    best = max(known, key=lambda name: drawn.means[name][0])
    if 2 * (len(known) - 1) / len(drawn.means[best]) > level:
        drawn = drawn.fine  # else Holm's method could tell none apart
    raw = {name: two_sided(drawn, best, name) for name in known if name != best}
    p = {**dict.fromkeys(known, 1.0), **holm(raw)}
    return Equals(best, tuple(name for name in known if p[name] > level), p)


def two_sided(drawn: Resampled, first: Name, second: Name) -> float:
    """p-value that two cells have one mean, by the paired bootstrap over seeds and examples."""
    found = effect(drawn, difference(first, second), threshold=0.0)
    return min(1.0, 2 * min(found.p_holds, found.p_fails))


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of methods over cells, 1 the best, and which of them can be told apart.

    `statistic` and `p` are Friedman's; `pairs` the p-values of Wilcoxon's signed ranks, adjusted
    by Holm; `critical_difference` Nemenyi's, of mean ranks; `groups` the largest sets of
    neighbours in rank of which no two can be told apart, by the test `by`.
    """

    methods: tuple[str, ...]
    ranks: tuple[float, ...]
    cells: int
    statistic: float
    p: float
    critical_difference: float
    pairs: Mapping[tuple[str, str], float]
    groups: tuple[tuple[str, ...], ...]
    by: Literal["nemenyi", "wilcoxon"]


def cells_needed(methods: int, level: float = 0.05) -> int:
    """Fewest cells with which Wilcoxon's test, after Holm's, can tell two of the methods apart.

    Of n signed ranks the least p is 2^(1 - n), and Holm multiplies it by the number of pairs.
    """
    return 1 + ceil(log2(comb(methods, 2) / level))


def ranking(
    scores: Mapping[str, Sequence[float]],
    *,
    by: Literal["nemenyi", "wilcoxon"] = "wilcoxon",
    level: float = 0.05,
) -> Ranking:
    """Ranks of methods over (dataset, noise) cells (Demsar 2006), best first.

    `scores` has for every method its score in every cell, larger is better. At least 3 methods
    and 2 cells. Cells are the units: seeds and examples are averaged before. With fewer than
    `cells_needed` Wilcoxon's test tells no two methods apart, whatever the scores.
    """
    from scipy import stats

    names, table = list(scores), np.array([list(x) for x in scores.values()], float)
    if table.ndim != 2 or table.shape[0] < 3 or table.shape[1] < 2 or np.isnan(table).any():
        raise ValueError("a ranking needs 3 methods or more, 2 cells or more, and no gap")
    ranks = stats.rankdata(-np.round(table, 10), axis=0).mean(1)
    methods, cells = table.shape
    statistic, p = _friedman(table)
    pairs = holm(
        {(names[i], names[j]): _wilcoxon(table[i] - table[j])
         for i, j in combinations(range(methods), 2)}
    )  # fmt: skip
    critical = stats.studentized_range.ppf(1 - level, methods, np.inf) / np.sqrt(2)
    critical *= np.sqrt(methods * (methods + 1) / (6 * cells))
    order = [int(i) for i in np.argsort(ranks, kind="stable")]

    def apart(i: int, j: int) -> bool:
        if by == "nemenyi":
            return abs(ranks[i] - ranks[j]) > critical
        return pairs[names[min(i, j)], names[max(i, j)]] <= level

    return Ranking(
        tuple(names[i] for i in order), tuple(float(ranks[i]) for i in order), cells, statistic, p,
        float(critical), pairs,
        tuple(tuple(names[i] for i in group) for group in _groups(order, apart)), by,
    )  # fmt: skip


def _friedman(table: np.ndarray) -> tuple[float, float]:
    """Friedman's statistic and p-value of scores (methods, cells); (0, 1) where all are equal."""
    if (np.ptp(table, axis=0) == 0).all():
        return 0.0, 1.0
    from scipy import stats

    found = stats.friedmanchisquare(*table)
    return float(found.statistic), float(found.pvalue)


def _wilcoxon(gains: np.ndarray) -> float:
    """Two-sided p-value of signed ranks; 1 where nothing differs."""
    from scipy import stats

    gains = np.round(gains, 10)
    return float(stats.wilcoxon(gains).pvalue) if gains.any() else 1.0


def _groups(order: Sequence[int], apart: Callable[[int, int], bool]) -> list[list[int]]:
    """Largest runs of `order` with two members or more of which no two are apart."""
    found: list[list[int]] = []
    for start in range(len(order)):
        stop = start + 1
        while stop < len(order) and not any(apart(i, order[stop]) for i in order[start:stop]):
            stop += 1
        run = list(order[start:stop])
        if len(run) > 1 and not (found and set(run) <= set(found[-1])):
            found.append(run)
    return found
