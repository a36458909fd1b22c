"""Gradients of the losses: at equal scores, in closed form, and what bounds them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import normal
from torch import Tensor

from firstorder import losses
from firstorder.losses import baselines
from firstorder.losses.registry import Loss

CLAIM = settings(derandomize=True, deadline=None, max_examples=20)
A = -math.log(1e-4)
LOG_MIN = -math.log(1e-7)


def nce(K):
    return 1 / (K * math.log(K))


def nnce(K):
    return 1 / (K * (LOG_MIN - math.log(K)))


def nnfl(K, gamma=0.5):
    at_equal = (1 - 1 / K) ** gamma
    largest = (1 - 1e-7) ** gamma * LOG_MIN
    return at_equal / (K * (largest - at_equal * math.log(K)))


def ldr_kl(K):
    weight = math.exp(0.01) / (1 + (K - 1) * math.exp(0.01))
    own = 1 / (1 + (K - 1) * math.exp(0.01))
    return 0.5 / math.log(2) * (1 - own + weight)


KAPPA = {
    "ce": lambda K: 1,
    "focal": lambda K: (1 - 1 / K) ** 0.5,
    "mae": lambda K: 1 / K,
    "rce": lambda K: A / K,
    "gce": lambda K: K**-0.7,
    "sce": lambda K: 0.1 + A / K,
    "nlnl": lambda K: 1 / (K - 1) ** 2,
    "nce": nce,
    "nfl": nce,
    "ngce": lambda K: 0.1 / (K * (K**0.1 - 1)),
    "nnce": nnce,
    "nnfl": nnfl,
    "agce": lambda K: (0.6 + 1 / K) ** -0.4 / K,
    "aul": lambda K: (5.5 - 1 / K) ** 2 / K,
    "ael": lambda K: math.exp(-1 / (2.5 * K)) / (2.5 * K),
    "phuber-ce": lambda K: 2 / K,
    "logit_clip": lambda K: 1,
    "ldr-kl": ldr_kl,
    "nce+rce": lambda K: nce(K) + A / K,
    "nce+mae": lambda K: nce(K) + 1 / K,
    "nfl+rce": lambda K: nce(K) + A / K,
    "nfl+mae": lambda K: nce(K) + 1 / K,
    "nce+agce": lambda K: nce(K) + 4 * (6 + 1 / K) ** 0.5 / K,
    "nce+aul": lambda K: nce(K) + 4 * (6.3 - 1 / K) ** 0.5 / K,
    "nce+ael": lambda K: nce(K) + 4 * math.exp(-1 / (5 * K)) / (5 * K),
    "anl-ce": lambda K: 5 * nce(K) + 5 * nnce(K),
    "anl-fl": lambda K: 5 * nce(K) + 5 * nnfl(K),
    "anl-ce-er": lambda K: 5 * nce(K) + 5 * nnce(K),
    "jal-ce": lambda K: nce(K) + 60 / K**2,
    "ce_eps+mae": lambda K: 0.01 + 10 / K,
    "unhinged": lambda K: 1,
    "sgce": lambda K: K**-0.4,
    "alpha_mae": lambda K: 1,
    "alpha_mae_mix": lambda K: 0.1 + 0.9 / K,
}
"""Gradient -kappa c^y at equal scores, with default parameters."""


def gradient(loss: Loss, scores: Tensor, label: int) -> Tensor:
    """d value(label) / d scores, (K,)."""
    return torch.func.grad(lambda s: loss.values(s[None])[0, label])(scores)


def centred_label(classes: int, label: int) -> Tensor:
    return torch.eye(classes, dtype=torch.float64)[label] - 1 / classes


@pytest.mark.parametrize("classes", [3, 10, 100])
@pytest.mark.parametrize("name", losses.names())
def test_at_equal_scores_every_gradient_is_kappa_times_that_of_unhinged(name, classes):
    """The last label stands for all: ce_eps+mae breaks the tie in favour of the first."""
    loss, label = losses.build(name, classes), classes - 1
    found = gradient(loss, torch.zeros(classes, dtype=torch.float64), label)
    expected = -KAPPA[name](classes) * centred_label(classes, label)
    assert torch.allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize(
    "name", sorted(set(losses.names()) - {"ldr-kl", "logit_clip", "ce_eps+mae"})
)
def test_kappa_does_not_depend_on_the_common_score(name):
    loss = losses.build(name, 10)
    zero, far = (torch.full((10,), t, dtype=torch.float64) for t in (0.0, 37.0))
    assert torch.allclose(gradient(loss, zero, 4), gradient(loss, far, 4), atol=1e-10)


@pytest.mark.parametrize("form, kappa", [("T0", 0.07), ("T1", 0.1), ("T2", 1.0)])
def test_kappa_of_the_forms_of_alpha_mae(form, kappa):
    loss = losses.build("alpha_mae", 10, alpha=0.7, form=form)
    found = gradient(loss, torch.zeros(10, dtype=torch.float64), 3)
    assert torch.allclose(found, -kappa * centred_label(10, 3), atol=1e-10)


@pytest.mark.parametrize("a, kappa", [(1.0, 0.02), (30.0, 0.6)])
def test_kappa_of_mean_square_error(a, kappa):
    zero = torch.zeros(10, dtype=torch.float64)
    found = torch.func.grad(lambda s: baselines.amse(s[None], a=a)[0, 3])(zero)
    assert torch.allclose(found, -kappa * centred_label(10, 3), atol=1e-10)


@CLAIM
@given(seed=st.integers(0, 2**31), spread=st.floats(0.001, 8), classes=st.sampled_from([2, 3, 10]))
def test_cross_entropy_is_locally_unhinged(seed, spread, classes):
    scores = normal(seed, classes, spread=spread)
    difference = gradient(losses.build("ce", classes), scores, 1) - gradient(
        losses.build("unhinged", classes), scores, 1
    )
    assert torch.allclose(difference, scores.softmax(-1) - 1 / classes, atol=1e-10)
    assert difference.norm() <= 0.5 * (scores - scores.mean()).norm() + 1e-12


def test_the_softmax_has_lipschitz_constant_one_half():
    """Reached by two classes with half of the mass each."""
    scores = torch.tensor([0.0, 0.0, -60.0], dtype=torch.float64)
    step = torch.tensor([1e-6, -1e-6, 0.0], dtype=torch.float64)
    moved = ((scores + step).softmax(-1) - (scores - step).softmax(-1)).norm() / (2 * step).norm()
    assert math.isclose(moved, 0.5, rel_tol=1e-8)


def network(seed: int, layers: int, width: int, norm: float) -> list[Tensor]:
    """`layers` matrices of spectral norm `norm`, from `width` numbers to 3 scores."""
    sizes = [width] * layers + [3]
    weights = [normal(seed + i, sizes[i + 1], sizes[i]) for i in range(layers)]
    return [norm * w / torch.linalg.matrix_norm(w, 2) for w in weights]


def output(weights: Sequence[Tensor], x: Tensor) -> Tensor:
    """The scores of x, ReLU between the matrices."""
    for matrix in weights[:-1]:
        x = (matrix @ x).relu()
    return weights[-1] @ x


NETWORKS = {
    "seed": st.integers(0, 2**31),
    "layers": st.integers(1, 4),
    "width": st.integers(2, 6),
    "norm": st.floats(0.3, 2.0),
}


@CLAIM
@given(**NETWORKS)
def test_the_gradients_of_cross_entropy_and_unhinged_differ_by_a_power_of_the_norm(
    seed, layers, width, norm
):
    """l matrices of spectral norm c, ReLU: |J|^2 <= l c^(2(l-1)) |x|^2 and |s| <= c^l |x|."""
    weights, x = network(seed, layers, width, norm), normal(seed + 9, width)

    def scores(*matrices: Tensor) -> Tensor:
        return output(matrices, x)

    jacobians = torch.func.jacrev(scores, argnums=tuple(range(layers)))(*weights)
    jacobian = torch.cat([j.flatten(1) for j in jacobians], dim=1)
    out, length = scores(*weights), x.norm()
    assert out.norm() <= norm**layers * length + 1e-12
    largest = torch.linalg.matrix_norm(jacobian, 2)
    bound = math.sqrt(layers) * norm ** (layers - 1) * length
    assert largest <= bound * (1 + 1e-12)
    slopes = [gradient(losses.build(name, 3), out, 0) for name in ("ce", "unhinged")]
    difference = (jacobian.T @ (slopes[0] - slopes[1])).norm()
    assert difference <= 0.5 * bound * norm**layers * length + 1e-12


def moved(loss: Loss, weights: list[Tensor], x: Tensor, other: Tensor, step: float) -> float:
    """How far one step of SGD on x of label 0 moves the scores of `other`, over the step size."""
    before = output(weights, other)
    weights = [w.clone().requires_grad_() for w in weights]
    loss(output(weights, x)[None], torch.tensor([0])).backward()
    torch.optim.SGD(weights, lr=step).step()
    return (output(weights, other) - before).norm().item() / step


LIPSCHITZ = {
    "ce": math.sqrt(2),
    "unhinged": math.sqrt(2 / 3),
    "mae": math.sqrt(2) / 4,
    "gce": math.sqrt(2) * 0.7**0.7 / 1.7**1.7,
    "alpha_mae": 3 * math.sqrt(2) / 4,
}
"""In the scores, for 3 classes and default parameters."""


@pytest.mark.parametrize("name", LIPSCHITZ)
@CLAIM
@given(**NETWORKS)
def test_a_step_of_sgd_moves_other_scores_by_a_power_of_the_norm(name, seed, layers, width, norm):
    """At most step size x G l c^(2(l-1)) |x| |x'|, to first order in the step size."""
    x, other = normal(seed + 9, width), normal(seed + 10, width)
    weights = network(seed, layers, width, norm)
    found = moved(losses.build(name, 3), weights, x, other, step=1e-6)
    size = layers * norm ** (2 * (layers - 1)) * x.norm() * other.norm()
    assert found <= LIPSCHITZ[name] * size * (1 + 1e-4)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("name, slope", [("unhinged", [-2, 1, 1]), ("ce", [-1, 1, 0])])
