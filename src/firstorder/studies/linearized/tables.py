"""Tables of the study."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from firstorder.publish import measures
from firstorder.publish.numerals import significant
from firstorder.publish.registry import Results, table
from firstorder.publish.table import Table, by_seed, plus_minus, spread
from firstorder.studies.linearized import frames
from firstorder.studies.linearized.directions import directions as described
from firstorder.studies.linearized.labels import ARMS, SHOWN, headings
from firstorder.studies.linearized.settings import Reference
from firstorder.studies.linearized.spikes import of_trainings

SPREAD = "Of several seeds: mean ± standard deviation (n − 1)."


def trained(results: Results) -> str:
    """How long the recipes train the families of a selection, for a caption."""
    lengths = {}
    for name in frames.families(results):
        facts = frames.family_facts(results, name)
        steps, epochs = facts["steps"], facts["epochs"]
        lengths[name] = f"{steps:,} steps a task" if steps else f"{epochs} epochs"
    said = list(dict.fromkeys(lengths.values()))
    if len(said) > 1:
        said = [f"{length} ({name})" for name, length in lengths.items()]
    return f"Trained by the recipe: {', '.join(said)}."


ROTATED = (
    "network", "linear0", "retrained", "retrained-scaled", "linear0-scaled", "converged0",
    "retrained-converged",
)  # fmt: skip


@table(
    "rotated-kernel-table",
    reads=("network.csv", "network.json", "linear0.csv", "retrained.csv", "retrained-scaled.csv",
           "linear0-scaled.csv", "converged0.csv", "retrained-converged.csv"),
)  # fmt: skip
def rotated_kernel(results: Results) -> Table:
    """Last accuracies of network and linear models on the initial and trained kernel.

    One section per model and family, one row per arm, one column per task; the last row is the
    share of the larger class.
    """
    rows: list[dict[str, Any]] = []
    for family in frames.families(results):
        last = frames.last_epochs(frames.runs(results, *ROTATED, family=family))
        kind = frames.family_facts(results, family)["kind"]
        retrained = set(last[last["arm"] == "retrained"]["task"])
        last = last[last["task"].isin(retrained)]
        base = {"family": family, "kind": kind}
        for (label, arm, task), cell in last.groupby(["label", "arm", "task"], sort=False):
            row = {**base, "label": label, "arm": arm, "task": task, "row": ARMS[str(arm)]}
            rows.append({**row, **_both(cell)})
        tasks = frames.tasks(results, "network", family=family)
        for (label, task), cell in tasks.groupby(["label", "task"], sort=False):
            if task in retrained:
                row = {**base, "label": label, "arm": "", "task": task, "row": "larger class"}
                rows.append({**row, **_accuracy(cell.set_index("seed")["majority_test"], 1)})
    frame = pd.DataFrame(rows)
    what = {"eigenfunctions": "eigenfunction tasks", "binary": "binary task by training examples"}
    sign = {"eigenfunctions": "j", "binary": "n"}
    kinds = frame.pop("kind")
    frame.insert(0, "section", frame["label"] + ", " + kinds.map(what))
    frame.insert(2, "column", kinds.map(sign) + " = " + frame["task"].astype(str))
    frame = frame.assign(corner="Test accuracy (training), %", best=False)
    return Table(frame, (SPREAD, trained(results)))


def _accuracy(values: pd.Series, digits: int = 2) -> dict[str, Any]:
    """Shares by seed as a cell in percent; seeds that diverged are left out and counted."""
    percent = 100.0 * values.astype(float)
    mean, std, n = spread(percent)
    numbers = {"mean": mean, "std": std, "n": n, "seeds": by_seed(percent)}
    return {**numbers, "text": _marked(plus_minus(mean, std, digits), values)}


def _both(last: pd.DataFrame) -> dict[str, Any]:
    """Test accuracy of the last epoch, and training accuracy in parentheses."""
    found = _accuracy(last.set_index("seed")["test_accuracy"], 1)
    train, _, known = spread(100.0 * last["train_accuracy"].astype(float))
    if not known:
        return {**found, "train": train}
    test = plus_minus(found["mean"], found["std"], 1)
    text = _marked(f"{test} ({train:.1f})", last["test_accuracy"])
    return {**found, "train": train, "text": text}


def _marked(text: str, values: pd.Series) -> str:
    """A cell with the number of seeds that diverged, if there are any."""
    lost = int(values.isna().sum())
    if lost == len(values):
        return "diverged"
    return f"{text}, {lost} of {len(values)} diverged" if lost else text


ARMS_OF_TASKS = (*SHOWN, "ridge")


@table(
    "eigenfunction-table",
    reads=("network.csv", "network.json", "linear.csv", "converged.csv", "ridge.csv"),
)
def eigenfunctions(results: Results) -> Table:
    """Accuracies of network and linearizations on every task of a kind, and its difficulty."""
    last = frames.last_epochs(frames.runs(results, *ARMS_OF_TASKS))
    tasks = frames.tasks(results, "network")
    binary = frames.family_facts(results, frames.first_family(results))["kind"] == "binary"
    names = {} if binary else headings(results, last)
    corner = "Training examples n" if binary else "Index j"
    rows: list[dict[str, Any]] = []
    for label, part in last.groupby("label", sort=False):
        for task, cell in part.groupby("task", sort=False):
            about = tasks[(tasks["label"] == label) & (tasks["task"] == task)]
            section = names.get(str(label), str(label)).replace("\n", ", ")
            base = {"section": section, "row": f"{task}", "corner": corner, "task": task}
            for arm in ARMS_OF_TASKS:
                same = cell[cell["arm"] == arm]
                rows.append({**base, "column": f"{ARMS[arm]} (%)", **_both(same)})
            larger = about.set_index("seed")["majority_test"]
            for arm in ("network", "converged"):
                own = cell[cell["arm"] == arm].set_index("seed")["test_accuracy"]
                column = f"{ARMS[arm].rpartition(' ')[2]} over larger class"
                rows.append({**base, "column": column, **_accuracy(own - larger, 1)})
            mean, std, n = spread(about["relative_alignment"])
            said = {"mean": mean, "std": std, "n": n, "text": significant(mean, 2)}
            rows.append({**base, "column": "alignment / trace", **said})
    return Table(pd.DataFrame(rows).assign(best=False), (SPREAD, trained(results)))


@table("spike-table", reads=("alignment.csv",))
def spikes(results: Results) -> Table:
    """How far the trained kernel turned towards its task: spike, rank and order, by part."""
    said = {"excess": "over neighbours", "affine": "over the fit", "order": "Spearman, k ≠ j"}
    found = of_trainings(results)
    order = frames.model_order(results)
    found = found[found["part"] != "all"].sort_values(
        ["model", "task"], key=lambda each: each.replace(order), kind="stable"
    )
    rows: list[dict[str, Any]] = []
    for (label, part, task), cell in found.groupby(["label", "part", "task"], sort=False):
        base = {
            "section": f"{label}, {part} part",
            "row": f"{task}",
            "corner": "Trained index j",
            "task": task,
            "best": False,
        }
        for name, digits in (
            ("excess", 2), ("affine", 2), ("rank", 1), ("order", 3), ("scale", 1),
        ):  # fmt: skip
            mean, std, n = spread(cell[name])
            text = plus_minus(mean, np.nan if n < 2 else std, digits)
            rows.append(
                {
                    **base,
                    "column": said.get(name, name),
                    "mean": mean,
                    "std": std,
                    "n": n,
                    "text": _marked(text, cell[name]),
                }
            )
    note = (
        "Growth of the alignment at the trained index over the median growth of the indices from "
        "half to twice it, and over a fit of A_T = s A_0 + c to all others; rank: of the trained "
        "index in the trained kernel; scale: the median growth."
    )
    return Table(pd.DataFrame(rows), (SPREAD, trained(results), note))


AMPLITUDES = {
    "half": "ε/2, as in the released code",
    "full": "ε, as the text is believed to have it",
}


@table("nad-table", reads=("nads.npz", "network.csv", "linear.csv", "converged.csv"))
def directions(results: Results) -> Table:
    """Accuracies on the linear tasks of anisotropy directions, and what the directions are like.

    One section per model, one row per index: squared singular value over the first, mean radial
    frequency, the share of the direction in the first j ones of the two other definitions, and
    the accuracies of network and linearization.
    """
    last = frames.last_epochs(frames.runs(results, *SHOWN))
    indices = sorted(set(last["task"]))
    about = described(results, indices)
    rows: list[dict[str, Any]] = []
    for (label, task), cell in last.groupby(["label", "task"], sort=False):
        base = {"section": label, "row": f"{task}", "corner": "Index j", "task": task}
        own = about[(about["label"] == label) & (about["task"] == task)]
        for name, column, digits in (
            ("relative", "σ_j² / σ_1²", 2),
            ("frequency", "cycles per image", 2),
            ("expectation", "in first j, expectation (%)", 0),
            ("gradient", "in first j, gradients (%)", 0),
        ):
            mean, std, n = spread(own[name] * (100.0 if "%" in column else 1.0))
            small = name == "relative"
            text = significant(mean, 2) if small else plus_minus(mean, np.nan, digits)
            rows.append({**base, "column": column, "mean": mean, "std": std, "n": n, "text": text})
        for arm in SHOWN:
            same = cell[cell["arm"] == arm]
            rows.append({**base, "column": f"{ARMS[arm]} (%)", **_both(same)})
    signal = frames.family_facts(results, frames.first_family(results))
    used = signal["amplitude"]
    other = next(name for name in AMPLITUDES if name != used)
    note = (
        f"Signal ±{AMPLITUDES[used]}, at ε = {signal['epsilon']:g} and noise σ = "
        f"{signal['sigma']:g}; the other convention, {AMPLITUDES[other]}, is the same "
        f"task at {'twice' if used == 'full' else 'half'} this ε. In first j: squared norm of the "
        "direction's projection on the first j directions of the mean mixed derivative over "
        "Gaussian inputs, or of the gradients of random networks (2020)."
    )
    return Table(pd.DataFrame(rows).assign(best=False), (SPREAD, trained(results), note))


@table("reference-table", reads=("network.csv", "linear.csv", "retrained.csv"))
def reference(results: Results, *, reference: Reference) -> Table:
    """Our curves beside a reference measurement, index by index, and how alike their shapes are.

    `reference`: rows of index, linearization, network, linear on the trained kernel; accuracies
    as fractions.
    """
    table = frames.against_reference(results, reference)
    rho = pd.Series(
        {
            arm: measures.spearman(part["mean"], part["reference"])
            for arm, part in table.groupby("arm", sort=False)
        }
    )
    rows: list[dict[str, Any]] = []
    for record in table.to_dict("records"):
        arm, ours = ARMS[record["arm"]], 100.0 * record["mean"]
        base = {"section": "", "row": str(record["task"]), "corner": "Index j"}
        std = 100.0 * record["std"]
        text = "diverged" if record["count"] == 0 else plus_minus(ours, std)
        said = {"mean": ours, "std": std, "n": record["count"], "text": text}
        known = 100.0 * record["reference"]
        rows += [
            {**base, "column": f"{arm} (%)", **said},
            {
                **base,
                "column": f"{arm}, reference (%)",
                "mean": known,
                "text": plus_minus(known, np.nan),
            },
        ]
    listed = ", ".join(f"{ARMS[str(arm)]} {value:.2f}" for arm, value in rho.items())
    note = (
        f"Spearman's correlation with the reference over the common indices: {listed}."
        if rho.notna().any()
        else "No common indices."
    )
    return Table(
        pd.DataFrame(rows).assign(best=False), (SPREAD, trained(results), note.replace("-", "−"))
    )
