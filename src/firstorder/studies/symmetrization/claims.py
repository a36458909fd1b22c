"""Claims about accuracies: which losses come out above which, and by how much.

Every number has an interval (see `effects`), and a claim about several cells is judged by
`verdict.combine`: it holds where enough of them do, all errors counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from firstorder.bounds import Classes, Difference, Share
from firstorder.config import Range, Some, Two
from firstorder.publish.measures import number_range
from firstorder.publish.registry import Results, claim
from firstorder.publish.verdict import (
    Effect,
    Verdict,
    combine,
    missing,
    not_run,
    share_needed,
)
from firstorder.studies.symmetrization import effects, frames
from firstorder.studies.symmetrization.effects import both, diverged, measure, told
from firstorder.studies.symmetrization.settings import FamilyName, LossName

ANY = (2, 10**9)
"""Numbers of classes: all."""
ABSENT = "The losses, noise or number of classes that the claim is about are not run at this scale."

# Options that several claims have:
# classes: the least and the most classes of the datasets that count.
# rates, rate: of the noise.


def under(results: Results, kind: str, classes: Range[Classes] = ANY) -> pd.DataFrame:
    """Runs of the selection with one kind of noise (clean labels count as every kind).

    Keeps datasets with a number of classes between the least and the most of `classes`.
    """
    runs = frames.runs(results)
    if runs.empty:
        return runs
    kept = runs["classes"].between(*classes) & ((runs["kind"] == kind) | (runs["rate"] == 0))
    return runs[kept]


def labels(results: Results) -> dict[str, str]:
    """How every loss is printed."""
    return frames.printed(results, "label", "loss")


def rates_of(runs: pd.DataFrame) -> dict[str, float]:
    """The rate of every noise."""
    return dict(zip(runs["noise"], runs["rate"], strict=True))


@claim("close", reads=("summary.json", "correct.npz"))
def close(
    results: Results,
    *,
    losses: Annotated[Some[LossName], Field(min_length=2)],
    rate: Share = 0.0,
    gap: Difference = 0.03,
    classes: Range[Classes] = ANY,
) -> Verdict:
    """P2: with clean labels the losses end close to each other.

    `gap`: of any two.
    """
    runs = under(results, "symmetric", classes)
    if runs.empty or rate not in set(runs["rate"]):
        return not_run(ABSENT)
    runs = runs[(runs["rate"] == rate) & runs["loss"].isin(losses)]
    found = measure(results, runs) if runs["loss"].nunique() > 1 else None
    if found is None:
        return not_run(ABSENT)
    pairs = [
        found.above(place, a, b, threshold=100 * gap, direction="within")
        for place in found.places
        for a, b in combinations(found.losses(*place), 2)
    ]
    text = (
        f"At noise rate {rate:g} any two of {runs['loss'].nunique()} losses end "
        f"{number_range(np.abs(effects.values(pairs)), 1)} points apart."
    )
    return told(combine(pairs, "all", text), diverged(runs))


@claim("underfits", reads=("summary.json", "correct.npz"))
def underfits(
    results: Results,
    *,
    loss: LossName = "mae",
    reference: LossName = "ce",
    gap: Difference = 0.3,
    classes: Range[Classes] = ANY,
) -> Verdict:
    """P3: MAE underfits many classes, even on clean labels."""
    runs = under(results, "symmetric", classes)
    if runs.empty or not {loss, reference} <= set(runs["loss"]):
        return not_run(ABSENT)
    runs = runs[(runs["rate"] == 0) & runs["loss"].isin([loss, reference])]
    if runs.empty:
        return not_run("No training with clean labels and many classes is run at this scale.")
    found, label = measure(results, runs), labels(results)
    below = [found.above(place, reference, loss, threshold=100 * gap) for place in found.places]
    text = (
        f"On clean labels {label[loss]} stays {number_range(effects.values(below), 1)} points "
        f"below {label[reference]}."
    )
    return told(combine(below, "all", text), diverged(runs))


@claim("gain", reads=("summary.json", "correct.npz"), either=("pairs", "variants"))
def gain(
    results: Results,
    *,
    rates: Some[Share],
    gap: Difference,
    pairs: Some[Two[LossName]] = (),
    variants: FamilyName | None = None,
    share: Share = 1.0,
    classes: Range[Classes] = ANY,
) -> Verdict:
    """P5, P7, P9: a loss is better than its reference by more than a gap at the last epoch.

    `pairs`: of a reference and a loss; `variants`: a family, each against the loss that it
    varies; `share`: of the gains that must be so large.
    """
    runs = under(results, "symmetric", classes)
    wanted = _of_family(results, variants) if variants else _named(results, pairs)
    run = [pair for pair in wanted if set(pair) <= set(runs.get("loss", ()))]
    if not run:
        return not_run(ABSENT)
    # A family is what is run of it; of the pairs that a claim names each is claimed.
    absent = [] if variants else [pair for pair in wanted if pair not in run]
    lost = [missing(ABSENT, " − ".join(reversed(pair))) for pair in absent]
    runs = runs[
        runs["rate"].isin(rates) & runs["loss"].isin([name for pair in run for name in pair])
    ]
    if runs.empty:
        return not_run(f"The noise rates {list(rates)} are not run at this scale.")
    found, label = measure(results, runs), labels(results)
    gains = {
        pair: [found.above(place, pair[1], pair[0], threshold=100 * gap) for place in found.places]
        for pair in run
    }
    every = [effect for of_pair in gains.values() for effect in of_pair]
    large = sum(effect.value > effect.threshold for effect in every)
    said = (
        f"{label[loss]} minus {label[reference]} {number_range(effects.values(of_pair), 1)} points"
        for (reference, loss), of_pair in gains.items()
    )
    text = (
        f"At noise rates {number_range(runs['rate'], 1)}, {large} of {len(every)} differences are "
        f"as stated: {'; '.join(said)}."
    )
    every += lost
    return told(combine(every, share_needed(len(every), share), text), diverged(runs))


def _of_family(results: Results, family: str) -> list[tuple[str, str]]:
    """Every variant of a family that is not the loss that it varies, behind that loss."""
    members = frames.variants(results, family)
    return [(each["base"], each["loss"]) for each in members if each["loss"] != each["base"]]


def _named(results: Results, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of losses as they are trained at this scale."""
    return [(frames.named(results, a), frames.named(results, b)) for a, b in pairs]


