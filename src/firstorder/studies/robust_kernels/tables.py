"""Tables: the exact statements with their errors, and accuracies under noise."""

from __future__ import annotations

from typing import Any

import pandas as pd

from firstorder.bounds import Share
from firstorder.config import Some
from firstorder.publish.numerals import significant
from firstorder.publish.registry import Results, table
from firstorder.publish.table import Table, plus_minus, spread
from firstorder.studies.robust_kernels import frames

STATEMENTS = (
    ("unhinged", "unhinged loss after T steps is the mean classifier", "|C − C'| / |C'|"),
    ("changed", "its test predictions after 1 and after T steps", "that differ"),
    ("identity", "noise shrinks the expected scores by 1 − ηK/(K − 1)", "largest relative error"),
    ("ridge", "ridge regression of penalty 10⁶ is the mean classifier", "1 − cosine"),
    ("moments", "accuracy from two moments of the labels, η ≤ 0.8", "largest error, points"),
)


@table(
    "exact-statements",
    reads=("noise.json", "exact.json", "first_step.csv", "accuracy.csv", "predicted.csv"),
)
def exact_statements(results: Results, *, most: Share = 0.8) -> Table:
    """Every statement and how far it is from exact; a section a kernel."""
    known = frames.statements(results)
    first = frames.of_kernels(results, "first_step.csv", frames.FIRST)
    gaps = prediction_gaps(results, most)
    labels = frames.labels(results)
    rows: list[dict[str, Any]] = []
    for title, own in known.groupby("title", sort=False):
        steps = first[first["title"] == title]
        for slug, label in labels.items():
            own_steps = steps[steps["loss"] == slug]
            ties = " (breaks ties)" if own_steps["breaks_ties"].any() else ""
            name = f"first step of {label}{ties} is the mean classifier"
            rows.append(_row(title, name, "|C − C'| / |C'|", own_steps["error"].max()))
        moments = gaps.loc[gaps["title"] == title, "gap"].abs().max()
        values = {
            "unhinged": own["error"].max(),
            "changed": own["changed"].max(),
            "identity": own["identity_error"].max(),
            "ridge": 1 - own["ridge_cosine"].min(),
            "moments": 100 * moments,
        }
        for key, name, unit in STATEMENTS:
            said = name.replace("T steps", f"{own['steps'].max():,} steps")
            rows.append(_row(title, said, unit, values[key]))
    return Table(pd.DataFrame(rows))


def _row(title: Any, name: str, unit: str, value: float) -> dict[str, Any]:
    text = f"{value:.2f}" if unit.endswith("points") else significant(value, 2)
    text = f"{value:.0f}" if unit == "that differ" else text.replace("-", "−")
    return {
        "section": str(title), "row": f"{name}: {unit}", "corner": "Statement",
        "column": "measured", "mean": float(value), "text": text, "best": False,
    }  # fmt: skip


def prediction_gaps(results: Results, most: float) -> pd.DataFrame:
    """Mean measured less predicted accuracy of the mean classifier, for rates up to `most`."""
    keys = ["kernel", "seed", "title", "sampler", "rate"]
    measured = frames.of_kernels(results, "accuracy.csv", frames.MEASURED)
    own = measured[(measured["classifier"] == "mean") & (measured["rate"] <= most + 1e-9)]
    mean = own.groupby(keys, sort=False)["accuracy"].mean().reset_index()
    told = frames.of_kernels(results, "predicted.csv", frames.PREDICTED)
    both = mean.merge(told, on=keys, suffixes=("", "_predicted"))
    return both.assign(gap=both["accuracy"] - both["accuracy_predicted"])


@table("accuracy", reads=("accuracy.csv", "predicted.csv"))
def accuracy(results: Results, *, rates: Some[Share] = (0.0, 0.4, 0.8)) -> Table:
    """Test accuracies in percent under both samplers, side by side; a section a kernel."""
    measured = frames.of_kernels(results, "accuracy.csv", frames.MEASURED)
    predicted = frames.of_kernels(results, "predicted.csv", frames.PREDICTED)
    told = predicted.assign(classifier="predicted")
    frame = pd.concat([measured, told], ignore_index=True)
    names = {"mean": "", "predicted": "mean classifier, predicted", **frames.classifiers(results)}
    rows = []
    for title, own in frame.groupby("title", sort=False):
        for classifier, label in names.items():
            for rate in rates:
                for sampler, said in frames.SAMPLERS.items():
                    if not rate and sampler == "iid":
                        continue
                    cell = own[
                        (own["classifier"] == classifier)
                        & (own["rate"].sub(rate).abs() < 1e-9)
                        & (own["sampler"] == sampler)
                    ]
                    rows.append(_cell(str(title), label, rate, said, 100 * cell["accuracy"]))
    return Table(pd.DataFrame(rows))


def _cell(section: str, row: str, rate: float, sampler: str, values: pd.Series) -> dict[str, Any]:
    mean, std, n = spread(values)
    column = f"{100 * rate:.0f} %, {sampler}" if rate else "clean"
    return {
        "section": section, "row": row, "corner": "Classifier", "column": column, "mean": mean,
        "std": std, "n": n, "text": plus_minus(mean, std, 1), "best": False,
    }  # fmt: skip
