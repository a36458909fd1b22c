"""Symmetry, the decomposition into a symmetric part and the rest, and its uniqueness."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from firstorder import losses
from firstorder.losses import baselines
from firstorder.losses.symmetric import centred

CLAIM = settings(derandomize=True, deadline=None, max_examples=20)
FEW = settings(CLAIM, max_examples=5)
EXACT = 1e-10
CLASS_SUMS = {
    "mae": lambda K: K - 1,
    "rce": lambda K: -math.log(1e-4) * (K - 1),
    "nce": lambda K: 1,
    "nfl": lambda K: 1,
    "ngce": lambda K: 1,
    "nnce": lambda K: K - 1,
    "nnfl": lambda K: K - 1,
    "unhinged": lambda K: 0,
    "sgce": lambda K: 0,
    "alpha_mae": lambda K: 0,
    "alpha_mae_mix": lambda K: 0.9 * (K - 1),
}
NOT_SYMMETRIC = ("ce", "focal", "gce", "agce", "aul", "ael", "sce", "jal-ce", "nlnl", "ldr-kl")


@st.composite
def score_matrices(draw: st.DrawFn, largest: float = 6.0) -> Tensor:
    """Scores (5, K) in [-largest, largest], float64, K of 2, 3 or 10."""
    classes = draw(st.sampled_from([2, 3, 10]))
    seed = draw(st.integers(0, 2**31))
    spread = draw(st.floats(0.01, largest))
    generator = torch.Generator().manual_seed(seed)
    return spread * (2 * torch.rand(5, classes, generator=generator, dtype=torch.float64) - 1)


def build(name: str, scores: Tensor, **parameters: float) -> losses.Loss:
    return losses.build(name, scores.shape[-1], **parameters)


@pytest.mark.parametrize("name", losses.names())
@CLAIM
@given(scores=score_matrices())
def test_every_loss_is_a_symmetric_part_plus_a_part_without_label(name, scores):
    values = build(name, scores).values(scores)
    symmetric = losses.symmetrize(build(name, scores)).values(scores)
    rest = values - symmetric
    scale = 1 + values.abs().max()
    assert symmetric.sum(-1).abs().max() < EXACT * scale
    assert (rest - rest[:, :1]).abs().max() < EXACT * scale
    assert (rest[:, 0] - values.mean(-1)).abs().max() < EXACT * scale


@CLAIM
@given(scores=score_matrices())
def test_the_decomposition_is_linear_idempotent_and_the_centring_matrix(scores):
    classes = scores.shape[-1]
    first, second = (build(name, scores).values(scores) for name in ("ce", "gce"))
    centring = torch.eye(classes, dtype=torch.float64) - 1 / classes
    assert torch.allclose(centred(first), first @ centring, atol=EXACT)
    assert torch.allclose(centred(centred(first)), centred(first), atol=EXACT)
    assert centred(first - centred(first)).abs().max() < EXACT
    mixed = centred(2 * first - 3 * second)
    assert torch.allclose(mixed, 2 * centred(first) - 3 * centred(second), atol=EXACT)


def solved(values: Tensor, total: float) -> tuple[Tensor, Tensor]:
    """The only L' (B, K) and R' (B,) with L'_k + R' = L_k for all k and sum_k L'_k = total."""
    classes = values.shape[-1]
    conditions = torch.ones(classes + 1, classes + 1, dtype=torch.float64)
    conditions[:classes, :classes] = torch.eye(classes)
    conditions[classes, classes] = 0
    assert torch.linalg.matrix_rank(conditions) == classes + 1
    right = torch.cat([values, torch.full_like(values[:, :1], total)], dim=1)
    solution = torch.linalg.solve(conditions, right.T).T
    return solution[:, :classes], solution[:, classes]


@pytest.mark.parametrize("name", NOT_SYMMETRIC)
@FEW
@given(scores=score_matrices(), total=st.floats(-5, 5))
def test_another_symmetric_part_differs_by_a_constant_only(name, scores, total):
    """L = L' + R', class sum C of L' and R' free of the label: L' is the symmetric part + C/K."""
    classes, loss = scores.shape[-1], build(name, scores)
    values, part = loss.values(scores), losses.symmetrize(loss).values(scores)
    other, rest = solved(values, total)
    scale = 1 + values.abs().max()
    assert (other - part - total / classes).abs().max() < EXACT * scale
    assert (rest - (values - part)[:, 0] + total / classes).abs().max() < EXACT * scale


