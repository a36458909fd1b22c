"""Losses and label noise on tangent kernels of K outputs: exact statements, in float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, jvp

from firstorder import losses
from firstorder.linearized import (
    mean_classifier,
    moments,
    multiclass,
    noise_alignment,
    normalised,
    ridge,
)

torch.set_num_threads(1)

F64 = torch.float64
COUNT, TESTS, CLASSES = 14, 6, 3


def integers(high: int, count: int, seed: int) -> Tensor:
    return torch.randint(high, (count,), generator=torch.Generator().manual_seed(seed))


def blobs(count: int, seed: int, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """Inputs (count, 8) around a centre for every class, and their classes."""
    centres = torch.randn(classes, 8, generator=torch.Generator().manual_seed(99), dtype=F64)
    labels = torch.arange(count) % classes
    noise = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return centres[labels] + noise, labels


def network(linear: bool) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(3)
    x = torch.randn(COUNT + TESTS, 5, dtype=F64)
    if linear:
        return nn.Linear(5, CLASSES, bias=False).double(), x
    # Two hidden layers: with one, the blocks of the kernel are symmetric in their outputs.
    layers = nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 6), nn.GELU(), nn.Linear(6, CLASSES)
    return nn.Sequential(*layers).double(), x


def blocks(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The kernel (N, N, K, K) and the outputs (N, K), by automatic differentiation."""
    start = {name: value.detach() for name, value in module.named_parameters()}
    jacobian = jacrev(lambda theta: functional_call(module, theta, (x,)))(start)
    J = torch.cat([part.flatten(2) for part in jacobian.values()], 2)
    return torch.einsum("nkp,mlp->nmkl", J, J), module(x).detach()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("scalar", [False, True])
def test_training_on_the_kernel_is_training_of_the_linearized_network(
    scalar: bool, nesterov: bool
) -> None:
    module, x = network(linear=scalar)
    theta, f0 = blocks(module, x)
    if scalar:
        assert torch.allclose(theta, theta[:, :, :1, :1] * torch.eye(CLASSES, dtype=F64))
        theta = theta[:, :, 0, 0]
    true = integers(CLASSES, COUNT + TESTS, 1)
    chosen = {
        "ce": losses.build("ce", CLASSES),
        "gce": losses.build("gce", CLASSES, q=0.7),
        "sgce": losses.build("sgce", CLASSES, q=0.4),
    }
    runs = {
        name: multiclass.Run(loss.values, integers(CLASSES, COUNT, seed), 0.5 + seed)
        for seed, (name, loss) in enumerate(chosen.items())
    }
    generator = torch.Generator().manual_seed(4)
    batches = [torch.randperm(COUNT, generator=generator)[:6] for _ in range(12)] + [None] * 3
    steps = [(0.1 / (1 + position), index) for position, index in enumerate(batches)]
    found = multiclass.train(
        multiclass.Part(theta[:COUNT, :COUNT], true[:COUNT], f0[:COUNT]),
        multiclass.Part(theta[COUNT:, :COUNT], true[COUNT:], f0[COUNT:]),
        runs, steps, num_classes=CLASSES, momentum=0.9, nesterov=nesterov,
    )  # fmt: skip
    start = {name: value.detach() for name, value in module.named_parameters()}

    def f_lin(delta: dict[str, Tensor], inputs: Tensor) -> Tensor:
        pair = jvp(lambda p: functional_call(module, p, (inputs,)), (start,), (delta,))
        return pair[0] + pair[1]

    for column, (name, run) in enumerate(runs.items()):
        delta = {key: torch.zeros_like(value) for key, value in start.items()}
        velocity = {key: torch.zeros_like(value) for key, value in start.items()}
        for rate, index in steps:
            rows = torch.arange(COUNT) if index is None else index

            def objective(delta: dict[str, Tensor], rows: Tensor = rows, name: str = name,
                          run: multiclass.Run = run) -> Tensor:  # fmt: skip
                return chosen[name](f_lin(delta, x[rows]), run.labels[rows])

            for key, slope in grad(objective)(delta).items():
                velocity[key] = 0.9 * velocity[key] + slope
                move = slope + 0.9 * velocity[key] if nesterov else velocity[key]
                delta[key] = delta[key] - rate * run.scale * move
        expected = f_lin(delta, x)
        C = found.coefficients[column]
        moved = theta[:, :COUNT] @ C if scalar else torch.einsum(
            "nmkl,ml->nk", theta[:, :COUNT], C
        )  # fmt: skip
        assert float((f0 + moved - expected).abs().max()) < 1e-10
        loss = chosen[name](expected[:COUNT], run.labels)
        assert float(found.loss[-1, column]) == pytest.approx(float(loss), abs=1e-10)
        right = (expected[COUNT:].argmax(1) == true[COUNT:]).double().mean()
        assert float(found.test_accuracy[-1, column]) == pytest.approx(float(right))


