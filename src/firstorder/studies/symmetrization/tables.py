"""Tables of differences, of cost, and of what tuning chose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from firstorder.config import Some, Two
from firstorder.publish import grid
from firstorder.publish.numerals import number, significant
from firstorder.publish.registry import Results, table
from firstorder.publish.statistics import Cell, holm, mcnemar, resample, sign_flips, two_sided
from firstorder.publish.table import Table, by_seed, plus_minus, spread
from firstorder.studies.symmetrization import effects, frames
from firstorder.studies.symmetrization.equals import MIN_SEEDS, mark_equals
from firstorder.studies.symmetrization.settings import FamilyName, Heading, LossName
from firstorder.studies.symmetrization.tables_accuracy import (
    SPREAD,
    daggered,
    diverged_note,
    in_sections,
)
from firstorder.studies.symmetrization.variants import NORMS


def capital(title: str) -> str:
    """A title of data, to begin a heading."""
    return title[:1].upper() + title[1:]


@table("fixed-tuned", reads=("summary.json", "correct.npz"))
def fixed_tuned(
    results: Results,
    *,
    variants: FamilyName,
    fixed: Heading = "fixed decay",
    tuned: Heading = "tuned decay",
    steps: bool = False,
) -> Table:
    """Accuracy of losses as published, and with what is tuned for each.

    `variants` names the family of tuned variants; `fixed` and `tuned` head the columns; `steps`
    adds kappa and the effective steps of both.
    """
    runs = in_sections(frames.runs(results))
    rows: list[dict[str, Any]] = []
    members = frames.variants(results, variants)
    for member in members:
        if member["loss"] not in set(runs["loss"]):
            continue  # a scale may run fewer losses
        pair = {fixed: member["base"], tuned: member["loss"]}
        for (section, noise), cell in runs.groupby(["section", "noise"], sort=False):
            label = cell["noise_label"].iloc[0]
            shared = {
                "section": section,
                "row": member["base_label"],
                "corner": "Loss",
                "setting": cell["setting"].iloc[0],
                "dataset": cell["dataset"].iloc[0],
                "noise": noise,
            }
            parts = {what: cell[cell["loss"] == loss] for what, loss in pair.items()}
            for what, part in parts.items():
                named = {"loss": pair[what], "column": f"{label}, {what}"}
                rows.append({**shared, **named, **_mean(part, eligible=True)})
            named = {"loss": pair[tuned], "column": f"{label}, gain"}
            rows.append({**shared, **named, **_gained(*parts.values()), "eligible": False})
        if steps:
            rows += _first_steps(runs, member["base_label"], pair)
    frame, note = mark_equals(pd.DataFrame(rows), results, runs)
    notes = [SPREAD, "Gains are paired by seed, in points.", note, *diverged_note(runs)]
    tuned_itself = {row["loss"] for row in results.spec["rows"] if row["tuned"]}
    own = [each["base_label"] for each in members if each["base"] in tuned_itself]
    if own:
        notes.append(f"{fixed}: with a parameter that is tuned by itself for {', '.join(own)}.")
    return Table(frame, (*notes, STEPS) if steps else tuple(notes))


STEPS = (
    "κ is the size of the first step against that of the unhinged loss; effective steps are the "
    "sum of the learning rates times κ / (1 − momentum), on the scores that the loss sees."
)


def _mean(part: pd.DataFrame, *, eligible: bool) -> dict[str, Any]:
    """Mean, spread and print of the last accuracies of some seeds, in percent."""
    finished = part[part["status"] != "diverged"]
    failed = len(part) - len(finished)
    mean, std, n = spread(100.0 * finished["last_accuracy"])
    return {
        "mean": mean,
        "std": std,
        "n": n,
        "seeds": by_seed(100.0 * finished.set_index("seed")["last_accuracy"]),
        "text": daggered(plus_minus(mean, std), failed),
        "eligible": eligible and not failed,
    }


def _gained(first: pd.DataFrame, second: pd.DataFrame, *, spreads: bool = False) -> dict[str, Any]:
    """What the second loss gains on the first, paired by seed, in points.

    Pairs of which a training diverged are left out.
    """
    a, b = (
        part[part["status"] != "diverged"].set_index("seed")["last_accuracy"]
        for part in (first, second)
    )
    mean, std, n = spread(100.0 * (b - a))
    text = grid.signed(mean) if n else ""
    if spreads and n and not np.isnan(std):
        text += f" ± {std:.2f}"
    failed = max(len(first), len(second)) - n
    seeds = by_seed(100.0 * (b - a))
    return {"mean": mean, "std": std, "n": n, "seeds": seeds, "text": daggered(text, failed)}


def _first_steps(runs: pd.DataFrame, label: str, pair: dict[str, str]) -> list[dict[str, Any]]:
    """kappa and effective steps of both trainings of a loss, in every section."""
    rows = []
    for section, part in runs.groupby("section", sort=False):
        both = {what: part[part["loss"] == loss] for what, loss in pair.items()}
        shown = {"κ": next(iter(both.values()))["kappa"].mean()}
        for what, each in both.items():
            shown[f"effective steps, {what}"] = each["effective_steps"].mean()
        for column, value in shown.items():
            rows.append(
                {
                    "section": section,
                    "row": label,
                    "corner": "Loss",
                    "loss": next(iter(pair.values())),
                    "column": column,
                    "mean": value,
                    "std": np.nan,
                    "n": 1,
                    "text": "" if np.isnan(value) else significant(value),
                    "eligible": False,
                }
            )
    return rows


@table("cost-table", reads=("cost.json",))
def cost(results: Results) -> Table:
    """Milliseconds of a training step per loss, and the ratio to the first loss of the group."""
    rounds = frames.costs(results)
    rows: list[dict[str, Any]] = []
    for setting, part in rounds.groupby("setting", sort=False):
        section = f"{capital(part['title'].iloc[0])}, {part['device'].iloc[0]}"
        times = part.pivot(index="round", columns="loss", values="milliseconds")
        first = part.iloc[0]
        for loss, same in part.groupby("loss", sort=False):
            base = {
                "section": section,
                "row": same["label"].iloc[0],
                "corner": "Loss",
                "setting": setting,
                "loss": loss,
                "n": len(same),
            }
            columns = {
                "ms per step": times[loss],
                f"times {first['label']}": times[loss] / times[first["loss"]],
            }
            for column, values in columns.items():
                low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
                text = f"{significant(median)} ({significant(low)} to {significant(high)})"
                rows.append({**base, "column": column, "mean": median, "std": np.nan, "text": text})
    note = (
        "Median and quartiles over rounds, in which every loss makes some steps in turn in one "
        "process; ratios are taken within a round."
    )
    return Table(pd.DataFrame(rows).assign(best=False, time=True), (note,))


PENALTIES = {"weight_decay": "", "l1": " (L1)"}
"""What tuning can choose besides a loss's own parameters, and what stands beside the value."""


