"""Linear models of tasks: trained by a recipe, or solved for, as if training had no end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from firstorder.jobs.job import Files, Spec
from firstorder.studies.linearized.networks import classes
from firstorder.studies.linearized.tasks import tasks_of
from firstorder.studies.linearized.training import recipe_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from firstorder.linearized.outcome import Outcome
    from firstorder.linearized.tasks import Task
    from firstorder.training.checkpoint import Checkpoint

Solver = Callable[["Tensor", "Tensor", "Tensor"], "tuple[Tensor, Tensor]"]
"""Kernel (n, n), labels 0 or 1 (n, T) and f_0 (n, T) to coefficients and scores (n, T)."""
TOLERANCE = 1e-7
"""Root mean square over the examples of the gradient where a logistic regression has converged."""


def read(spec: Spec, inputs: Files) -> tuple[Tensor, Tensor, list[Task]]:
    """The kernel (N, N) of a family, f_0 of all examples (N, 2) with and without, its tasks."""
    import torch

    from firstorder.linearized.mapped import opened

    gram, scores = opened(inputs["kernel.npy"]), opened(inputs["outputs.npy"])
    labels = classes(inputs["dataset"], spec["support"]) if spec["kind"] == "binary" else None
    return gram, torch.stack((scores, torch.zeros_like(scores)), 1), tasks_of(spec, inputs, labels)


def trained(
    spec: Spec, inputs: Files, device: torch.device, checkpoint: Checkpoint
) -> list[dict[int, Outcome]]:
    """The tasks of a family by the recipe, with f_0 and without."""
    kernel, outputs, tasks = read(spec, inputs)
    return train(spec, kernel, outputs, tasks, device)


def converged(
    spec: Spec, inputs: Files, device: torch.device, checkpoint: Checkpoint
) -> list[dict[int, Outcome]]:
    """The tasks of a family by converged logistic regression, with f_0 and without."""
    kernel, outputs, tasks = read(spec, inputs)
    return solve(partial(logistic, checkpoint=checkpoint), kernel, outputs, tasks, device)


def ridged(
    spec: Spec, inputs: Files, device: torch.device, checkpoint: Checkpoint
) -> list[dict[int, Outcome]]:
    """The tasks of a family by ridge regression, with f_0."""
    kernel, outputs, tasks = read(spec, inputs)
    return solve(ridge, kernel, outputs[:, :1], tasks, device)


def train(
    spec: Spec,
    kernel: Tensor,
    outputs: Tensor,
    tasks: Sequence[Task],
    device: torch.device,
    scale: float = 1.0,
) -> list[dict[int, Outcome]]:
    """Train the linearization of every task from every f_0; those with one training set together.

    `kernel` has the rows of all examples and the columns of at least the training ones,
    `outputs` (N, A) are A choices of f_0; the outcomes of each. The training is that of `scale`
    times the kernel: of the kernel itself with so many times the learning rate.
    """
    from firstorder.linearized import function_space
    from firstorder.linearized.outcome import of_trajectory
    from firstorder.linearized.tasks import by_start, by_training_set, columns

    found: list[tuple[list[Task], list[Outcome]]] = []
    for group, own, test in by_training_set(kernel, tasks):
        began, task = time.perf_counter(), group[0]
        recipe = recipe_of(spec, task)
        recipe = recipe.model_copy(update={"lr": scale * recipe.lr})
        labels, start, test_labels, test_start = (
            each.to(device) for each in columns(group, outputs)
        )
        trajectory = function_space.train(
            own.to(device),
            start,
            labels,
            test.to(device),
            test_start,
            test_labels,
            recipe,
            function_space.batches(len(task.rows), recipe, spec["seed"], device),
            recipe.evaluate_every,
        )
        trajectory = replace(trajectory, distance=trajectory.distance / scale)
        outcomes = of_trajectory(trajectory, test_labels, time.perf_counter() - began)
        found.append((group, outcomes))
    return by_start(found, tasks, outputs.shape[1])


def logistic(
    kernel: Tensor, labels: Tensor, outputs: Tensor, checkpoint: Checkpoint | None = None
) -> tuple[Tensor, Tensor]:
    """Kernel logistic regression, converged; every number of examples has its own checkpoint.

    By conjugate gradients also where a factor would be cheaper: a kernel in float32 has negative
    eigenvalues beyond the ridge, at which a factored system stops.
    """
    from firstorder.linearized import converged as regression

    count = len(kernel)
    found = regression.logistic(
        kernel,
        labels,
        outputs,
        tolerance=TOLERANCE * count**0.5,
        direct=0,
        checkpoint=checkpoint and checkpoint.of(str(count)),
    )
    return found.coefficients, found.scores


def ridge(kernel: Tensor, labels: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Kernel ridge regression on labels -1 and 1; leaving one out chooses the penalty."""
    from firstorder.linearized import ridge as regression

    found = regression.fit(kernel, 2.0 * labels - 1.0, outputs)
    return found.coefficients, found.scores


def solve(
    solver: Solver, kernel: Tensor, outputs: Tensor, tasks: Sequence[Task], device: torch.device
) -> list[dict[int, Outcome]]:
    """Solve every task from every f_0; those with one training set together.

    `kernel` has the rows of all examples and the columns of at least the training ones,
    `outputs` (N, A) are A choices of f_0; the outcomes of each.
    """
    from firstorder.linearized.cg import times
    from firstorder.linearized.outcome import of_solution
    from firstorder.linearized.tasks import by_start, by_training_set, columns

    found: list[tuple[list[Task], list[Outcome]]] = []
    for group, own, test in by_training_set(kernel, tasks):
        began = time.perf_counter()
        labels, start, test_labels, test_start = (
            each.to(device) for each in columns(group, outputs.double())
        )
        coefficients, scores = solver(own.to(device).contiguous(), labels, start)
        moved = times(test.to(device), coefficients)
        outcomes = of_solution(
            scores,
            labels,
            moved + test_start,
            test_labels,
            (coefficients * (scores - start)).sum(0),
            time.perf_counter() - began,
        )
        found.append((group, outcomes))
    return by_start(found, tasks, outputs.shape[1])
