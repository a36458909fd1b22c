"""What a training on a binary task leaves, the same for a network and for its linearization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstorder.linearized.function_space import Trajectory

if TYPE_CHECKING:
    from firstorder.training.loop import Result

COLUMNS = ("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "distance")


@dataclass(frozen=True)
class Outcome:
    """Plain values, so that it can be kept as JSON."""

    status: str
    """finished or diverged"""
    rows: list[dict[str, Any]]
    """The finite epochs from 0 on: the keys are COLUMNS in those that were evaluated, always
    `epoch`, and what was watched."""
    first_below: dict[str, int | None]
    """Threshold -> first step (from 1) whose minibatch loss was below it."""
    seconds: float


def of_result(result: Result) -> Outcome:
    """The outcome of a network; its train columns are the full-set ones in evaluation mode."""
    renamed = {"train_loss": "fit_loss", "train_accuracy": "fit_accuracy"}
    rows = [
        {
            name: row[renamed.get(name, name)]
            for name in (COLUMNS if row["test_loss"] is not None else ("epoch",))
        }
        | {name: value for name, value in row.items() if watched(name)}
        for row in result.history
    ]
    return Outcome(result.status, _finite(rows), dict(result.first_below), result.seconds)


def evaluated(outcome: Outcome) -> list[dict[str, Any]]:
    """The COLUMNS of the epochs that were evaluated."""
    return [{name: row[name] for name in COLUMNS} for row in outcome.rows if "test_loss" in row]


def watched(column: str) -> bool:
    """Whether a column is one that follows the evolving kernel."""
    return column.startswith(("alignment_", "trace_", "energy_"))


def of_trajectory(trajectory: Trajectory, seconds: float) -> list[Outcome]:
    """One outcome per target; the time that all took together is shared out evenly."""
    columns = {
        "train_loss": trajectory.train_loss,
        "train_accuracy": trajectory.train_accuracy,
        "test_loss": trajectory.test_loss,
        "test_accuracy": trajectory.test_accuracy,
        "distance": trajectory.distance,
    }
    epochs, count = trajectory.train_loss.shape
    outcomes = []
    for target in range(count):
        rows = [
            {"epoch": epoch} | {name: float(v[epoch, target]) for name, v in columns.items()}
            for epoch in range(epochs)
        ]
        outcomes.append(
            Outcome(
                "diverged" if trajectory.diverged[target] else "finished",
                _finite(rows),
                {str(k): int(v[target]) or None for k, v in trajectory.first_below.items()},
                seconds / count,
            )
        )
    return outcomes


def _finite(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows before the first number that is not finite."""
    for position, row in enumerate(rows):
        if not all(math.isfinite(value) for value in row.values()):
            return rows[:position]
    return rows
