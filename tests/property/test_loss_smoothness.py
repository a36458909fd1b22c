"""Lipschitz and smoothness constants: reached at known scores, exceeded at none that are tried."""

from __future__ import annotations

import math
import re
from pathlib import Path

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


SGCE = {
    2: {
        0.01: (0.0101, 0.702),
        0.05: (0.0455, 0.683),
        0.1: (0.0810, 0.660),
        0.2: (0.1324, 0.616),
        0.3: (0.1657, 0.574),
        0.5: (0.1992, 0.500),
        0.7: (0.2065, 0.435),
        0.9: (0.1993, 0.379),
        1.0: (0.1925, 0.354),
    },
    3: {
        0.01: (0.3277, 0.898),
        0.05: (0.3059, 0.803),
        0.1: (0.2799, 0.738),
        0.2: (0.2321, 0.667),
        0.3: (0.1991, 0.603),
        0.5: (0.2152, 0.505),
        0.7: (0.2133, 0.437),
        0.9: (0.2009, 0.379),
        1.0: (0.1925, 0.354),
    },
    10: {
        0.01: (0.4220, 1.205),
        0.05: (0.3701, 1.048),
        0.1: (0.3467, 0.924),
        0.2: (0.3125, 0.765),
        0.3: (0.2885, 0.662),
        0.5: (0.2543, 0.529),
        0.7: (0.2274, 0.443),
        0.9: (0.2035, 0.380),
        1.0: (0.1925, 0.354),
    },
}
"""Suprema of SGCE over all scores by number of classes and q: smoothness, Lipschitz constant."""
FAR = 1e13


def constants_of_sgce(classes: int, q: float) -> tuple[float, float]:
    """Lipschitz constant and smoothness, by scans of the families that have the suprema.

    Two classes and the rest far off; all wrong classes alike; the own class far off, the others
    in two groups. Random scores are tried along with them.
    """
    line = torch.linspace(-5, 5, 1001, dtype=torch.float64)
    pair, alike, away = torch.zeros(3, len(line), classes, dtype=torch.float64)
    pair[:, 1], pair[:, 2:] = line, -FAR
    alike[:, 1:] = line[:, None]
    away[:, 0], away[:, 3:] = -FAR, line[:, None] - 10
    spread = [spread_scores(classes, 500, largest) for largest in (20.0, 300.0)]
    scores = torch.cat([pair, alike, away, *spread])
    return slope_and_curvature(losses.build("sgce", classes, q=q), scores)


@pytest.mark.parametrize("classes, q", [(classes, q) for classes in SGCE for q in SGCE[classes]])
def test_constants_of_sgce(classes, q):
    lipschitz, smoothness = constants_of_sgce(classes, q)
    assert math.isclose(smoothness, SGCE[classes][q][0], abs_tol=5.1e-5)
    assert math.isclose(lipschitz, SGCE[classes][q][1], abs_tol=5.1e-4)


@pytest.mark.parametrize("column, place", [("Lipschitz", 0), ("Smoothness", 1)])
def test_the_documentation_has_the_measured_constants_of_sgce(column, place):
    text = (Path(__file__).resolve().parents[2] / "docs" / "losses.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    header = next(row for row in rows if column in row)
    row = next(row for row in rows if row[1:2] == ["`sgce`"])
    printed = re.findall(r"([\d.]+) \(q=([\d.]+)\)", row[header.index(column)])
    assert len(printed) == 2
    for number, q in printed:
        measured = constants_of_sgce(10, float(q))[place]
        assert math.isclose(float(number), measured, abs_tol=5e-4)


@pytest.mark.parametrize("classes", [3, 10, 100])
def test_sgce_does_not_become_flat_on_unbounded_scores(classes):
    """As q falls to 0, smoothness tends to (K - 1)/(2K), not to 0, and |gradient| to its largest.

    sqrt(2) (1 - 1/K): the own class has p^q = 1, all others but the top one p^q = 0.
    """
    loss = losses.build("sgce", classes, q=1e-9)
    far = torch.zeros(1, classes, dtype=torch.float64)
    far[:, 0], far[:, 3:] = -FAR, -60.0
    _, smoothness = slope_and_curvature(loss, far)
    assert math.isclose(smoothness, (classes - 1) / (2 * classes), rel_tol=1e-6)
    far[:, 0], far[:, 2:] = -60.0, -FAR
    lipschitz, _ = slope_and_curvature(loss, far)
    assert math.isclose(lipschitz, math.sqrt(2) * (1 - 1 / classes), rel_tol=1e-6)


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


BALL_SGCE = {
    1.0: {0.01: 0.0093, 0.1: 0.070, 0.3: 0.123, 0.5: 0.130, 0.7: 0.123, 1.0: 0.107},
    10.0: {0.01: 0.034, 0.1: 0.172, 0.3: 0.254, 0.5: 0.247, 0.7: 0.210, 1.0: 0.189},
}
"""Smoothness found by a random search over scores of Euclidean norm <= R, ten classes."""


@pytest.mark.parametrize("radius, longer", [(1.0, 1.005), (10.0, 1.08)])
@pytest.mark.parametrize("q", BALL_SGCE[1.0])
def test_smoothness_of_sgce_in_a_ball(radius, longer, q):
    """One or two wrong classes apart from the rest have more than was searched, but little more."""
    angles = torch.linspace(0, 2 * math.pi, 720, dtype=torch.float64)
    scores = torch.zeros(2, len(angles), 10, dtype=torch.float64)
    scores[:, :, 0], scores[:, :, 1], scores[1, :, 2] = angles.cos(), angles.sin(), angles.sin()
    scores = scores.flatten(0, 1)
    scores = scores - scores.mean(-1, keepdim=True)
    scores = radius * torch.nn.functional.normalize(scores, dim=-1)
    _, smoothness = slope_and_curvature(losses.build("sgce", 10, q=q), scores)
    searched, distance = BALL_SGCE[radius][q], math.sqrt(2) * radius
    assert searched <= smoothness <= longer * searched
    assert smoothness <= 0.9 * (4 * q + (1 - math.exp(-q * distance)) / 2)
