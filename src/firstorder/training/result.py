"""What a training leaves besides the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from firstorder.training.metrics import Row

Status = Literal["finished", "diverged"]


@dataclass(frozen=True)
class Result:
    """The record of a training; the weights are in the module."""

    status: Status
    history: list[Row]
    """One row for every epoch that was finished; a diverged epoch has none."""
    final: dict[str, float | None]
    """Training set in evaluation mode, un-augmented, at the end: the fractions of
    `metrics.LABELLING`. None throughout after divergence."""
    best: dict[str, float | int] | None
    """First epoch with the highest test accuracy: {"epoch", "test_accuracy"}."""
    first_below: dict[str, int | None]
    """Threshold ("0.1", "0.01") -> first step (from 1) whose batch loss, before its update, was
    below it."""
    correct: Tensor | None
    """bool (N,): which test examples are predicted right at the end; None after divergence."""
    steps: int
    seconds: float
    """Wall time of the training with its evaluations, over all resumptions."""
    seconds_per_step: float
    """Of the training passes alone."""
    device: str
    peak_memory_bytes: int

    @property
    def last(self) -> Row | None:
        """The last epoch that was evaluated: of a finished run, the last one."""
        rows = (row for row in reversed(self.history) if row["test_accuracy"] is not None)
        return next(rows, None)
