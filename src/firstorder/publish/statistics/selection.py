"""The choice of a tuned value: pooled seeds, one standard error, ties to the default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from firstorder.errors import ConfigError, DataError
from firstorder.publish.statistics.bootstrap import RESAMPLES, Cell, Name
from firstorder.streams import numpy_stream

MIN_SEEDS = 3


@dataclass(frozen=True)
class Choice:
    """A chosen value and how sure the choice is. All mappings are by candidate.

    `best` has the highest mean; `tied` are within one standard error of it, by preference.
    `errors` are the standard errors of the distance to the best. `wins` is the share of resamples
    in which a candidate has the highest mean, `kept` that in which the whole rule chooses it.
    """

    value: Name
    best: Name
    tied: tuple[Name, ...]
    means: Mapping[Name, float]
    errors: Mapping[Name, float]
    wins: Mapping[Name, float]
    kept: Mapping[Name, float]
    seeds: int
    examples: int


def choose(
    candidates: Mapping[Name, Cell | np.ndarray],
    *,
    default: Name | None = None,
    steps: Mapping[Name, float] | None = None,
    resamples: int = RESAMPLES,
    stream: str = "tuning",
    seed: int = 0,
) -> Choice:
    """Choose the preferred candidate among those within one standard error of the best.

    The default is preferred, then the smaller step, then the earlier candidate. The standard
    error is that of the paired difference from the best, over seeds and examples. A candidate
    with a missing number (a diverged training) is never chosen.

    Parameters
    ----------
    candidates : mapping
        Per-example correctness (S, N) on the validation part, or accuracies (S,), by candidate;
        all of the same seeds and examples, at least 3 seeds.
    default : name of a candidate, optional
        The published or usual value.
    steps : mapping, optional
        Size of the step that a candidate makes (learning rate, or its product with kappa).
    resamples, stream, seed
        Of the bootstrap that counts how often a candidate wins.

    Raises ConfigError with fewer than 3 seeds, DataError where every candidate diverged.
    """
    cells = {name: x if isinstance(x, Cell) else Cell(x) for name, x in candidates.items()}
    seeds, size = _shape(cells)
    means = {name: float(cell.by_seed.mean()) for name, cell in cells.items()}
    alive = [name for name in cells if not np.isnan(means[name])]
    if not alive:
        raise DataError("tuning: every candidate diverged; add a smaller learning rate")
    rank = {name: _preference(name, place, default, steps) for place, name in enumerate(cells)}
    preferred = sorted(alive, key=lambda name: rank[name])
    values = np.array([means[name] for name in preferred])
    errors = _errors([cells[name] for name in preferred])
    kept_now, best_now = _rule(values[None], errors)
    draws = _draws([cells[name] for name in preferred], values, resamples, stream, seed)
    kept, wins = _rule(draws, errors)
    best = int(best_now[0])
    tied = values[best] - values <= errors[best] + 1e-12
    return Choice(
        preferred[int(kept_now[0])],
        preferred[best],
        tuple(name for name, equal in zip(preferred, tied, strict=True) if equal),
        means,
        dict(zip(preferred, map(float, errors[best]), strict=True)),
        _shares(cells, preferred, wins),
        _shares(cells, preferred, kept),
        seeds,
        size,
    )


def _shape(cells: Mapping[Name, Cell]) -> tuple[int, int]:
    """Numbers of seeds and examples, which all candidates share."""
    found = {(cell.seeds, cell.size) for cell in cells.values()}
    if len(found) != 1:
        raise ConfigError("tuning: candidates have other seeds or validation examples; train all")
    ((seeds, size),) = found
    if len(seeds) < MIN_SEEDS:
        raise ConfigError(f"tuning: {len(seeds)} seeds; pool at least {MIN_SEEDS}")
    return len(seeds), size


def _preference(
    name: Name, place: int, default: Name | None, steps: Mapping[Name, float] | None
) -> tuple[bool, float, int]:
    return name != default, 0.0 if steps is None else steps[name], place


def _errors(cells: list[Cell]) -> np.ndarray:
    """Standard error (n, n) of the difference of every pair, over seeds and examples."""
    by_seed = np.array([cell.by_seed for cell in cells])
    variance = _of_differences(by_seed) / by_seed.shape[1]
    if cells[0].size:
        by_example = np.array([cell.results.mean(0) for cell in cells])
        variance = variance + _of_differences(by_example) / by_example.shape[1]
    return np.sqrt(variance)


def _of_differences(values: np.ndarray) -> np.ndarray:
    """Sample variance (n, n) over m units of the differences of the rows of (n, m)."""
    covariance = np.cov(values).reshape(len(values), len(values))
    own = np.diag(covariance)
    return np.maximum(own[:, None] + own - 2 * covariance, 0.0)


def _rule(means: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the chosen and of the best (B,) for means (B, n) in order of preference."""
    means = np.round(means, 12)
    best = means.argmax(1)
    top = np.take_along_axis(means, best[:, None], 1)
    tied = top - means <= errors[best] + 1e-12
    return tied.argmax(1), best


def _draws(
    cells: list[Cell], means: np.ndarray, resamples: int, stream: str, seed: int
) -> np.ndarray:
    """Means (B, n) with seeds and examples drawn with replacement."""
    generator = numpy_stream(seed, f"{stream} seeds")
    by_seed = np.array([cell.by_seed for cell in cells])
    count = by_seed.shape[1]
    times = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    draws = np.einsum("bs,ns->bn", times, by_seed) / count
    if cells[0].size:
        generator, size = numpy_stream(seed, f"{stream} examples"), cells[0].size
        sums = np.array([cell.results.sum(0) for cell in cells])
        for row in range(resamples):
            drawn = np.bincount(generator.integers(size, size=size), minlength=size)
            draws[row] += sums @ drawn / (count * size) - means
    return draws


def _shares(
    cells: Mapping[Name, Cell], preferred: list[Name], found: np.ndarray
) -> dict[Name, float]:
    """Share of the draws in which a candidate was found; 0 for one that diverged."""
    counts = np.bincount(found, minlength=len(preferred)) / len(found)
    known = dict(zip(preferred, map(float, counts), strict=True))
    return {name: known.get(name, 0.0) for name in cells}
