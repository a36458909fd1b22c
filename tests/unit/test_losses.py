"""The registry, every loss against a slow and obvious computation, and extreme scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from firstorder import losses
from firstorder.errors import LossError
from firstorder.losses import registry

A = -math.log(1e-4)
TINY = 1e-7


def ce(p, y):
    return -math.log(p[y])


def focal(p, y):
    return -((1 - p[y]) ** 0.5) * math.log(p[y])


def rce(p, y):
    label = np.eye(len(p))[y].clip(1e-4)
    return -(p.clip(TINY) * np.log(label)).sum()


def gce(p, y, q=0.7):
    return (1 - max(p[y], TINY) ** q) / q


def sgce(p, y, q=0.4):
    return ((p**q).mean() - p[y] ** q) / q


def nce(p, y):
    return math.log(p[y]) / np.log(p).sum()


def nfl(p, y):
    return focal(p, y) / sum(focal(p, k) for k in range(len(p)))


def ngce(p, y, q=0.1):
    clipped = p.clip(TINY)
    return (1 - clipped[y] ** q) / (len(p) - (clipped**q).sum())


def nnce(p, y, largest=1.0):
    v = np.log(p.clip(TINY, largest)) - math.log(TINY)
    return 1 - v[y] / v.sum()


def nnfl(p, y):
    clipped = p.clip(TINY)
    largest = -((1 - TINY) ** 0.5) * math.log(TINY)
    total = sum(focal(clipped, k) for k in range(len(p)))
    return 1 - (largest - focal(clipped, y)) / (len(p) * largest - total)


def agce(p, y, a=0.6, q=0.6):
    return ((a + 1) ** q - (a + p[y]) ** q) / q


def aul(p, y, a=5.5, q=3.0):
    return ((a - p[y]) ** q - (a - 1) ** q) / q


def ael(p, y, a=2.5):
    return math.exp(-p[y] / a)


def nlnl(p, y):
    return np.mean([-math.log(max(1 - p[k], 1e-5)) for k in range(len(p)) if k != y])


def phuber(p, y, tau=2.0):
    return -math.log(p[y]) if p[y] > 1 / tau else -tau * p[y] + math.log(tau) + 1


def softmax(s):
    e = np.exp(s - s.max())
    return e / e.sum()


def logit_clip(s, y):
    norm = np.linalg.norm(s)
    return ce(softmax(s / norm if norm > 1 else s), y)


def ldr_kl(s, y):
    z = np.log1p(np.exp(s))
    z = z / z.mean()
    margin = 0.1 * (1 - np.eye(len(s))[y])
    return 10 * math.log(np.exp((margin + z - z[y]) / 10).mean())


def entropy_regulariser(p):
    return math.log(len(p)) + (p * np.log(p)).sum()


def amse(p, y, a=30.0):
    return ((a * np.eye(len(p))[y] - p) ** 2).mean()


def ce_eps(p, y, m=1e5):
    return -math.log(max((p[y] + m * (y == p.argmax())) / (m + 1), 1e-8))


def mae(p, y):
    return 1 - p[y]


FROM_PROBABILITIES: dict[str, Callable[[np.ndarray, int], float]] = {
    "ce": ce,
    "focal": focal,
    "mae": mae,
    "rce": rce,
    "gce": gce,
    "sce": lambda p, y: 0.1 * ce(p, y) + rce(p, y),
    "nlnl": nlnl,
    "nce": nce,
    "nfl": nfl,
    "ngce": ngce,
    "nnce": nnce,
    "nnfl": nnfl,
    "agce": agce,
    "aul": aul,
    "ael": ael,
    "phuber-ce": phuber,
    "nce+rce": lambda p, y: nce(p, y) + rce(p, y),
    "nce+mae": lambda p, y: nce(p, y) + mae(p, y),
    "nfl+rce": lambda p, y: nfl(p, y) + rce(p, y),
    "nfl+mae": lambda p, y: nfl(p, y) + mae(p, y),
    "nce+agce": lambda p, y: nce(p, y) + 4 * agce(p, y, 6.0, 1.5),
    "nce+aul": lambda p, y: nce(p, y) + 4 * aul(p, y, 6.3, 1.5),
    "nce+ael": lambda p, y: nce(p, y) + 4 * ael(p, y, 5.0),
    "anl-ce": lambda p, y: 5 * nce(p, y) + 5 * nnce(p, y),
    "anl-fl": lambda p, y: 5 * nfl(p, y) + 5 * nnfl(p, y),
    "anl-ce-er": lambda p, y: 5 * nce(p, y) + 5 * nnce(p, y, 1 - TINY) + 2 * entropy_regulariser(p),
    "jal-ce": lambda p, y: nce(p, y) + amse(p, y),
    "ce_eps+mae": lambda p, y: 0.01 * ce_eps(p, y) + 5 * 2 * mae(p, y),
    "sgce": sgce,
    "alpha_mae": lambda p, y: 1 - len(p) * p[y],
}
FROM_SCORES: dict[str, Callable[[np.ndarray, int], float]] = {
    "unhinged": lambda s, y: s.mean() - s[y],
    "alpha_mae_mix": lambda s, y: 0.9 * (1 - softmax(s)[y]) + 0.1 * (s.mean() - s[y]),
    "logit_clip": logit_clip,
    "ldr-kl": ldr_kl,
}


def test_every_registered_loss_has_a_slow_twin():
    assert set(losses.names()) == set(FROM_PROBABILITIES) | set(FROM_SCORES)


@pytest.mark.parametrize("spread", [0.3, 3.0])
@pytest.mark.parametrize("name", losses.names())
def test_values_are_those_of_the_formula(name, spread):
    scores = spread * np.random.default_rng(0).standard_normal((6, 7))
    function = FROM_SCORES.get(name) or (lambda s, y: FROM_PROBABILITIES[name](softmax(s), y))
    expected = np.array([[function(s, y) for y in range(7)] for s in scores])
    found = losses.build(name, 7).values(torch.tensor(scores))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("bound", [0.5, 1.0, 2.0])
def test_logit_clip_shortens_to_the_bound_what_is_longer_than_its_threshold(bound):
    """Like the authors' code, "inverse" compares with 1/bound; at bound 1 both are one."""
    scores = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for threshold, longest in (("bound", bound), ("inverse", 1 / bound)):
        values = losses.build("logit_clip", 4, bound=bound, threshold=threshold).values(scores)
        for row, s in zip(values, scores.numpy(), strict=True):
            norm = np.linalg.norm(s)
            expected = [ce(softmax(s * bound / norm if norm > longest else s), y) for y in range(4)]
            np.testing.assert_allclose(row.numpy(), expected, rtol=1e-10)


