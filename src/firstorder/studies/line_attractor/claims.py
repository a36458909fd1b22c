"""Claims: what the paper, its sequel and trials say of recurrent networks at their fixed points.

Each has one effect for every network that it speaks of; all must hold. Intervals are over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

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
from firstorder.publish.verdict import Effect, Verdict, combine, exact, not_run
from firstorder.studies.line_attractor import frames

NONE = "The networks that the claim is about are not run at this scale."
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
) -> list[Effect]:
    """One effect a network: the mean of `values` over its seeds.

    A seed without a value, whose network has too few fixed points, is left out and counted.
    `logarithmic`: the geometric mean, with the interval of the logarithms. Ratios that span
    decades have no other: an interval about their mean would reach below 0. `limits`: between which
    the mean can lie.
    """
    effects = []
    if logarithmic:
        values = np.log(values)
    for _, whole in numbers.groupby(["corpus", "cell"], sort=False):
        part = whole[values[whole.index].notna()]
        if part.empty:
            continue
        left = (
            "" if len(part) == len(whole) else f" ({len(part)} of {len(whole)} seeds have points)"
        )
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


def together(effects: Sequence[Effect], text: str) -> Verdict:
    """The verdict on all effects, each printed."""
    if not effects:
        return not_run(NONE)
    if len(effects) == 1 and effects[0].draws is not None:
        return combine(effects, "all", f"{text} {effects[0].name}:")
    listed = "; ".join(f"{each.name}: {each}" for each in effects)
    note = " One seed: no interval." if any(np.isinf(each.high) for each in effects) else ""
    return combine(effects, "all", f"{text} {listed}.{note}")


@claim("low-dimensional", reads=("dynamics.json",))
def low_dimensional(results: Results, *, share: float = 0.65, components: int = 2) -> Verdict:
    """The first two (or three) components hold most of the states' variance."""
    numbers = frames.dynamics(results)
    names = [f"state_pc{i + 1}" for i in range(components)]
    values = numbers[names].sum(axis=1)
    effects = measured(numbers, values, 100 * share, unit="%", scale=100.0, limits=(0, 1))
    return together(effects, f"Variance of the states on {components} components.")


@claim("lower-than-untrained", reads=("dynamics.json",))
def lower_than_untrained(results: Results, *, factor: float = 2.0) -> Verdict:
    """Training makes the states lower-dimensional."""
    numbers = frames.dynamics(results)
    ratio = numbers["untrained_dimension"] / numbers["state_dimension"]
    return together(
        measured(numbers, ratio, factor, unit="times", limits=POSITIVE),
        "Participation ratio of the untrained network's states over the trained one's.",
    )


@claim("points-on-a-line", reads=("dynamics.json",))
def points_on_a_line(results: Results, *, share: float = 0.8) -> Verdict:
    """One component holds most of the fixed points' variance."""
    numbers = frames.dynamics(results)
    values = numbers["point_pc1"]
    effects = measured(numbers, values, 100 * share, unit="%", scale=100.0, limits=(0, 1))
    return together(effects, "Variance of the fixed points on their first component.")


@claim("slow-mode", reads=("dynamics.json",))
def slow_mode(results: Results, *, lengths: float = 0.5) -> Verdict:
    """The slowest mode remembers for at least this share of a document."""
    numbers = frames.dynamics(results)
    values = numbers["tau1"] / numbers["mean_length"]
    effects = measured(numbers, values, lengths, logarithmic=True)
    return together(
        effects, "Time constant of the slowest mode over the mean length, geometric means."
    )


@claim("slower-than-others", reads=("dynamics.json",))
def slower_than_others(results: Results, *, factor: float = 2.0) -> Verdict:
    """One mode is much slower than all others."""
    numbers = frames.dynamics(results)
    values = numbers["tau1"] / numbers["tau2"]
    effects = measured(numbers, values, factor, unit="times", logarithmic=True)
    return together(
        effects, "Time constant of the slowest mode over that of the next, geometric means."
    )


@claim("along-the-manifold", reads=("dynamics.json",))
def along_the_manifold(results: Results, *, overlap: float = 0.85, nulls: float = 5.0) -> Verdict:
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
def neutral_words(results: Results, *, share: float = 0.1) -> Verdict:
    """Neutral words hardly push."""
    numbers = frames.dynamics(results)
    values = numbers["effect_neutral"] / numbers["effect_positive"]
    effects = measured(numbers, values, 100 * share, "within", "%", 100.0)
    return together(effects, "Mean l₁ · J_inp x of neutral words over that of positive ones.")


