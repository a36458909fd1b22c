"""What label noise does to the expected loss, and which guarantees follow from symmetry."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import normal
from torch import Tensor

from firstorder import losses
from firstorder.losses import baselines

CLAIM = settings(derandomize=True, deadline=None, max_examples=20)
EXACT = 1e-10
SYMMETRIC = {
    "mae": {},
    "rce": {},
    "nce": {},
    "nfl": {},
    "nnce": {},
    "nnfl": {},
    "nce+rce": {},
    "anl-ce": {},
    "unhinged": {},
    "sgce": {"q": 0.3},
    "alpha_mae": {"alpha": 2.0},
    "alpha_mae_mix": {"alpha": 0.6},
}


def symmetric_noise(classes: int, rate: float) -> Tensor:
    """Transition matrix (K, K), the true class excluded from the wrong ones."""
    identity = torch.eye(classes, dtype=torch.float64)
    return (1 - rate) * identity + rate / (classes - 1) * (1 - identity)


def gradients(loss: losses.Loss, scores: Tensor) -> Tensor:
    """d value(y) / d scores, (B, y, K)."""
    return torch.func.vmap(torch.func.jacrev(lambda s: loss.values(s[None])[0]))(scores)


@pytest.mark.parametrize("name", SYMMETRIC)
@CLAIM
@given(seed=st.integers(0, 2**31), rate=st.floats(0, 0.95), classes=st.sampled_from([2, 3, 10]))
def test_symmetric_noise_rescales_a_symmetric_loss_and_its_gradient(name, seed, rate, classes):
    loss = losses.build(name, classes, **SYMMETRIC[name])
    scores = normal(seed, 4, classes, spread=2.0)
    noise = symmetric_noise(classes, rate)
    factor = 1 - rate * classes / (classes - 1)
    values = loss.values(scores)
    total = values.sum(-1, keepdim=True)
    assert torch.allclose(
        values @ noise.T, factor * values + rate * total / (classes - 1), atol=EXACT
    )
    slopes = gradients(loss, scores)
    expected = torch.einsum("yk,bkj->byj", noise, slopes)
    assert torch.allclose(expected, factor * slopes, atol=EXACT)


@CLAIM
@given(seed=st.integers(0, 2**31), rate=st.floats(0.05, 0.95), classes=st.sampled_from([3, 10]))
def test_symmetric_noise_adds_a_bias_to_the_gradient_of_cross_entropy(seed, rate, classes):
    loss = losses.build("ce", classes)
    scores = normal(seed, 4, classes, spread=2.0)
    slopes = gradients(loss, scores)
    expected = torch.einsum("yk,bkj->byj", symmetric_noise(classes, rate), slopes)
    lost = rate * classes / (classes - 1)
    bias = lost * (scores.softmax(-1) - 1 / classes)
    assert torch.allclose(expected, (1 - lost) * slopes + bias[:, None], atol=EXACT)
    assert bias.abs().max() > 0


@pytest.mark.parametrize("classes", [10, 100])
def test_minimisers_survive_symmetric_noise_below_its_critical_rate_only(classes):
    """The noisy risk is an increasing function of the clean one up to the rate (K - 1) / K."""
    values = losses.build("unhinged", classes).values(normal(0, 40, classes))
    for rate, same in [((classes - 1.1) / classes, True), ((classes - 0.9) / classes, False)]:
        noisy = values @ symmetric_noise(classes, rate).T
        assert bool(noisy[:, 0].argmin() == values[:, 0].argmin()) is same


@pytest.mark.parametrize("loss", ["mae", "rce", "T0", "T1", "T2"])
def test_losses_linear_in_the_label_probability_meet_the_bound_for_class_dependent_noise(loss):
    """0 <= L - min L <= C / (K - 1), the condition of Ghosh et al. (2017)."""
    classes = 10
    built = (
        losses.build("alpha_mae", classes, alpha=3.0, form=loss)
        if loss.startswith("T")
        else losses.build(loss, classes)
    )
    scores = normal(1, 20000, classes, spread=5.0)
    peaks = 40 * torch.eye(classes, dtype=torch.float64)
    values = built.values(torch.cat([scores, peaks, -peaks]))
    shifted = values - values.min()
    constant = shifted.sum(-1).mean()
    assert shifted.max() <= constant / (classes - 1) * (1 + 1e-5)


def largest_over_bound(loss: losses.Loss, scores: Tensor, smallest: float) -> Tensor:
    """Largest value over C / (K - 1), after the minimum `smallest` is shifted to 0."""
    values = loss.values(scores) - smallest
    bound = values[0].sum() / (loss.num_classes - 1)
    return values.max() / bound


def test_normalised_unhinged_exceeds_the_bound_for_class_dependent_noise():
    """Largest shifted value 2 sqrt(1 - 1/K) against sqrt(K / (K - 1)), for K >= 3."""
    for classes in (3, 10, 100):
        centred = torch.eye(classes, dtype=torch.float64) - 1 / classes
        away = -centred / centred.norm(dim=-1, keepdim=True)
        smallest = -math.sqrt(1 - 1 / classes)
        ratio = largest_over_bound(losses.build("unhinged", classes), away, smallest)
        assert math.isclose(ratio, 2 * (classes - 1) / classes, rel_tol=1e-9)
        assert ratio > 1


@pytest.mark.parametrize("q, largest", [(0.3, 4.55), (0.7, 1.56), (1.0, 1.0)])
def test_sgce_meets_the_bound_for_class_dependent_noise_only_at_q_one(q, largest):
    """The bound is 1/q; the largest value has no mass on y and equal mass on the others."""
    classes = 10
    loss = losses.build("sgce", classes, q=q)
    smallest = -(1 - 1 / classes) / q
    away = -300 * torch.eye(classes, dtype=torch.float64)
    ratio = largest_over_bound(loss, away, smallest)
    assert math.isclose(ratio / q, largest, abs_tol=0.01)
    assert ratio > 1 if q < 1 else math.isclose(ratio, 1, rel_tol=1e-9)
    searched = largest_over_bound(loss, normal(3, 20000, classes, spread=4.0), smallest)
    assert searched <= ratio * (1 + 1e-9)


def test_the_mixture_is_unbounded_below():
    peak = torch.eye(10, dtype=torch.float64)[:1]
    for alpha in (0.1, 0.9):
        assert losses.build("alpha_mae_mix", 10, alpha=alpha).values(1e6 * peak).min() < -1e4


def simplex(seed: int, points: int, classes: int) -> Tensor:
    """Points spread over the simplex, many of them near its faces."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(points, classes, dtype=torch.float64, generator=generator) ** 4
    return weights / weights.sum(-1, keepdim=True)