def test_symmetrized_gce_is_sgce_only_where_gce_does_not_clamp():
    symmetric = losses.symmetrize(losses.build("gce", 10, q=0.1))
    for spread, alike in ((2.0, True), (10.0, False)):
        generator = torch.Generator().manual_seed(0)
        scores = spread * torch.randn(200, 10, dtype=torch.float64, generator=generator)
        scores.requires_grad_()
        slopes = [
            torch.autograd.grad(loss.values(scores)[:, 0].sum(), scores)[0]
            for loss in (symmetric, losses.build("sgce", 10, q=0.1))
        ]
        difference = (slopes[0] - slopes[1]).norm() / slopes[1].norm()
        assert (difference < 1e-10) == alike
        assert alike or difference > 0.1


@pytest.mark.parametrize("name", losses.names())
def test_the_loss_of_a_batch_is_the_mean_of_its_labels_values(name):
    scores = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(9) % 5
    loss = losses.build(name, 5)
    if name == "anl-ce-er":
        loss = losses.build(name, 5, strength=0.0)
    expected = torch.stack([loss.values(scores)[i, y] for i, y in enumerate(labels)]).mean()
    assert torch.allclose(loss(scores, labels), expected, rtol=1e-12)


EXTREMES = torch.stack(
    [
        torch.zeros(10),
        1e4 * torch.eye(10)[0],
        -1e4 * torch.eye(10)[0],
        torch.full((10,), 1e4),
        torch.full((10,), -1e4),
        torch.linspace(-1e4, 1e4, 10),
        torch.linspace(-75, -70, 10),
        200 * torch.eye(10)[3],
    ]
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", losses.names())
def test_extreme_scores_give_finite_values_and_gradients(name, dtype):
    scores = EXTREMES.to(dtype, copy=True).requires_grad_()
    loss = losses.build(name, 10)
    values = loss.values(scores)
    assert values.isfinite().all()
    values.sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    for label in range(10):
        scores.grad = None
        labels = torch.full((len(scores),), label)
        loss(scores, labels, torch.Generator().manual_seed(0)).backward()
        assert scores.grad.isfinite().all()


@pytest.mark.parametrize("name", losses.names())
def test_values_are_float32_under_bfloat16_autocast(name):
    scores = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    loss = losses.build(name, 10)
    with torch.autocast("cpu", torch.bfloat16):
        values = loss.values(scores)
        assert loss.values(scores.bfloat16()).dtype == torch.float32
    assert torch.equal(values, loss.values(scores))


@pytest.mark.parametrize("name", losses.names())
def test_gradients_of_stacked_batches_are_those_of_each(name):
    """Trainings that share a process stack their scores."""
    scores = torch.randn(3, 8, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8)
    loss = losses.build(name, 10)
    slope = torch.func.grad_and_value(lambda s: loss(s, labels))
    for stacked, single in zip(
        torch.func.vmap(slope)(scores), zip(*[slope(s) for s in scores], strict=True), strict=True
    ):
        assert torch.allclose(stacked, torch.stack(single), rtol=1e-4, atol=1e-6)


def test_complementary_labels_average_to_the_expected_value():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(4, 5, dtype=torch.float64, generator=generator)
    labels = torch.tensor([0, 1, 4, 4])
    loss = losses.build("nlnl", 5, copies=20000)
    drawn, expected = loss(scores, labels, generator), loss(scores, labels)
    assert torch.allclose(drawn, expected, rtol=0.01)
    assert drawn != loss(scores, labels, generator)


def test_complementary_labels_are_never_the_given_ones():
    scores = torch.full((50, 3), -9.0)
    scores[:, 1] = 9.0
    value = losses.build("nlnl", 3, copies=50)(
        scores, torch.ones(50, dtype=torch.int64), torch.Generator().manual_seed(0)
    )
    assert value < 1e-3


def test_complementary_labels_are_weighted_by_rarity():
    scores = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    loss = losses.build("nlnl", 3).fit(torch.tensor([0, 0, 0, 0, 1, 1]))
    assert loss.class_weights is not None
    assert loss.class_weights.tolist() == [1.0, 2.0, 4.0]
    labels = torch.tensor([0, 1, 0, 1])
    expected = loss.values(scores)[range(4), labels] * torch.tensor([1.0, 2.0, 1.0, 2.0])
    assert torch.allclose(loss(scores, labels), expected.mean())


def test_the_entropy_regulariser_is_that_of_the_mean_prediction():
    scores = 3 * torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    plain, regularised = (losses.build("anl-ce-er", 4, strength=s) for s in (0.0, 2.0))
    mean = scores.softmax(-1).mean(0)
    expected = 2 * (math.log(4) + (mean * mean.log()).sum())
    difference = regularised(scores, labels) - plain(scores, labels)
    assert torch.allclose(difference, expected, atol=1e-6)


def test_losses_compile_to_one_graph():
    for name in ("sgce", "ldr-kl", "phuber-ce", "ce_eps+mae", "anl-ce-er"):
        torch.compiler.reset()
        loss = losses.build(name, 10)
        compiled = torch.compile(
            lambda s, y, loss=loss: loss(s, y), fullgraph=True, backend="eager"
        )
        scores, labels = torch.randn(4, 10), torch.arange(4)
        assert torch.allclose(compiled(scores, labels), loss(scores, labels)), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", losses.names())
def test_losses_on_the_gpu_agree_with_the_cpu_and_never_wait_for_it(name):
    scores = torch.randn(16, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % 10
    loss = losses.build(name, 10)
    there, own = scores.cuda().requires_grad_(), labels.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        value = loss(there, own)
        value.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.allclose(value.cpu(), loss(scores, labels), rtol=1e-4, atol=1e-5)
    assert there.grad is not None
    assert there.grad.isfinite().all()


def test_an_unknown_loss_lists_the_known_ones():
    with pytest.raises(
        LossError, match=r"'sgec' is unknown; did you mean 'sgce'.*known: ael, agce"
    ):
        losses.build("sgec", 10)
    with pytest.raises(KeyError):
        losses.build("sgec", 10)


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("sgce", {"p": 1.0}, "parameter 'p' is unknown; allowed: q, scale"),
        ("sgce", {"q": 1.5}, "parameter q = 1.5 is not allowed: .*less than or equal to 1"),
        ("sgce", {"q": "0.4"}, "parameter q = '0.4' is not allowed: .*number"),
        ("ce", {"q": 1.0}, "parameter 'q' is unknown; allowed: none"),
        ("aul", {"a": 1.0}, "parameter a = 1.0 is not allowed: .*greater than 1"),
        ("alpha_mae", {"form": "T3"}, "parameter form = 'T3' is not allowed: .*'T0', 'T1' or 'T2'"),
        ("nlnl", {"copies": 0}, "parameter copies = 0 is not allowed"),
    ],
)
def test_an_impossible_parameter_is_named_with_the_allowed_ones(name, parameters, message):
    with pytest.raises(LossError, match=message) as caught:
        losses.build(name, 10, **parameters)
    assert "\n" not in str(caught.value)


