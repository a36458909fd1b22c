"""Tangents, spectra, alignments and function space: identities of the paper, in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from tensors import relative
from torch import Tensor, nn
from torch.func import grad

from firstorder import models
from firstorder.config import Recipe
from firstorder.errors import ConfigError
from firstorder.linearized import alignment, factored, function_space, nads, spectrum
from firstorder.linearized.kernel import ntk
from firstorder.linearized.network import moments
from firstorder.linearized.tangent import function, linearize, parameters_of
from firstorder.studies.linearized.directions import frequency
from firstorder.studies.linearized.settings import Directions
from firstorder.training.schedule import learning_rate

torch.set_num_threads(1)

F64 = torch.float64
MODELS: dict[str, tuple[str, tuple[int, int, int], dict[str, Any]]] = {
    "mlp": ("mlp", (1, 6, 6), {"hidden": 12}),
    "lenet": ("lenet", (1, 8, 8), {}),
    "resnet": ("resnet18", (1, 8, 8), {"width": 0.0625}),
}


def build(
    case: str, count: int = 20, activation: str = "relu", dtype: torch.dtype = F64
) -> tuple[nn.Module, Tensor]:
    name, shape, parameters = MODELS[case]
    generator = torch.Generator().manual_seed(1)
    module = models.build(
        name, 1, shape, generator=generator, init="lecun", activation=activation, **parameters
    )
    x = torch.randn(count, *shape, generator=generator, dtype=F64)
    return module.to(dtype), x.to(dtype)


@pytest.mark.parametrize("case", MODELS)
def test_linearization_at_its_origin_is_the_network_in_evaluation_mode(case: str) -> None:
    module, x = build(case)
    zero = {name: torch.zeros_like(value) for name, value in parameters_of(module).items()}
    expected = module.eval()(x)[:, 0].detach()
    assert relative(linearize(module)(zero, x), expected) < 1e-12
    assert not linearize(module, offset=False)(zero, x).any()


@pytest.mark.parametrize("case", MODELS)
def test_linearization_error_is_of_second_order(case: str) -> None:
    module, x = build(case, activation="gelu")
    f, f_lin, start = function(module), linearize(module), parameters_of(module)
    generator = torch.Generator().manual_seed(2)
    delta = {k: torch.randn(v.shape, generator=generator, dtype=F64) for k, v in start.items()}
    errors = []
    for scale in (1e-3, 1e-4):
        step = {name: scale * value for name, value in delta.items()}
        moved = {name: start[name] + step[name] for name in start}
        errors.append(float((f(moved, x) - f_lin(step, x)).abs().max()))
    assert math.log10(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("case", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-10), (torch.float32, 1e-5)])
def test_function_space_equals_sgd_on_the_linearized_network(
    case: str, nesterov: bool, dtype: torch.dtype, tolerance: float
) -> None:
    module, x = build(case, 26, dtype=dtype)
    train, test = x[:20], x[20:]
    recipe = Recipe(
        model="scalar", epochs=3, batch=8, lr=0.05, schedule="linear", schedule_unit="step",
        nesterov=nesterov, drop_last=True,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(2, (26, 3), generator=generator)
    K, f0 = ntk(module, x, dtype=dtype), function(module)(parameters_of(module), x)
    found = function_space.train(
        K[:20, :20], f0[:20], labels[:20], K[20:, :20], f0[20:], labels[20:], recipe,
        function_space.batches(20, recipe, 7, "cpu"),
    )  # fmt: skip
    f_lin = linearize(module)
    for target in range(3):
        delta = {k: torch.zeros_like(v) for k, v in parameters_of(module).items()}
        velocity = {k: torch.zeros_like(v) for k, v in delta.items()}

        def loss(d: dict[str, Tensor], index: Tensor, target: int = target) -> Tensor:
            return nn.functional.binary_cross_entropy_with_logits(
                f_lin(d, train[index]), labels[:20][index, target].to(dtype)
            )

        for epoch, order in enumerate(function_space.batches(20, recipe, 7, "cpu"), 1):
            for position, index in enumerate(order):
                lr = learning_rate(recipe, epoch, position, len(order))
                gradient = grad(loss)(delta, index)
                for name, value in gradient.items():
                    velocity[name] = recipe.momentum * velocity[name] + value
                    step = value + recipe.momentum * velocity[name] if nesterov else velocity[name]
                    delta[name] = delta[name] - lr * step
        expected = f_lin(delta, test)
        c = found.coefficients[:, target]
        assert float((f0[20:] + K[20:, :20] @ c - expected).abs().max()) < tolerance
        distance = sum(value.double().square().sum() for value in delta.values())
        assert float(found.distance[-1, target]) == pytest.approx(float(distance), rel=1e-4)
        test_loss = nn.functional.binary_cross_entropy_with_logits(
            expected, labels[20:, target].to(dtype)
        )
        assert float(found.test_loss[-1, target]) == pytest.approx(float(test_loss), rel=1e-4)


def test_targets_do_not_touch_each_other_even_when_one_diverges() -> None:
    generator = torch.Generator().manual_seed(4)
    X = torch.randn(12, 5, generator=generator, dtype=F64)
    K, y = X @ X.T, torch.randint(2, (12, 2), generator=generator)
    recipe = Recipe(model="scalar", epochs=2, batch=4, lr=0.1)
    outputs = torch.zeros(12, dtype=F64)

    def run(targets: Tensor) -> function_space.Trajectory:
        order = function_space.batches(12, recipe, 1, "cpu")
        return function_space.train(
            K, outputs, targets, K[:4], outputs[:4], targets[:4], recipe, order
        )

    alone = run(y[:, :1])
    broken = y.double()
    broken[3, 1] = math.inf
    both = run(broken)
    # Not to the bit: libraries multiply matrices of one column and of two in other orders.
    assert relative(both.train_loss[:, 0], alone.train_loss[:, 0]) < 1e-12
    assert both.diverged.tolist() == [False, True]


def test_first_steps_below_a_loss_are_recorded() -> None:
    K, y = 100 * torch.eye(8, dtype=F64), torch.tensor([[0], [1]] * 4)
    recipe = Recipe(model="scalar", epochs=50, batch=8, lr=1.0, schedule="constant")
    zero, order = torch.zeros(8, dtype=F64), function_space.batches(8, recipe, 1, "cpu")
    found = function_space.train(K, zero, y, K, zero, y, recipe, order)
    assert found.train_loss[0, 0] == pytest.approx(math.log(2))
    first = {level: int(step) for level, step in found.first_below.items()}
    assert 1 < first[0.1] <= first[0.01]


def test_recipes_that_leave_the_span_are_refused() -> None:
    K, y = torch.eye(2), torch.tensor([[0], [1]])
    plain = Recipe(model="scalar", epochs=1, batch=2, lr=1.0)
    for key, value in {"weight_decay": 0.1, "clip": 1.0, "augment": {"flip": 0.5}}.items():
        recipe = plain.model_copy(update={key: value})
        with pytest.raises(ConfigError, match=f"it has {key}"):
            function_space.train(K, K[0], y, K, K[0], y, recipe, [])


def heavy_tailed(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(count, count, generator=generator, dtype=F64)).Q
    values = torch.arange(1, count + 1, dtype=F64) ** -1.5
    K = (Q * values) @ Q.T
    return (K + K.T) / 2


@pytest.mark.parametrize(("count", "k"), [(60, 60), (60, 12), (200, 10), (600, 75)])
def test_eigenpairs_solve_their_equation_whatever_the_method(count: int, k: int) -> None:
    K = heavy_tailed(count)
    found = spectrum.decompose(K, k)
    krylov, _ = spectrum.block_krylov(lambda v: K @ v, count, min(k, 10), tolerance=1e-12)
    for pairs in (found, krylov):
        U = pairs.vectors
        assert relative(U @ U.T, torch.eye(len(U), dtype=F64)) < 1e-10
        assert float((U @ K - pairs.values[:, None] * U).abs().max()) < 1e-9
        expected = torch.arange(1, len(U) + 1, dtype=F64) ** -1.5
        assert relative(pairs.values, expected) < 1e-9
        assert bool((pairs.values.diff() < 0).all())
    assert relative(krylov.vectors, found.vectors[: len(krylov.vectors)]) < 1e-6


def test_a_spectrum_too_flat_for_a_krylov_space_is_decomposed_as_a_whole() -> None:
    count, k = 800, 10
    generator = torch.Generator().manual_seed(0)
    Q = torch.linalg.qr(torch.randn(count, count, generator=generator, dtype=F64)).Q
    values = 1 + torch.rand(count, generator=generator, dtype=F64).sort(descending=True).values
    values[1::2] = values[::2]  # pairs: no vector is unique, their planes are
    K = (Q * values) @ Q.T
    K = (K + K.T) / 2
    assert spectrum.block_krylov(lambda v: K @ v, count, k, tolerance=1e-9)[1] > 1e-9
    pairs = spectrum.decompose(K, k)
    assert relative(pairs.values, values[:k]) < 1e-12
    U = pairs.vectors
    assert relative(U.T @ U, Q[:, :k] @ Q[:, :k].T) < 1e-9


def test_a_matrix_free_spectrum_equals_that_of_the_kernel() -> None:
    module, x = build("lenet", 40)
    factors = factored.factor(module, x)
    found, _ = spectrum.block_krylov(
        lambda v: factored.product(factors, factored.transposed(factors, v)), 40, 3, tolerance=1e-12
    )
    exact = spectrum.decompose(ntk(module, x, dtype=F64), 40)
    assert relative(found.values, exact.values[:3]) < 1e-9
    assert relative(found.vectors, exact.vectors[:3]) < 1e-6


@pytest.mark.parametrize("case", MODELS)
def test_mercer_sums_rebuild_kernel_and_trace(case: str) -> None:
    module, x = build(case)
    K = ntk(module, x, dtype=F64)
    pairs = spectrum.decompose(K, len(K))
    U = pairs.vectors
    assert relative(U.T @ (pairs.values[:, None] * U), K) < 1e-10
    assert float(pairs.values.sum()) == pytest.approx(float(K.trace()), rel=1e-10)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_signs_do_not_depend_on_the_solver(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(4, 9, generator=generator, dtype=F64)
    flips = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=F64)[:, None]
    fixed = spectrum.fix_signs(vectors)
    assert torch.equal(fixed, spectrum.fix_signs(flips * vectors))
    assert bool((fixed.amax(1) == vectors.abs().amax(1)).all())


def test_labels_of_a_vector_are_its_signs_and_zero_is_class_zero() -> None:
    labels = spectrum.binary_labels(torch.tensor([0.3, 0.0, -0.2, 0.1, 0.2]))
    assert labels.tolist() == [1, 0, 0, 1, 1]
    assert spectrum.majority(labels) == pytest.approx(0.6)


@pytest.mark.parametrize("case", MODELS)
def test_alignment_of_an_eigenvector_is_its_eigenvalue(case: str) -> None:
    module, x = build(case)
    K = ntk(module, x, dtype=F64)
    pairs = spectrum.decompose(K, 10)
    assert relative(alignment.rayleigh(K, pairs.vectors), pairs.values) < 1e-10
    for j in (0, 4, 9):
        own = alignment.from_gradients(module, x, pairs.vectors[j], batch=6)
        assert float(own) == pytest.approx(float(pairs.values[j]), rel=1e-8)
        aligned, trace = alignment.with_trace(module, x, pairs.vectors[j], batch=6)
        assert aligned == pytest.approx(float(pairs.values[j]), rel=1e-8)
        assert trace == pytest.approx(float(K.trace()), rel=1e-10)


@pytest.mark.parametrize("case", MODELS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_alignment_bounds_the_kernel_norm_from_below(case: str, seed: int) -> None:
    """|f|^2_Theta alpha(f) >= |f|^4 on the sample, with equality for eigenfunctions.

    |f|_Theta is the distance that the weights travel to f, alpha(f) is by the network's gradients.
    """
    module, x = build(case)
    K = ntk(module, x, dtype=F64)
    vectors = spectrum.decompose(K, 3).vectors
    labels = torch.randint(2, (20, 2), generator=torch.Generator().manual_seed(seed), dtype=F64)
    signs = spectrum.binary_labels(vectors).double()
    # From zero, the step towards 1/2 + u is along u.
    targets = torch.cat([labels.T, signs, 0.5 + vectors]).T
    recipe, zero = Recipe(model="scalar", epochs=1, batch=20, lr=1.0), torch.zeros(20, dtype=F64)
    order = function_space.batches(20, recipe, seed, "cpu")
    found = function_space.train(K, zero, targets, K, zero, targets, recipe, order)
    functions = (K @ found.coefficients).T
    aligned = torch.stack([alignment.from_gradients(module, x, f, batch=6) for f in functions])
    ratio = found.distance[-1] * aligned / functions.square().sum(1)
    assert bool((ratio >= 1 - 1e-9).all())
    assert torch.allclose(ratio[-3:], torch.ones(3, dtype=F64), rtol=0, atol=1e-8)


def test_cumulative_energy_rises_monotonically_to_one() -> None:
    pairs = spectrum.decompose(heavy_tailed(25), 25)
    y = torch.randn(25, generator=torch.Generator().manual_seed(8), dtype=F64)
    energy = alignment.energy(pairs.vectors, y)
    assert bool((energy.diff() >= 0).all())
    assert float(energy[-1]) == pytest.approx(1, abs=1e-12)


def dense_mixed_derivative(module: nn.Module, x: Tensor) -> Tensor:
    """M (P, d): every second derivative by backpropagating a gradient, averaged over x."""
    f, start = function(module), parameters_of(module)
    theta = {name: value.clone().requires_grad_() for name, value in start.items()}
    inputs = x.clone().requires_grad_()
    value = f(theta, inputs).mean()
    gradients = torch.autograd.grad(value, list(theta.values()), create_graph=True)
    rows = []
    for slope in torch.cat([g.flatten() for g in gradients]):
        (row,) = torch.autograd.grad(slope, inputs, retain_graph=True)
        rows.append(row.sum(0).flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("at_zero", [True, False])
def test_directions_are_the_right_singular_vectors_of_the_mixed_derivative(at_zero: bool) -> None:
    shape = (1, 4, 4)
    module = models.build(
        "mlp", 1, shape, init="lecun", hidden=5, depth=2, activation="gelu"
    ).double()
    generator = torch.Generator().manual_seed(9)
    x = torch.zeros(1, *shape, dtype=F64)
    if not at_zero:
        x = torch.randn(3, *shape, dtype=F64, generator=generator)
    M = dense_mixed_derivative(module, x)
    found = nads.directions(module, x, memory_gib=1e-5, chunk=5, batch=2)
    _, values, vectors = torch.linalg.svd(M, full_matrices=False)
    assert relative(found.values, values) < 1e-7
    # Compared as a whole: the first layer gives M many equal singular values.
    assert relative(found.vectors.T @ (found.values[:, None] ** 2 * found.vectors), M.T @ M) < 1e-9
    leading = (found.vectors[:3] * vectors[:3]).sum(1).abs()
    assert relative(leading, torch.ones(3, dtype=F64)) < 1e-6


def test_steins_identity_gives_the_alignment_of_linear_targets() -> None:
    """alpha(g_v) = sigma^4 |M v|^2 for inputs N(0, sigma^2), up to the error of sampling."""
    sigma, shape = 0.5, (1, 2, 3)
    module = models.build("mlp", 1, shape, init="lecun", hidden=8, activation="gelu").double()
    x = sigma * torch.randn(4000, *shape, dtype=F64, generator=torch.Generator().manual_seed(10))
    found = nads.directions(module, x)
    X = x.flatten(1)
    targets = found.vectors @ X.T
    measured = torch.stack(
        [
            alignment.from_gradients(module, x, target) * target.square().sum() / len(x) ** 2
            for target in targets
        ]
    )
    expected = sigma**4 * found.values**2
    assert torch.equal(measured[:3].argsort(descending=True), torch.arange(3))
    assert relative(measured[:2], expected[:2]) < 0.1


def test_an_only_epoch_is_the_end_of_a_training() -> None:
    assert moments(1) == {0: "init", 1: "end"}
    assert moments(2) == {0: "init", 1: "mid", 2: "end"}


def test_so_many_inputs_as_are_usual_tell_the_order_of_the_alignments() -> None:
    """The alignment |E M(x) v|^2 against the singular values of M(0), for all directions v."""
    shape = (1, 8, 8)
    generator = torch.Generator().manual_seed(2)
    module = models.build("lenet", 1, shape, generator=generator, init="lecun", activation="gelu")
    zero = nads.directions(module, torch.zeros(1, *shape))
    mean = nads.directions(module, torch.randn(Directions().samples, *shape, generator=generator))
    aligned = (mean.values[:, None] * mean.vectors @ zero.vectors.T).square().sum(0)
    assert spearmanr(aligned, zero.values).statistic > 0.98


@pytest.mark.parametrize(("amplitude", "margin"), [("half", 0.5), ("full", 1.0)])
def test_linear_tasks_are_separated_by_their_direction_alone(
    amplitude: nads.Amplitude, margin: float
) -> None:
    generator = torch.Generator().manual_seed(11)
    v = nn.functional.normalize(torch.randn(64, generator=generator, dtype=F64), dim=0)
    images, labels = nads.linear_task(v, (1, 8, 8), 500, generator, amplitude=amplitude)
    along = images.flatten(1) @ v.float()
    assert torch.allclose(along, margin * (2.0 * labels - 1), atol=1e-5)
    assert float(images.var()) == pytest.approx(63 / 64 + margin**2 / 64, abs=0.05)
    assert 0.4 < float(labels.double().mean()) < 0.6


def test_radial_frequency_of_a_plane_wave_is_its_frequency() -> None:
    column = torch.arange(16, dtype=F64)
    wave = torch.cos(2 * math.pi * (3 * column[:, None] + 4 * column[None, :]) / 16)
    assert frequency(wave.flatten().numpy()) == pytest.approx(5, abs=1e-9)


def test_gradient_directions_are_the_axes_of_the_second_moment() -> None:
    shape = (1, 2, 2)
    networks = [
        models.build("mlp", 1, shape, init="lecun", generator=torch.Generator().manual_seed(i))
        for i in range(30)
    ]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(12))
    rows = []
    for module in networks:
        image = x[None].clone().requires_grad_()
        rows.append(torch.autograd.grad(module(image).sum(), image)[0].flatten().double())
    G = torch.stack(rows)
    _, values, _ = torch.linalg.svd(G / math.sqrt(30), full_matrices=False)
    assert relative(nads.gradient_directions(networks, x).values, values) < 1e-6
