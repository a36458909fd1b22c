"""Claims: what the paper, its sequel and trials say of recurrent networks at their fixed points.

Each has one effect for every network that it speaks of; all must hold. Intervals are over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd

from firstorder.bounds import Bound, Points, Positive, Share
from firstorder.config import Range
from firstorder.publish.numerals import of_all
from firstorder.publish.registry import Results, claim
from firstorder.publish.statistics import (
    Cell,
    Direction,
    average,
    difference,
    effect,
    geometric,
    resample,
)
from firstorder.publish.verdict import Effect, Verdict, combine, exact, missing, not_run
from firstorder.studies.line_attractor import frames
from firstorder.studies.line_attractor.frames import FINISHED, NO_POINTS, NOT_TRAINED

NONE = "The networks that the claim is about are not run at this scale."
NO_NOT = "“not” is no word of these documents."
POSITIVE = (0.0, np.inf)
"""Where a ratio of sizes can lie."""


def name(row: pd.Series | dict) -> str:
    """A network as claims print it."""
    return f"{row['label']}, {row['title']}"


def measured(
    numbers: pd.DataFrame,
    values: pd.Series,
    threshold: float,
    direction: Direction = "above",
    unit: str = "",
    scale: float = 1.0,
    logarithmic: bool = False,
    limits: tuple[float, float] = (-np.inf, np.inf),
    having: str = "have points",
) -> list[Effect]:
    """One effect a network: the mean of `values` over its seeds.

    A seed without a value, whose network has too few fixed points, is left out and counted; a
    network without any is missing. Networks of a corpus to which the number does not apply have no
    effect. `logarithmic`: the geometric mean, with the interval of the logarithms. Ratios that span
    decades have no other: an interval about their mean would reach below 0. `limits`: between which
    the mean can lie. `having`: what seeds with a value have.
    """
    effects = []
    applies = _applies(numbers, values)
    if logarithmic:
        values = np.log(values)
    for _, whole in numbers[applies].groupby(["corpus", "cell"], sort=False):
        part = whole[values[whole.index].notna()]
        if part.empty:
            lacking = frames.lacking(whole) or f"no seed {having.replace('have', 'has', 1)}"
            effects.append(missing(lacking, name(whole.iloc[0])))
            continue
        left = of_all(len(part), len(whole), f"seeds {having}")
        cell = Cell(values[part.index].to_numpy(float), tuple(part["seed"]))
        drawn = resample({"value": cell})
        effects.append(
            effect(
                drawn,
                geometric("value") if logarithmic else average("value"),
                threshold=threshold,
                direction=direction,
                scale=scale,
                limits=limits,
                unit=unit,
                name=name(part.iloc[0]) + left,
            )
        )
    return effects


def _applies(numbers: pd.DataFrame, values: pd.Series) -> pd.Series:
    """Whether a number exists on the corpus of a training.

    Not where networks have fixed points and none has the number: its words are not in the corpus.
    """
    corpus = numbers["corpus"]
    known = values.notna().groupby(corpus).transform("any")
    read = numbers["overlap"].notna().groupby(corpus).transform("any")
    return known | ~read


def together(effects: Sequence[Effect], text: str, lacking: str = NONE) -> Verdict:
    """The verdict on all effects, each printed; `lacking` says why there is none."""
    if not effects:
        return not_run(lacking)
    if len(effects) == 1 and effects[0].draws is not None:
        return combine(effects, "all", f"{text} {effects[0].name}:")
    listed = "; ".join(f"{each.name}: {each}" for each in effects)
    return combine(effects, "all", f"{text} {listed}.")


@claim("low-dimensional", reads=("dynamics.json",))
def low_dimensional(
    results: Results, *, share: Share = 0.65, components: Literal[1, 2, 3] = 2
) -> Verdict:
    """The first two (or three) components hold most of the states' variance."""
    numbers = frames.dynamics(results)
    names = [f"state_pc{i + 1}" for i in range(components)]
    values = numbers[names].sum(axis=1, skipna=False)
    effects = measured(
        numbers, values, 100 * share, unit="%", scale=100.0, limits=(0, 1), having=FINISHED
    )
    return together(effects, f"Variance of the states on {components} components.")


@claim("lower-than-untrained", reads=("dynamics.json",))
def lower_than_untrained(results: Results, *, factor: Positive = 2.0) -> Verdict:
    """Training makes the states lower-dimensional."""
    numbers = frames.dynamics(results)
    ratio = numbers["untrained_dimension"] / numbers["state_dimension"]
    return together(
        measured(numbers, ratio, factor, unit="times", limits=POSITIVE, having=FINISHED),
        "Participation ratio of the untrained network's states over the trained one's.",
    )


