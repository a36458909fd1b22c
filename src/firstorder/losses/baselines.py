"""Losses that the symmetric ones are compared with: one formula each.

Formulas, clamps and detached factors are those of the authors' code, since they decide the
gradient: a clamped entry has none, a detached factor is a constant. Powers and logarithms of
probabilities are taken from log p, so that nothing overflows at p = 0. Defaults are the
published values for CIFAR-10. p = softmax(s), K classes, y the label.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from firstorder.bounds import (
    AboveOne,
    Copies,
    Exponent,
    Positive,
    Probability,
    Weight,
)
from firstorder.losses.registry import Loss, register

LOG_TINY = math.log(1e-7)
"""Logarithm of the smallest probability of RCE, GCE and NGCE."""
LOG_FLIP = -math.log(1e-4)
"""What RCE takes for -log 0."""


@register("ce")
def ce(scores: Tensor) -> Tensor:
    """Cross-entropy: -ln p_y."""
    return -scores.log_softmax(-1)


@register("focal")
def focal(scores: Tensor, *, gamma: Weight = 0.5) -> Tensor:
    """-(1 - p_y)^gamma ln p_y (Lin et al. 2017), the factor (1 - p_y)^gamma detached."""
    log_p = scores.log_softmax(-1)
    return -_modulator(log_p, gamma) * log_p


def _modulator(log_p: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma as a constant."""
    return (-log_p.detach().expm1()).pow(gamma)


@register("mae")
def mae(scores: Tensor, *, scale: Positive = 1.0) -> Tensor:
    """scale (1 - p_y); the l1 distance of p to the label has scale 2 (Ghosh et al. 2017)."""
    return scale * (1 - scores.softmax(-1))


@register("rce")
def rce(scores: Tensor) -> Tensor:
    """Reverse cross-entropy, A sum_{k != y} p_k with p >= 1e-7, A = -ln 1e-4 (Wang et al. 2019)."""
    p = scores.softmax(-1).clamp(min=1e-7)
    return LOG_FLIP * (p.sum(-1, keepdim=True) - p)


@register("gce")
def gce(scores: Tensor, *, q: Exponent = 0.7) -> Tensor:
    """(1 - p_y^q) / q with p >= 1e-7 (Zhang and Sabuncu 2018)."""
    return -_log_clamped(scores, LOG_TINY).mul(q).expm1() / q


def _log_clamped(scores: Tensor, smallest: float, largest: float = 0.0) -> Tensor:
    """ln p between two bounds."""
    return scores.log_softmax(-1).clamp(smallest, largest)


def _complementary(
    loss: Loss,
    scores: Tensor,
    labels: Tensor,
    generator: torch.Generator | None,
    *,
    copies: int,
) -> Tensor:
    """NLNL of a batch on drawn complementary labels, each example weighted by its class.

    The sum over the copies is averaged over the examples, as in the authors' code.
    """
    if generator is None:
        values = loss.per_example(scores, labels)
    else:
        shift = torch.randint(
            1,
            loss.num_classes,
            (len(labels), copies),
            generator=generator,
            device=generator.device,
        )
        wrong = (labels.unsqueeze(-1) + shift.to(labels.device)) % loss.num_classes
        rest = _minus_log_rest(scores)
        # Gathering a label twice would add its gradients in an order that a GPU does not fix.
        counts = torch.zeros_like(rest).scatter_add(-1, wrong, torch.ones_like(wrong).to(rest))
        values = (rest * counts).sum(-1)
    if loss.class_weights is not None:
        values = values * loss.class_weights.to(values)[labels]
    return values.mean()


def _minus_log_rest(scores: Tensor) -> Tensor:
    """-ln(1 - p_k) with 1 - p >= 1e-5."""
    return -(1 - scores.softmax(-1)).clamp(min=1e-5).log()


@register("nlnl", batch=_complementary)
def nlnl(scores: Tensor, *, copies: Copies = 1) -> Tensor:
    """Negative learning (Kim et al. 2019): -ln(1 - p_k) on complementary labels k != y.

    The value is the expectation over `copies` labels drawn uniformly from the K - 1 others.
    """
    rest = _minus_log_rest(scores)
    return copies * (rest.sum(-1, keepdim=True) - rest) / (scores.shape[-1] - 1)


@register("nce")
def nce(scores: Tensor) -> Tensor:
    """Normalised cross-entropy: ln p_y / sum_k ln p_k (Ma et al. 2020)."""
    return normalised(ce(scores))


def normalised(values: Tensor) -> Tensor:
    """Values over their sum over the labels."""
    return values / values.sum(-1, keepdim=True)


@register("nfl")
def nfl(scores: Tensor, *, gamma: Weight = 0.5) -> Tensor:
    """Normalised focal loss: FL_y / sum_k FL_k, the factors (1 - p)^gamma detached (Ma et al.)."""
    return normalised(focal(scores, gamma=gamma))