@claim("strong-words", reads=("dynamics.json",))
def strong_words(results: Results, *, least: float = 1.6, most: float = 2.4) -> Verdict:
    """Words that count twice push about twice as far."""
    numbers = frames.dynamics(results)
    if numbers["effect_strong_positive"].isna().all():
        return not_run("Only the synthetic corpus has words that count twice.")
    strong = numbers["effect_strong_positive"] - numbers["effect_strong_negative"]
    ratio = strong / (numbers["effect_positive"] - numbers["effect_negative"])
    effects = [*measured(numbers, ratio, least), *measured(numbers, ratio, most, "below")]
    return together(effects, f"Effect of strong words over that of others, {least:g} to {most:g}.")


@claim("linear-step", reads=("dynamics.json",))
def linear_step(results: Results, *, error: float = 0.25) -> Verdict:
    """One step is nearly linear about the nearest fixed point."""
    numbers = frames.dynamics(results)
    values = numbers["linear_error"]
    effects = measured(numbers, values, 100 * error, "below", "%", 100.0, limits=POSITIVE)
    return together(effects, "Median relative error of one linear step.")


@claim("linear-run-is-worse", reads=("dynamics.json",))
def linear_run_is_worse(results: Results, *, points: float = 5.0) -> Verdict:
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
    if numbers["negation_0"].isna().all():
        return not_run("“not” is no word of these documents.")
    values = numbers["negation_0"] / numbers["negation_before"]
    effects = measured(numbers, 100 * values, 0.0, "below", "%")
    return together(effects, "Effect of positive words right after “not”, of that before it.")


@claim("negation-weakens", reads=("dynamics.json",))
def negation_weakens(results: Results) -> Verdict:
    """Right after "not", a positive word pushes less than before it."""
    numbers = frames.dynamics(results)
    if numbers["negation_0"].isna().all():
        return not_run("“not” is no word of these documents.")
    values = numbers["negation_0"] / numbers["negation_before"]
    effects = measured(numbers, 100 * values, 100.0, "below", "%")
    return together(effects, "Effect of positive words right after “not”, of that before it.")


@claim("negation-ends", reads=("dynamics.json",))
def negation_ends(results: Results, *, after: int = 4, share: float = 0.8) -> Verdict:
    """The effect of "not" is over some tokens later."""
    numbers = frames.dynamics(results)
    if numbers[f"negation_{after}"].isna().all():
        return not_run("“not” is no word of these documents.")
    values = numbers[f"negation_{after}"] / numbers["negation_before"]
    effects = measured(numbers, 100 * values, 100 * share, unit="%")
    return together(
        effects, f"Effect of positive words {after} tokens after “not”, of that before."
    )


@claim("accurate", reads=("correct.npz",))
def accurate(results: Results, *, accuracy: float = 0.93) -> Verdict:
    """The networks solve the task."""
    drawn = resample(frames.correctness(results))
    labels = {(row["corpus"], row["cell"]): name(row) for row in results.spec["rows"]}
    effects = [
        effect(
            drawn,
            average(key),
            threshold=100 * accuracy,
            scale=100.0,
            unit="%",
            name=label,
        )
        for key, label in labels.items()
    ]
    return together(effects, "Test accuracy.")


@claim("beats-bag-of-words", reads=("correct.npz", "words.npz"))
def beats_bag_of_words(results: Results, *, points: float = 0.0) -> Verdict:
    """The networks are more accurate than the bag of words, which is blind to order."""
    cells = dict(frames.correctness(results))
    for corpus, bits in frames.bag_correctness(results).items():
        seeds = next(cell.seeds for key, cell in cells.items() if key[0] == corpus)
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
            name=name(row),
        )
        for row in results.spec["rows"]
    ]
    return together(effects, "Test accuracy above the bag of words.")


@claim("mathematics", reads=("dynamics.json",))
def mathematics(results: Results, *, jacobian: float = 1e-3, inverse: float = 1e-4) -> Verdict:
    """Jacobians equal central differences, and left vectors are the inverse of right ones."""
    numbers = frames.dynamics(results)
    effects = [
        exact(float(numbers[column].max()), limit, "below", name=label)
        for column, limit, label in (
            ("jacobian_error", jacobian, "J_rec against central differences"),
            ("inverse_error", inverse, "|L R − 1|"),
        )
    ]
    return together(effects, "Largest entries.")
