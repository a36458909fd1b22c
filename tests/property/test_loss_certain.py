"""The statements of the symmetrization paper that are certain, with numbers for every loss."""

from __future__ import annotations

import math

import pytest
import torch

from firstorder import losses
from firstorder.losses.convexity import violating_pair
from firstorder.losses.decomposition import decomposition
from firstorder.losses.equal_components import effective_steps, equal_components
from firstorder.losses.registry import Loss
from firstorder.losses.smoothness import alpha_mae_smoothness, largest_curvature, sgce_bound
from firstorder.losses.symmetric import centred

LINEAR = ("ce", "unhinged")
"""The losses whose symmetric part is linear."""


def scores(classes: int, spread: float = 3.0, examples: int = 50) -> torch.Tensor:
    generator = torch.Generator().manual_seed(classes)
    return spread * torch.randn(examples, classes, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("name", losses.names())
def test_every_loss_has_one_decomposition_only(name):
    found = decomposition(losses.build(name, 10), scores(10))
    assert max(found.class_sum, found.label, found.unique) < 1e-12
    assert found.solutions == 0


@pytest.mark.parametrize("classes", [3, 10])
@pytest.mark.parametrize("name", losses.names())
def test_a_violating_pair_is_found_for_every_symmetric_part_that_is_not_linear(name, classes):
    part = losses.symmetrize(losses.build(name, classes))
    found = violating_pair(part)
    assert (found is None) == (name in LINEAR)
    if found is not None:
        middle = part.values((found.first + found.second)[None] / 2)[0, found.label]
        ends = part.values(torch.stack([found.first, found.second]))[:, found.label]
        assert (middle - ends.mean()) / (1 + middle.abs()) == pytest.approx(found.excess)
        assert found.excess > 1e-5


def multiple_of_unhinged(loss: Loss, scores: torch.Tensor) -> tuple[float, float]:
    """The scale u that brings u U nearest to the symmetric part of `loss`, and the relative rest.

    The rest is |L_sym - u U| / |L_sym| over scores (B, K): 0 for a multiple of the unhinged loss.
    """
    part, unhinged = centred(loss.values(scores)), centred(-scores)
    scale = (part * unhinged).sum() / unhinged.square().sum()
    return scale.item(), ((part - scale * unhinged).norm() / part.norm()).item()


@pytest.mark.parametrize("name", losses.names())
def test_only_the_linear_symmetric_parts_are_multiples_of_unhinged(name):
    scale, rest = multiple_of_unhinged(losses.build(name, 10), scores(10))
    assert (rest < 1e-12) == (name in LINEAR)
    if name in LINEAR:
        assert scale == pytest.approx(1)


def test_the_scale_of_unhinged_is_found():
    loss = losses.build("unhinged", 5, scale=0.3)
    assert multiple_of_unhinged(loss, scores(5)) == pytest.approx((0.3, 0.0), abs=1e-12)


@pytest.mark.parametrize("classes", [3, 10, 100])
@pytest.mark.parametrize("name", losses.names())
def test_at_equal_scores_nothing_is_left_beside_kappa(name, classes):
    found = equal_components(losses.build(name, classes))
    assert found.breaks_ties == (name == "ce_eps+mae")
    assert (found.residual < 1e-12) != found.breaks_ties
    assert found.kappa > 0


def test_kappa_of_the_losses_that_are_compared_most():
    expected = {"ce": 1, "unhinged": 1, "mae": 0.01, "sgce": 100**-0.4, "alpha_mae": 1}
    for name, kappa in expected.items():
        assert equal_components(losses.build(name, 100)).kappa == pytest.approx(kappa)


@pytest.mark.parametrize("name", sorted(set(losses.names()) - {"ce_eps+mae"}))
def test_near_equal_scores_every_loss_is_kappa_times_unhinged(name):
    """The gradient leaves that of kappa times unhinged in proportion to the radius."""
    loss = losses.build(name, 10)
    far, near = (linearization_error(loss, radius) for radius in (1e-2, 1e-4))
    assert near < max(0.011 * far, 1e-12)
    assert near < 1e-3


def linearization_error(loss: Loss, radius: float, *, examples: int = 200, seed: int = 0) -> float:
    """Largest |grad L(s, y) + kappa (e_y - 1/K)| over scores of norm `radius`, y the last label.

    Proportional to the radius where the gradient is smooth at 0. Gradients and not values are
    compared, because some losses detach a factor. A loss that jumps between equal scores
    (ce_eps+mae) has no linearization there.
    """
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(examples, loss.num_classes, dtype=torch.float64, generator=generator)
    scores = (radius * scores / scores.norm(dim=1, keepdim=True)).requires_grad_()
    (slopes,) = torch.autograd.grad(loss.values(scores)[:, -1].sum(), scores)
    linear = torch.full_like(slopes, -1 / loss.num_classes)
    linear[:, -1] += 1
    return (slopes + equal_components(loss).kappa * linear).norm(dim=1).max().item()


def test_the_loss_that_singles_out_the_largest_score_has_no_linearization():
    loss = losses.build("ce_eps+mae", 10)
    assert linearization_error(loss, 1e-4) > 0.9 * linearization_error(loss, 1e-2) > 1e-3


def test_effective_steps_of_a_cosine_schedule():
    """Half of the first rate on average, ten times as far with momentum 0.9."""
    rates = [0.01 * (1 + math.cos(math.pi * step / 1000)) / 2 for step in range(1000)]
    assert effective_steps(rates, 0.1, 0.9) == pytest.approx(5.0, rel=0.01)
    assert effective_steps(rates, 1.0) == pytest.approx(5.0, rel=0.01)


def test_momentum_is_under_one():
    with pytest.raises(ValueError, match="momentum"):
        effective_steps([0.1], 1.0, 1.0)


@pytest.mark.parametrize("classes", [2, 10])
def test_on_bounded_scores_the_smoothness_of_sgce_falls_with_q(classes):
    found = []
    for q in (0.01, 0.05, 0.1, 0.3):
        found.append(largest_curvature(losses.build("sgce", classes, q=q), 2.0))
        assert found[-1] <= sgce_bound(q, 2.0, classes) <= (1 - 1 / classes) * q * 5
    assert found == sorted(found)
    assert found[0] < 0.012


def test_the_search_finds_what_another_search_found():
    """Lower estimates over scores of norm 1, K = 10, whose spread is at most 2."""
    for q, known in ((0.01, 0.0093), (0.1, 0.070), (0.3, 0.123), (0.7, 0.123), (1.0, 0.107)):
        assert largest_curvature(losses.build("sgce", 10, q=q), 2.0) >= known - 5e-4


@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0, 2.0])
def test_the_smoothness_of_alpha_mae_is_proportional_to_alpha(alpha):
    for form in ("T1", "T2"):
        loss = losses.build("alpha_mae", 5, alpha=alpha, form=form)
        bound = alpha_mae_smoothness(alpha, 5, form)
        assert 0.98 * bound < largest_curvature(loss, 20.0 / alpha) <= bound * (1 + 1e-9)
    assert alpha_mae_smoothness(2 * alpha, 5) == pytest.approx(2 * alpha_mae_smoothness(alpha, 5))


def test_the_smoothness_of_the_mixture_is_that_of_its_part_of_mean_absolute_error():
    loss = losses.build("alpha_mae_mix", 5, alpha=0.5)
    bound = alpha_mae_smoothness(0.5, 5, "mix")
    assert 0.98 * bound < largest_curvature(loss, 20.0) <= bound * (1 + 1e-9)


def test_a_linear_loss_does_not_bend():
    assert largest_curvature(losses.build("unhinged", 5), 2.0, rounds=1) == 0.0