def test_trainings_side_by_side_do_not_touch_each_other() -> None:
    X, true = blobs(30, 1)
    K = X @ X.T
    runs = {
        name: multiclass.equal_first_step(
            losses.build(name, CLASSES).values, integers(3, 30, 2), CLASSES
        )
        for name in ("ce", "mae")
    }
    part, steps = multiclass.Part(K, true), multiclass.full_batch(0.05, 20)
    both = multiclass.train(part, part, runs, steps, num_classes=CLASSES)
    alone = multiclass.train(part, part, {"mae": runs["mae"]}, steps, num_classes=CLASSES)
    column = both.of("mae")
    assert torch.allclose(both.coefficients[column], alone.coefficients[0], atol=1e-14)
    assert both.steps == alone.steps


@pytest.mark.parametrize("name", losses.names())
def test_the_first_step_is_the_same_for_every_loss_at_rate_over_kappa(name: str) -> None:
    X, true = blobs(30, 1, classes=10)
    K, given = X @ X.T, integers(10, 30, 2)
    run = multiclass.equal_first_step(losses.build(name, 10).values, given, 10)
    part = multiclass.Part(K, true)
    found = multiclass.train(part, part, {name: run}, [(0.3, None)], num_classes=10)
    expected = mean_classifier.coefficients(given, 10, total=0.3)
    # eps-softmax adds to the largest score, which is the first of equals: that label is another's.
    same = given > 0 if "eps" in name else given >= 0
    assert torch.allclose(found.coefficients[0][same], expected[same], atol=1e-9)


def test_the_unhinged_loss_makes_a_mean_classifier_that_never_changes_its_mind() -> None:
    (X, true), (x, test) = blobs(60, 1), blobs(40, 2)
    K, cross = normalised.centred(X @ X.T, x @ X.T)
    given = torch.where(torch.arange(60) % 3 == 0, integers(CLASSES, 60, 5), true)
    run = multiclass.Run(losses.build("unhinged", CLASSES).values, given)
    rates = [(0.1 / (1 + step), None) for step in range(40)]
    found = multiclass.train(
        multiclass.Part(K, true), multiclass.Part(cross, test), {"u": run}, rates,
        num_classes=CLASSES,
    )  # fmt: skip
    total = sum(rate for rate, _ in rates)
    expected = mean_classifier.coefficients(given, CLASSES, total)
    assert torch.allclose(found.coefficients[0], expected, atol=1e-13)
    assert len(set(found.test_accuracy[1:, 0].tolist())) == 1
    assert 0.7 < float(found.test_accuracy[-1, 0]) < 1
    scores = mean_classifier.scores(cross, given, CLASSES, total)
    assert torch.allclose(scores, cross @ found.coefficients[0], atol=1e-12)


def test_ridge_regression_with_an_infinite_penalty_is_the_mean_classifier() -> None:
    X, given = blobs(50, 1)
    K = normalised.centred(X @ X.T)[0]
    Z = mean_classifier.centred_one_hot(given, CLASSES)
    (C,) = ridge.path(K, Z, (1e6,))
    limit = float(K.trace()) / 50 * 1e6 / 50 * C
    assert torch.allclose(limit, mean_classifier.coefficients(given, CLASSES), rtol=1e-3)


