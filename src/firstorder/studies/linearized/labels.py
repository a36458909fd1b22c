"""How figures and tables of the study name arms, kinds of tasks, models and tasks."""

from __future__ import annotations

import pandas as pd

from firstorder.publish.registry import Results
from firstorder.studies.linearized.frames import examples, family_facts

ARMS = {
    "network": "network",
    "linear": "linearization",
    "linear0": "linear, initial kernel",
    "retrained": "linear, trained kernel",
    "random": "network, random labels",
    "converged": "linearization, converged",
    "ridge": "linearization, ridge",
    "converged0": "linear, initial kernel, converged",
    "retrained-scaled": "linear, trained kernel at the initial trace",
    "linear0-scaled": "linear, initial kernel at the trained trace",
    "retrained-converged": "linear, trained kernel, converged",
}
SHOWN = ("network", "linear", "converged")
"""The arms of a figure that compares networks with their linearizations."""
KINDS = {
    "eigenfunctions": "eigenfunctions",
    "binary": "labelled images",
    "nads": "anisotropy directions",
    "inductive": "inductive eigenfunctions",
}


def by_model(data: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of every model, under its label."""
    return [(str(label), part) for label, part in data.groupby("label", sort=False)]


def headings(results: Results, runs: pd.DataFrame) -> dict[str, str]:
    """The heading of every model, by label: with its training examples where families differ.

    `runs` has the columns label, family and task; the families are of one kind.
    """
    pairs = runs.drop_duplicates("label")[["label", "family", "task"]].itertuples(index=False)
    counts = {str(label): examples(results, family, task) for label, family, task in pairs}
    if len(set(counts.values())) == 1:
        return {label: label for label in counts}
    return {label: f"{label}\n{count:,} training images" for label, count in counts.items()}


def target(results: Results, family: str, task: object) -> str:
    """A task as printed: an index j, or a number n of training examples."""
    return f"n = {task}" if family_facts(results, family)["kind"] == "binary" else f"j = {task}"
