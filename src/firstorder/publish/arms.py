"""What the figures and tables of the linearized study share: the names of arms and tasks."""

from __future__ import annotations

import pandas as pd

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


def target(family: str, task: object) -> str:
    """A task as printed: an index j, or a number n of training examples."""
    return f"n = {task}" if family == "binary" else f"j = {task}"