@claim("little-to-win", reads=("summary.json", "correct.npz"))
def little_to_win(
    results: Results,
    *,
    rate: Share = 0.4,
    gap: Difference = 0.06,
    reference: LossName = "ce",
    classes: Range[Classes] = ANY,
) -> Verdict:
    """P13: near 40 % asymmetric noise no loss wins much over cross-entropy."""
    runs = under(results, "asymmetric", classes)
    if runs.empty or reference not in set(runs["loss"]) or rate not in set(runs["rate"]):
        return not_run(f"Asymmetric noise of rate {rate:g} is not run at this scale.")
    runs = runs[runs["rate"] == rate]
    found, label = measure(results, runs), labels(results)
    gains = {
        (*place, loss): found.above(place, loss, reference, threshold=100 * gap, direction="below")
        for place in found.places
        for loss in found.losses(*place)
        if loss != reference
    }
    if not gains:
        return not_run(ABSENT)
    best = max(gains, key=lambda key: np.nan_to_num(gains[key].value, nan=-np.inf))
    text = (
        f"At {100 * rate:g} % asymmetric noise the best loss, {label[best[2]]}, ends "
        f"{gains[best].value:.1f} points above {label[reference]}."
    )
    return told(combine(list(gains.values()), "all", text), diverged(runs))


@claim("competitive", reads=("summary.json", "correct.npz"))
def competitive(
    results: Results,
    *,
    losses: Some[LossName],
    baselines: Some[LossName],
    gap: Difference = 0.02,
    share: Share = 2 / 3,
) -> Verdict:
    """Each of `losses` ends within `gap` of the best baseline in a share of the cells.

    The best baseline of a cell is that of the highest mean: the luck that it had makes the claim
    harder to hold, not easier.
    """
    runs = frames.runs(results)
    if runs.empty:
        return not_run(ABSENT)
    own = [frames.named(results, loss) for loss in losses]
    runs = runs[runs["loss"].isin([*own, *baselines])]
    if not set(own) & set(runs["loss"]):
        return not_run(ABSENT)
    found, label, verdicts = measure(results, runs), labels(results), []
    for loss in own:
        behind: list[Effect] = []
        for place in found.places:
            rivals = [each for each in found.losses(*place) if each in baselines]
            if loss not in found.losses(*place) or not rivals:
                continue
            best = max(rivals, key=lambda each: found.mean(place, each))
            behind.append(found.above(place, loss, best, threshold=-100 * gap))
        if not behind:
            verdicts.append(not_run(f"{label.get(loss, loss)} is not run beside a baseline."))
            continue
        near = sum(effect.value > effect.threshold for effect in behind)
        text = (
            f"{label[loss]} minus the best baseline: {number_range(effects.values(behind), 1)} "
            f"points, at least −{100 * gap:g} in {near} of {len(behind)} cells."
        )
        verdicts.append(combine(behind, share_needed(len(behind), share), text))
    return told(both(*verdicts), diverged(runs))