@pytest.mark.parametrize("name", CLASS_SUMS)
@FEW
@given(scores=score_matrices())
def test_a_symmetric_loss_is_all_of_its_symmetric_part_but_a_constant(name, scores):
    classes, loss = scores.shape[-1], build(name, scores)
    total = CLASS_SUMS[name](classes)
    values = loss.values(scores)
    other, rest = solved(values, total)
    scale = 1 + values.abs().max()
    assert (other - values).abs().max() < EXACT * scale
    assert rest.abs().max() < EXACT * scale
    part = losses.symmetrize(loss).values(scores)
    assert (values - part - total / classes).abs().max() < EXACT * scale


@CLAIM
@given(scores=score_matrices())
def test_unhinged_is_the_symmetric_part_of_cross_entropy(scores):
    cross_entropy, unhinged = build("ce", scores), build("unhinged", scores)
    symmetric = losses.symmetrize(cross_entropy).values(scores)
    assert torch.allclose(symmetric, unhinged.values(scores), atol=EXACT)
    rest = scores.logsumexp(-1, keepdim=True) - scores.mean(-1, keepdim=True)
    assert torch.allclose(cross_entropy.values(scores), symmetric + rest, atol=EXACT)


@CLAIM
@given(scores=score_matrices(), q=st.floats(0.05, 1.0))
def test_sgce_is_the_symmetric_part_of_gce(scores, q):
    symmetric = losses.symmetrize(build("gce", scores, q=q)).values(scores)
    assert torch.allclose(symmetric, build("sgce", scores, q=q).values(scores), atol=EXACT)


@CLAIM
@given(scores=score_matrices())
def test_sgce_runs_from_the_unhinged_loss_to_mean_absolute_error(scores):
    classes = scores.shape[-1]
    unhinged = build("unhinged", scores).values(scores)
    assert torch.equal(build("sgce", scores, q=0.0).values(scores), unhinged)
    near = build("sgce", scores, q=1e-7).values(scores)
    assert torch.allclose(near, unhinged, atol=1e-5)
    mae = build("mae", scores).values(scores)
    sgce = build("sgce", scores, q=1.0).values(scores)
    assert torch.allclose(sgce, mae - (1 - 1 / classes), atol=EXACT)


@CLAIM
@given(scores=score_matrices(), shift=st.floats(-50, 50), factor=st.floats(0, 20))
def test_unhinged_is_linear_shift_invariant_and_unbounded(scores, shift, factor):
    unhinged = build("unhinged", scores)
    values = unhinged.values(scores)
    assert torch.allclose(unhinged.values(scores + shift), values, atol=1e-9)
    assert torch.allclose(unhinged.values(factor * scores), factor * values, atol=1e-9)
    label = torch.eye(scores.shape[-1], dtype=torch.float64)[:1]
    assert unhinged.values(1e6 * label).min() < -4e5


def test_binary_unhinged_is_half_the_margin():
    scores = torch.tensor([[0.3, -1.1], [2.0, 0.5]], dtype=torch.float64)
    margin = scores[:, 0] - scores[:, 1]
    values = losses.build("unhinged", 2).values(scores)
    assert torch.allclose(values, torch.stack([-margin / 2, margin / 2], dim=1), atol=EXACT)


def linear(scores: Tensor, a: float, b: float) -> losses.Loss:
    """-a s_y + b sum_k s_k."""
    return losses.Loss(
        "linear", scores.shape[-1], {}, lambda s: b * s.sum(-1, keepdim=True) - a * s
    )


