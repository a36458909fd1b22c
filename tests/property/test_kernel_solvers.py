"""Solvers on a given kernel: each against a slow computation that is obviously right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from firstorder.linearized import (
    converged,
    inductive,
    normalised,
    quadrature,
    ridge,
    spectrum,
    spike,
)
from firstorder.linearized.cg import conjugate_gradients
from firstorder.training import checkpoint

torch.set_num_threads(1)

F64 = torch.float64
ALONE = (
    "converged, ridge, quadrature, normalised, mean_classifier, multiclass, moments, inductive, "
    "spike, noise_alignment, function_space"
)


def features(count: int, width: int, seed: int = 0) -> Tensor:
    """Inputs whose kernel has eigenvalues over three decades."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(0, -1.5, width, dtype=F64)
    return torch.randn(count, width, generator=generator, dtype=F64) * scale


def labels(count: int, columns: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, (count, columns), generator=generator).double()


def test_kernels_can_be_used_without_the_configuration_of_the_project() -> None:
    code = (
        "import sys\n"
        "for name in ('pydantic', 'yaml', 'snakemake', 'firstorder.config'):\n"
        "    sys.modules[name] = None\n"
        f"from firstorder.linearized import {ALONE}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_column_along_which_a_rounded_operator_is_not_positive_is_left_as_it_is() -> None:
    """As of a kernel in float32 with a small ridge, while other columns go on."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(40, 40, generator=generator, dtype=torch.float64))[0]
    values = torch.linspace(1, 100, 40, dtype=torch.float64)
    values[-1] = -1e-6
    A, right = (basis * values) @ basis.T, torch.randn(40, 3, generator=generator).double()
    right[:, 1:] -= basis[:, -1:] @ (basis[:, -1:].T @ right[:, 1:])  # solved before it shows
    right[:, 2] = 0

    def enough(residual: Tensor) -> Tensor:
        return residual.norm(dim=0) < 1e-9

    x, made = conjugate_gradients(lambda v: A @ v, right, enough, 500)
    alone, _ = conjugate_gradients(lambda v: A @ v, right[:, 1:2], enough, 500)
    assert made < 100 and bool(x.isfinite().all())
    assert torch.allclose(A @ x[:, 1], right[:, 1], atol=1e-8)
    assert torch.allclose(x[:, 1:2], alone, atol=1e-8) and not x[:, 2].any()
    assert (x[:, 0] * right[:, 0]).sum() > 0


def test_conjugate_gradients_solve_all_columns_and_at_once_with_the_exact_preconditioner() -> None:
    X = features(30, 40)
    A = X @ X.T + 0.1 * torch.eye(30, dtype=F64)
    b = labels(30, 3)
    b[:, 1] = 0
    exact = torch.linalg.solve(A, b)
    x, _ = conjugate_gradients(lambda v: A @ v, b, lambda r: r.norm(dim=0) < 1e-11, 500)
    assert torch.allclose(x, exact, atol=1e-9)
    x, made = conjugate_gradients(
        lambda v: A @ v, b, lambda r: r.norm(dim=0) < 1e-9, 5, lambda v: torch.linalg.solve(A, v)
    )
    assert made == 1
    assert torch.allclose(x, exact, atol=1e-9)


@pytest.mark.parametrize("direct", [0, 1000])
@pytest.mark.parametrize("offset", [False, True])
def test_converged_logistic_regression_is_the_minimum_over_the_weights(
    direct: int, offset: bool
) -> None:
    X, y = features(40, 12), labels(40, 2)
    f0 = 3 * features(40, 1, seed=5)[:, 0] if offset else torch.zeros(40, dtype=F64)
    K, share = X @ X.T, 1e-2
    found = converged.logistic(K, y, f0, ridge=share, tolerance=1e-10, direct=direct)
    assert float(found.gradient.max()) <= 1e-10
    penalty = share * float(K.trace()) / 40
    for t in range(2):
        w = torch.zeros(12, dtype=F64)
        for _ in range(30):
            p = torch.sigmoid(f0 + X @ w)
            slope = X.T @ (p - y[:, t]) + penalty * w
            curvature = (X.T * (p * (1 - p))) @ X + penalty * torch.eye(12, dtype=F64)
            w = w - torch.linalg.solve(curvature, slope)
        assert float(slope.norm()) < 1e-10
        assert torch.allclose(found.scores[:, t], f0 + X @ w, atol=1e-8)
        assert torch.allclose(found.predict(K[:7], f0[:7])[:, t], (f0 + X @ w)[:7], atol=1e-8)


def test_factored_and_iterated_training_agree_on_separable_labels() -> None:
    K = features(150, 300)
    K = K @ K.T
    y = labels(150, 3)
    factored = converged.logistic(K, y, tolerance=1e-10, direct=1000)
    iterated = converged.logistic(K, y, tolerance=1e-10, direct=0)
    single = converged.logistic(K.float(), y, direct=0)
    assert float(converged.accuracy(factored.scores, y).min()) == 1
    assert torch.allclose(factored.scores, iterated.scores, atol=1e-5)
    assert torch.allclose(factored.scores, single.scores, atol=0.1)
    assert factored.steps <= 14
    known = spectrum.decompose(K, 100)
    better = converged.logistic(K, y, tolerance=1e-10, direct=0, spectrum=known)
    assert better.products < iterated.products
    assert torch.allclose(factored.scores, better.scores, atol=1e-5)


@pytest.mark.parametrize("direct", [0, 1000])
def test_a_killed_logistic_regression_goes_on_to_the_same_bits(
    direct: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    K = features(60, 80)
    K, y = K @ K.T, labels(60, 3)
    whole = converged.logistic(K, y, direct=direct)
    save = checkpoint.save
    kept = checkpoint.Checkpoint(tmp_path / "state.safetensors", "run", seconds=0.0)

    def killed(*given: Any) -> None:
        save(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", killed)
    for _ in range(whole.steps):  # every step of a call of its own
        with pytest.raises(KeyboardInterrupt):
            converged.logistic(K, y, direct=direct, checkpoint=kept)
    found = converged.logistic(K, y, direct=direct, checkpoint=kept)
    assert (found.steps, found.products) == (whole.steps, whole.products)
    assert torch.equal(found.coefficients, whole.coefficients)
    assert torch.equal(found.scores, whole.scores)
    assert torch.equal(found.gradient, whole.gradient)


def test_a_part_of_a_kernel_and_targets_of_one_class_can_be_trained_on() -> None:
    K = features(60, 80)
    K = K @ K.T + 1
    y = torch.cat([torch.ones(40, 1, dtype=F64), labels(40, 1)], 1)
    for direct in (0, 1000):
        found = converged.logistic(K[:40, :40], y, direct=direct)
        assert float(found.gradient.max()) <= 1e-6
        assert float(converged.accuracy(found.scores, y).min()) == 1


@pytest.mark.parametrize("offset", [False, True])
def test_left_out_errors_are_those_of_fits_without_the_example(offset: bool) -> None:
    X, y = features(25, 40), labels(25, 3) * 2 - 1
    K, f0 = X @ X.T, features(25, 1, seed=3)[:, 0] if offset else torch.zeros(25, dtype=F64)
    grid = (1e-3, 1e-1, 10.0)
    found = ridge.fit(K, y, f0, grid=grid)
    for position, penalty in enumerate(grid):
        lamb = penalty * float(K.trace()) / 25
        left_out = torch.empty_like(y)
        for i in range(25):
            rest = [n for n in range(25) if n != i]
            G = K[rest][:, rest] + lamb * torch.eye(24, dtype=F64)
            c = torch.linalg.solve(G, y[rest] - f0[rest, None])
            left_out[i] = f0[i] + K[i, rest] @ c
        assert torch.allclose(found.errors[position], (left_out - y).square().mean(0))
        chosen = found.penalty == penalty
        assert torch.allclose(found.left_out[:, chosen], left_out[:, chosen])
    assert torch.equal(found.penalty, torch.tensor(grid, dtype=F64)[found.errors.argmin(0)])
    assert torch.allclose(found.predict(K, f0), found.scores)


@pytest.mark.parametrize("pairs", [30, 8])
def test_outputs_of_one_problem_share_the_penalty_of_their_mean_error(pairs: int) -> None:
    X = features(30, 10)
    easy, noise = X @ X[:4].T, labels(30, 4) * 2 - 1
    K, y = X @ X.T, torch.cat([easy[:, :2], noise[:, :2], noise[:, 2:], easy[:, 2:]], 1)
    known = spectrum.decompose(K, pairs)
    apart, shared = (ridge.fit(K, y, shared=each, spectrum=known) for each in (1, 4))
    assert len(set(apart.penalty[:4].tolist())) > 1
    for problem in (slice(0, 4), slice(4, 8)):
        best = shared.errors[:, problem].mean(1).argmin()
        assert shared.penalty[problem].tolist() == [ridge.GRID[best]] * 4
        alone = ridge.fit(K, y[:, problem], shared=4, spectrum=known)
        assert torch.equal(shared.penalty[problem], alone.penalty)
        torch.testing.assert_close(
            shared.coefficients[:, problem], alone.coefficients, rtol=1e-5, atol=1e-7
        )


def test_quadrature_is_exact_from_as_many_products_as_there_are_directions() -> None:
    X = features(30, 30)
    A, v = X @ X.T, features(30, 3, seed=1)
    values, vectors = torch.linalg.eigh(A)
    v[:, 2] = vectors[:, 20]  # its measure has one node
    few, found = quadrature.measures(lambda each: A @ each, v, 4, 30)
    for function in (lambda x: 1 / (x + 0.1), lambda x: (x + 3.0) ** -2, torch.log1p):
        dense = vectors @ (function(values.clamp(min=0))[:, None] * (vectors.T @ v))
        own = found.of(function(found.nodes.clamp(min=0)))
        assert torch.allclose(own, (v * dense).sum(0), rtol=1e-6)
    assert torch.allclose(found.weights.sum(0), v.square().sum(0))
    cubes = (v * (A @ (A @ (A @ v)))).sum(0)  # of a degree below 2 m
    assert torch.allclose(few.of(few.nodes**3), cubes)


def test_with_some_eigenpairs_the_error_is_that_of_generalised_cross_validation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ridge, "PROBES", 2_000)
    X, y = features(80, 10), labels(80, 3) * 2 - 1
    K = X @ X.T + 0.05 * torch.eye(80, dtype=F64)
    y[:, 2] = 0.0
    grid = (1e-4, 1e-2, 1.0)
    found = ridge.fit(K, y, grid=grid, spectrum=spectrum.decompose(K, 4))
    for errors, penalty in zip(found.errors, grid, strict=True):
        inverse = torch.linalg.inv(K + penalty * K.trace() / 80 * torch.eye(80, dtype=F64))
        expected = 80 * (inverse @ y).square().sum(0) / inverse.trace() ** 2
        assert torch.allclose(errors, expected, rtol=0.02)
    lamb = found.penalty * K.trace() / 80
    for t in range(2):
        G = K + lamb[t] * torch.eye(80, dtype=F64)
        c = torch.linalg.solve(G, y[:, t])
        assert torch.allclose(found.coefficients[:, t], c, rtol=1e-5, atol=1e-7 * float(c.norm()))


@pytest.mark.parametrize("index", [2, 40, 120])
def test_the_penalty_is_a_good_one_for_targets_beyond_the_known_eigenpairs(index: int) -> None:
    U = torch.linalg.qr(features(400, 400))[0]
    K = (U * torch.arange(1, 401, dtype=F64) ** -1.2) @ U.T
    y = (U[:, index - 1 : index] > 0) * 2.0 - 1.0
    exact = ridge.fit(K, y)
    chosen = ridge.fit(K, y, spectrum=spectrum.decompose(K, 20)).penalty
    place = int((torch.tensor(ridge.GRID, dtype=F64) - chosen).abs().argmin())
    assert float(exact.errors[place]) <= 1.02 * float(exact.errors.min())


@pytest.mark.parametrize("decay", [0.8, 1.2, 2.0])
@pytest.mark.parametrize("index", [1, 5, 40, 120])
def test_no_penalty_is_believed_that_few_products_do_not_resolve(
    decay: float, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ridge, "PRODUCTS", 20)
    U = torch.linalg.qr(features(400, 400))[0]
    K = (U * torch.arange(1, 401, dtype=F64) ** -decay) @ U.T
    y = (U[:, index - 1 : index] > 0) * 2.0 - 1.0
    exact = ridge.fit(K, y)
    found = ridge.fit(K, y, spectrum=spectrum.decompose(K, 20))
    place = int((torch.tensor(ridge.GRID, dtype=F64) - found.penalty).abs().argmin())
    assert float(exact.errors[place]) <= 1.2 * float(exact.errors.min())
    assert bool(found.errors[place].isfinite()) and not bool(found.errors[0].isnan())


def test_no_penalty_is_chosen_below_the_rounding_of_a_kernel() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 30, generator=generator, dtype=torch.float64)
    K, y = x @ x.T, x[:, :2] * 1.0
    leading = spectrum.decompose(K, 30)
    assert float(ridge.fit(K, y, spectrum=leading).penalty.min()) < 1e-7
    rounded = ridge.fit(K.float(), y, spectrum=leading).penalty
    assert float(rounded.min()) >= torch.finfo(torch.float32).eps * 60**0.5


def test_the_ridge_path_begins_with_the_interpolation_of_smallest_norm() -> None:
    X, y = features(20, 30), labels(20, 2)
    K, y = normalised.centred(X @ X.T)[0], y - y.mean(0)
    none, some = ridge.path(K, y, (0, 1e-2))
    assert torch.allclose(K @ none, y, atol=1e-9)  # K is singular: a constant is not in its range
    assert torch.allclose(none, torch.linalg.pinv(K, hermitian=True) @ y, atol=1e-7)
    G = K + 1e-2 * float(K.trace()) / 20 * torch.eye(20, dtype=F64)
    assert torch.allclose(some, torch.linalg.solve(G, y), atol=1e-9)


def test_the_ridge_path_of_a_kernel_of_which_few_pairs_are_known_is_the_same() -> None:
    X = features(60, 80)
    K, y = X @ X.T, labels(60, 3) * 2 - 1
    before = K.clone()
    found = ridge.path(K, y, (1e-4, 1.0), spectrum=spectrum.decompose(K, 6))
    torch.testing.assert_close(found, ridge.path(K, y, (1e-4, 1.0)), rtol=1e-6, atol=1e-8)
    assert torch.equal(K, before)
    rough = ridge.path(K.float(), y, (1e-2,), spectrum=spectrum.decompose(K, 6))
    torch.testing.assert_close(rough, ridge.path(K, y, (1e-2,)), rtol=1e-3, atol=1e-5)
    with pytest.raises(torch.linalg.LinAlgError):
        ridge.path(-K, y, (1e-4,), spectrum=spectrum.decompose(K, 6))


def test_a_centred_kernel_is_that_of_features_less_their_training_mean() -> None:
    X, x = features(20, 6), features(7, 6, seed=4)
    K, test = normalised.centred(X @ X.T, x @ X.T)
    centre = X.mean(0)
    assert torch.allclose(K, (X - centre) @ (X - centre).T)
    assert torch.allclose(test, (x - centre) @ (X - centre).T)
    own, single = (X @ X.T).float(), (x @ X.T).float()
    normalised.centre_(own, single)
    assert torch.allclose(own.double(), K, atol=1e-5)
    assert torch.allclose(single.double(), test, atol=1e-5)


def test_kernels_are_compared_at_one_trace() -> None:
    X = features(20, 6)
    K, other = X @ X.T, 7 * (X @ X.T) + 3 * torch.eye(20, dtype=F64)
    brought = normalised.scale_to(other, K) * other
    assert float(brought.trace()) == pytest.approx(float(K.trace()))
    with pytest.raises(ValueError, match="trace 0"):
        normalised.scale_to(0 * K, K)


def test_inductive_eigenfunctions_are_linear_functions_of_the_features() -> None:
    X, x = features(40, 8), features(9, 8, seed=4)
    pairs = spectrum.decompose(X @ X.T, 5)
    U = inductive.everywhere(pairs, torch.cat([x @ X.T, X[:3] @ X.T]))
    weights = torch.linalg.lstsq(X, pairs.vectors.T).solution
    assert torch.allclose(U[:, 40:49], (x @ weights).T, atol=1e-9)
    assert torch.allclose(U[:, 49:], U[:, :3], atol=1e-9)  # a training example among the tests
    with pytest.raises(ValueError, match="only 8 of 10"):
        inductive.extend(spectrum.decompose(X @ X.T, 10), x @ X.T)


def test_an_affine_growth_hides_no_spike_and_makes_none() -> None:
    initial = np.logspace(2, -3, 60)
    trained = 3 * initial + 0.2
    flat = spike.affine(initial, trained, 20)
    assert abs(flat.residual) < 1e-6
    trained[19] *= 5
    found = spike.affine(initial, trained, 20)
    assert found.residual == pytest.approx(np.log(5), abs=1e-6)
    assert (found.scale, found.constant) == pytest.approx((3, 0.2), rel=1e-4)
    assert found.spread < 1e-6
    # A trained index is not what it is compared with, however large it is.
    trained[19] *= 1e6
    assert spike.affine(initial, trained, 20).scale == pytest.approx(3, rel=1e-4)


def test_the_excess_of_a_spike_is_over_neighbours_from_half_to_twice_its_index() -> None:
    initial = np.ones(60)
    trained = np.full(60, 100.0)
    trained[4:20] = 2.0  # the indices 5 to 20: the neighbours of 10
    trained[9] = 14.0
    assert spike.excess(initial, trained, 10) == pytest.approx(7)
    trained[4:8], trained[15:20] = 1.0, 1.0  # half of 18 neighbours or fewer may differ
    trained[8], trained[10:15] = 4.0, 4.0
    assert spike.excess(initial, trained, 10) == pytest.approx(14)
    with pytest.raises(ValueError, match="no neighbours"):
        spike.excess(initial[:1], trained[:1], 1)
