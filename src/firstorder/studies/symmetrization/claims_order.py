"""Claims about the order of losses: which come out above which."""

from __future__ import annotations

from itertools import combinations, product
from typing import Annotated

from pydantic import Field

from firstorder.bounds import Classes, Share
from firstorder.config import Range, Some
from firstorder.publish.registry import Results, claim
from firstorder.publish.statistics import bootstrap
from firstorder.publish.verdict import Verdict, combine, judge, missing, not_run, share_needed
from firstorder.studies.symmetrization import frames
from firstorder.studies.symmetrization.claims import ABSENT, ANY, rates_of, under
from firstorder.studies.symmetrization.effects import LAST, Measured, both, diverged, measure, told
from firstorder.studies.symmetrization.frames import Fraction
from firstorder.studies.symmetrization.settings import LossName


@claim("order", reads=("summary.json", "correct.npz"))
def order(
    results: Results,
    *,
    tiers: Annotated[Some[Some[LossName]], Field(min_length=3)],
    rate: Share,
    value: Fraction = LAST,
    share: Share = 0.8,
    growing: bool = False,
    classes: Range[Classes] = ANY,
) -> Verdict:
    """P2, P5, P6: losses of different tiers come in the stated order, each above those before.

    `tiers`: losses, lowest first; `value`: a column of `frames.runs`; `share`: of pairs in order;
    `growing`: also require the gap between first and last tier to grow with the rate.
    """
    runs = under(results, "symmetric", classes)
    named = [[frames.named(results, loss) for loss in tier] for tier in tiers]
    run = [[loss for loss in tier if loss in set(runs.get("loss", ()))] for tier in named]
    run = [tier for tier in run if tier]
    if runs.empty or len(run) < 3 or rate not in set(runs["rate"]):
        return not_run("Too few of the losses that the claim orders are run at this scale.")
    runs = runs[runs["loss"].isin([loss for tier in run for loss in tier])]
    found, known = measure(results, runs, value), rates_of(runs)
    pairs = [
        found.above(place, above, below, threshold=0.0)
        for place in found.places
        if known[place[1]] == rate
        for lower, upper in combinations(run, 2)
        for below in lower
        for above in upper
        if {below, above} <= set(found.losses(*place))
    ]
    if not pairs:
        return not_run(ABSENT)
    right = sum(effect.value > 0 for effect in pairs)
    text = f"At noise rate {rate:g}, {right} of {len(pairs)} pairs are in the stated order."
    verdict = combine(pairs, share_needed(len(pairs), share), text)
    low = min((each for each in known.values() if 0 < each < rate), default=None)
    if growing:
        headings = frames.printed(results, "heading", "setting")
        grown = [] if low is None else _growing(found, headings, known, run, low, rate)
        verdict = both(verdict, *(grown or [not_run(f"No rate below {rate:g} is run.")]))
    return told(
        verdict, diverged(runs) if value == LAST else diverged(runs, "they are not counted")
    )


def _growing(
    found: Measured,
    headings: dict[str, str],
    known: dict[str, float],
    tiers: list[list[str]],
    low: float,
    high: float,
) -> list[Verdict]:
    """Whether the gap between last and first tier is larger at the higher rate, per setting."""
    verdicts = []
    for setting in dict.fromkeys(place[0] for place in found.places):
        noises = {known[noise]: noise for where, noise in found.places if where == setting}
        if not {low, high} <= set(noises):
            continue
        name = f"growth of the gap, {headings[setting]}"
        cells = product((setting,), (noises[low], noises[high]), (*tiers[0], *tiers[-1]))
        if not set(cells) <= set(found.drawn.means):
            verdicts.append(judge(missing(f"A value is missing: {name}.", name)))
            continue
        ends = [_gap(setting, noises[rate], tiers) for rate in (low, high)]
        start, end = (100 * float(gap(found.drawn.means)[0]) for gap in ends)
        growth = bootstrap.effect(
            found.drawn,
            _less(ends[1], ends[0]),
            threshold=0.0,
            scale=100,
            unit="points",
            name=name,
        )
        text = (
            f"The gap between the last tier and the first goes from {start:.1f} points at rate "
            f"{low:g} to {end:.1f}:"
        )
        verdicts.append(judge(growth, text))
    return verdicts


def _gap(setting: str, noise: str, tiers: list[list[str]]) -> bootstrap.Statistic:
    """Mean of the last tier less that of the first."""
    last, first = (
        bootstrap.average(*((setting, noise, loss) for loss in tier))
        for tier in (tiers[-1], tiers[0])
    )
    return _less(last, first)


def _less(one: bootstrap.Statistic, other: bootstrap.Statistic) -> bootstrap.Statistic:
    return lambda means: one(means) - other(means)