def test_matrices_that_pass_on_the_largest_gradient_reach_that_bound(name, slope, layers):
    """Matrices of rank one, each from the direction in which the one before puts out."""
    norm, width = 1.2, 4
    inside = [torch.nn.functional.normalize(normal(i, width).abs(), dim=0) for i in range(layers)]
    last = torch.nn.functional.normalize(torch.tensor(slope, dtype=torch.float64), dim=0)
    ends = zip(inside, [*inside[1:], last], strict=True)
    weights = [norm * torch.outer(end, start) for start, end in ends]
    x = 60 / norm**layers * inside[0]  # p_y = 0 for cross-entropy
    found = moved(losses.build(name, 3), weights, x, x / 2, step=1e-8)
    bound = LIPSCHITZ[name] * layers * norm ** (2 * (layers - 1)) * x.norm() ** 2 / 2
    assert math.isclose(found, bound, rel_tol=1e-5)


@CLAIM
@given(seed=st.integers(0, 2**31), q=st.floats(0.01, 1), classes=st.sampled_from([2, 3, 10]))
def test_sgce_has_its_closed_gradient_and_hessian(seed, q, classes):
    """With w = p^q: -(c w) + p <c, w>, and <c, w> S - q sum_k c_k w_k (e_k - p)(e_k - p)'."""
    scores = normal(seed, classes, spread=2.0)
    p, identity = scores.softmax(-1), torch.eye(classes, dtype=torch.float64)
    centred, weights = centred_label(classes, 0), p**q
    inner = centred @ weights
    loss = losses.build("sgce", classes, q=q)

    def value(s: Tensor) -> Tensor:
        return loss.values(s[None])[0, 0]

    slope = -centred * weights + p * inner
    away = identity - p
    curvature = inner * (p.diag() - torch.outer(p, p))
    curvature = curvature - q * torch.einsum("k,ki,kj->ij", centred * weights, away, away)
    assert torch.allclose(torch.func.grad(value)(scores), slope, atol=1e-10)
    assert torch.allclose(torch.func.hessian(value)(scores), curvature, atol=1e-10)
    step = 1e-5 * identity
    differences = torch.stack([(value(scores + e) - value(scores - e)) / 2e-5 for e in step])
    assert torch.allclose(differences, slope, atol=1e-6)