@CLAIM
@given(scores=score_matrices(), a=st.floats(0.1, 3), b=st.floats(-3, 3))
def test_a_linear_loss_is_symmetric_only_with_the_coefficients_of_unhinged(scores, a, b):
    """-a s_y + b sum_k s_k has class sum (K b - a) sum_k s_k."""
    classes = scores.shape[-1]
    assume(abs(classes * b - a) > 1e-3)
    unhinged, other = build("unhinged", scores, scale=a), linear(scores, a, b)
    values = unhinged.values(scores)
    assert torch.allclose(linear(scores, a, a / classes).values(scores), values, atol=EXACT)
    assert torch.allclose(losses.symmetrize(other).values(scores), values, atol=EXACT)
    sums = (other.values(scores) - values).sum(-1)
    assert torch.allclose(sums, (classes * b - a) * scores.sum(-1), atol=1e-9)
    moved = [(loss.values(scores + 1) - loss.values(scores)).sum(-1) for loss in (unhinged, other)]
    assert moved[0].abs().max() < 1e-9
    assert moved[1].abs().min() > classes * 0.99e-3


@CLAIM
@given(scores=score_matrices(), smoothing=st.floats(-1e6, -1))
def test_unhinged_is_the_limit_of_negative_label_smoothing(scores, smoothing):
    values = build("ce", scores).values(scores)
    smoothed = (1 - smoothing) * values + smoothing * values.mean(-1, keepdim=True)
    difference = smoothed / (1 - smoothing) - build("unhinged", scores).values(scores)
    rest = scores.logsumexp(-1, keepdim=True) - scores.mean(-1, keepdim=True)
    assert torch.allclose(difference, rest.expand_as(difference) / (1 - smoothing), atol=EXACT)


@CLAIM
@given(scores=score_matrices())
def test_unhinged_is_cross_entropy_under_a_sparse_dirichlet_prior(scores):
    """The added term is -log of a Dirichlet density, concentration 1 - 1/K, up to a constant."""
    classes = scores.shape[-1]
    log_p = scores.log_softmax(-1)
    prior = torch.distributions.Dirichlet(
        torch.full((classes,), 1 - 1 / classes, dtype=torch.float64), validate_args=False
    )
    added = -prior.log_prob(log_p.exp())
    total = build("ce", scores).values(scores) + added[:, None]
    difference = total - build("unhinged", scores).values(scores)
    assert (difference - difference[0, 0]).abs().max() < 1e-9


@pytest.mark.parametrize("name", CLASS_SUMS)
@CLAIM
@given(scores=score_matrices())
def test_symmetric_losses_have_their_class_sum(name, scores):
    sums = build(name, scores).values(scores).sum(-1)
    assert torch.allclose(sums, torch.full_like(sums, CLASS_SUMS[name](scores.shape[-1])))


