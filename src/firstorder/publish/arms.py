"""What the figures and tables of the linearized study share: names of arms, tasks and models."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from firstorder.config import FAMILIES, Config, Selection
from firstorder.publish import measures, records

ARMS = {
    "network": "network",
    "linear": "linearization",
    "linear0": "linear, initial kernel",
    "retrained": "linear, trained kernel",
    "random": "network, random labels",
}


def by_model(data: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of every model, under its label."""
    return [(str(label), part) for label, part in data.groupby("label", sort=False)]


KINDS = {
    "eigenfunctions": "eigenfunctions",
    "binary": "labelled images",
    "nads": "anisotropy directions",
}


def examples(config: Config, family: str, task: int) -> int:
    """How many examples a task of a family is trained on."""
    declared = config.scale.linearized.families[family]
    if FAMILIES[family] == "binary":
        return int(task)
    if declared.support is None:
        return int(declared.options.get("train", 10_000))
    return config.scale.linearized.supports[declared.support].train


def headings(config: Config, runs: pd.DataFrame) -> dict[str, str]:
    """The heading of every model, by label: with its training examples where families differ.

    `runs` has the columns label, family and task; the families are of one kind.
    """
    pairs = runs.drop_duplicates("label")[["label", "family", "task"]].itertuples(index=False)
    counts = {str(label): examples(config, family, task) for label, family, task in pairs}
    if len(set(counts.values())) == 1:
        return {label: label for label in counts}
    return {label: f"{label}\n{count:,} training images" for label, count in counts.items()}


def architectures(config: Config, runs: pd.DataFrame) -> pd.Series:
    """The architecture of the model of every row, under the label of the model named like it.

    Where there is none, under that of its first model.
    """
    models = config.studies.linearized.models
    first = {entry.model: entry.label for entry in reversed(models.values())}
    first |= {name: entry.label for name, entry in models.items() if name == entry.model}
    return runs["model"].map({name: first[entry.model] for name, entry in models.items()})


def ranked_tasks(config: Config, select: Selection) -> pd.DataFrame:
    """Every task, seed and arm of a selection: its last accuracies, and how learnable it looks.

    Adds architecture, kind, relative_alignment, examples, and ratio = relative_alignment times
    examples. The lemma of section 2 bounds the gap between training and test by the square root
    of a norm over the number of examples, and the norm from below by the inverse of the alignment:
    together trace / (alignment * examples), the inverse of `ratio`.
    """
    arms = ("network", "linear")
    last = records.last_epochs(records.linearized_runs(config, select, None, *arms))
    tasks = records.linearized_tasks(config, select, None, *arms)
    keys = ["model", "seed", "family", "arm", "task"]
    data = last.merge(tasks[[*keys, "relative_alignment"]], on=keys)
    counts = [examples(config, f, t) for f, t in zip(data["family"], data["task"], strict=True)]
    return data.assign(
        architecture=architectures(config, data),
        kind=data["family"].map(FAMILIES),
        examples=counts,
        ratio=data["relative_alignment"] * counts,
    )


def against_reference(
    config: Config, select: Selection, reference: Sequence[Sequence[float]]
) -> pd.DataFrame:
    """Mean last test accuracies over seeds, beside those of a reference measurement.

    Every row of `reference` is an index and the accuracies (fractions) of the linearization, the
    network, and the linear model on the trained kernel. Columns: arm, task, mean, std, count,
    reference; one row for every arm and index of the reference, NaN where that is not run.
    """
    arms = ("linear", "network", "retrained")
    last = records.last_epochs(records.linearized_runs(config, select, None, *arms))
    ours = measures.over_seeds(last, ["arm", "task"], "test_accuracy")
    rows = [
        {"arm": arm, "task": int(task), "reference": value}
        for task, *values in reference
        for arm, value in zip(arms, values, strict=True)
    ]
    return pd.DataFrame(rows).merge(ours, on=["arm", "task"], how="left")


def target(family: str, task: object) -> str:
    """A task as printed: an index j, or a number n of training examples."""
    return f"n = {task}" if FAMILIES[family] == "binary" else f"j = {task}"