def test_wrong_labels_are_counted_as_fitted_once_they_are() -> None:
    true = torch.arange(12) % 3
    given = torch.where(torch.arange(12) < 4, (true + 1) % 3, true)
    part = multiclass.Part(torch.eye(12, dtype=F64), true)
    values = losses.build("ce", 3).values
    runs = {"noisy": multiclass.Run(values, given), "clean": multiclass.Run(values, true)}
    found = multiclass.train(
        part, part, runs, multiclass.full_batch(1.0, 5), num_classes=3, record=[0, 2]
    )
    assert found.steps == (0, 2, 5)
    wrong = found.wrong_fitted[:, found.of("noisy")]
    zeros = (given[:4] == 0).double().mean()  # equal scores predict class 0
    assert wrong.tolist() == pytest.approx([float(zeros), 1, 1])
    assert found.wrong_fitted[:, found.of("clean")].isnan().all()
    assert float(found.test_accuracy[-1, found.of("noisy")]) == pytest.approx(8 / 12)
    assert float(found.train_accuracy[-1, found.of("noisy")]) == 1
    assert float(found.loss[0, 0]) == pytest.approx(math.log(3))


def test_a_loss_without_a_first_step_is_refused() -> None:
    with pytest.raises(ValueError, match="kappa is 0"):
        multiclass.first_slope(lambda scores: scores.square(), 3)


def symmetric(rate: float, classes: int) -> Tensor:
    matrix = torch.full((classes, classes), rate / (classes - 1), dtype=F64)
    return matrix.fill_diagonal_(1 - rate)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.8, 1.0])
def test_symmetric_noise_only_shrinks_the_expected_scores(rate: float) -> None:
    A = torch.randn(5, 30, generator=torch.Generator().manual_seed(1), dtype=F64)
    labels = integers(4, 30, 2)
    clean = A @ mean_classifier.centred_one_hot(labels, 4)
    expected = moments.expected_scores(A, labels, symmetric(rate, 4))
    assert torch.allclose(expected, mean_classifier.noise_factor(rate, 4) * clean, atol=1e-12)


MATRIX = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.7, 0.2], [0.0, 0.5, 0.5]], dtype=F64)
TRUE = [0, 0, 0, 0, 2, 2]


def assignments(sampler: str) -> list[tuple[float, tuple[int, ...]]]:
    """All noisy labels of TRUE under MATRIX with their probabilities."""
    if sampler == "iid":
        return [
            (math.prod(float(MATRIX[t, y]) for t, y in zip(TRUE, given, strict=True)), given)
            for given in itertools.product(range(3), repeat=6)
        ]
    found = []
    for first in itertools.product(range(3), repeat=4):
        for second in itertools.product(range(3), repeat=2):
            counts = [first.count(y) for y in range(3)], [second.count(y) for y in range(3)]
            if sampler == "count" and counts == ([2, 1, 1], [0, 1, 1]):
                found.append((1 / 24, first + second))
            # Of four, two change, to either class alike; of two, one changes, to class 1.
            if sampler == "class" and counts[0][0] == 2 and counts[1] == [0, 1, 1]:
                found.append((1 / 6 / 4 / 2, first + second))
    return found


@pytest.mark.parametrize("sampler", ["iid", "class", "count"])
def test_two_moments_are_those_of_all_labels_that_can_be_drawn(sampler: moments.Sampler) -> None:
    A = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), dtype=F64)
    drawn = assignments(sampler)
    assert sum(weight for weight, _ in drawn) == pytest.approx(1)
    weights = torch.tensor([weight for weight, _ in drawn], dtype=F64)
    given = torch.tensor([labels for _, labels in drawn])
    scores = torch.einsum("mn,dnk->dmk", A, nn.functional.one_hot(given, 3).double())
    mean = torch.einsum("d,dmk->mk", weights, scores)
    second = torch.einsum("d,dmk,dml->mkl", weights, scores, scores)
    found = moments.moments(A, torch.tensor(TRUE), MATRIX, sampler)
    assert torch.allclose(found.mean, mean, atol=1e-12)
    expected = second - mean[:, :, None] * mean[:, None, :]
    assert torch.allclose(found.covariance, expected, atol=1e-12)


