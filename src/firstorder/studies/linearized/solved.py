"""Linear models that are solved for: what the linearization would reach, were it given the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from firstorder.linearized.outcome import Outcome
    from firstorder.linearized.tasks import Task

Solver = Callable[["Tensor", "Tensor", "Tensor"], "tuple[Tensor, Tensor]"]
"""Kernel (n, n), labels 0 or 1 (n, T) and f_0 (n,) to coefficients and scores (n, T)."""


def logistic(kernel: Tensor, labels: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Kernel logistic regression, converged.

    By conjugate gradients also where a factor would be cheaper: a kernel in float32 has negative
    eigenvalues beyond the ridge, at which a factored system stops.
    """
    from firstorder.linearized import converged

    found = converged.logistic(kernel, labels, outputs, direct=0)
    return found.coefficients, found.scores


def ridge(kernel: Tensor, labels: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Kernel ridge regression on labels -1 and 1; leaving one out chooses the penalty."""
    from firstorder.linearized import ridge as regression

    found = regression.fit(kernel, 2.0 * labels - 1.0, outputs)
    return found.coefficients, found.scores


def solve(
    solver: Solver, kernel: Tensor, outputs: Tensor, tasks: Sequence[Task], device: torch.device
) -> dict[int, Outcome]:
    """Solve every task; those with the same training set together.

    `kernel` has the rows of all examples and the columns of at least the training ones,
    `outputs` (N,) is f_0.
    """
    import torch

    from firstorder.linearized.cg import times
    from firstorder.linearized.outcome import of_solution
    from firstorder.linearized.tasks import by_training_set

    found: dict[int, Outcome] = {}
    for group, own, test in by_training_set(kernel, tasks):
        began, task = time.perf_counter(), group[0]
        labels, test_labels = (
            torch.stack(each, 1).to(device)
            for each in ([t.train_labels for t in group], [t.test_labels for t in group])
        )
        start = outputs[task.rows].to(device).double()
        coefficients, scores = solver(own.to(device).contiguous(), labels, start)
        moved = times(test.to(device), coefficients)
        outcomes = of_solution(
            scores,
            labels,
            moved + outputs[task.test_from :].to(device).double()[:, None],
            test_labels,
            (coefficients * (scores - start[:, None])).sum(0),
            time.perf_counter() - began,
        )
        found |= {task.index: outcome for task, outcome in zip(group, outcomes, strict=True)}
    return {task.index: found[task.index] for task in tasks}
