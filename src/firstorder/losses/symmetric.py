"""Symmetric losses, and the decomposition that makes any loss symmetric.

Every loss is the sum of a symmetric part, whose values sum to zero over the labels, and of a
part that does not see the label:

    L(s, y) = [ L(s, y) - mean_k L(s, k) ] + mean_k L(s, k)

Of the convex losses only the unhinged loss is symmetric; it is the symmetric part of
cross-entropy. The source is arXiv:2605.20347; the formula of alpha-MAE was not available, so
its two readings are both here and never share a name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from firstorder.bounds import Positive, Share
from firstorder.losses.registry import Loss, register


def centred(values: Tensor) -> Tensor:
    """Values (..., K) less their mean over the labels (Prop. 4.1)."""
    return values - values.mean(dim=-1, keepdim=True)


def is_symmetric(loss: Loss, *, tolerance: float = 1e-5) -> bool:
    """Whether the values of `loss` have one sum over the labels, whatever the scores.

    Looked for in float64 at drawn scores with deviations of 0.1 to 10; `tolerance` is of the
    largest value and lets pass what clamps p at 1e-7.
    """
    random = torch.Generator().manual_seed(0)
    drawn = torch.randn(3, 200, loss.num_classes, generator=random, dtype=torch.float64)
    values = loss.values((drawn * torch.tensor([0.1, 1.0, 10.0])[:, None, None]).flatten(0, 1))
    sums = values.sum(-1)
    return (sums.max() - sums.min()).item() <= tolerance * (1 + values.abs().max().item())


def symmetrize(loss: Loss) -> Loss:
    """The symmetric part of `loss`."""
    return replace(
        loss,
        name=f"symmetric part of {loss.name}",
        function=lambda scores: centred(loss.function(scores)),
        batch=None,
    )


@register("unhinged")
def unhinged(scores: Tensor, *, scale: Positive = 1.0) -> Tensor:
    """mean_k s_k - s_y: the symmetric part of cross-entropy; linear, unbounded below."""
    return scale * centred(-scores)


@register("sgce")
def sgce(scores: Tensor, *, q: Share = 0.4, scale: Positive = 1.0) -> Tensor:
    """(1/q) [ mean_k p_k^q - p_y^q ]: the symmetric part of GCE; q = 0 is the unhinged loss.

    p^q is exp(q log p), which needs no clamp.
    """
    if q == 0:
        return unhinged(scores, scale=scale)
    return scale * centred(-(q * scores.log_softmax(-1)).exp()) / q


@register("alpha_mae")
def alpha_mae(
    scores: Tensor, *, alpha: Positive = 1.0, form: Literal["T0", "T1", "T2"] = "T2"
) -> Tensor:
    """MAE of softmax(alpha s), alpha-MAE read as a temperature.

    T0: 1 - p_y. T1: (1 - p_y) / alpha. T2: (K / alpha) (1/K - p_y), whose gradient at equal
    scores is that of the unhinged loss, its limit for alpha to 0.
    """
    p = (alpha * scores).softmax(-1)
    if form == "T0":
        return 1 - p
    if form == "T1":
        return (1 - p) / alpha
    return (1 - scores.shape[-1] * p) / alpha


@register("alpha_mae_mix")
def alpha_mae_mix(scores: Tensor, *, alpha: Share = 0.9) -> Tensor:
    """alpha (1 - p_y) + (1 - alpha) U(s, y), alpha-MAE read as a mixture with the unhinged loss."""
    return alpha * (1 - scores.softmax(-1)) + (1 - alpha) * unhinged(scores)