def test_one_class_is_refused():
    with pytest.raises(LossError, match="num_classes = 1; at least 2"):
        losses.build("ce", 1)


OWN = """
def squared(scores, *, power=2.0):
    return (1 - scores.softmax(-1)) ** power

def needy(scores, *, power):
    return scores

def crooked(scores):
    return scores.sum(-1)
"""


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def test_a_users_loss_needs_one_function_in_a_file(own_file):
    loss = losses.build(f"{own_file}:squared", 4, power=3.0)
    scores = torch.randn(5, 4)
    assert torch.allclose(loss.values(scores), (1 - scores.softmax(-1)) ** 3)
    assert losses.symmetrize(loss).values(scores).sum(-1).abs().max() < 1e-6


def test_a_users_loss_can_live_in_a_module(own_file, monkeypatch):
    monkeypatch.syspath_prepend(own_file.parent)
    loss = losses.build("mine:squared", 4)
    assert loss.parameters == {"power": 2.0}


def test_a_users_decorated_loss_is_built_from_its_file_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    path = tmp_path / "decorated.py"
    path.write_text(
        "from firstorder.losses import register\n\n"
        "@register('my-loss')\n"
        "def my_loss(scores):\n    return -scores\n"
    )
    for _ in range(2):
        assert losses.build(f"{path}:my_loss", 3).values(torch.ones(2, 3)).sum() == -6
    assert losses.build("my-loss", 3).values(torch.ones(2, 3)).sum() == -6
    with pytest.raises(LossError, match=r"'my-loss' is already \S*\.decorated\.my_loss"):
        losses.register("my-loss")(ce)


@pytest.mark.parametrize(
    "suffix, message",
    [
        ("mine.py:absent", "has no function 'absent'"),
        ("absent.py:squared", "no such file"),
        ("mine.py:needy", "parameter 'power' is missing; allowed: power"),
    ],
)
def test_a_users_mistake_is_named(own_file, suffix, message):
    with pytest.raises(LossError, match=message):
        losses.build(f"{own_file.parent}/{suffix}", 4)


def test_a_users_module_that_does_not_import_is_named(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("def f(scores:\n")
    with pytest.raises(LossError, match=r"broken\.py: line 1: not Python: '\(' was never"):
        losses.build(f"{path}:f", 4)
    with pytest.raises(LossError, match=r"'no\.such:f' cannot be imported: no\.such: no such"):
        losses.build("no.such:f", 4)


def test_a_loss_must_return_a_value_for_every_label(own_file):
    with pytest.raises(LossError, match=r"values of shape \(2,\) for scores of shape \(2, 4\)"):
        losses.build(f"{own_file}:crooked", 4)
    with pytest.raises(LossError, match=r"scores of shape \(5, 4\) for 3 classes"):
        losses.build("ce", 3).values(torch.zeros(5, 4))
