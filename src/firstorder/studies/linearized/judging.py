"""Verdicts on the effects of several models, said in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from firstorder.publish.numerals import of_all
from firstorder.publish.statistics import (
    Direction,
    Resampled,
    average,
    effect,
    geometric,
    rank_correlation,
    resample,
)
from firstorder.publish.verdict import Effect, Verdict, combine, judge, missing, not_run
from firstorder.studies.linearized.cells import (
    Cells,
    Name,
    gap,
    labels,
    numbers,
    of,
    on_common_seeds,
    pairs,
    tried,
)

POINTS = 100.0
"""Accuracies are shares, effects are points."""
LINEAR = ("linear", "converged", "ridge")
"""The linearization: trained by the recipe, converged, and ridge regression."""
TOO_FEW = "Too few tasks are run at this scale for a rank correlation; six are needed."
LOST, FEW_LEFT = "no seed finished", "too few tasks finished"
"""The notes of an effect of which all trainings diverged, or too many."""
NO_TASKS = "No eigenfunction task within the claim's range of indices is run at this scale."


def verdict(
    what: str,
    effects: Sequence[Effect],
    *,
    beside: Sequence[tuple[str, Sequence[Effect]]] = (),
    lacking: str = "",
) -> Verdict:
    """The verdict on effects that must all be on their side.

    Parameters
    ----------
    what : what the effects are, as the start of a sentence.
    effects : one for each model, named by it; those that were not measured are left out, but for
        models of which everything diverged, which keep the claim from being resolved.
    beside : groups of effects that are printed and not judged, each with what it is.
    lacking : what to say where none was measured; by default the note of the first effect.
    """
    known = [each for each in effects if counts(each)]
    if not known:
        return not_run(lacking or _note(effects))
    if not any(effect.measured for effect in known):
        return not_run(f"{what}: {listed(known)}.")
    if len(known) == 1:
        found = judge(known[0], ": ".join(part for part in (what, known[0].name) if part))
    else:
        found = combine(known, text=f"{what}: {listed(known)}.")
    others = [(said, [each for each in group if each.measured]) for said, group in beside]
    said = [found.text, *(f"{said}: {listed(group)}." for said, group in others if group)]
    more = tuple(
        replace(each, name=f"{said}, {each.name}") for said, group in others for each in group
    )
    return replace(found, text=" ".join(said), effects=(*found.effects, *more))


def counts(effect: Effect) -> bool:
    """Whether an effect counts: it was measured, or would have been but for what diverged."""
    return effect.measured or effect.note in (LOST, FEW_LEFT)


def _note(effects: Sequence[Effect]) -> str:
    return effects[0].note if effects else "This scale runs no task of this kind."


def listed(effects: Sequence[Effect]) -> str:
    """`LeNet 3.1 points [1.2, 5.0], MLP 0.4 points [−0.2, 1.0]`"""
    return ", ".join(f"{effect.name} {effect}".strip() for effect in effects)


def for_each(cells: Cells, made: Callable[[str], Effect | None]) -> list[Effect]:
    """The effect of every model; models without one are left out."""
    return [found for label in labels(cells) if (found := made(label)) is not None]


def index_correlations(
    drawn: Resampled,
    cells: Cells,
    arm: str,
    threshold: float = float("nan"),
    direction: Direction = "above",
) -> list[Effect]:
    """Spearman's correlation of an arm's cells with the index of the task, by model."""
    effects = []
    for label in labels(cells):
        names, known = of(cells, label, arm), tried(cells, label, arm)
        found = rank_correlation(
            drawn, names, numbers=[name.task for name in names], threshold=threshold,
            direction=direction, name=label + of_all(len(names), len(known), "tasks"),
        )  # fmt: skip
        effects.append(or_lost(found, label, len(names), len(known)))
    return effects


def on_pairs(
    drawn: Resampled, cells: Cells, chosen: Sequence[tuple[Name, Name]]
) -> tuple[Resampled, str]:
    """Draws of the cells of pairs, each on the seeds that both have; and what is said of them.

    Left alone, an arm whose worst seed diverged would gain on the other.
    """
    common = on_common_seeds(cells, chosen)
    if any(common[name].seeds != cells[name].seeds for name in common):
        drawn = resample(common)
    lost = []
    for name in common:
        known, every = len(common[name].seeds), len(cells.tried[name])
        lost.append((known - every, of_all(known, every, "seeds finished")))
    _, said = min(lost)
    return drawn, said


def or_lost(found: Effect, name: str, finished: int, tried: int) -> Effect:
    """An effect, or that of `name` where it could not be measured for what was lost."""
    if found.measured or finished == tried:
        return found
    return missing(FEW_LEFT if finished else LOST, name)


def arm_correlations(
    drawn: Resampled, cells: Cells, first: str, second: str, threshold: float = float("nan")
) -> list[Effect]:
    """Spearman's correlation of two arms over the tasks, by model."""
    effects = []
    for label in labels(cells):
        both = pairs(cells, label, first, second)
        known = tried(cells, label, first, second)
        own, said = on_pairs(drawn, cells, both) if both else (drawn, "")
        found = rank_correlation(
            own, [a for a, _ in both], cells=[b for _, b in both], threshold=threshold,
            name=label + said + of_all(len(both), len(known), "tasks"),
        )  # fmt: skip
        effects.append(or_lost(found, label, len(both), len(known)))
    return effects


def gaps(
    drawn: Resampled,
    cells: Cells,
    first: str,
    second: str,
    threshold: float = float("nan"),
) -> list[Effect]:
    """Test accuracy of one arm less another's by model, in points: the mean over tasks.

    Over the seeds that both arms have.
    """
    effects = []
    for label in labels(cells):
        known, chosen = tried(cells, label, first, second), pairs(cells, label, first, second)
        if known and not chosen:
            effects.append(missing(LOST, label))
        elif chosen:
            own, said = on_pairs(drawn, cells, chosen)
            said += of_all(len(chosen), len(known), "tasks")
            effects.append(
                effect(
                    own, gap(chosen), threshold=threshold, scale=POINTS, unit="points",
                    name=label + said,
                )
            )  # fmt: skip
    return effects


def model_means(
    frame: pd.DataFrame,
    value: str,
    threshold: float = float("nan"),
    direction: Direction = "above",
    *,
    logarithmic: bool = False,
    scale: float = 1.0,
    unit: str = "",
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> list[Effect]:
    """The mean over tasks and seeds by model, its interval over seeds.

    A row without the value is a training that was lost. `logarithmic`: the geometric mean, of a
    factor. `limits`: between which the mean can lie.
    """
    if frame.empty:
        return []
    known = frame[value].astype(float)  # of what was lost alone, they are objects
    chosen = frame.assign(number=np.log(known) if logarithmic else known)
    cells = numbers(chosen, "number")
    drawn = resample(cells)
    mean = geometric if logarithmic else average
    effects = []
    for label in labels(cells):
        names = of(cells, label, "")
        if not names:
            effects.append(missing(LOST, label))
            continue
        said = of_trainings(chosen.loc[chosen["label"] == label, "number"])
        effects.append(
            effect(
                drawn, mean(*names), threshold=threshold, direction=direction, scale=scale,
                limits=limits, unit=unit, name=label + said,
            )
        )  # fmt: skip
    return effects


def of_trainings(values: pd.Series) -> str:
    """` (7 of 8 trainings)`, where values are missing; empty where none is."""
    return of_all(int(values.count()), len(values), "trainings")
