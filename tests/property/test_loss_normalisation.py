"""Score normalisation: what it keeps, and what the unhinged loss becomes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import normal
from torch import Tensor

from firstorder import losses
from firstorder.losses import normalisation

CLAIM = settings(derandomize=True, deadline=None, max_examples=20)


@pytest.mark.parametrize("kind", ["none", "l2", "bn"])
@CLAIM
@given(seed=st.integers(0, 2**31), spread=st.floats(0.1, 5))
def test_normalisation_keeps_symmetry(kind, seed, spread):
    normalise = normalisation.build(kind, 10).double()
    scores = normalise(normal(seed, 8, 10, spread=spread))
    for name in ("unhinged", "sgce", "alpha_mae", "mae"):
        sums = losses.build(name, 10).values(scores).sum(-1)
        assert (sums - sums[0]).abs().max() < 1e-9


@CLAIM
@given(seed=st.integers(0, 2**31), spread=st.floats(0.1, 50))
def test_unhinged_of_unit_scores_is_a_cosine(seed, spread):
    """-sqrt(1 - 1/K) cos(s, c^y), with a gradient orthogonal to s of size about 1/|s|."""
    classes = 10
    scores = normal(seed, classes, spread=spread)
    centred = torch.eye(classes, dtype=torch.float64)[3] - 1 / classes
    normalise, loss = normalisation.build("l2", classes), losses.build("unhinged", classes)

    def value(s: Tensor) -> Tensor:
        return loss.values(normalise(s[None]))[0, 3]

    cosine = torch.nn.functional.cosine_similarity(scores, centred, dim=0)
    assert torch.allclose(value(scores), -math.sqrt(1 - 1 / classes) * cosine, atol=1e-6)
    slope = torch.func.grad(value)(scores)
    assert abs(slope @ scores) < 1e-6
    sine = (1 - cosine**2).sqrt()
    assert torch.allclose(
        slope.norm() * scores.norm(), math.sqrt(1 - 1 / classes) * sine, atol=1e-6
    )


@CLAIM
@given(seed=st.integers(0, 2**31), classes=st.sampled_from([2, 3, 10]))
def test_unhinged_of_batch_normalised_scores_is_a_sum_of_correlations(seed, classes):
    """- sum_k sqrt(f_k (1 - f_k)) rho_k, f_k the frequency of label k in the batch."""
    scores = normal(seed, 200, classes, spread=30.0)
    labels = (normal(seed + 1, 200).abs() * classes).long() % classes
    normalise = normalisation.build("bn", classes).double()
    found = losses.build("unhinged", classes)(normalise(scores), labels)
    indicators = torch.nn.functional.one_hot(labels, classes).double()
    frequency = indicators.mean(0)
    centred, marked = scores - scores.mean(0), indicators - frequency
    covariance = (centred * marked).mean(0)
    deviation = (centred.square().mean(0) * marked.square().mean(0)).sqrt()
    correlation = torch.where(deviation > 0, covariance / deviation, 0)
    expected = -((frequency * (1 - frequency)).sqrt() * correlation).sum()
    assert torch.allclose(found, expected, atol=1e-6)


def test_smallest_unhinged_loss_of_batch_normalised_scores():
    """- sqrt(K - 1) for balanced labels, reached by their indicators."""
    labels = torch.arange(500) % 10
    indicators = torch.nn.functional.one_hot(labels, 10).double()
    normalise = normalisation.build("bn", 10).double()
    value = losses.build("unhinged", 10)(normalise(1e4 * indicators), labels)
    assert math.isclose(value, -3, rel_tol=1e-6)


@pytest.mark.parametrize("kind", ["none", "l2", "bn"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_scores_give_finite_values_and_gradients(kind, dtype):
    normalise = normalisation.build(kind, 10).to(dtype)
    scores = torch.zeros(6, 10, dtype=dtype, requires_grad=True)
    losses.build("unhinged", 10)(normalise(scores), torch.arange(6)).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_a_batch_of_one_takes_the_running_statistics():
    normalise = normalisation.build("bn", 3)
    batch = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    normalise(5 * batch + 2)
    before = {name: value.clone() for name, value in normalise.state_dict().items()}
    single = normalise(batch[:1])
    assert all(torch.equal(before[name], v) for name, v in normalise.state_dict().items())
    normalise.eval()
    assert torch.equal(single, normalise(batch[:1]))


def test_batch_norm_of_scores_has_no_parameters_and_euclidean_norm_keeps_predictions():
    assert not list(normalisation.build("bn", 10).parameters())
    scores = normal(0, 50, 10)
    assert torch.equal(normalisation.build("l2", 10)(scores).argmax(-1), scores.argmax(-1))


@pytest.mark.parametrize("kind", ["l2", "bn"])
def test_half_precision_scores_are_normalised_in_float32(kind):
    scores = torch.randn(8, 10, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert normalisation.build(kind, 10)(scores).dtype == torch.float32
