"""Training a linearized network of K outputs without the network, for any loss.

f(x) = f_0(x) + sum_n Theta(x, x_n) C_n with coefficients C (N, K). A loss maps scores (B, K) to its
values (B, K) for every label, so the gradient of a batch is known, and a step of gradient descent
with momentum on the weights reads on the coefficients

    g_B = d/ds loss(f_B, y_B) / |B|,   m <- mu m + g,   C <- C - lr m.

Theta is a scalar kernel (N, N), the same for every output, or has full blocks (N, N, K, K):
Theta[n, m, k, l] is the product of the gradients of f_k(x_n) and f_l(x_m). Trainings of one kernel
go side by side, whatever their losses and labels; with R of them a full-batch step costs
R K N^2 multiplications (R K^2 N^2 with blocks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from firstorder.linearized.gemm import full_precision, gram

Values = Callable[[Tensor], Tensor]
"""Scores (B, K) to the values (B, K) of a loss for every label: `Loss.values` of a built loss."""


@dataclass(frozen=True)
class Run:
    """One training: a loss, labels and a factor of the learning rate."""

    values: Values
    labels: Tensor
    """(N,) int64, those trained on."""
    scale: float = 1.0


@dataclass(frozen=True)
class Part:
    """The rows of a kernel against the N training examples, with f_0 (M, K) of these rows."""

    kernel: Tensor
    """(M, N) or (M, N, K, K)"""
    labels: Tensor
    """(M,) int64, the true ones."""
    outputs: Tensor | None = None
    """Zero if left."""


@dataclass(frozen=True)
class Paths:
    """What is known of R trainings: rows of the recorded steps; float64, on the host."""

    names: tuple[str, ...]
    steps: tuple[int, ...]
    """Steps made before each row."""
    loss: Tensor
    """(S, R): mean over the training set, for the labels trained on."""
    train_accuracy: Tensor
    """(S, R): share of the training set that gets the label trained on."""
    test_accuracy: Tensor
    wrong_fitted: Tensor
    """(S, R): of the examples with a wrong label, the share that gets it; nan where none has."""
    coefficients: Tensor
    """(R, N, K), at the end."""

    def of(self, name: str) -> int:
        """The column of a training."""
        return self.names.index(name)


def first_slope(values: Values, num_classes: int) -> float:
    """kappa: at equal scores the gradient of a loss is -kappa (e_y - 1/K).

    Taken for the last label: eps-softmax losses treat the first of equal scores as the largest.
    Raises ValueError where that is not positive: no learning rate gives an equal first step.
    """
    scores = torch.zeros(1, num_classes, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(values(scores)[0, -1], scores)
    kappa = 0.0 - float(slope[0, -1]) / (1 - 1 / num_classes)
    if not kappa > 0:
        raise ValueError(f"kappa is {kappa:g}: the loss has no descent towards the label")
    return kappa


def equal_first_step(values: Values, labels: Tensor, num_classes: int) -> Run:
    """A training whose first step from equal scores is that of every other loss: rate / kappa."""
    return Run(values, labels, 1 / first_slope(values, num_classes))


def full_batch(rate: float, steps: int) -> list[tuple[float, None]]:
    """`steps` steps on all examples."""
    return [(rate, None)] * steps


def moments_of(steps: int, growth: float = 1.1) -> tuple[int, ...]:
    """Steps worth recording: all of the first ten, then ever more rarely, 0 and the last."""
    chosen, at = {0, steps}, 1.0
    while at < steps:
        chosen.add(int(at))
        at = max(at + 1, at * growth)
    return tuple(sorted(chosen))


def train(
    train: Part,
    test: Part,
    runs: Mapping[str, Run],
    steps: Iterable[tuple[float, Tensor | None]],
    *,
    num_classes: int,
    momentum: float = 0.0,
    nesterov: bool = False,
    record: Sequence[int] | None = None,
) -> Paths:
    """Minimise the mean loss of every run by gradient descent on the coefficients.

    Parameters
    ----------
    train : kernel of the training examples; its `labels` are the true ones.
    test : kernel of test with training examples.
    runs : trainings by name; a run's own factor multiplies the rates.
    steps : learning rate and batch (B,) int64 of every step; None is the whole training set.
    num_classes : K.
    momentum, nesterov : as of torch's SGD.
    record : steps before which the trainings are measured (0: before the first); by default all
        of the first ten and then ever more rarely. The last step is always followed by a row.
    """
    schedule = list(steps)
    watched = set(moments_of(len(schedule)) if record is None else record) | {len(schedule)}
    with full_precision():
        return _train(
            _Rows.of(train, num_classes),
            _Rows.of(test, num_classes),
            runs,
            schedule,
            (momentum, nesterov),
            watched,
        )


@dataclass(frozen=True)
class _Rows:
    """Kernel rows as a matrix, so that scores are one product with all coefficients.

    Coefficients are (R, K, N). Of a scalar kernel the matrix is (M, N); of blocks (M, K, K N).
    """

    matrix: Tensor
    labels: Tensor
    outputs: Tensor
    """(M, K)"""

    @classmethod
    def of(cls, part: Part, num_classes: int) -> _Rows:
        kernel, count = part.kernel, len(part.kernel)
        if kernel.dim() == 4:
            kernel = kernel.permute(0, 2, 3, 1).reshape(count, num_classes, -1)
        outputs = part.outputs
        if outputs is None:
            outputs = kernel.new_zeros(count, num_classes)
        return cls(kernel.contiguous(), part.labels, outputs.to(kernel.dtype))

    def take(self, index: Tensor | None) -> _Rows:
        """The rows at `index` (B,)."""
        if index is None:
            return self
        return _Rows(self.matrix[index], self.labels[index], self.outputs[index])

    def scores(self, coefficients: Tensor) -> Tensor:
        """f (R, M, K)."""
        runs, classes, count = coefficients.shape
        if self.matrix.dim() == 2:
            flat = gram(self.matrix, coefficients.view(runs * classes, count))
            moved = flat.view(-1, runs, classes).transpose(0, 1)
        else:
            flat = gram(self.matrix.flatten(0, 1), coefficients.view(runs, classes * count))
            moved = flat.view(-1, classes, runs).permute(2, 0, 1)
        return moved + self.outputs


def _train(
    whole: _Rows,
    test: _Rows,
    runs: Mapping[str, Run],
    schedule: Sequence[tuple[float, Tensor | None]],
    descent: tuple[float, bool],
    watched: set[int],
) -> Paths:
    momentum, nesterov = descent
    coefficients = whole.matrix.new_zeros(len(runs), whole.outputs.shape[1], len(whole.labels))
    velocity, gradient = torch.zeros_like(coefficients), torch.zeros_like(coefficients)
    scales = coefficients.new_tensor([run.scale for run in runs.values()])[:, None, None]
    labels = torch.stack([run.labels for run in runs.values()])
    rows = []
    for step, (rate, index) in enumerate(schedule):
        batch = whole.take(index)
        scores = batch.scores(coefficients)
        if step in watched:
            full = scores if index is None else whole.scores(coefficients)
            rows.append(_measure(full, test.scores(coefficients), runs, labels, whole, test))
        given = labels if index is None else labels[:, index]
        slopes = _slopes(runs, scores, given).mT
        if index is None:
            gradient = slopes
        else:
            gradient.zero_()[:, :, index] = slopes
        velocity = velocity.mul_(momentum).add_(gradient)
        move = gradient + momentum * velocity if nesterov else velocity
        coefficients -= rate * scales * move
    rows.append(
        _measure(whole.scores(coefficients), test.scores(coefficients), runs, labels, whole, test)
    )
    loss, fitted, tested, wrong = (torch.stack(column) for column in zip(*rows, strict=True))
    steps = tuple(sorted(step for step in watched if step <= len(schedule)))
    return Paths(
        tuple(runs), steps, loss, fitted, tested, wrong, coefficients.mT.contiguous().cpu()
    )


def _slopes(runs: Mapping[str, Run], scores: Tensor, labels: Tensor) -> Tensor:
    """The gradient (R, B, K) of the mean loss of every run in its scores."""
    slopes = []
    for run, own, given in zip(runs.values(), scores, labels, strict=True):
        leaf = own.detach().contiguous().requires_grad_()
        total = run.values(leaf).gather(1, given[:, None]).mean()
        slopes.append(torch.autograd.grad(total, leaf)[0])
    return torch.stack(slopes)


def _measure(
    scores: Tensor,
    test_scores: Tensor,
    runs: Mapping[str, Run],
    labels: Tensor,
    whole: _Rows,
    test: _Rows,
) -> tuple[Tensor, ...]:
    """Loss, shares of given labels and of test labels found, share of wrong labels fitted (R,)."""
    losses = [
        run.values(own).gather(1, given[:, None]).double().mean()
        for run, own, given in zip(runs.values(), scores, labels, strict=True)
    ]
    fits = scores.argmax(2) == labels
    wrong = labels != whole.labels
    values = (
        torch.stack(losses),
        fits.double().mean(1),
        (test_scores.argmax(2) == test.labels).double().mean(1),
        (fits & wrong).double().sum(1) / wrong.double().sum(1),
    )
    return tuple(value.cpu() for value in values)