def test_the_probability_of_the_largest_score_is_right_for_two_classes() -> None:
    mean = torch.tensor([[0.3, 0.0], [-1.0, 0.5]], dtype=F64)
    covariance = torch.tensor([[[1.0, 0.4], [0.4, 2.0]], [[1.0, -1.0], [-1.0, 1.0]]], dtype=F64)
    found = moments.probability(moments.Moments(mean, covariance), torch.tensor([0, 1]))
    exact = norm.cdf([0.3 / math.sqrt(2.2), 1.5 / 2.0])
    assert found.tolist() == pytest.approx(exact, abs=2e-3)


@pytest.mark.parametrize("sampler", ["iid", "count"])
def test_accuracy_under_noise_is_predicted_before_any_training(sampler: moments.Sampler) -> None:
    (X, true), (x, test) = blobs(120, 1), blobs(90, 2)
    _, A = normalised.centred(X @ X.T, x @ X.T)
    generator, matrix = np.random.default_rng(0), symmetric(0.6, CLASSES)
    given = np.empty((400, 120), dtype=np.int64)
    for label in range(CLASSES):
        members = np.flatnonzero(true.numpy() == label)
        row = matrix[label].numpy()
        fixed = np.repeat(np.arange(CLASSES), np.round(row * len(members)).astype(int))
        for draw in given:
            draw[members] = (
                generator.permutation(fixed)
                if sampler == "count"
                else generator.choice(CLASSES, len(members), p=row)
            )
    scores = A @ mean_classifier.centred_one_hot(torch.from_numpy(given), CLASSES)
    measured = float((scores.argmax(2) == test).double().mean())
    predicted = moments.accuracy(A, true, test, matrix, sampler)
    assert predicted == pytest.approx(measured, abs=0.01)
    other = moments.accuracy(A, true, test, matrix, "iid" if sampler == "count" else "count")
    assert abs(other - measured) > 0.02  # the samplers are not alike


def test_a_kernel_of_known_directions_has_a_known_rho() -> None:
    clean, given = torch.arange(40) % 2, torch.arange(40) % 2
    given = torch.where(torch.arange(40) < 8, 1 - given, given)
    y, noisy = 2.0 * clean.double() - 1, 2.0 * given.double() - 1
    rest = noisy - 0.6 * y  # 20 % of either class: 1 - 2 eta
    K = 5 * torch.outer(y, y) / (y @ y) + 2 * torch.outer(rest, rest) / (rest @ rest)
    assert noise_alignment.rho(K, clean, given, 2) == pytest.approx(2.5)
    with pytest.raises(ValueError, match="no noise part"):
        noise_alignment.rho(K, clean, clean, 2)


def test_rho_is_the_same_for_a_kernel_and_for_its_blocks_and_ignores_scale() -> None:
    X, clean = blobs(30, 1)
    K, given = X @ X.T, integers(CLASSES, 30, 2)
    theta = K[:, :, None, None] * torch.eye(CLASSES, dtype=F64)
    own = noise_alignment.rho(K, clean, given, CLASSES)
    assert noise_alignment.rho(3 * theta, clean, given, CLASSES) == pytest.approx(own)
    assert noise_alignment.rho(torch.eye(30, dtype=F64), clean, given, 3) == pytest.approx(1)


def test_the_alignment_of_blocks_is_the_squared_gradient_of_a_sum_of_outputs() -> None:
    J = torch.randn(8, CLASSES, 11, generator=torch.Generator().manual_seed(1), dtype=F64)
    Z = mean_classifier.centred_one_hot(integers(CLASSES, 8, 2), CLASSES)
    theta = torch.einsum("nkp,mlp->nmkl", J, J)
    gradient = torch.einsum("nk,nkp->p", Z, J)
    expected = float(gradient @ gradient / Z.square().sum())
    assert noise_alignment.alignment(theta, Z) == pytest.approx(expected)
