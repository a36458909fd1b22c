"""Claims about the course of trainings: what happens between the first epoch and the last."""

from __future__ import annotations

import numpy as np
import pandas as pd

from firstorder.bounds import AboveOne, Classes, Difference, Share
from firstorder.config import Range, Some
from firstorder.publish.measures import number_range
from firstorder.publish.numerals import number
from firstorder.publish.registry import Results, claim
from firstorder.publish.verdict import Verdict, combine, not_run
from firstorder.studies.symmetrization import frames
from firstorder.studies.symmetrization.claims import ABSENT, ANY, under
from firstorder.studies.symmetrization.effects import diverged, per_cell, told, values
from firstorder.studies.symmetrization.settings import LossName

BEYOND = float(np.log10(np.finfo(np.float32).max))
"""Growth, as a power of ten, that stands for a training that diverged: the end of float32."""


@claim("memorises", reads=("summary.json",))
def memorises(
    results: Results,
    *,
    loss: LossName = "ce",
    drop: Difference = 0.1,
    fitted: Share = 0.8,
    rates: Range[Share] = (0.4, 0.8),
    classes: Range[Classes] = ANY,
) -> Verdict:
    """P1: accuracy of a loss peaks early and falls; the wrong labels are fitted.

    `drop`: best minus last; `fitted`: share of the wrong labels, where the runs recorded it;
    `rates`: least and most.
    """
    low, high = rates
    runs = under(results, "symmetric", classes)
    if runs.empty:
        return not_run(ABSENT)
    runs = runs[(runs["loss"] == loss) & runs["rate"].between(low, high)]
    if runs.empty:
        return not_run(f"{loss} is not run at noise rates from {low:g} to {high:g}.")
    runs = falling(runs)
    share = {"scale": 100, "limits": (0, 1)}
    falls = per_cell(runs, "fall", "fall", unit="points", threshold=100 * drop, **share)
    wrong = per_cell(
        runs, "wrong_fitted", "wrong labels fitted", unit="%", threshold=100 * fitted, **share
    )
    text = (
        f"{runs['label'].iloc[0]} falls from its best test accuracy to the last by "
        f"{number_range(values(falls), 1)} points at noise rates {number_range(runs['rate'], 1)}, "
        f"and fits {number_range(values(wrong), 0)} % of the wrong labels."
    )
    return told(combine([*falls, *wrong], "all", text), diverged(runs))


def falling(runs: pd.DataFrame) -> pd.DataFrame:
    """With a column fall: best test accuracy minus last, which is 0 after divergence."""
    last = runs["last_accuracy"].mask(runs["status"] == "diverged", 0.0)
    return runs.assign(fall=runs["best_accuracy"] - last)


@claim("scores-explode", reads=("summary.json", "history.csv"))
def scores_explode(
    results: Results,
    *,
    raw: Some[LossName],
    normalised: Some[LossName],
    factor: AboveOne = 1000.0,
) -> Verdict:
    """P4: without normalised scores the unhinged loss drives them without bound.

    `raw`, `normalised`: losses; `factor`: growth of the largest |score| from the first epoch to
    the largest, compared as powers of ten. Diverged runs count as unbounded.
    """
    runs, histories = frames.runs(results), frames.histories(results)
    if runs.empty:
        return not_run("The unhinged loss without normalised scores is not run at this scale.")
    keys, grown = ["setting", "noise", "loss", "seed"], {}
    if len(histories):  # else all diverged in their first epoch
        scores = histories.groupby(keys)["score_max"]
        grown = scores.agg(lambda s: np.log10(s.max() / s.iloc[0])).to_dict()
    runs["grown"] = [
        grown.get(key, np.nan) for key in runs[keys].itertuples(index=False, name=None)
    ]
    runs["grown"] = runs["grown"].mask(runs["status"] == "diverged", BEYOND)
    free, bound = ([frames.named(results, name) for name in group] for group in (raw, normalised))
    limit, growth = float(np.log10(factor)), "growth of the scores"
    without, within = runs[runs["loss"].isin(free)], runs[runs["loss"].isin(bound)]
    grows = {"unit": "powers of ten", "threshold": limit, "limits": (0, np.inf)}
    least = per_cell(without, "grown", growth, **grows)
    most = per_cell(within, "grown", growth, direction="below", **grows)
    if not least or not most:
        return not_run("The unhinged loss without normalised scores is not run at this scale.")
    accuracy = runs.groupby("loss")["last_accuracy"].mean()
    text = (
        f"The largest raw score grows {number(10 ** values(least).min(), 2)}-fold or more without "
        f"normalisation and at most {number(10 ** values(most).max(), 2)}-fold with it (means over "
        f"seeds); last test accuracies are "
        f"{number_range(100 * accuracy[accuracy.index.isin(free)], 1)} % and "
        f"{number_range(100 * accuracy[accuracy.index.isin(bound)], 1)} %."
    )
    failed = int((runs["status"] == "diverged").sum())
    also = f"{failed} of {len(runs)} trainings diverged: without bound." if failed else ""
    return told(combine([*least, *most], "all", text), also)


@claim("stays", reads=("summary.json",))
def stays(
    results: Results,
    *,
    losses: Some[LossName],
    rates: Some[Share],
    drop: Difference = 0.03,
    classes: Range[Classes] = ANY,
) -> Verdict:
    """P8: normalised losses keep their best accuracy to the end on larger data with many classes.

    `drop`: best minus last, at most.
    """
    runs = under(results, "symmetric", classes)
    if runs.empty:
        return not_run(ABSENT)
    runs = runs[runs["loss"].isin(losses) & runs["rate"].isin(rates)]
    if runs.empty:
        return not_run("The losses or noise rates of the claim are not run at this scale.")
    falls = per_cell(
        falling(runs), "fall", "fall", scale=100, unit="points", threshold=100 * drop,
        direction="below", limits=(0, 1),
    )  # fmt: skip
    text = f"From best to last test accuracy they fall by {number_range(values(falls), 1)} points."
    return told(combine(falls, "all", text), diverged(runs))
