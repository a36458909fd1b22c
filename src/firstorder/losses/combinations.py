"""Weighted sums of two losses, an active one that raises p_y and a passive or negative one.

Defaults are the published values for CIFAR-10. The L1 norm of the parameters that goes with the
ANL and JAL losses belongs to the training, which knows the parameters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from firstorder.bounds import AboveOne, Positive, Probability, Weight
from firstorder.losses.baselines import (
    ael,
    agce,
    amse,
    aul,
    ce,
    mae,
    nce,
    negative,
    nfl,
    nnce,
    nnfl,
    rce,
)
from firstorder.losses.registry import Loss, register


@register("sce")
def sce(scores: Tensor, *, alpha: Weight = 0.1, beta: Weight = 1.0) -> Tensor:
    """Symmetric cross-entropy: alpha CE + beta RCE (Wang et al. 2019); not a symmetric loss."""
    return alpha * ce(scores) + beta * rce(scores)


@register("nce+rce")
def nce_rce(scores: Tensor, *, alpha: Weight = 1.0, beta: Weight = 1.0) -> Tensor:
    """alpha NCE + beta RCE (Ma et al. 2020)."""
    return alpha * nce(scores) + beta * rce(scores)


@register("nce+mae")
def nce_mae(scores: Tensor, *, alpha: Weight = 1.0, beta: Weight = 1.0) -> Tensor:
    """alpha NCE + beta (1 - p_y) (Ma et al. 2020)."""
    return alpha * nce(scores) + beta * mae(scores)


@register("nfl+rce")
def nfl_rce(
    scores: Tensor, *, alpha: Weight = 1.0, beta: Weight = 1.0, gamma: Weight = 0.5
) -> Tensor:
    """alpha NFL + beta RCE (Ma et al. 2020)."""
    return alpha * nfl(scores, gamma=gamma) + beta * rce(scores)


@register("nfl+mae")
def nfl_mae(
    scores: Tensor, *, alpha: Weight = 1.0, beta: Weight = 1.0, gamma: Weight = 0.5
) -> Tensor:
    """alpha NFL + beta (1 - p_y) (Ma et al. 2020)."""
    return alpha * nfl(scores, gamma=gamma) + beta * mae(scores)


@register("nce+agce")
def nce_agce(
    scores: Tensor,
    *,
    alpha: Weight = 1.0,
    beta: Weight = 4.0,
    a: Positive = 6.0,
    q: Positive = 1.5,
) -> Tensor:
    """alpha NCE + beta AGCE (Zhou et al. 2021)."""
    return alpha * nce(scores) + beta * agce(scores, a=a, q=q)


@register("nce+aul")
def nce_aul(
    scores: Tensor,
    *,
    alpha: Weight = 1.0,
    beta: Weight = 4.0,
    a: AboveOne = 6.3,
    q: Positive = 1.5,
) -> Tensor:
    """alpha NCE + beta AUL (Zhou et al. 2021)."""
    return alpha * nce(scores) + beta * aul(scores, a=a, q=q)


@register("nce+ael")
def nce_ael(
    scores: Tensor, *, alpha: Weight = 1.0, beta: Weight = 4.0, a: Positive = 5.0
) -> Tensor:
    """alpha NCE + beta AEL (Zhou et al. 2021)."""
    return alpha * nce(scores) + beta * ael(scores, a=a)


@register("anl-ce")
def anl_ce(
    scores: Tensor, *, alpha: Weight = 5.0, beta: Weight = 5.0, p_min: Probability = 1e-7
) -> Tensor:
    """alpha NCE + beta NNCE (Ye et al. 2023)."""
    return alpha * nce(scores) + beta * nnce(scores, p_min=p_min)


@register("anl-fl")
def anl_fl(
    scores: Tensor,
    *,
    alpha: Weight = 5.0,
    beta: Weight = 5.0,
    gamma: Weight = 0.5,
    p_min: Probability = 1e-7,
) -> Tensor:
    """alpha NFL + beta NNFL (Ye et al. 2023)."""
    return alpha * nfl(scores, gamma=gamma) + beta * nnfl(scores, gamma=gamma, p_min=p_min)


def _mean_prediction(
    loss: Loss,
    scores: Tensor,
    labels: Tensor,
    generator: torch.Generator | None,
    *,
    alpha: float,
    beta: float,
    p_min: float,
    strength: float,
) -> Tensor:
    """ANL-CE-ER of a batch: the regulariser is that of the mean prediction of the batch."""
    values = _anl_ce_bounded(scores, alpha, beta, p_min)
    p = scores.softmax(-1).clamp(p_min, 1 - p_min)
    regulariser = negentropy(p.sum(-2) / p.sum(), p_min)
    return values.gather(-1, labels.unsqueeze(-1)).mean() + strength * regulariser


def _anl_ce_bounded(scores: Tensor, alpha: float, beta: float, p_min: float) -> Tensor:
    """ANL-CE with p bounded on both sides."""
    return alpha * nce(scores) + beta * negative(scores, p_min, p_max=1 - p_min)


def negentropy(p: Tensor, p_min: float) -> Tensor:
    """ln K + sum_k p_k ln p_k of distributions (..., K), with p between p_min and 1 - p_min."""
    p = p.clamp(p_min, 1 - p_min)
    return math.log(p.shape[-1]) + (p * p.log()).sum(-1)


@register("anl-ce-er", batch=_mean_prediction)
def anl_ce_er(
    scores: Tensor,
    *,
    alpha: Weight = 5.0,
    beta: Weight = 5.0,
    p_min: Probability = 1e-7,
    strength: Weight = 2.0,
) -> Tensor:
    """ANL-CE + strength (ln K + sum_k m_k ln m_k), m the mean prediction (Ye et al., extended).

    The value of an example is that of a batch that holds it alone.
    """
    regulariser = negentropy(scores.softmax(-1), p_min).unsqueeze(-1)
    return _anl_ce_bounded(scores, alpha, beta, p_min) + strength * regulariser


@register("jal-ce")
def jal_ce(
    scores: Tensor, *, alpha: Weight = 1.0, beta: Weight = 1.0, a: Positive = 30.0
) -> Tensor:
    """alpha NCE + beta |a e_y - p|^2 / K (Wang et al. 2025)."""
    return alpha * nce(scores) + beta * amse(scores, a=a)


@register("ce_eps+mae")
def ce_eps_mae(
    scores: Tensor, *, alpha: Weight = 0.01, beta: Weight = 5.0, m: Weight = 1e5
) -> Tensor:
    """alpha CE of p' + beta 2 (1 - p_y), p' = (p + m 1[argmax]) / (m + 1) (Wang et al. 2024)."""
    p = scores.softmax(-1)
    peak = p.argmax(-1, keepdim=True) == torch.arange(p.shape[-1], device=p.device)
    sharpened = ((p + m * peak) / (m + 1)).clamp(min=1e-8)
    return -alpha * sharpened.log() + 2 * beta * (1 - p)