@table("chosen", reads=("tuning.json",))
def chosen_values(results: Results) -> Table:
    """What the tuning protocol chose for every loss, and how sure the choice is.

    A penalty is the coefficient of the L1 norm for losses that have it, else the weight decay.
    """
    chosen = frames.tunings(results)
    rows: list[dict[str, Any]] = []
    last: list[dict[str, Any]] = []  # their columns come last
    for record in chosen.to_dict("records"):
        base = {
            "section": capital(record["title"]),
            "row": record["label"],
            "corner": "Loss",
            "setting": record["setting"],
            "loss": record["loss"],
            "std": np.nan,
            "n": 1,
        }
        for name, value in record["chosen"].items():
            column = "penalty" if name in PENALTIES else AXES.get(name, name)
            text = _value(name, value)
            number = value if isinstance(value, int | float) else np.nan
            rows.append({**base, "column": column, "mean": number, "text": text})
        for column, value, text in _sureness(record["stages"][-1], record["validation_accuracy"]):
            last.append({**base, "column": column, "mean": value, "text": text})
    noise = results.spec["tuning_noise"]
    chosen_on = f"Chosen on {noise} noise by clean validation accuracy, seeds pooled. "
    return Table(pd.DataFrame(rows + last).assign(best=False), (chosen_on + SURE,))


SURE = (
    "Of the values within one standard error of the best (tied) the declared one is kept, else the "
    "one of the smallest step, else the first; best in: share of resamples over seeds and "
    "validation examples in which the chosen value has the highest accuracy; kept in: in which "
    "the whole rule chooses it. With several tuned quantities, of the last that was chosen. "
    "Declared: in config/losses.yaml and config/recipes.yaml, as published where that is known."
)
AXES = {**grid.SYMBOLS, "lr": "learning rate", "score_norm": "normalisation"}


def _value(name: str, value: Any) -> str:
    if not isinstance(value, int | float):
        return NORMS.get(value, str(value))
    return number(value, 6) + PENALTIES.get(name, "")


