"""Tables of the study of linearized networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from firstorder.config import Artefact, Config
from firstorder.publish import measures, records
from firstorder.publish.arms import ARMS
from firstorder.publish.registry import register
from firstorder.publish.table import Table, mark_best, plus_minus, spread

SPREAD = "Mean ± standard deviation (n − 1) over seeds."


@register("rotated-kernel-table")
def rotated_kernel(config: Config, declared: Artefact) -> Table:
    """Last test accuracy of network and linear models on the initial and trained kernel.

    One section per model and family, one row per arm, one column per task; the last row is the
    share of the larger class. Options: families (default: the selection's).
    """
    rows: list[dict[str, Any]] = []
    default = [declared.select.family or "eigenfunctions"]
    for family in declared.options.get("families", default):
        select = declared.select.model_copy(update={"family": family})
        runs = records.linearized_runs(config, select, family, "network", "linear0", "retrained")
        if runs.empty:
            continue
        last = records.last_epochs(runs)
        retrained = set(last[last["arm"] == "retrained"]["task"])
        last = last[last["task"].isin(retrained)]
        for (label, arm, task), cell in last.groupby(["label", "arm", "task"], sort=False):
            row = {
                "family": family,
                "label": label,
                "arm": arm,
                "task": task,
                "row": ARMS[str(arm)],
            }
            rows.append({**row, **_accuracy(cell["test_accuracy"])})
        tasks = records.linearized_tasks(config, select, family, "network")
        for (label, task), cell in tasks.groupby(["label", "task"], sort=False):
            if task in retrained:
                row = {"family": family, "label": label, "arm": "", "task": task}
                rows.append(
                    {
                        **row,
                        "row": "larger class",
                        **_accuracy(cell["majority_test"]),
                        "eligible": False,
                    }
                )
    frame = pd.DataFrame(rows)
    what = {"eigenfunctions": "eigenfunction tasks", "binary": "binary task by training examples"}
    sign = {"eigenfunctions": "j", "binary": "n"}
    frame.insert(0, "section", frame["label"] + ", " + frame["family"].map(what))
    frame.insert(2, "column", frame["family"].map(sign) + " = " + frame["task"].astype(str))
    return Table(mark_best(frame.assign(corner="Test accuracy (%)")), (SPREAD,))


def _accuracy(values: pd.Series) -> dict[str, Any]:
    mean, std, n = spread(100.0 * values.astype(float))
    return {"mean": mean, "std": std, "n": n, "text": plus_minus(mean, std), "eligible": True}


@register("eigenfunction-table")
def eigenfunctions(config: Config, declared: Artefact) -> Table:
    """Accuracies of network and linearization on every eigenfunction task, and its difficulty."""
    arms = ("network", "linear")
    runs = records.linearized_runs(config, declared.select, "eigenfunctions", *arms)
    tasks = records.linearized_tasks(config, declared.select, "eigenfunctions", "network")
    last = records.last_epochs(runs)
    rows: list[dict[str, Any]] = []
    for label, part in last.groupby("label", sort=False):
        for task, cell in part.groupby("task", sort=False):
            about = tasks[(tasks["label"] == label) & (tasks["task"] == task)]
            base = {"section": label, "row": f"{task}", "corner": "Index j", "task": task}
            for arm in arms:
                same = cell[cell["arm"] == arm]
                for name in ("train_accuracy", "test_accuracy"):
                    column = f"{ARMS[arm]}, {name.partition('_')[0]} (%)"
                    rows.append({**base, "column": column, **_accuracy(same[name])})
            rows.append({**base, "column": "larger class (%)", **_accuracy(about["majority_test"])})
            mean, std, n = spread(about["relative_alignment"])
            rows.append(
                {
                    **base,
                    "column": "alignment / trace",
                    "mean": mean,
                    "std": std,
                    "n": n,
                    "text": f"{mean:.2g}",
                }
            )
    frame = pd.DataFrame(rows).drop(columns="eligible").assign(best=False)
    return Table(frame, (SPREAD,))


@register("spike-table")
def spikes(config: Config, declared: Artefact) -> Table:
    """How far the trained kernel turned towards its task: spike, rank and order, by part."""
    found = measures.spikes(records.linearized_csv(config, declared.select, "alignment.csv"))
    found = found[found["part"] != "all"]
    rows: list[dict[str, Any]] = []
    for (label, part, task), cell in found.groupby(["label", "part", "task"], sort=False):
        base = {
            "section": f"{label}, {part} part",
            "row": f"{task}",
            "corner": "Trained index j",
            "task": task,
            "best": False,
        }
        for name, digits in (("spike", 2), ("rank", 1), ("order", 3), ("scale", 1)):
            mean, std, n = spread(cell[name])
            column = {"spike": "spike / median", "order": "Spearman, k ≠ j", "scale": "scale"}
            rows.append(
                {
                    **base,
                    "column": column.get(name, name),
                    "mean": mean,
                    "std": std,
                    "n": n,
                    "text": plus_minus(mean, np.nan if n < 2 else std, digits),
                }
            )
    note = (
        "Spike: growth of the alignment at the trained index over the median growth; rank: of the "
        "trained index in the trained kernel; scale: the median growth."
    )
    return Table(pd.DataFrame(rows), (SPREAD, note))
