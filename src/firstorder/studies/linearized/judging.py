"""Verdicts on the effects of several models, said in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

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
"""The notes of an effect for which an arm was trained, and is missing on all tasks, or too many."""
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
    known = [each for each in effects if each.measured or each.note in (LOST, FEW_LEFT)]
    if not any(effect.measured for effect in known):
        return not_run(lacking or _note(effects))
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
    direction: str = "above",
) -> list[Effect]:
    """Spearman's correlation of an arm's cells with the index of the task, by model."""
    effects = []
    for label in labels(cells):
        names = of(cells, label, arm)
        if not names:
            effects.append(missing(LOST, label))
            continue
        lost = _of_tasks(cells, label, [arm], names)
        found = rank_correlation(
            drawn, names, numbers=[name.task for name in names], threshold=threshold,
            direction=direction, name=label + lost,  # type: ignore[arg-type]
        )  # fmt: skip
        effects.append(found if found.measured or not lost else missing(FEW_LEFT, label))
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
    for name, _ in chosen:
        own = [cells[n].seeds for n in cells if (n.label, n.family) == (name.label, name.family)]
        known, every = len(common[name].seeds), len(set().union(*own))
        lost.append((known - every, f" ({known} of {every} seeds finished)"))
    least, said = min(lost)
    return drawn, said if least else ""


def _of_tasks(cells: Cells, label: str, arms: Sequence[str], used: Sequence[Name]) -> str:
    """` (2 of 4 tasks)`, where an arm lost others in all seeds; empty where it lost none."""
    known = {(name.family, name.task) for name in tried(cells, label, arms)}
    count = len({(name.family, name.task) for name in used})
    return f" ({count} of {len(known)} tasks)" if count < len(known) else ""


def arm_correlations(
    drawn: Resampled, cells: Cells, first: str, second: str, threshold: float = float("nan")
) -> list[Effect]:
    """Spearman's correlation of two arms over the tasks, by model."""
    effects = []
    for label in labels(cells):
        both = pairs(cells, label, first, second)
        if not both:
            effects.append(missing(LOST, label))
            continue
        own, said = on_pairs(drawn, cells, both)
        names = [a for a, _ in both]
        lost = _of_tasks(cells, label, [first, second], names)
        found = rank_correlation(
            own, names, cells=[b for _, b in both], threshold=threshold, name=label + said + lost
        )
        effects.append(found if found.measured or not lost else missing(FEW_LEFT, label))
    return effects


def gaps(
    drawn: Resampled,
    cells: Cells,
    first: str,
    second: str,
    threshold: float = float("nan"),
    task: int | None = None,
) -> list[Effect]:
    """Test accuracy of one arm less another's by model, in points: mean over tasks, or on one.

    Over the seeds that both arms have.
    """
    effects = []
    for label in labels(cells):
        chosen = [
            pair for pair in pairs(cells, label, first, second) if task in (None, pair[0].task)
        ]
        if not chosen:
            effects += [missing(LOST, label)] * (task is None)
            continue
        own, said = on_pairs(drawn, cells, chosen)
        if task is None:
            said += _of_tasks(cells, label, [first, second], [name for name, _ in chosen])
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

    `logarithmic`: the geometric mean, of a factor. `limits`: between which the mean can lie.
    """
    if frame.empty:
        return []
    chosen = frame.assign(number=np.log(frame[value]) if logarithmic else frame[value])
    cells = numbers(chosen, "number")
    drawn = resample(cells)
    mean = geometric if logarithmic else average
    return [
        effect(
            drawn, mean(*of(cells, label, "")), threshold=threshold, direction=direction,
            scale=scale, limits=limits, unit=unit, name=label,
        )
        for label in labels(cells)
    ]  # fmt: skip
