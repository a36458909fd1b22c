"""Claims about training with noisy labels: predicates over runs of the symmetrization study."""

from __future__ import annotations

from itertools import combinations

import pandas as pd

from firstorder.config import Claim, Config, loss_named, losses, variant_names
from firstorder.publish import records
from firstorder.publish.claims.verdict import Verdict, judged, not_run
from firstorder.publish.measures import number_range
from firstorder.publish.registry import register


def _runs(config: Config, claim: Claim, kind: str = "symmetric") -> pd.DataFrame:
    """Runs of the claim's selection with one kind of noise (clean labels count as both).

    Keeps datasets with a number of classes in the option `classes`: [least, most].
    """
    runs = records.symmetrization_runs(config, claim.select)
    if runs.empty:
        return runs
    least, most = claim.options.get("classes", (0, 10**9))
    kept = runs["classes"].between(least, most) & ((runs["kind"] == kind) | (runs["rate"] == 0))
    return runs[kept]


def _label(config: Config, loss: str) -> str:
    """A loss as printed."""
    return losses(config)[loss].label


def _data(config: Config, setting: str) -> str:
    """The data of a setting as printed."""
    return config.datasets[config.scale.symmetrization.settings[setting].dataset].title


def _means(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean of `value` over seeds: rows (setting, rate), columns losses."""
    if runs.empty:
        return pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=["setting", "rate"]))
    return runs.pivot_table(index=["setting", "rate"], columns="loss", values=value, aggfunc="mean")


ABSENT = "The losses, noise or number of classes that the claim is about are not run at this scale."


@register("memorises")
def memorises(config: Config, claim: Claim) -> Verdict:
    """P1: accuracy of a loss peaks early and falls; the wrong labels are fitted.

    Options: loss, drop (best minus last, 0.1), fitted (share of the wrong labels, 0.8, where the
    runs recorded it), rates (least and most: 0.4, 0.8).
    """
    options = claim.options
    loss, (low, high) = options.get("loss", "ce"), options.get("rates", (0.4, 0.8))
    runs = _runs(config, claim)
    if runs.empty:
        return not_run(ABSENT)
    runs = runs[(runs["loss"] == loss) & runs["rate"].between(low, high)]
    if runs.empty:
        return not_run(f"{loss} is not run at noise rates from {low:g} to {high:g}.")
    falls = (runs["best_accuracy"] - runs["last_accuracy"]).groupby(runs["rate"]).mean()
    fitted = runs.groupby("rate")["wrong_fitted"].mean().dropna()
    return judged(
        bool((falls >= float(options.get("drop", 0.1))).all())
        and bool((fitted >= float(options.get("fitted", 0.8))).all()),
        f"{runs['label'].iloc[0]} falls from its best test accuracy to the last by "
        f"{number_range(100 * falls, 1)} points at noise rates {number_range(falls.index, 1)}, and "
        f"fits {number_range(100 * fitted, 0)} % of the wrong labels.",
        least_drop=float(falls.min()),
        largest_drop=float(falls.max()),
        wrong_fitted=float(fitted.min()),
    )


@register("order")
def order(config: Config, claim: Claim) -> Verdict:
    """P2, P5, P6: losses of different tiers come in the stated order, each above those before.

    Options: tiers (lists of losses, lowest first), value (last_accuracy), rate, share (of pairs in
    order, 0.8), growing (also require the gap between first and last tier to grow with the rate).
    """
    options = claim.options
    value, rate = str(options.get("value", "last_accuracy")), float(options["rate"])
    means = _means(_runs(config, claim), value)
    at = means[means.index.get_level_values("rate") == rate]
    named = [[loss_named(config, loss) for loss in tier] for tier in options["tiers"]]
    tiers = [tier for names in named if (tier := [loss for loss in names if loss in at.columns])]
    if at.empty or len(tiers) < 3:
        return not_run("Too few of the losses that the claim orders are run at this scale.")
    pairs = [
        bool(line[below] < line[above])
        for _, line in at.iterrows()
        for lower, upper in combinations(tiers, 2)
        for below in lower
        for above in upper
    ]
    share = sum(pairs) / len(pairs)
    holds = share >= float(options.get("share", 0.8))
    text = f"At noise rate {rate:g}, {sum(pairs)} of {len(pairs)} pairs are in the stated order"
    if not options.get("growing", False):
        return judged(holds, f"{text}.", share=share)
    gap = (means[tiers[-1]].max(axis=1) - means[tiers[0]].max(axis=1)).groupby("rate").mean()
    low = gap[(gap.index > 0) & (gap.index < rate)]
    if low.empty:
        return judged(holds, f"{text}.", share=share)
    start, end = float(low.iloc[0]), float(gap[rate])
    return judged(
        holds and end > start,
        f"{text}; the gap between the last tier and the first goes from {100 * start:.1f} points "
        f"at rate {low.index[0]:g} to {100 * end:.1f}.",
        share=share,
        gap_low=start,
        gap_high=end,
    )


@register("close")
def close(config: Config, claim: Claim) -> Verdict:
    """P2: with clean labels the losses end close to each other.

    Options: losses, rate (0), gap (0.03, of the best to the worst), classes.
    """
    options = claim.options
    rate = float(options.get("rate", 0.0))
    means = _means(_runs(config, claim), "last_accuracy")
    at = means[means.index.get_level_values("rate") == rate]
    at = at[[loss for loss in options["losses"] if loss in at.columns]]
    if at.empty or len(at.columns) < 2:
        return not_run(ABSENT)
    spread = at.max(axis=1) - at.min(axis=1)
    return judged(
        float(spread.max()) <= float(options.get("gap", 0.03)),
        f"At noise rate {rate:g} the best of {len(at.columns)} losses ends "
        f"{number_range(100 * spread, 1)} points above the worst.",
        largest_gap=float(spread.max()),
    )


@register("underfits")
def underfits(config: Config, claim: Claim) -> Verdict:
    """P3: MAE underfits many classes, even on clean labels.

    Options: classes, loss (mae), reference (ce), gap (0.3).
    """
    options = claim.options
    loss, reference = options.get("loss", "mae"), options.get("reference", "ce")
    means = _means(_runs(config, claim), "last_accuracy")
    if means.empty or not {loss, reference} <= set(means.columns):
        return not_run(ABSENT)
    clean = means[means.index.get_level_values("rate") == 0]
    if clean.empty:
        return not_run("No training with clean labels and many classes is run at this scale.")
    gap = float((clean[reference] - clean[loss]).min())
    return judged(
        gap >= float(options.get("gap", 0.3)),
        f"On clean labels {_label(config, loss)} stays {100 * gap:.1f} points below "
        f"{_label(config, reference)}.",
        gap=gap,
    )


@register("scores-explode")
def scores_explode(config: Config, claim: Claim) -> Verdict:
    """P4: without normalised scores the unhinged loss drives them without bound.

    Options: raw, normalised (lists of losses), factor (1000): growth of the largest |score| from
    the first epoch to the largest; diverged runs count as unbounded.
    """
    options = claim.options
    histories = records.symmetrization_histories(config, claim.select)
    if histories.empty:
        return not_run("The unhinged loss without normalised scores is not run at this scale.")
    runs = records.symmetrization_runs(config, claim.select)
    keys = ["setting", "noise", "loss", "seed"]
    growth = histories.groupby(keys)["score_max"].agg(lambda s: s.max() / s.iloc[0])
    diverged = runs.set_index(keys)["status"].eq("diverged")
    growth = growth.mask(diverged.reindex(growth.index, fill_value=False), float("inf"))
    loss = growth.index.get_level_values("loss")
    groups = ("raw", "normalised")
    names = {group: [loss_named(config, name) for name in options[group]] for group in groups}
    raw, normalised = (growth[loss.isin(names[group])] for group in groups)
    if raw.empty or normalised.empty:
        return not_run("The unhinged loss without normalised scores is not run at this scale.")
    factor = float(options.get("factor", 1000.0))
    accuracy = runs.groupby("loss")["last_accuracy"].mean()
    least, most = float(raw.min()), float(normalised.max())
    return judged(
        least > factor > most,
        f"The largest raw score grows {least:.2g}-fold or more without normalisation and at most "
        f"{most:.2g}-fold with it; last test accuracies are "
        f"{number_range(100 * accuracy[accuracy.index.isin(names['raw'])], 1)} % and "
        f"{number_range(100 * accuracy[accuracy.index.isin(names['normalised'])], 1)} %.",
        raw_growth=least,
        normalised_growth=most,
    )


@register("gain")
def gain(config: Config, claim: Claim) -> Verdict:
    """P5, P7, P9: a loss is better than its reference by at least so much at the last epoch.

    Options: pairs (lists of reference and loss) or variants (a family: each against the loss that
    it varies), rates, gap, share (of the gains that must be so large, 1), classes.
    """
    options = claim.options
    means = _means(_runs(config, claim), "last_accuracy")
    pairs = [pair for pair in _pairs(config, claim) if set(pair) <= set(means.columns)]
    if not pairs:
        return not_run(ABSENT)
    at = means[means.index.get_level_values("rate").isin(options["rates"])]
    if at.empty:
        return not_run(f"The noise rates {options['rates']} are not run at this scale.")
    gaps = {pair: at[pair[1]] - at[pair[0]] for pair in pairs}
    large = pd.concat(gaps.values()) >= float(options["gap"])
    said = (
        f"{_label(config, loss)} ends {number_range(100 * gap, 1)} points above "
        f"{_label(config, reference)}"
        for (reference, loss), gap in gaps.items()
    )
    return judged(
        float(large.mean()) >= float(options.get("share", 1.0)),
        f"At noise rates {number_range(at.index.get_level_values('rate'), 1)}, {large.sum()} of "
        f"{large.size} differences are as stated: {'; '.join(said)}.",
        share=float(large.mean()),
        **{f"gap_{loss}_{reference}": float(gap.min()) for (reference, loss), gap in gaps.items()},
    )


def _pairs(config: Config, claim: Claim) -> list[tuple[str, str]]:
    """The (reference, loss) that a claim compares, as they are trained at this scale."""
    if "variants" in claim.options:
        named = variant_names(config, claim.options["variants"])
        return [(loss, name) for (loss, _), name in named.items() if name != loss]
    return [(loss_named(config, a), loss_named(config, b)) for a, b in claim.options["pairs"]]


@register("optimum-differs")
def optimum_differs(config: Config, claim: Claim) -> Verdict:
    """P7: tuning does not choose the same weight decay for all losses (those with L1 aside)."""
    chosen = records.symmetrization_tuning(config, claim.select)
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
    said = (
        ", ".join(f"{decay:g} for {number}" for decay, number in count.items())
        + f" of {count.sum()} losses on {_data(config, setting)}"
        for setting, count in counts.items()
    )
    distinct = min(map(len, counts.values()))
    return judged(
        distinct > 1, f"Tuning chose a weight decay of {'; '.join(said)}.", distinct=distinct
    )


@register("stays")
def stays(config: Config, claim: Claim) -> Verdict:
    """P8: normalised losses keep their best accuracy to the end on larger data with many classes.

    Options: losses, drop (best minus last at most, 0.03), rates, classes.
    """
    options = claim.options
    runs = _runs(config, claim)
    if runs.empty:
        return not_run(ABSENT)
    runs = runs[runs["loss"].isin(options["losses"]) & runs["rate"].isin(options["rates"])]
    if runs.empty:
        return not_run("The losses or noise rates of the claim are not run at this scale.")
    falls = (runs["best_accuracy"] - runs["last_accuracy"]).groupby(runs["loss"]).mean()
    return judged(
        bool((falls <= float(options.get("drop", 0.03))).all()),
        f"From best to last test accuracy they fall by {number_range(100 * falls, 1)} points.",
        largest_drop=float(falls.max()),
    )


@register("little-to-win")
def little_to_win(config: Config, claim: Claim) -> Verdict:
    """P13: near 40 % asymmetric noise no loss wins much over cross-entropy.

    Options: rate (0.4), gap (0.06), reference (ce).
    """
    options = claim.options
    rate, reference = float(options.get("rate", 0.4)), options.get("reference", "ce")
    means = _means(_runs(config, claim, "asymmetric"), "last_accuracy")
    at = means[means.index.get_level_values("rate") == rate]
    if at.empty or reference not in at.columns:
        return not_run(f"Asymmetric noise of rate {rate:g} is not run at this scale.")
    best = at.max(axis=1) - at[reference]
    name = at.idxmax(axis=1).iloc[int(best.to_numpy().argmax())]
    return judged(
        float(best.max()) <= float(options.get("gap", 0.06)),
        f"At {100 * rate:g} % asymmetric noise the best loss, {_label(config, str(name))}, ends "
        f"{100 * best.max():.1f} points above {_label(config, reference)}.",
        largest_gap=float(best.max()),
    )


@register("reuse")
def reuse(config: Config, claim: Claim) -> Verdict:
    """P14: the parameter that is best at high noise is nearly best at lower noise.

    Options: chosen (rate at which it is chosen, 0.8), rates (0.2, 0.6), loss (0.02).
    """
    options = claim.options
    means = _means(_runs(config, claim), "last_accuracy")
    chosen = float(options.get("chosen", 0.8))
    low, high = options.get("rates", (0.2, 0.6))
    if means.empty or chosen not in means.index.get_level_values("rate"):
        return not_run("Variants of the parameter are not run at this scale.")
    lost: list[float] = []
    for _, part in means.groupby("setting"):
        rates = part.index.get_level_values("rate")
        best = part[rates == chosen].iloc[0].idxmax()
        lower = part[(rates >= low) & (rates <= high)]
        lost += list(lower.max(axis=1) - lower[best])
    if not lost:
        return not_run("The parameter is not varied at lower noise rates at this scale.")
    return judged(
        max(lost) <= float(options.get("loss", 0.02)),
        f"The value that is best at rate {chosen:g} loses at most {100 * max(lost):.1f} points "
        f"against the best value at rates from {low:g} to {high:g}.",
        largest_loss=max(lost),
    )
