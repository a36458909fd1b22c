"""Lipschitz and smoothness constants: reached at known scores, exceeded at none that are tried."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from firstorder import losses

MAE_LIPSCHITZ = math.sqrt(2) / 4
MAE_SMOOTHNESS = 1 / (3 * math.sqrt(3))


def slope_and_curvature(loss: losses.Loss, scores: Tensor) -> tuple[float, float]:
    """Largest gradient norm and Hessian |eigenvalue| of label 0 over scores (B, K)."""

    def value(s: Tensor) -> Tensor:
        return loss.values(s[None])[0, 0]

    slopes = torch.func.vmap(torch.func.grad(value))(scores)
    curvatures = torch.func.vmap(torch.func.hessian(value))(scores)
    return slopes.norm(dim=-1).max().item(), torch.linalg.eigvalsh(curvatures).abs().max().item()


def spread_scores(classes: int, count: int, largest: float, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(count, classes, dtype=torch.float64, generator=generator)
    return scores * largest * torch.rand(count, 1, dtype=torch.float64, generator=generator)


def two_class_scores(classes: int, first: Tensor) -> Tensor:
    """All mass on classes 0 and 1, p_0 = `first`."""
    scores = torch.full((len(first), classes), -200.0, dtype=torch.float64)
    scores[:, 0], scores[:, 1] = first.log(), (1 - first).log()
    return scores


@pytest.mark.parametrize("classes", [3, 10])
def test_constants_of_mean_absolute_error(classes):
    """sqrt(2)/4 at p_y = 1/2 and 1/(3 sqrt 3) at p_y = (3 +- sqrt 3)/6, mass on one other class."""
    loss = losses.build("mae", classes)
    half = torch.tensor([0.5], dtype=torch.float64)
    lipschitz, _ = slope_and_curvature(loss, two_class_scores(classes, half))
    assert math.isclose(lipschitz, MAE_LIPSCHITZ, rel_tol=1e-10)
    for sign in (1, -1):
        extreme = torch.tensor([(3 + sign * math.sqrt(3)) / 6], dtype=torch.float64)
        _, smoothness = slope_and_curvature(loss, two_class_scores(classes, extreme))
        assert math.isclose(smoothness, MAE_SMOOTHNESS, rel_tol=1e-10)
    lipschitz, smoothness = slope_and_curvature(loss, spread_scores(classes, 2000, 5.0))
    assert lipschitz <= MAE_LIPSCHITZ + 1e-12
    assert smoothness <= MAE_SMOOTHNESS + 1e-12


@pytest.mark.parametrize("alpha", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("form, factor", [("T0", lambda a, K: a), ("T1", lambda a, K: 1)])
def test_alpha_controls_the_smoothness_of_alpha_mae(form, factor, alpha):
    """T1: Lipschitz constant free of alpha, smoothness proportional to it; T0: alpha times both."""
    loss = losses.build("alpha_mae", 10, alpha=alpha, form=form)
    extremes = torch.tensor([0.5, (3 + math.sqrt(3)) / 6], dtype=torch.float64)
    scores = two_class_scores(10, extremes)
    scores = (scores - scores.amax(-1, keepdim=True)) / alpha
    lipschitz, smoothness = slope_and_curvature(loss, scores)
    times = factor(alpha, 10)
    assert math.isclose(lipschitz, times * MAE_LIPSCHITZ, rel_tol=1e-9)
    assert math.isclose(smoothness, times * alpha * MAE_SMOOTHNESS, rel_tol=1e-9)
    lipschitz, smoothness = slope_and_curvature(loss, spread_scores(10, 1000, 5.0 / alpha))
    assert lipschitz <= times * MAE_LIPSCHITZ * (1 + 1e-12)
    assert smoothness <= times * alpha * MAE_SMOOTHNESS * (1 + 1e-12)


def test_the_second_form_is_a_multiple_of_the_first():
    scores = spread_scores(10, 50, 5.0)
    first, second = (losses.build("alpha_mae", 10, alpha=0.7, form=form) for form in ("T1", "T2"))
    shifted = 10 * first.values(scores) - 9 / 0.7
    assert torch.allclose(second.values(scores), shifted, atol=1e-10)


@pytest.mark.parametrize("alpha", [0.25, 0.9])
def test_constants_of_the_mixture(alpha):
    """Its smoothness is alpha / (3 sqrt 3): the unhinged part is linear."""
    loss = losses.build("alpha_mae_mix", 10, alpha=alpha)
    extreme = two_class_scores(10, torch.tensor([(3 + math.sqrt(3)) / 6], dtype=torch.float64))
    _, smoothness = slope_and_curvature(loss, extreme)
    assert math.isclose(smoothness, alpha * MAE_SMOOTHNESS, rel_tol=1e-9)
    lipschitz, smoothness = slope_and_curvature(loss, spread_scores(10, 1000, 5.0))
    assert smoothness <= alpha * MAE_SMOOTHNESS * (1 + 1e-12)
    assert lipschitz <= (1 - alpha) * math.sqrt(0.9) + alpha * MAE_LIPSCHITZ


def test_unhinged_is_flat_with_lipschitz_constant_of_the_centred_label():
    for classes in (2, 10):
        loss = losses.build("unhinged", classes)
        lipschitz, smoothness = slope_and_curvature(loss, spread_scores(classes, 50, 9.0))
        assert math.isclose(lipschitz, math.sqrt(1 - 1 / classes), rel_tol=1e-10)
        assert smoothness < 1e-12


@pytest.mark.parametrize("q", [0.1, 0.4, 0.7, 1.0])
def test_lipschitz_constant_of_gce(q):
    """sqrt(2) max_p p^q (1 - p) at p = q / (1 + q)."""
    bound = math.sqrt(2) * q**q / (1 + q) ** (1 + q)
    loss = losses.build("gce", 10, q=q)
    best = two_class_scores(10, torch.tensor([q / (1 + q)], dtype=torch.float64))
    assert math.isclose(slope_and_curvature(loss, best)[0], bound, rel_tol=1e-9)
    assert slope_and_curvature(loss, spread_scores(10, 500, 5.0))[0] <= bound * (1 + 1e-12)


def test_constants_of_cross_entropy():
    """sqrt(2) and 1/2, approached with all mass on wrong classes."""
    lipschitz, smoothness = slope_and_curvature(
        losses.build("ce", 10),
        torch.cat(
            [
                two_class_scores(10, torch.tensor([1e-12, 0.5], dtype=torch.float64)),
                spread_scores(10, 1000, 6.0),
            ]
        ),
    )
    assert math.isclose(lipschitz, math.sqrt(2), rel_tol=1e-9)
    assert math.isclose(smoothness, 0.5, rel_tol=1e-9)


BINARY_SGCE = {
    0.01: (0.0101, 0.702),
    0.1: (0.0810, 0.660),
    0.3: (0.1657, 0.574),
    0.5: (0.1992, 0.500),
    0.7: (0.2065, 0.435),
    1.0: (0.1925, 0.354),
}


@pytest.mark.parametrize("q", BINARY_SGCE)
def test_constants_of_binary_sgce(q):
    """Two classes leave one dimension: a scan finds the suprema."""
    line = torch.linspace(-40, 40, 8001, dtype=torch.float64)
    scores = torch.stack([line, torch.zeros_like(line)], dim=1)
    lipschitz, smoothness = slope_and_curvature(losses.build("sgce", 2, q=q), scores)
    assert math.isclose(smoothness, BINARY_SGCE[q][0], abs_tol=1e-4)
    assert math.isclose(lipschitz, BINARY_SGCE[q][1], abs_tol=1e-3)


@pytest.mark.parametrize("classes, published", [(3, 0.3277), (10, 0.4220)])
def test_sgce_does_not_become_flat_on_unbounded_scores(classes, published):
    """As q falls to 0 the smoothness constant tends to (K - 1)/(2K), not to 0."""
    far = torch.cartesian_prod(torch.logspace(1, 3.3, 60), torch.linspace(2, 14, 25)).double()
    scores = torch.zeros(len(far), classes, dtype=torch.float64)
    scores[:, 0], scores[:, 3:] = -far[:, 0], -far[:, 1:]
    _, smoothness = slope_and_curvature(losses.build("sgce", classes, q=0.01), scores)
    assert math.isclose(smoothness, published, abs_tol=2e-4)
    tiny = torch.zeros(1, classes, dtype=torch.float64)
    tiny[:, 0], tiny[:, 3:] = -1e9, -60.0
    _, smoothness = slope_and_curvature(losses.build("sgce", classes, q=1e-6), tiny)
    assert math.isclose(smoothness, (classes - 1) / (2 * classes), rel_tol=1e-3)


@pytest.mark.parametrize("q", [0.01, 0.1, 0.3, 0.7])
@pytest.mark.parametrize("radius", [0.5, 3.0])
def test_q_controls_the_smoothness_of_sgce_on_bounded_scores(q, radius):
    """Scores within D of each other: (1 - 1/K) [4q + (1 - e^(-qD))/2] <= (1 - 1/K) q (4 + D/2)."""
    classes, distance = 10, 2 * radius
    generator = torch.Generator().manual_seed(0)
    inside = torch.rand(400, classes, dtype=torch.float64, generator=generator)
    scores = radius * torch.cat([2 * inside - 1, (inside > 0.5).double() * 2 - 1])
    _, smoothness = slope_and_curvature(losses.build("sgce", classes, q=q), scores)
    bound = (1 - 1 / classes) * (4 * q + (1 - math.exp(-q * distance)) / 2)
    assert smoothness <= bound <= (1 - 1 / classes) * q * (4 + distance / 2) + 1e-12


@pytest.mark.parametrize("q, searched", [(0.01, 0.0093), (0.1, 0.070), (1.0, 0.107)])
def test_smoothness_of_sgce_within_the_unit_cube(q, searched):
    """Corners have larger curvatures than a random search finds, and stay below the bound."""
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 10)).reshape(10, -1).T
    _, smoothness = slope_and_curvature(losses.build("sgce", 10, q=q), torch.tensor(corners))
    bound = 0.9 * (4 * q + (1 - math.exp(-2 * q)) / 2)
    assert searched <= smoothness <= bound