def order(residual: list[Tensor]) -> float:
    """log2 of the ratio of two residuals, the second at half the parameter."""
    return math.log2(residual[0].abs().max() / residual[1].abs().max())


def test_small_q_expansion_of_sgce():
    """SGCE_q = U - (q/2) [ (ln p_y)^2 - mean_k (ln p_k)^2 ] + O(q^2), on bounded scores."""
    scores = normal(0, 50, 10)
    squares = scores.log_softmax(-1).square()
    first = squares - squares.mean(-1, keepdim=True)
    unhinged = losses.build("unhinged", 10).values(scores)
    residual = [
        losses.build("sgce", 10, q=q).values(scores) - (unhinged - q / 2 * first)
        for q in (2e-3, 1e-3)
    ]
    assert residual[0].abs().max() < 1e-3
    assert math.isclose(order(residual), 2, abs_tol=0.02)


def test_small_q_expansion_is_not_uniform_on_all_scores():
    far = torch.tensor([[-1e5, 0.0, 0.0]], dtype=torch.float64)
    sgce, unhinged = losses.build("sgce", 3, q=1e-3), losses.build("unhinged", 3)
    assert (sgce.values(far) - unhinged.values(far)).abs().max() > 1e4


def test_small_alpha_expansion_of_alpha_mae():
    """T2 = U - (alpha/2) [ (s_y - mean)^2 - Var(s) ] + O(alpha^2)."""
    scores = normal(1, 50, 10)
    squares = (scores - scores.mean(-1, keepdim=True)).square()
    first = squares - squares.mean(-1, keepdim=True)
    unhinged = losses.build("unhinged", 10).values(scores)
    residual = [
        losses.build("alpha_mae", 10, alpha=alpha).values(scores) - (unhinged - alpha / 2 * first)
        for alpha in (2e-3, 1e-3)
    ]
    assert residual[0].abs().max() < 1e-3
    assert math.isclose(order(residual), 2, abs_tol=0.02)


