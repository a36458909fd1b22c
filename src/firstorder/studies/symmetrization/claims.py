"""Claims about accuracies: which losses come out above which, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from firstorder.publish.measures import number_range
from firstorder.publish.registry import Results, claim
from firstorder.publish.verdict import Verdict, judged, not_run
from firstorder.studies.symmetrization import frames

ANY = (0, 10**9)
"""Numbers of classes: all."""
ABSENT = "The losses, noise or number of classes that the claim is about are not run at this scale."

# Options that several claims have:
# classes: the least and the most classes of the datasets that count.
# rates, rate: of the noise.


def under(results: Results, kind: str, classes: tuple[int, int] = ANY) -> pd.DataFrame:
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


def means(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean of `value` over seeds: rows (setting, rate), columns losses."""
    if runs.empty:
        return pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=["setting", "rate"]))
    return runs.pivot_table(index=["setting", "rate"], columns="loss", values=value, aggfunc="mean")


@claim("order", reads=("summary.json",))
def order(
    results: Results,
    *,
    tiers: Sequence[Sequence[str]],
    rate: float,
    value: str = "last_accuracy",
    share: float = 0.8,
    growing: bool = False,
    classes: tuple[int, int] = ANY,
) -> Verdict:
    """P2, P5, P6: losses of different tiers come in the stated order, each above those before.

    `tiers`: losses, lowest first; `value`: a column of `frames.runs`; `share`: of pairs in order;
    `growing`: also require the gap between first and last tier to grow with the rate.
    """
    found = means(under(results, "symmetric", classes), value)
    at = found[found.index.get_level_values("rate") == rate]
    named = [[frames.named(results, loss) for loss in tier] for tier in tiers]
    run = [tier for names in named if (tier := [loss for loss in names if loss in at.columns])]
    if at.empty or len(run) < 3:
        return not_run("Too few of the losses that the claim orders are run at this scale.")
    pairs = [
        bool(line[below] < line[above])
        for _, line in at.iterrows()
        for lower, upper in combinations(run, 2)
        for below in lower
        for above in upper
    ]
    ordered = sum(pairs) / len(pairs)
    holds = ordered >= share
    text = f"At noise rate {rate:g}, {sum(pairs)} of {len(pairs)} pairs are in the stated order"
    if not growing:
        return judged(holds, f"{text}.", share=ordered)
    gap = (found[run[-1]].max(axis=1) - found[run[0]].max(axis=1)).groupby("rate").mean()
    low = gap[(gap.index > 0) & (gap.index < rate)]
    if low.empty:
        return judged(holds, f"{text}.", share=ordered)
    start, end = float(low.iloc[0]), float(gap[rate])
    return judged(
        holds and end > start,
        f"{text}; the gap between the last tier and the first goes from {100 * start:.1f} points "
        f"at rate {low.index[0]:g} to {100 * end:.1f}.",
        share=ordered,
        gap_low=start,
        gap_high=end,
    )


@claim("close", reads=("summary.json",))
def close(
    results: Results,
    *,
    losses: Sequence[str],
    rate: float = 0.0,
    gap: float = 0.03,
    classes: tuple[int, int] = ANY,
) -> Verdict:
    """P2: with clean labels the losses end close to each other.

    `gap`: of the best to the worst.
    """
    found = means(under(results, "symmetric", classes), "last_accuracy")
    at = found[found.index.get_level_values("rate") == rate]
    at = at[[loss for loss in losses if loss in at.columns]]
    if at.empty or len(at.columns) < 2:
        return not_run(ABSENT)
    spread = at.max(axis=1) - at.min(axis=1)
    return judged(
        float(spread.max()) <= gap,
        f"At noise rate {rate:g} the best of {len(at.columns)} losses ends "
        f"{number_range(100 * spread, 1)} points above the worst.",
        largest_gap=float(spread.max()),
    )


@claim("underfits", reads=("summary.json",))
def underfits(
    results: Results,
    *,
    loss: str = "mae",
    reference: str = "ce",
    gap: float = 0.3,
    classes: tuple[int, int] = ANY,
) -> Verdict:
    """P3: MAE underfits many classes, even on clean labels."""
    found = means(under(results, "symmetric", classes), "last_accuracy")
    if found.empty or not {loss, reference} <= set(found.columns):
        return not_run(ABSENT)
    clean = found[found.index.get_level_values("rate") == 0]
    if clean.empty:
        return not_run("No training with clean labels and many classes is run at this scale.")
    below, label = float((clean[reference] - clean[loss]).min()), labels(results)
    return judged(
        below >= gap,
        f"On clean labels {label[loss]} stays {100 * below:.1f} points below {label[reference]}.",
        gap=below,
    )


