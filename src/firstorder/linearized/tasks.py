"""Binary tasks on the examples of a support."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from firstorder.linearized import alignment
from firstorder.linearized.spectrum import majority

Found = TypeVar("Found")


@dataclass(frozen=True)
class Task:
    """Labels 0 or 1 of all examples of a support, and which of them are trained on."""

    index: int
    """Eigenfunction or NAD index (from 1), or size of the training set."""
    rows: Tensor
    """(n,) int64: the training examples, ascending."""
    labels: Tensor
    """(N,) int64"""
    test_from: int
    """The examples from here on are the test set."""

    @property
    def train_labels(self) -> Tensor:
        return self.labels[self.rows]

    @property
    def test_labels(self) -> Tensor:
        return self.labels[self.test_from :]


def coarse_labels(classes: Tensor, count: int) -> Tensor:
    """1 for the first half of `count` classes, else 0: CIFAR2 for the ten classes of CIFAR-10."""
    return (classes < (count + 1) // 2).long()


def shuffled(task: Task, generator: torch.Generator) -> Task:
    """The same labels on other examples: nothing to learn, the same balance."""
    labels = task.labels[torch.randperm(len(task.labels), generator=generator)]
    return Task(task.index, task.rows, labels, task.test_from)


def by_training_set(
    kernel: Tensor, tasks: Sequence[Task]
) -> Iterator[tuple[list[Task], Tensor, Tensor]]:
    """Tasks that share their training examples, with the kernel of these (n, n) and of the test
    examples with them (M, n).

    `kernel` has the rows of all examples of the support and the columns of at least those that
    any task trains on.
    """
    groups: dict[tuple[int, ...], list[Task]] = {}
    for task in tasks:
        groups.setdefault(tuple(task.rows.tolist()), []).append(task)
    for group in groups.values():
        rows, test = group[0].rows, kernel[group[0].test_from :]
        count = len(rows)
        if count == int(rows[-1]) + 1:  # the leading examples: a view of the matrix
            yield group, kernel[:count, :count], test[:, :count]
        else:
            yield group, kernel[rows][:, rows], test[:, rows]


def columns(group: Sequence[Task], outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tasks of one training set from A choices of f_0, `outputs` (N, A), as T = A G columns.

    All tasks from the first f_0 come first, then all from the next. Labels and f_0 of the training
    examples (n, T), and of the test examples (M, T).
    """
    starts, (rows, first) = outputs.shape[1], (group[0].rows, group[0].test_from)
    labels = torch.stack([task.train_labels for task in group], 1).repeat(1, starts)
    test_labels = torch.stack([task.test_labels for task in group], 1).repeat(1, starts)
    start = outputs.repeat_interleave(len(group), 1)
    return labels, start[rows], test_labels, start[first:]


def by_start(
    found: Iterable[tuple[Sequence[Task], Sequence[Found]]], tasks: Sequence[Task], starts: int
) -> list[dict[int, Found]]:
    """What was found for the `columns` of every group, for every f_0 by the index of the task."""
    known: list[dict[int, Found]] = [{} for _ in range(starts)]
    for group, each in found:
        for start, own in enumerate(known):
            part = each[start * len(group) : (start + 1) * len(group)]
            own |= {task.index: one for task, one in zip(group, part, strict=True)}
    return [{task.index: own[task.index] for task in tasks} for own in known]


def describe(kernel: Tensor, tasks: Sequence[Task]) -> dict[int, dict[str, float]]:
    """Balance of tasks by index, and their alignment with the kernel of their training examples.

    `kernel` as for `by_training_set`.
    """
    described = {}
    for group, own, _ in by_training_set(kernel, tasks):
        targets = torch.stack([2.0 * task.train_labels - 1.0 for task in group]).to(own.dtype)
        trace = float(own.diagonal().double().sum())
        for task, aligned in zip(group, alignment.rayleigh(own, targets).tolist(), strict=True):
            described[task.index] = {
                "majority_train": majority(task.train_labels),
                "majority_test": majority(task.test_labels),
                "alignment": aligned,
                "relative_alignment": aligned / trace,
            }
    return described