@CLAIM
@given(seed=st.integers(0, 2**31))
def test_focal_factors_are_constants_of_the_gradient(seed):
    """The gradient of FL is (1 - p_y)^gamma times that of CE; NFL likewise in every term."""
    scores = normal(seed, 10, spread=2.0)
    constant = (1 - scores.softmax(-1)) ** 0.5
    label = 3

    def focal(s: Tensor) -> Tensor:
        return -constant * s.log_softmax(-1)

    def nfl(s: Tensor) -> Tensor:
        return focal(s) / focal(s).sum()

    def nnfl(s: Tensor) -> Tensor:
        left = (1 - 1e-7) ** 0.5 * LOG_MIN - focal(s)
        return 1 - left / left.sum()

    for name, function in [("focal", focal), ("nfl", nfl), ("nnfl", nnfl)]:
        expected = torch.func.grad(lambda s, f=function: f(s)[label])(scores)
        found = gradient(losses.build(name, 10), scores, label)
        assert torch.allclose(found, expected, atol=1e-10)


def test_a_focal_loss_without_detached_factor_has_another_gradient():
    scores = normal(3, 10)

    def undetached(s: Tensor) -> Tensor:
        return -((1 - s.softmax(-1)[3]) ** 0.5) * s.log_softmax(-1)[3]

    whole = torch.func.grad(undetached)(scores)
    assert (whole - gradient(losses.build("focal", 10), scores, 3)).abs().max() > 1e-2


def test_unhinged_weighs_all_examples_alike_and_sgce_does_not():
    scores = normal(4, 200, 10, spread=3.0)
    sizes = torch.stack([gradient(losses.build("unhinged", 10), s, 0).norm() for s in scores])
    assert torch.allclose(sizes, torch.full_like(sizes, math.sqrt(0.9)))
    sizes = torch.stack([gradient(losses.build("sgce", 10), s, 0).norm() for s in scores])
    assert sizes.max() > 10 * sizes.min()


def test_first_steps_of_cross_entropy_are_those_of_unhinged():
    """From nearly equal scores, parameter gradients agree; MAE's have 1/K of the length."""
    inputs, labels = normal(5, 64, 20), torch.arange(64) % 10
    weights = [normal(6, 30, 20).requires_grad_(), normal(7, 10, 30, spread=1e-4).requires_grad_()]

    def parameter_gradient(name: str) -> Tensor:
        scores = (inputs @ weights[0].T).relu() @ weights[1].T
        slopes = torch.autograd.grad(losses.build(name, 10)(scores, labels), weights)
        return torch.cat([slope.flatten() for slope in slopes])

    ce, unhinged, mae = (parameter_gradient(name) for name in ("ce", "unhinged", "mae"))
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(ce, unhinged, dim=0) > 0.99
    assert cosine(mae, unhinged, dim=0) > 0.99
    assert math.isclose(mae.norm() / unhinged.norm(), 0.1, rel_tol=0.02)