@claim("gain", reads=("summary.json",))
def gain(
    results: Results,
    *,
    rates: Sequence[float],
    gap: float,
    pairs: Sequence[tuple[str, str]] = (),
    variants: str | None = None,
    share: float = 1.0,
    classes: tuple[int, int] = ANY,
) -> Verdict:
    """P5, P7, P9: a loss is better than its reference by at least so much at the last epoch.

    `pairs`: of a reference and a loss; `variants`: a family, each against the loss that it
    varies; `share`: of the gains that must be so large.
    """
    found = means(under(results, "symmetric", classes), "last_accuracy")
    wanted = _of_family(results, variants) if variants else _named(results, pairs)
    run = [pair for pair in wanted if set(pair) <= set(found.columns)]
    if not run:
        return not_run(ABSENT)
    at = found[found.index.get_level_values("rate").isin(rates)]
    if at.empty:
        return not_run(f"The noise rates {list(rates)} are not run at this scale.")
    gaps = {pair: at[pair[1]] - at[pair[0]] for pair in run}
    large, label = pd.concat(gaps.values()) >= gap, labels(results)
    said = (
        f"{label[loss]} ends {number_range(100 * above, 1)} points above {label[reference]}"
        for (reference, loss), above in gaps.items()
    )
    return judged(
        float(large.mean()) >= share,
        f"At noise rates {number_range(at.index.get_level_values('rate'), 1)}, {large.sum()} of "
        f"{large.size} differences are as stated: {'; '.join(said)}.",
        share=float(large.mean()),
        **{f"gap_{loss}_{other}": float(above.min()) for (other, loss), above in gaps.items()},
    )


def _of_family(results: Results, family: str) -> list[tuple[str, str]]:
    """Every variant of a family that is not the loss that it varies, behind that loss."""
    members = frames.variants(results, family)
    return [(each["base"], each["loss"]) for each in members if each["loss"] != each["base"]]


def _named(results: Results, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of losses as they are trained at this scale."""
    return [(frames.named(results, a), frames.named(results, b)) for a, b in pairs]


@claim("optimum-differs", reads=("tuning.json",))
def optimum_differs(results: Results) -> Verdict:
    """P7: tuning does not choose the same weight decay for all losses (those with L1 aside)."""
    chosen = frames.tunings(results)
    if "weight_decay" not in chosen:
        return not_run("No weight decay is tuned at this scale.")
    chosen = chosen.dropna(subset="weight_decay")
    counts = {
        str(setting): part.value_counts().sort_index()
        for setting, part in chosen.groupby("setting", sort=False)["weight_decay"]
        if len(part) > 1
    }
    if not counts:
        return not_run("The weight decay of one loss only is tuned at this scale.")
    data = frames.printed(results, "title", "setting")
    said = (
        ", ".join(f"{decay:g} for {number}" for decay, number in count.items())
        + f" of {count.sum()} losses on {data[setting]}"
        for setting, count in counts.items()
    )
    distinct = min(map(len, counts.values()))
    return judged(
        distinct > 1, f"Tuning chose a weight decay of {'; '.join(said)}.", distinct=distinct
    )


@claim("little-to-win", reads=("summary.json",))
def little_to_win(
    results: Results,
    *,
    rate: float = 0.4,
    gap: float = 0.06,
    reference: str = "ce",
    classes: tuple[int, int] = ANY,
) -> Verdict:
    """P13: near 40 % asymmetric noise no loss wins much over cross-entropy."""
    found = means(under(results, "asymmetric", classes), "last_accuracy")
    at = found[found.index.get_level_values("rate") == rate]
    if at.empty or reference not in at.columns:
        return not_run(f"Asymmetric noise of rate {rate:g} is not run at this scale.")
    best = at.max(axis=1) - at[reference]
    name = str(at.idxmax(axis=1).iloc[int(best.to_numpy().argmax())])
    label = labels(results)
    return judged(
        float(best.max()) <= gap,
        f"At {100 * rate:g} % asymmetric noise the best loss, {label[name]}, ends "
        f"{100 * best.max():.1f} points above {label[reference]}.",
        largest_gap=float(best.max()),
    )


@claim("reuse", reads=("summary.json",))
def reuse(
    results: Results,
    *,
    chosen: float = 0.8,
    rates: tuple[float, float] = (0.2, 0.6),
    tolerance: float = 0.02,
    classes: tuple[int, int] = ANY,
) -> Verdict:
    """P14: the parameter that is best at high noise is nearly best at lower noise.

    `chosen`: rate at which it is chosen; `rates`: least and most of the others; `tolerance`: how
    much accuracy it may lose against the best there.
    """
    found = means(under(results, "symmetric", classes), "last_accuracy")
    low, high = rates
    if found.empty or chosen not in found.index.get_level_values("rate"):
        return not_run("Variants of the parameter are not run at this scale.")
    lost: list[float] = []
    for _, part in found.groupby("setting"):
        rate = part.index.get_level_values("rate")
        best = part[rate == chosen].iloc[0].idxmax()
        lower = part[(rate >= low) & (rate <= high)]
        lost += list(lower.max(axis=1) - lower[best])
    if not lost:
        return not_run("The parameter is not varied at lower noise rates at this scale.")
    return judged(
        max(lost) <= tolerance,
        f"The value that is best at rate {chosen:g} loses at most {100 * max(lost):.1f} points "
        f"against the best value at rates from {low:g} to {high:g}.",
        largest_loss=max(lost),
    )