def _sureness(stage: dict[str, Any], reached: float) -> list[tuple[str, float, str]]:
    """Columns, numbers and texts on how sure the choice of a stage is."""
    place, count = stage["chosen"], len(stage["candidates"])
    tied = [stage["candidates"][each] for each in stage["tied"]]
    values = [_value(*item) for each in tied for item in each.items()]
    listed = ", ".join(values) if len(stage["candidates"][0]) == 1 else f"{len(tied)}"
    shares = {"best in (%)": stage["wins"][place], "kept in (%)": stage["kept"][place]}
    return [
        ("tied", float(len(tied)), f"{listed} of {count}" if tied else "all diverged"),
        *((name, 100.0 * share, f"{100 * share:.0f}") for name, share in shares.items()),
        ("validation accuracy (%)", 100.0 * reached, f"{100 * reached:.2f}"),
    ]


@table("pairs", reads=("summary.json", "correct.npz"))
def differences(results: Results, *, pairs: Some[Two[LossName]]) -> Table:
    """What one change of a loss gains: accuracy of the second minus the first of each pair.

    Columns of the CSV: p of the test that makes a difference bold, after Holm's method; and by
    themselves p_examples, of McNemar's test, and p_seeds, of flipped signs of the seeds'.
    """
    runs = in_sections(frames.runs(results))
    known = frames.printed(results, "label", "loss")
    right = effects.bits(results, runs[runs["status"] != "diverged"])
    rows = []
    for pair in pairs:
        first, second = (frames.named(results, name) for name in pair)
        if not {first, second} <= set(runs["loss"]):
            continue  # a scale may run fewer losses
        for (section, noise), cell in runs.groupby(["section", "noise"], sort=False):
            both = (cell[cell["loss"] == loss] for loss in (first, second))
            keys = ((cell["setting"].iloc[0], str(noise), loss) for loss in (second, first))
            rows.append(
                {
                    "section": section,
                    "row": f"{known[second]} − {known[first]}",
                    "column": cell["noise_label"].iloc[0],
                    "corner": "Difference in points",
                    "noise": noise,
                    "loss": second,
                    "reference": first,
                    **_gained(*both, spreads=True),
                    **_tested(*(right.get(key) for key in keys)),
                }
            )
    adjusted = holm({place: row["p"] for place, row in enumerate(rows) if not np.isnan(row["p"])})
    for place, row in enumerate(rows):
        row["p"] = adjusted.get(place, np.nan)
        row["best"] = row["p"] <= LEVEL
    frame = pd.DataFrame(rows)
    seeds = runs["seed"].nunique()
    notes = [PAIRED if seeds > 1 else "One seed: no spread. Differences are in points."]
    if adjusted:
        test = OF_TRAININGS if seeds < MIN_SEEDS else OF_LOSSES
        notes.append(test.format(level=100 * LEVEL, count=len(adjusted)))
    return Table(frame, (*notes, *diverged_note(runs)))


PAIRED = "Differences are paired by seed: mean ± standard deviation."
LEVEL = 0.05
OF_LOSSES = (
    "Bold: not zero (paired bootstrap over seeds and test examples, Holm's method over the {count} "
    "differences, {level:.0f} %)."
)
OF_TRAININGS = (
    "Bold: these trainings of the two are not right on the test examples equally often (McNemar's "
    "exact test; of two seeds flipped signs, an example being the unit; Holm's method over the "
    "{count} differences, {level:.0f} %), which says nothing of other trainings."
)


def _tested(second: Cell | None, first: Cell | None) -> dict[str, float]:
    """p-values that two losses are right equally often, and on how many examples they differ.

    Over the seeds of which both finished; not a number where there is none.
    """
    found = dict.fromkeys(("wins", "losses", "p", "p_examples", "p_seeds"), np.nan)
    if second is None or first is None:
        return found
    seeds = [seed for seed in second.seeds if seed in first.seeds]
    if not seeds:
        return found
    more, less = second.of(seeds), first.of(seeds)
    examples = mcnemar(more.results, less.results)
    p = examples.p
    if len(seeds) >= MIN_SEEDS:
        p = two_sided(resample({"more": more, "less": less}), "more", "less")
    flips = sign_flips(more.by_seed - less.by_seed).p
    numbers = (examples.wins, examples.losses, p, examples.p, flips)
    return dict(zip(found, numbers, strict=True))