@claim("points-on-a-line", reads=("dynamics.json",))
def points_on_a_line(results: Results, *, share: Share = 0.8) -> Verdict:
    """One component holds most of the fixed points' variance."""
    numbers = frames.dynamics(results)
    values = numbers["point_pc1"]
    effects = measured(numbers, values, 100 * share, unit="%", scale=100.0, limits=(0, 1))
    return together(effects, "Variance of the fixed points on their first component.")


@claim("slow-mode", reads=("dynamics.json",))
def slow_mode(results: Results, *, lengths: Positive = 0.5) -> Verdict:
    """The slowest mode remembers for at least this share of a document."""
    numbers = frames.dynamics(results)
    values = numbers["tau1"] / numbers["mean_length"]
    effects = measured(numbers, values, lengths, logarithmic=True)
    return together(
        effects, "Time constant of the slowest mode over the mean length, geometric means."
    )


@claim("slower-than-others", reads=("dynamics.json",))
def slower_than_others(results: Results, *, factor: Positive = 2.0) -> Verdict:
    """One mode is much slower than all others."""
    numbers = frames.dynamics(results)
    values = numbers["tau1"] / numbers["tau2"]
    effects = measured(numbers, values, factor, unit="times", logarithmic=True)
    return together(
        effects, "Time constant of the slowest mode over that of the next, geometric means."
    )


@claim("along-the-manifold", reads=("dynamics.json",))
def along_the_manifold(
    results: Results, *, overlap: Share = 0.85, nulls: Positive = 5.0
) -> Verdict:
    """The slowest right vector lies along the line of fixed points, far beyond chance."""
    numbers = frames.dynamics(results)
    effects = measured(numbers, numbers["overlap"], overlap, limits=(0, 1))
    times = numbers["overlap"] / numbers["null"]
    beyond = measured(numbers, times, nulls, unit="times chance", limits=POSITIVE)
    return together([*effects, *beyond], "|r₁ · m|, and the same over that of random vectors.")


@claim("words-push", reads=("dynamics.json",))
def words_push(results: Results) -> Verdict:
    """Positive words push towards positive, negative ones towards negative."""
    numbers = frames.dynamics(results)
    effects = [
        *measured(numbers, numbers["effect_positive"], 0.0),
        *measured(numbers, numbers["effect_negative"], 0.0, "below"),
    ]
    return together(effects, "Mean l₁ · J_inp x of positive, then of negative words.")


@claim("neutral-words", reads=("dynamics.json",))
def neutral_words(results: Results, *, share: Share = 0.1) -> Verdict:
    """Neutral words hardly push."""
    numbers = frames.dynamics(results)
    values = numbers["effect_neutral"] / numbers["effect_positive"]
    effects = measured(numbers, values, 100 * share, "within", "%", 100.0)
    return together(effects, "Mean l₁ · J_inp x of neutral words over that of positive ones.")


@claim("strong-words", reads=("dynamics.json",))
def strong_words(results: Results, *, within: Range[Positive] = (1.6, 2.4)) -> Verdict:
    """Words that count twice push about twice as far: `within` so many times, least and most."""
    least, most = within
    numbers = frames.dynamics(results)
    strong = numbers["effect_strong_positive"] - numbers["effect_strong_negative"]
    others = numbers["effect_positive"] - numbers["effect_negative"]
    return together(
        _over(numbers, strong, others, [(least, "above"), (most, "below")]),
        f"Effect of strong words over that of others, {least:g} to {most:g}, then of others.",
        "Only the synthetic corpus has words that count twice.",
    )


def _over(
    numbers: pd.DataFrame,
    effects: pd.Series,
    others: pd.Series,
    claimed: Sequence[tuple[float, Direction]],
    unit: str = "",
) -> list[Effect]:
    """What is claimed of effects over others, where these are positive; and that they are.

    Over a negative one the ratio would lie on the other side.
    """
    ratio = (100 if unit == "%" else 1) * (effects / others.where(others > 0))
    having = "have a positive effect to compare with"
    found = [measured(numbers, ratio, *each, unit, having=having) for each in claimed]
    return [*chain(*found), *measured(numbers, others.where(effects.notna()), 0.0)]


@claim("linear-step", reads=("dynamics.json",))
def linear_step(results: Results, *, error: Positive = 0.25) -> Verdict:
    """One step is nearly linear about the nearest fixed point."""
    numbers = frames.dynamics(results)
    values = numbers["linear_error"]
    effects = measured(numbers, values, 100 * error, "below", "%", 100.0, limits=POSITIVE)
    return together(effects, "Median relative error of one linear step.")


@claim("linear-run-is-worse", reads=("dynamics.json",))
def linear_run_is_worse(results: Results, *, points: Points = 5.0) -> Verdict:
    """The network run as one linear system, at its middle fixed point, is much worse."""
    numbers = frames.dynamics(results)
    lost = numbers["run_accuracy"] - numbers["single_run_accuracy"]
    effects = measured(numbers, lost, points, unit="points", scale=100.0)
    return together(
        effects, "Accuracy lost by running the linear system of the middle fixed point."
    )