@pytest.mark.parametrize("form, total", [("T0", 9.0), ("T1", 9.0 / 0.7), ("T2", 0.0)])
def test_the_forms_of_alpha_mae_have_their_class_sums(form, total):
    scores = torch.randn(7, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sums = losses.build("alpha_mae", 10, alpha=0.7, form=form).values(scores).sum(-1)
    assert torch.allclose(sums, torch.full_like(sums, total), atol=EXACT)


def spread_scores(examples: int, classes: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 3 * torch.randn(examples, classes, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("name", NOT_SYMMETRIC)
def test_the_other_losses_are_not_symmetric(name):
    scores = spread_scores(50, 10)
    sums = losses.build(name, 10).values(scores).sum(-1)
    assert sums.max() - sums.min() > 1e-2


def test_mean_square_error_is_not_symmetric():
    scores = spread_scores(50, 10)
    for a in (1.0, 30.0):
        sums = baselines.amse(scores, a=a).sum(-1)
        assert sums.max() - sums.min() > 1e-2


def excess(loss: losses.Loss, ends: Tensor) -> Tensor:
    """Midpoint's value less the mean of those of the ends (2, B, K); of a convex loss <= 0."""
    first, second, middle = (loss.values(s) for s in (*ends, ends.mean(0)))
    return middle - (first + second) / 2


def convexity_gap(name: str, classes: int, pairs: int = 4000) -> float:
    """Largest relative excess of the midpoint's value over the mean of the ends."""
    generator = torch.Generator().manual_seed(2)
    ends = torch.randn(2, pairs, classes, dtype=torch.float64, generator=generator)
    ends = ends * 10 * torch.rand(pairs, 1, dtype=torch.float64, generator=generator)
    loss = losses.build(name, classes)
    return (excess(loss, ends) / (1 + loss.values(ends.mean(0)).abs())).max().item()


@pytest.mark.parametrize("classes", [3, 10])
@pytest.mark.parametrize("name", sorted({*CLASS_SUMS, "agce", "aul", "ael", "gce"} - {"unhinged"}))
def test_no_other_robust_loss_is_convex(name, classes):
    assert convexity_gap(name, classes) > 1e-3


@pytest.mark.parametrize("name", losses.names())
def test_only_unhinged_is_symmetric_and_convex(name):
    sums = losses.build(name, 3).values(spread_scores(50, 3)).sum(-1)
    symmetric = sums.max() - sums.min() < 1e-4
    convex = convexity_gap(name, 3, pairs=500) < EXACT
    assert (symmetric and convex) == (name == "unhinged")


@pytest.mark.parametrize("name", ["unhinged", "ce"])
def test_unhinged_and_cross_entropy_are_convex(name):
    assert convexity_gap(name, 10) < EXACT


@pytest.mark.parametrize("name", CLASS_SUMS)
@FEW
@given(seed=st.integers(0, 2**31), classes=st.sampled_from([2, 3, 10]))
def test_what_a_symmetric_loss_has_convex_at_a_label_is_concave_at_others(name, seed, classes):
    """L(., y) = C - sum of the others: convex at every label, it is affine, as unhinged is."""
    generator = torch.Generator().manual_seed(seed)
    ends = 6 * (2 * torch.rand(2, 200, classes, dtype=torch.float64, generator=generator) - 1)
    found = excess(losses.build(name, classes), ends)
    assert found.sum(-1).abs().max() < EXACT
    if name == "unhinged":
        assert found.abs().max() < EXACT
    else:
        assert found.max() > 1e-3
        assert found.min() < -1e-3


@CLAIM
@given(seed=st.integers(0, 2**31), classes=st.sampled_from([2, 3, 10]))
def test_only_the_part_without_label_makes_cross_entropy_bend(seed, classes):
    generator = torch.Generator().manual_seed(seed)
    ends = 6 * (2 * torch.rand(2, 200, classes, dtype=torch.float64, generator=generator) - 1)
    cross_entropy = losses.build("ce", classes)
    found = excess(cross_entropy, ends)
    assert found.max() < EXACT
    assert found.sum(-1).min() < -1
    assert (found - found[:, :1]).abs().max() < EXACT
    assert excess(losses.symmetrize(cross_entropy), ends).abs().max() < EXACT


@pytest.mark.parametrize("name", losses.names())
def test_no_loss_knows_the_order_of_the_classes(name):
    scores, loss = spread_scores(20, 5), losses.build(name, 5)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(loss.values(scores[:, order]), loss.values(scores)[:, order], atol=EXACT)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_affine_symmetric_losses_are_the_multiples_of_unhinged(classes):
    """G[y] the slope for label y: P G P' = G for all permutations P, and sum_y G[y] = 0.

    A cycle and a transposition generate all permutations. Their conditions leave u I + v 11'.
    """
    identity = torch.eye(classes, dtype=torch.float64)
    generators = identity.roll(1, 0), identity[[1, 0, *range(2, classes)]]
    unmoved = torch.cat([torch.kron(P, P) - torch.eye(classes**2) for P in generators])
    assert classes**2 - torch.linalg.matrix_rank(unmoved) == 2
    sums = torch.kron(torch.ones(1, classes, dtype=torch.float64), identity)
    _, sizes, vectors = torch.linalg.svd(torch.cat([unmoved, sums]))
    assert (sizes < EXACT).sum() == 1
    slopes = vectors[-1].reshape(classes, classes)
    slopes = slopes / (slopes[0, 1] - slopes[0, 0])
    scores = spread_scores(50, classes)
    for scale in (0.3, 1.7):
        values = losses.build("unhinged", classes, scale=scale).values(scores)
        assert torch.allclose(values, scale * scores @ slopes.T, atol=EXACT)
