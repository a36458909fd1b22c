"""Claims about the course of trainings: what happens between the first epoch and the last."""

from __future__ import annotations

from collections.abc import Sequence

from firstorder.publish.measures import number_range
from firstorder.publish.registry import Results, claim
from firstorder.publish.verdict import Verdict, judged, not_run
from firstorder.studies.symmetrization import frames
from firstorder.studies.symmetrization.claims import ABSENT, ANY, under


@claim("memorises", reads=("summary.json",))
def memorises(
    results: Results,
    *,
    loss: str = "ce",
    drop: float = 0.1,
    fitted: float = 0.8,
    rates: tuple[float, float] = (0.4, 0.8),
    classes: tuple[int, int] = ANY,
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
    falls = (runs["best_accuracy"] - runs["last_accuracy"]).groupby(runs["rate"]).mean()
    wrong = runs.groupby("rate")["wrong_fitted"].mean().dropna()
    return judged(
        bool((falls >= drop).all()) and bool((wrong >= fitted).all()),
        f"{runs['label'].iloc[0]} falls from its best test accuracy to the last by "
        f"{number_range(100 * falls, 1)} points at noise rates {number_range(falls.index, 1)}, and "
        f"fits {number_range(100 * wrong, 0)} % of the wrong labels.",
        least_drop=float(falls.min()),
        largest_drop=float(falls.max()),
        wrong_fitted=float(wrong.min()),
    )


@claim("scores-explode", reads=("summary.json", "history.csv"))
def scores_explode(
    results: Results, *, raw: Sequence[str], normalised: Sequence[str], factor: float = 1000.0
) -> Verdict:
    """P4: without normalised scores the unhinged loss drives them without bound.

    `raw`, `normalised`: losses; `factor`: growth of the largest |score| from the first epoch to
    the largest. Diverged runs count as unbounded.
    """
    histories = frames.histories(results)
    if histories.empty:
        return not_run("The unhinged loss without normalised scores is not run at this scale.")
    runs = frames.runs(results)
    keys = ["setting", "noise", "loss", "seed"]
    growth = histories.groupby(keys)["score_max"].agg(lambda s: s.max() / s.iloc[0])
    diverged = runs.set_index(keys)["status"].eq("diverged")
    growth = growth.mask(diverged.reindex(growth.index, fill_value=False), float("inf"))
    loss = growth.index.get_level_values("loss")
    free, bound = ([frames.named(results, name) for name in group] for group in (raw, normalised))
    without, within = growth[loss.isin(free)], growth[loss.isin(bound)]
    if without.empty or within.empty:
        return not_run("The unhinged loss without normalised scores is not run at this scale.")
    accuracy = runs.groupby("loss")["last_accuracy"].mean()
    least, most = float(without.min()), float(within.max())
    return judged(
        least > factor > most,
        f"The largest raw score grows {least:.2g}-fold or more without normalisation and at most "
        f"{most:.2g}-fold with it; last test accuracies are "
        f"{number_range(100 * accuracy[accuracy.index.isin(free)], 1)} % and "
        f"{number_range(100 * accuracy[accuracy.index.isin(bound)], 1)} %.",
        raw_growth=least,
        normalised_growth=most,
    )


@claim("stays", reads=("summary.json",))
def stays(
    results: Results,
    *,
    losses: Sequence[str],
    rates: Sequence[float],
    drop: float = 0.03,
    classes: tuple[int, int] = ANY,
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
    falls = (runs["best_accuracy"] - runs["last_accuracy"]).groupby(runs["loss"]).mean()
    return judged(
        bool((falls <= drop).all()),
        f"From best to last test accuracy they fall by {number_range(100 * falls, 1)} points.",
        largest_drop=float(falls.max()),
    )