@register("ngce")
def ngce(scores: Tensor, *, q: Exponent = 0.1) -> Tensor:
    """Normalised GCE: (1 - p_y^q) / (K - sum_k p_k^q), p >= 1e-7 (Ma et al. 2020)."""
    return normalised(gce(scores, q=q))


@register("nnce")
def nnce(scores: Tensor, *, p_min: Probability = 1e-7) -> Tensor:
    """Normalised negative CE: 1 - v_y / sum_k v_k, v = ln p - ln p_min >= 0 (Ye et al. 2023)."""
    return negative(scores, p_min, p_max=1.0)


def negative(scores: Tensor, p_min: float, p_max: float) -> Tensor:
    """NNCE with p between two bounds."""
    smallest = math.log(p_min)
    return 1 - normalised(_log_clamped(scores, smallest, math.log(p_max)) - smallest)


@register("nnfl")
def nnfl(scores: Tensor, *, gamma: Weight = 0.5, p_min: Probability = 1e-7) -> Tensor:
    """Normalised negative focal loss: 1 - (A - f_y) / (K A - sum_k f_k) (Ye et al. 2023).

    f = -(1 - p)^gamma ln p with p >= p_min and a detached factor; A is f at p_min.
    """
    log_p = _log_clamped(scores, math.log(p_min))
    largest = -((1 - p_min) ** gamma) * math.log(p_min)
    return 1 - normalised(largest + _modulator(log_p, gamma) * log_p)


@register("agce")
def agce(scores: Tensor, *, a: Positive = 0.6, q: Positive = 0.6) -> Tensor:
    """Asymmetric GCE: ((a + 1)^q - (a + p_y)^q) / q (Zhou et al. 2021)."""
    return ((a + 1) ** q - (a + scores.softmax(-1)) ** q) / q


@register("aul")
def aul(scores: Tensor, *, a: AboveOne = 5.5, q: Positive = 3.0) -> Tensor:
    """Asymmetric unhinged loss: ((a - p_y)^q - (a - 1)^q) / q (Zhou et al. 2021)."""
    return ((a - scores.softmax(-1)) ** q - (a - 1) ** q) / q


@register("ael")
def ael(scores: Tensor, *, a: Positive = 2.5) -> Tensor:
    """Asymmetric exponential loss: exp(-p_y / a) (Zhou et al. 2021)."""
    return (-scores.softmax(-1) / a).exp()


def amse(scores: Tensor, *, a: Positive = 30.0) -> Tensor:
    """Asymmetric mean square error: |a e_y - p|^2 / K (Wang et al. 2025)."""
    p = scores.softmax(-1)
    return (a**2 - 2 * a * p + p.square().sum(-1, keepdim=True)) / scores.shape[-1]


@register("phuber-ce")
def phuber_ce(scores: Tensor, *, tau: AboveOne = 2.0) -> Tensor:
    """-ln p_y where p_y > 1/tau, else its tangent -tau p_y + ln tau + 1 (Menon et al. 2020)."""
    log_p = scores.log_softmax(-1)
    p = log_p.exp()
    return torch.where(p > 1 / tau, -log_p, 1 + math.log(tau) - tau * p)


@register("logit_clip")
def logit_clip(
    scores: Tensor, *, bound: Positive = 1.0, threshold: Literal["bound", "inverse"] = "bound"
) -> Tensor:
    """Cross-entropy of s shortened to |s| = bound where |s| is above it (Wei et al. 2023).

    threshold "inverse": where |s| is above 1/bound, as in the authors' code; the loss then jumps.
    """
    norm = torch.linalg.vector_norm(scores, dim=-1, keepdim=True)
    if threshold == "bound":
        return ce(scores * (bound / norm.clamp(min=bound)))
    return ce(torch.where(norm > 1 / bound, scores * (bound / norm.clamp(min=1 / bound)), scores))


@register("ldr-kl")
def ldr_kl(scores: Tensor, *, temperature: Positive = 10.0, margin: Weight = 0.1) -> Tensor:
    """lambda ln mean_k exp((margin 1[k != y] + z_k - z_y) / lambda) (Zhu et al. 2023).

    z = softplus(s) / mean softplus(s), lambda the temperature. The sum over k is the one in
    which every class has the margin, less what class y has too much. The floor 1e-30 matters
    where all scores are below -69.
    """
    z = functional.softplus(scores)
    z = z / z.mean(-1, keepdim=True).clamp(min=1e-30)
    top = z.amax(-1, keepdim=True).detach()
    terms = ((z - top) / temperature).exp()
    gain = math.exp(margin / temperature)
    total = gain * terms.sum(-1, keepdim=True) - (gain - 1) * terms
    return temperature * (total / scores.shape[-1]).log() + top - z
