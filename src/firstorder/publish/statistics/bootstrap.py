"""Effects with 95 % intervals: bootstrap over seeds and test examples together.

A cell is one method in one setting. It holds per-example correctness, bits (seeds, examples), or
one number per seed. A draw of its mean is

    mean + (seed part) + (example part)

Seed part: deviations of the seeds' means, weighted by normal multipliers and divided by the root
of a drawn chi-square over its degrees of freedom. For a linear effect this is the t interval,
which few seeds need: resampled alone, three to five of them cover far less than 95 %.
Example part: test examples drawn with replacement, the same for every seed. Both parts contain
the interaction of seed and example, so intervals are wider than needed where nothing else varies.

Cells that share a seed or a test set share its draws: their difference is paired. A draw depends
on the names of stream, seed, test set and cell alone, not on the other cells or on threads.

Cost: B N integers drawn and B N C multiplications for B resamples, N examples and C cells.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, nan
from typing import Any, Literal

import numpy as np

from firstorder.publish.statistics.verdict import Direction, Effect, missing
from firstorder.streams import numpy_stream

Name = Any
"""Of a cell, a seed or a candidate: any hashable value."""
RESAMPLES = 2000
FINE = 40_000
"""Resamples where a correction for many effects asks for p-values that RESAMPLES cannot give."""
MIN_INDICES = 6
"""Fewest indices of a rank correlation: with 5 one of 60 orders is as good as perfect."""
DIGITS = 10
"""Draws are rounded so that an exact tie with a threshold is one on every processor."""
LARGEST_LOG = 300.0
"""Of a factor."""
BLOCK = 1 << 22
"""Entries of the matrix of counts that is held at a time (16 MB)."""

Statistic = Callable[[Mapping[Name, np.ndarray]], np.ndarray]
"""Means by cell, arrays (B + 1,), to the effect, (B + 1,)."""


@dataclass(frozen=True, eq=False)
class Cell:
    """Results of one method in one setting.

    Parameters
    ----------
    results : array (S, N) of bool or of 0 and 1, or array (S,) of numbers
        Correctness per seed and test example, or one number per seed.
    seeds : tuple, optional
        Names of the seeds, by default 1 to S. Cells are paired over equal names.
    examples : str
        Name of the test set. Cells of equal name and N are paired over examples.
    """

    results: np.ndarray
    seeds: tuple[Name, ...] = ()
    examples: str = "test"

    def __post_init__(self) -> None:
        results = np.asarray(self.results)
        if results.ndim not in (1, 2) or not results.size:
            raise ValueError(f"results of shape {results.shape}; (S, N) bits or (S,) numbers")
        if results.ndim == 2 and results.dtype != bool and not np.isin(results, (0, 1)).all():
            raise ValueError("results (S, N) are bits: a value is neither 0 nor 1")
        seeds = tuple(self.seeds) or tuple(range(1, len(results) + 1))
        if len(set(seeds)) != len(results):
            raise ValueError(f"{len(set(seeds))} seeds for results of {len(results)}")
        object.__setattr__(self, "results", results)
        object.__setattr__(self, "seeds", seeds)

    @property
    def size(self) -> int:
        """Number of test examples; 0 for a number per seed."""
        return self.results.shape[1] if self.results.ndim == 2 else 0

    @property
    def by_seed(self) -> np.ndarray:
        """The mean of every seed, (S,)."""
        return self.results.mean(1) if self.size else self.results.astype(float)

    def of(self, seeds: Sequence[Name]) -> Cell:
        """The same of some of its seeds."""
        rows = [self.seeds.index(seed) for seed in seeds]
        return replace(self, results=self.results[rows], seeds=tuple(seeds))


@dataclass(frozen=True, eq=False)
class Resampled:
    """Means of cells: row 0 the estimates, rows 1 to B the draws."""

    means: Mapping[Name, np.ndarray]
    cells: Mapping[Name, Cell]
    stream: str
    seed: int

    @cached_property
    def fine(self) -> Resampled:
        """The same cells, drawn FINE times."""
        return resample(self.cells, resamples=FINE, stream=self.stream, seed=self.seed)


class _Read(Mapping[Name, np.ndarray]):
    """Means that remember which cells a statistic reads, for those alone limit its interval."""

    def __init__(self, drawn: Resampled) -> None:
        self.drawn = drawn
        self.cells: dict[Name, Cell] = {}

    def __getitem__(self, name: Name) -> np.ndarray:
        means = self.drawn.means[name]
        self.cells[name] = self.drawn.cells[name]
        return means

    def __iter__(self) -> Iterator[Name]:
        return iter(self.drawn.means)

    def __len__(self) -> int:
        return len(self.drawn.means)


def resample(
    cells: Mapping[Name, Cell | np.ndarray],
    *,
    resamples: int = RESAMPLES,
    stream: str = "bootstrap",
    seed: int = 0,
) -> Resampled:
    """Joint draws of the means of `cells`.

    Parameters
    ----------
    cells : mapping
        Cell, or its results alone, by name.
    resamples : int
        Number of draws B.
    stream, seed : str, int
        Random stream from which everything is drawn.
    """
    known = {name: x if isinstance(x, Cell) else Cell(x) for name, x in cells.items()}
    draw = _Draw(resamples, stream, seed)
    parts = {name: draw.seeds(cell) for name, cell in known.items()}
    for (examples, size), names in _test_sets(known).items():
        counts = np.stack([known[name].results.sum(0) for name in names], axis=1)
        found = draw.examples(examples, size, counts)
        for column, name in enumerate(names):
            cell = known[name]
            drawn = found[:, column] / (len(cell.seeds) * size) - cell.by_seed.mean()
            parts[name] = parts[name] + drawn + draw.floor(name, size)
    means = {name: _rows(known[name], parts[name]) for name in known}
    return Resampled(means, known, stream, seed)


def _test_sets(cells: Mapping[Name, Cell]) -> dict[tuple[str, int], list[Name]]:
    """Names of the cells by test set and its size."""
    found: dict[tuple[str, int], list[Name]] = {}
    for name, cell in cells.items():
        if cell.size:
            found.setdefault((cell.examples, cell.size), []).append(name)
    return found


def _rows(cell: Cell, part: np.ndarray) -> np.ndarray:
    """Estimate and draws (B + 1,); those of an accuracy lie in [0, 1]."""
    rows = cell.by_seed.mean() + np.concatenate([[0.0], part])
    return np.clip(rows, 0, 1) if cell.size else rows


@dataclass(frozen=True)
class _Draw:
    """What is drawn at random, each from a stream of its own name."""

    resamples: int
    stream: str
    seed: int

    def generator(self, *name: object) -> np.random.Generator:
        return numpy_stream(self.seed, " ".join(map(str, (self.stream, *name))))

    def seeds(self, cell: Cell) -> np.ndarray:
        """Seed part of a cell's draws, (B,); NaN for one number, 0 for the bits of one seed."""
        count = len(cell.seeds)
        if count == 1:
            return np.full(self.resamples, 0.0 if cell.size else nan)
        normal = [self.generator("seed", s).standard_normal(self.resamples) for s in cell.seeds]
        chi2 = self.generator("seeds", *sorted(map(str, cell.seeds))).chisquare(
            count - 1, self.resamples
        )
        deviations = cell.by_seed - cell.by_seed.mean()
        # einsum adds in one order on any number of threads; a product by BLAS need not.
        weighted = np.einsum("sb,s->b", np.array(normal), deviations) / count
        return weighted * np.sqrt(count / chi2)

    def examples(self, name: str, size: int, counts: np.ndarray) -> np.ndarray:
        """Sums (B, C) of the integers `counts` (N, C) over N examples drawn with replacement."""
        generator, rows = self.generator("examples", name, size), max(1, BLOCK // size)
        # Sums of integers are exact, in whatever order BLAS adds, while they fit the mantissa.
        kind: type = np.float32 if counts.max(initial=0) * size < 2**24 else np.float64
        columns: np.ndarray = counts.astype(kind)
        found = []
        for start in range(0, self.resamples, rows):
            block = min(rows, self.resamples - start)
            drawn = generator.integers(size, size=(block, size), dtype=np.int32)
            drawn += (size * np.arange(block, dtype=np.int32))[:, None]
            times: np.ndarray = np.bincount(drawn.ravel(), minlength=block * size).astype(kind)
            found.append(times.reshape(block, size) @ columns)
        return np.concatenate(found).astype(float)

    def floor(self, name: Name, size: int) -> np.ndarray:
        """Noise (B,) with the variance of half an example.

        A difference of two cells gets that of one example on which they differ: Agresti and Min
        (2005) add it to paired proportions, so that cells that never differ do not look exact.
        """
        return self.generator("floor", name).standard_normal(self.resamples) / (size * 2**0.5)


def difference(first: Name, second: Name) -> Statistic:
    """Mean of the first cell less that of the second."""
    return lambda means: means[first] - means[second]


def average(*names: Name) -> Statistic:
    """Mean over cells, all of equal weight."""
    return lambda means: np.mean([means[name] for name in names], axis=0)


def geometric(*names: Name) -> Statistic:
    """Geometric mean over cells that hold logarithms, all of equal weight.

    The draws of two seeds can be too large for their exponential.
    """
    mean = average(*names)
    return lambda means: np.exp(np.clip(mean(means), -LARGEST_LOG, LARGEST_LOG))


def effect(
    drawn: Resampled,
    statistic: Statistic,
    *,
    threshold: float = nan,
    direction: Direction = "above",
    scale: float = 1.0,
    limits: tuple[float, float] = (-inf, inf),
    unit: str = "",
    name: str = "",
) -> Effect:
    """A function of the cells' means, with its interval.

    A maximum or minimum over noisy cells is biased towards the extreme, and its draws are so
    twice; say of which cells the claim speaks with `verdict.combine` instead.

    Parameters
    ----------
    drawn : Resampled
        The cells that the statistic reads.
    statistic : callable
        Means by cell (arrays (B + 1,)) to the effect (B + 1,), element by element.
    threshold, direction
        What is claimed, in units of the scaled effect.
    scale : float
        100 for points of accuracy.
    limits : tuple of two numbers
        Between which the effect, before it is scaled, can lie: (-1, 1) for a correlation. The draws
        of few seeds go beyond.
    unit, name : str
        As printed.
    """

    def rows(means: Mapping[Name, np.ndarray]) -> np.ndarray:
        return np.round(np.clip(np.asarray(statistic(means), float), *limits) * scale, DIGITS)

    read = _Read(drawn)
    found = rows(read)
    claimed = (threshold, direction, unit, name)
    return _effect(found, read.cells.values(), lambda: rows(drawn.fine.means), *claimed)


def _effect(
    rows: np.ndarray,
    cells: Collection[Cell],
    fine: Callable[[], np.ndarray],
    threshold: float,
    direction: Direction,
    unit: str,
    name: str,
) -> Effect:
    """The effect of row 0 with the interval of the other rows, made of `cells`.

    `fine` makes the rows of FINE draws.
    """
    value, draws = float(rows[0]), rows[1:]
    seeds = {len(cell.seeds) for cell in cells}
    sizes = min(seeds, default=0), min((cell.size for cell in cells if cell.size), default=0)
    note = ""
    if 1 in seeds:
        lacks = "the" if seeds == {1} else "part of the"
        note = f"One seed, so the interval lacks {lacks} spread over seeds."
    if np.isnan(value):
        return missing("A value is missing.", name)
    if np.isnan(draws).any():
        note = "One seed, no interval."
        return Effect(value, -inf, inf, threshold, direction, unit, name, note, *sizes)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Effect(
        value, float(low), float(high), threshold, direction, unit, name, note, *sizes, draws,
        lambda: fine()[1:],
    )  # fmt: skip


def rank_correlation(
    drawn: Resampled,
    names: Sequence[Name],
    *,
    numbers: Sequence[float] | None = None,
    cells: Sequence[Name] | None = None,
    threshold: float = nan,
    direction: Direction = "above",
    name: str = "",
    indices: Literal["fixed", "sampled"] = "fixed",
) -> Effect:
    """Spearman's correlation over indices, of cells with numbers or with other cells.

    "fixed": the claim is about these indices. "sampled": about all from which they are a sample;
    draws are then spread on Fisher's scale by the error of Bonett and Wright (2000). Not measured
    with fewer than MIN_INDICES indices, or where one side is constant.

    Parameters
    ----------
    drawn : Resampled
        Holds the cells.
    names : sequence of n names
        The cell of every index.
    numbers, cells : sequence of n numbers, sequence of n names
        One of them: what the cells are correlated with.
    threshold, direction, name, indices
        The claim, its name, and what the interval is about.
    """
    if (numbers is None) == (cells is None):
        raise ValueError("give the numbers or the cells to correlate with, one of them")
    if len(names) < MIN_INDICES:
        return missing(f"{len(names)} indices; a rank correlation needs {MIN_INDICES}.", name)

    def rows(means: Mapping[Name, np.ndarray]) -> np.ndarray:
        with_what = np.asarray(numbers, float)[None] if cells is None else _columns(means, cells)
        found = _correlations(_ranks(_columns(means, names)), _ranks(with_what))
        if indices == "sampled":
            found[1:] = _sampled(found, len(names), name)
        return np.round(found, DIGITS)

    other = np.asarray(numbers) if cells is None else _columns(drawn.means, cells)[0]
    sides = (_columns(drawn.means, names)[0], other)
    if any(np.ptp(np.round(side, DIGITS)) == 0 for side in sides):
        return missing("A side of the rank correlation is constant.", name)
    read = [drawn.cells[each] for each in (*names, *(cells or ()))]
    claimed = (threshold, direction, "", name)
    return _effect(rows(drawn.means), read, lambda: rows(drawn.fine.means), *claimed)


def _columns(means: Mapping[Name, np.ndarray], names: Sequence[Name]) -> np.ndarray:
    """Means (B + 1, n) of n cells."""
    return np.stack([means[name] for name in names], axis=1)


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of centred ranks, by rows: 0 where a side is constant, and not a number where one is not."""
    norm = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    product = (first * second).sum(1)
    return np.where(norm == 0, 0.0, product / np.where(norm == 0, 1.0, norm))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along rows (.., n), ties averaged, centred."""
    from scipy.stats import rankdata  # where it is used: scipy.stats takes a second to import

    ranks = rankdata(np.round(values, DIGITS), axis=1)
    return ranks - ranks.mean(1, keepdims=True)


def _sampled(rows: np.ndarray, indices: int, name: str) -> np.ndarray:
    """Draws with the error of a sample of `indices` pairs added."""
    error = np.sqrt((1 + rows[0] ** 2 / 2) / (indices - 3))
    normal = numpy_stream(0, f"bootstrap indices {name}").standard_normal(len(rows) - 1)
    # A perfect correlation is infinite on Fisher's scale.
    inside = np.clip(rows[1:], -1 + 1e-6, 1 - 1e-6)
    return np.tanh(np.arctanh(inside) + error * normal)