@claim("negation-turns", reads=("dynamics.json",))
def negation_turns(results: Results) -> Verdict:
    """Right after "not", a positive word pushes towards negative."""
    numbers = frames.dynamics(results)
    after = numbers["negation_0"]
    before = numbers["negation_before"].where(after.notna())
    effects = [*measured(numbers, after, 0.0, "below"), *measured(numbers, before, 0.0)]
    return together(effects, "Effect of positive words right after “not”, then before it.", NO_NOT)


@claim("negation-weakens", reads=("dynamics.json",))
def negation_weakens(results: Results) -> Verdict:
    """Right after "not", a positive word pushes less than before it."""
    numbers = frames.dynamics(results)
    return together(
        _of_before(numbers, 0, (100.0, "below")),
        "Effect of positive words right after “not”, of that before it, then before it.",
        NO_NOT,
    )


@claim("negation-ends", reads=("dynamics.json",))
def negation_ends(
    results: Results, *, after: Annotated[int, Bound(ge=1, le=10)] = 4, share: Share = 0.8
) -> Verdict:
    """The effect of "not" is over some tokens later, of the `negation.STEPS` that are looked at."""
    numbers = frames.dynamics(results)
    return together(
        _of_before(numbers, after, (100 * share, "above")),
        f"Effect of positive words {after} tokens after “not”, of that before, then before.",
        NO_NOT,
    )


def _of_before(numbers: pd.DataFrame, after: int, claimed: tuple[float, Direction]) -> list[Effect]:
    """Effects of positive words some tokens after "not", in % of those before it."""
    later = numbers[f"negation_{after}"]
    return _over(numbers, later, numbers["negation_before"], [claimed], "%")


@claim("accurate", reads=("correct.npz",))
def accurate(results: Results, *, accuracy: Share = 0.93) -> Verdict:
    """The networks solve the task."""
    drawn = resample(frames.correctness(results))
    effects = [
        effect(
            drawn,
            average((row["corpus"], row["cell"])),
            threshold=100 * accuracy,
            scale=100.0,
            unit="%",
            name=label,
        )
        if finished
        else missing(NOT_TRAINED, label)
        for row, label, finished in _trained(results, drawn.cells)
    ]
    return together(effects, "Test accuracy.")


def _trained(results: Results, cells: Mapping[Any, Cell]) -> Iterator[tuple[dict, str, bool]]:
    """Every network, what it is called, and whether a seed of it finished an epoch."""
    count = len(results.spec["seeds"])
    for row in results.spec["rows"]:
        cell = cells.get((row["corpus"], row["cell"]))
        known = len(cell.seeds) if cell else 0
        left = of_all(known, count, f"seeds {FINISHED}") if known else ""
        yield row, name(row) + left, known > 0


@claim("beats-bag-of-words", reads=("correct.npz", "words.npz"))
def beats_bag_of_words(results: Results, *, points: Points = 0.0) -> Verdict:
    """The networks are more accurate than the bag of words, which is blind to order."""
    cells = dict(frames.correctness(results))
    for corpus, bits in frames.bag_correctness(results).items():
        seeds = tuple(results.spec["seeds"])
        same = np.broadcast_to(bits, (len(seeds), len(bits)))
        cells[corpus, "bag"] = Cell(same, seeds, corpus)
    drawn = resample(cells)
    effects = [
        effect(
            drawn,
            difference((row["corpus"], row["cell"]), (row["corpus"], "bag")),
            threshold=points,
            scale=100.0,
            unit="points",
            name=label,
        )
        if finished
        else missing(NOT_TRAINED, label)
        for row, label, finished in _trained(results, cells)
    ]
    return together(effects, "Test accuracy above the bag of words.")


@claim("mathematics", reads=("dynamics.json",))
def mathematics(
    results: Results, *, jacobian: Positive = 1e-3, inverse: Positive = 1e-4
) -> Verdict:
    """Jacobians equal central differences, and left vectors are the inverse of right ones."""
    numbers = frames.dynamics(results)
    effects = [
        exact(float(numbers[column].max()), limit, "below", name=label + _having_points(numbers))
        if numbers[column].notna().any()
        else missing(NO_POINTS, label)
        for column, limit, label in (
            ("jacobian_error", jacobian, "J_rec against central differences"),
            ("inverse_error", inverse, "|L R − 1|"),
        )
    ]
    return together(effects, "Largest entries.")


def _having_points(numbers: pd.DataFrame) -> str:
    """` (5 of 6 trainings have points)`; empty where all have."""
    return of_all(int(numbers["overlap"].count()), len(numbers), "trainings have points")
