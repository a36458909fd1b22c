"""The tasks of a family, from the files that make them, and what describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from firstorder import streams
from firstorder.jobs.job import Files, Spec
from firstorder.studies.linearized.eigenvectors import read_eigenvectors
from firstorder.studies.linearized.grid import OF_SPECTRUM
from firstorder.studies.linearized.training import recipe_of, steps_of

if TYPE_CHECKING:
    from torch import Tensor

    from firstorder.linearized.tasks import Task


def tasks_of(spec: Spec, inputs: Files, classes: Tensor | None) -> list[Task]:
    """The tasks of a family, in the order of their indices."""
    if spec["kind"] in OF_SPECTRUM:
        path = inputs[OF_SPECTRUM[spec["kind"]]]
        return _eigenfunctions(spec, read_eigenvectors(path, max(spec["tasks"])))
    assert classes is not None
    return _binary(spec, classes)


def described(spec: Spec, kernel: Tensor, tasks: Sequence[Task]) -> dict[int, dict[str, Any]]:
    """What describes tasks by index: balance, alignment, and the steps of a training."""
    from firstorder.linearized.tasks import describe

    steps = {task.index: steps_of(recipe_of(spec, task), task) for task in tasks}
    return {
        index: {**fields, "steps": steps[index]}
        for index, fields in describe(kernel, tasks).items()
    }


def _eigenfunctions(spec: Spec, vectors: Tensor) -> list[Task]:
    """The signs of eigenfunctions (k, N) of the kernel.

    Of the kernel of all examples: transductive, as published; or of that of the training
    examples: inductive.
    """
    import torch

    from firstorder.linearized.spectrum import binary_labels
    from firstorder.linearized.tasks import Task

    train = spec["support"]["train"]
    return [
        Task(index, torch.arange(train), binary_labels(vectors[index - 1]), train)
        for index in spec["tasks"]
    ]


def _binary(spec: Spec, classes: Tensor) -> list[Task]:
    """The first half of the classes against the rest, on nested class-stratified subsets."""
    import torch

    from firstorder.data.subset import stratified_subset
    from firstorder.linearized.tasks import Task, coarse_labels

    train, seed = spec["support"]["train"], spec["seed"]
    labels = coarse_labels(classes, spec["classes"])
    return [
        Task(
            size,
            torch.from_numpy(
                stratified_subset(
                    classes[:train].numpy(), size, streams.numpy_stream(seed, "subset")
                )
            ),
            labels,
            train,
        )
        for size in spec["tasks"]
    ]