def probabilities(values: Tensor) -> Tensor:
    """Scores whose softmax is `values`."""
    return values.clamp(min=1e-300).log()


ASYMMETRIC = [
    (baselines.agce, {"a": 0.6, "q": 0.6}, lambda a, q: ((a + 1) / a) ** (1 - q), 1.480),
    (baselines.aul, {"a": 5.5, "q": 3.0}, lambda a, q: (a / (a - 1)) ** (q - 1), 1.494),
    (baselines.aul, {"a": 6.3, "q": 1.5}, lambda a, q: (a / (a - 1)) ** (q - 1), 1.090),
    (baselines.ael, {"a": 2.5}, lambda a: math.exp(1 / a), 1.492),
    (baselines.ael, {"a": 5.0}, lambda a: math.exp(1 / a), 1.221),
]


@pytest.mark.parametrize("function, parameters, threshold, published", ASYMMETRIC)
def test_asymmetric_losses_choose_the_heaviest_label_above_their_threshold(
    function, parameters, threshold, published
):
    """The minimiser over the simplex of sum_i w_i l(p_i) is e_m iff w_m / w_n is large enough."""
    ratio = threshold(**parameters)
    assert math.isclose(ratio, published, abs_tol=1e-3)
    steps = torch.cat([torch.tensor([1e-9, 1e-6, 1e-3]), torch.linspace(0, 1, 400)]).double()
    edge = torch.stack([1 - steps, steps, torch.zeros_like(steps)], dim=1)
    points = torch.cat([edge, simplex(0, 2000, 3)])
    values = function(probabilities(points), **parameters)
    vertex = function(probabilities(torch.eye(3, dtype=torch.float64)[:1]), **parameters)
    for excess, chosen in [(1.02, True), (0.98, False)]:
        weights = torch.tensor([ratio * excess, 1.0, 0.5], dtype=torch.float64)
        assert bool(((values @ weights) >= (vertex @ weights) - 1e-12).all()) is chosen


def test_agce_above_and_aul_below_q_one_are_always_asymmetric():
    """They are concave in p: the minimum is at a vertex, the one with the largest weight."""
    points = probabilities(simplex(0, 3000, 3))
    weights = torch.tensor([1.01, 1.0, 0.9], dtype=torch.float64)
    vertex = probabilities(torch.eye(3, dtype=torch.float64)[:1])
    for function, parameters in [
        (baselines.agce, {"a": 6.0, "q": 1.5}),
        (baselines.aul, {"a": 3.0, "q": 0.1}),
    ]:
        best = function(vertex, **parameters) @ weights
        assert ((function(points, **parameters) @ weights) >= best - 1e-12).all()


@pytest.mark.parametrize("a, chosen", [(9.5, True), (8.5, False)])
def test_amse_survives_eighty_percent_symmetric_noise_from_a_of_nine_on(a, chosen):
    """Ten classes: w_m / w_n = 2.25 against (a + sum_{i != m} w_i / w_n) / (a - 1)."""
    weights = torch.full((10,), 0.8 / 9, dtype=torch.float64)
    weights[0] = 0.2
    uniform = torch.full((10,), 0.1, dtype=torch.float64)
    steps = torch.linspace(0, 1, 2000, dtype=torch.float64)[:, None]
    points = (1 - steps) * torch.eye(10, dtype=torch.float64)[:1] + steps * uniform
    values = baselines.amse(probabilities(points), a=a) @ weights
    assert bool((values >= values[0] - 1e-12).all()) is chosen


@CLAIM
@given(seed=st.integers(0, 2**31), rate=st.floats(0, 0.85))
def test_normalised_unhinged_is_consistent_and_blind_to_symmetric_noise(seed, rate):
    """Over unit scores the optimum is the centred class probability, whatever the noise."""
    classes = 10
    posterior = normal(seed, 1, classes, spread=2.0).softmax(-1)
    noisy = posterior @ symmetric_noise(classes, rate)
    loss = losses.build("unhinged", classes)
    directions = torch.nn.functional.normalize(normal(seed + 1, 500, classes), dim=-1)
    optima = []
    for target in (posterior, noisy):
        best = torch.nn.functional.normalize(target - 1 / classes, dim=-1)
        risk = (loss.values(best) * target).sum()
        assert (risk <= (loss.values(directions) * target).sum(-1) + EXACT).all()
        assert best.argmax() == posterior.argmax()
        optima.append(best)
    assert torch.allclose(*optima, atol=1e-9)
