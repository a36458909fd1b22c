"""Training a linearized network without the network.

Stochastic gradient descent with momentum on a linearized network never leaves the span of its
training Jacobian: theta - theta_0 = J^T c. On the coefficients c (N,) the same steps read

    z_B = f_0,B + K_B c,   g_B = (sigmoid(z_B) - y_B) / |B|,   m <- mu m + g,   c <- c - lr m,

with predictions f_0 + K c and squared distance c' K c from the initialisation. The cost of a step
is |B| N for each target, whatever the number of parameters; all targets train at once, as columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from firstorder import streams
from firstorder.errors import ConfigError
from firstorder.linearized import LEAVE_THE_SPAN
from firstorder.linearized.gemm import full_precision, gram
from firstorder.training.data import Batching, batch_sizes
from firstorder.training.schedule import THRESHOLDS, Schedule, learning_rate

Batches = Iterable[Sequence[Tensor]]
"""For every epoch the indices (B,) of its batches, in order."""


class Descent(Schedule, Batching, Protocol):
    """How a linearized network is trained; a recipe of the configuration is one."""

    @property
    def momentum(self) -> float: ...
    @property
    def nesterov(self) -> bool: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def clip(self) -> float | None: ...
    @property
    def augment(self) -> Sized: ...


@dataclass(frozen=True)
class Trajectory:
    """What is known of the training of T targets: rows of `epochs`, 0 (before) to E; float64.

    A target that diverged has rows that are not finite from that epoch on.
    """

    train_loss: Tensor
    """(E + 1, T), over the whole training set."""
    train_accuracy: Tensor
    test_loss: Tensor
    test_accuracy: Tensor
    distance: Tensor
    """Squared Euclidean distance of the parameters from the initialisation."""
    first_below: dict[float, Tensor]
    """Threshold -> (T,) first step (from 1) whose minibatch loss is smaller; 0 where none is."""
    coefficients: Tensor
    """(N, T)"""
    test_scores: Tensor
    """(M, T), after the last epoch."""
    epochs: tuple[int, ...]
    """Those that were measured."""

    @property
    def diverged(self) -> Tensor:
        """(T,) bool."""
        return ~(self.train_loss.isfinite() & self.distance.isfinite()).all(0)


def batches(count: int, recipe: Descent, seed: int, device: torch.device | str) -> Batches:
    """The batches in which the training loop would show `count` examples to a network."""
    generator, sizes = streams.torch_stream(seed, "order"), batch_sizes(count, recipe)

    def epochs() -> Iterator[Sequence[Tensor]]:
        for _ in range(recipe.epochs):
            order = torch.randperm(count, generator=generator).to(device)
            yield order[: sum(sizes)].split(sizes)

    return epochs()


def train(
    kernel: Tensor,
    outputs: Tensor,
    targets: Tensor,
    test_kernel: Tensor,
    test_outputs: Tensor,
    test_targets: Tensor,
    recipe: Descent,
    batches: Batches,
    every: int = 1,
) -> Trajectory:
    """Minimise the mean binary cross-entropy of f_0 + K c for all T targets.

    `kernel` (N, N) and `outputs` f_0 of the training examples, (N,) or (N, T), one for each
    target; `test_kernel` (M, N) of test with training examples; `targets` (N, T) and
    `test_targets` (M, T) are 0 or 1. Zero outputs give the linearization without f_0. Measured
    are every so many epochs, and the last. Raises ConfigError for a recipe that leaves the span.
    """
    for key in LEAVE_THE_SPAN:
        if getattr(recipe, key):
            raise ConfigError(
                f"recipe of a linearized training: it has {key}; function space is exact for plain "
                "momentum only"
            )
    with full_precision():
        return _train(
            kernel,
            outputs.reshape(len(outputs), -1),
            targets.to(kernel.dtype),
            _Part(
                test_kernel,
                test_outputs.reshape(len(test_outputs), -1),
                test_targets.to(kernel.dtype),
            ),
            recipe,
            batches,
            every,
        )


@dataclass(frozen=True)
class _Part:
    """The rows of a kernel against the training examples, with f_0 and targets of these rows."""

    kernel: Tensor
    outputs: Tensor
    """(rows, 1) or (rows, T)"""
    targets: Tensor

    def scores(self, coefficients: Tensor) -> Tensor:
        """f_0 + K c, for coefficients (T, N)."""
        return gram(self.kernel, coefficients).add_(self.outputs)


def _train(
    kernel: Tensor,
    outputs: Tensor,
    y: Tensor,
    test: _Part,
    recipe: Descent,
    batches: Batches,
    every: int,
) -> Trajectory:
    whole = _Part(kernel, outputs, y)
    # One target a row: then both factors of every product are read along their rows.
    coefficients = torch.zeros_like(y.T.contiguous())
    momentum = torch.zeros_like(coefficients)
    never = torch.zeros(len(coefficients), dtype=torch.int64, device=y.device)
    first = {level: never.clone() for level in THRESHOLDS}
    rows, measured = [_measure(coefficients, whole, test)], [0]
    step = 0
    for epoch, order in enumerate(batches, 1):
        for position, index in enumerate(order):
            lr = learning_rate(recipe, epoch, position, len(order))
            batch = _Part(kernel[index], outputs[index], y[index])
            scores = batch.scores(coefficients)
            gradient = (torch.sigmoid(scores) - batch.targets).div_(len(index)).T
            step += 1
            _note(first, step, cross_entropy(scores, batch.targets))
            momentum.mul_(recipe.momentum).index_add_(1, index, gradient)
            if recipe.nesterov:
                coefficients.add_(momentum, alpha=-lr * recipe.momentum)
                coefficients.index_add_(1, index, gradient, alpha=-lr)
            else:
                coefficients.add_(momentum, alpha=-lr)
        if epoch % every == 0 or epoch == recipe.epochs:
            rows.append(_measure(coefficients, whole, test))
            measured.append(epoch)
    train_loss, train_accuracy, test_loss, test_accuracy, distance = (
        torch.stack(column) for column in zip(*rows, strict=True)
    )
    return Trajectory(
        train_loss,
        train_accuracy,
        test_loss,
        test_accuracy,
        distance,
        first_below={level: steps.cpu() for level, steps in first.items()},
        coefficients=coefficients.T,
        test_scores=test.scores(coefficients),
        epochs=tuple(measured),
    )


def cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy (T,) of logits and targets (B, T)."""
    return (functional.softplus(scores) - targets * scores).mean(0)


def _note(first: dict[float, Tensor], step: int, loss: Tensor) -> None:
    for level, steps in first.items():
        steps.masked_fill_((steps == 0) & (loss < level), step)


def _measure(coefficients: Tensor, train: _Part, test: _Part) -> tuple[Tensor, ...]:
    """Losses, accuracies and squared distance of every target, on the host in float64."""
    scores, test_scores = train.scores(coefficients), test.scores(coefficients)
    moved = scores - train.outputs
    values = (
        cross_entropy(scores, train.targets),
        ((scores > 0) == (train.targets > 0.5)).double().mean(0),
        cross_entropy(test_scores, test.targets),
        ((test_scores > 0) == (test.targets > 0.5)).double().mean(0),
        (coefficients.T * moved).sum(0),
    )
    return tuple(value.double().cpu() for value in values)
