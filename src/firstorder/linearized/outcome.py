"""What a training on a binary task leaves, the same for a network and for its linearization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from firstorder.linearized.function_space import Trajectory, cross_entropy

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
    correct: str = ""
    """The test examples that are right at the end, as hexadecimal bits; empty when diverged."""


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
    """The COLUMNS of the epochs that were evaluated.

    A training that diverged ends with the epoch in which it did, and no numbers: whoever takes
    the last row takes none of an earlier epoch for the result.
    """
    rows = [{name: row[name] for name in COLUMNS} for row in outcome.rows if "test_loss" in row]
    if outcome.status == "diverged":
        after = outcome.rows[-1]["epoch"] + 1 if outcome.rows else 0
        rows.append({"epoch": after} | dict.fromkeys(COLUMNS[1:]))
    return rows


def bits(scores: Tensor, labels: Tensor) -> str:
    """Which `scores` (M,) are on the side of 0 that `labels` (M,), 0 or 1, say; hexadecimal."""
    right = (scores.cpu() > 0) == (labels.cpu() > 0)
    return np.packbits(right.numpy()).tobytes().hex()


def packed(outcome: Outcome) -> np.ndarray:
    """The bits of an outcome as bytes (ceil(M / 8),): `np.unpackbits` gives the examples."""
    return np.frombuffer(bytes.fromhex(outcome.correct), dtype=np.uint8)


def watched(column: str) -> bool:
    """Whether a column is one that follows the evolving kernel."""
    return column.startswith(("alignment_", "trace_", "energy_"))


def of_trajectory(trajectory: Trajectory, test_labels: Tensor, seconds: float) -> list[Outcome]:
    """One outcome per target; the time that all took together is shared out evenly.

    `test_labels` (M, T) are 0 or 1.
    """
    columns = {
        "train_loss": trajectory.train_loss,
        "train_accuracy": trajectory.train_accuracy,
        "test_loss": trajectory.test_loss,
        "test_accuracy": trajectory.test_accuracy,
        "distance": trajectory.distance,
    }
    count = trajectory.train_loss.shape[1]
    outcomes = []
    for target in range(count):
        rows = [
            {"epoch": epoch} | {name: float(v[row, target]) for name, v in columns.items()}
            for row, epoch in enumerate(trajectory.epochs)
        ]
        diverged = bool(trajectory.diverged[target])
        outcomes.append(
            Outcome(
                "diverged" if diverged else "finished",
                _finite(rows),
                {str(k): int(v[target]) or None for k, v in trajectory.first_below.items()},
                seconds / count,
                "" if diverged else bits(trajectory.test_scores[:, target], test_labels[:, target]),
            )
        )
    return outcomes


def of_solution(
    scores: Tensor,
    targets: Tensor,
    test_scores: Tensor,
    test_targets: Tensor,
    distance: Tensor,
    seconds: float,
) -> list[Outcome]:
    """One outcome per column of a model that was solved for and not trained: one row, epoch 0.

    Parameters
    ----------
    scores, targets : (N, T), of the training examples; targets are 0 or 1.
    test_scores, test_targets : (M, T)
    distance : (T,) squared, of the parameters from the initialisation.
    seconds : of all columns together.
    """
    numbers = {
        "train_loss": cross_entropy(scores, targets.to(scores)),
        "train_accuracy": ((scores > 0) == (targets > 0.5)).double().mean(0),
        "test_loss": cross_entropy(test_scores, test_targets.to(test_scores)),
        "test_accuracy": ((test_scores > 0) == (test_targets > 0.5)).double().mean(0),
        "distance": distance,
    }
    outcomes = []
    for column in range(scores.shape[1]):
        row = {"epoch": 0} | {name: float(value[column]) for name, value in numbers.items()}
        finite = all(math.isfinite(value) for value in row.values())
        right = bits(test_scores[:, column], test_targets[:, column])
        outcomes.append(
            Outcome(
                "finished" if finite else "diverged",
                _finite([row]),
                {},
                seconds / scores.shape[1],
                right if finite else "",
            )
        )
    return outcomes


def _finite(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows before the first number that is not finite."""
    for position, row in enumerate(rows):
        if not all(math.isfinite(value) for value in row.values()):
            return rows[:position]
    return rows
