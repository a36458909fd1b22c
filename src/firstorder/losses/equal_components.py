"""At equal scores a loss is kappa times the unhinged loss (Prop. 5.2); its effective steps.

At scores t 1 the gradient of a loss that does not know the order of the classes is
-kappa (e_y - 1/K), that of the unhinged loss times kappa. Under a common learning rate kappa is
the size of the first step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from firstorder.losses.registry import Loss

TIE = 1e-6
"""Difference between classes, relative to the largest gradient, that is none of rounding."""


@dataclass(frozen=True)
class EqualComponents:
    """kappa of the last label, and what any label leaves of the gradient beside it.

    `residual` is the largest |g_y + kappa (e_y - 1/K)| over the labels y. `breaks_ties`: the loss
    singles out the largest score, of equal ones the first (ce_eps+mae), so its gradients depend
    on the order of the classes and no single kappa belongs to all.
    """

    kappa: float
    residual: float
    breaks_ties: bool


def equal_components(loss: Loss, common: float = 0.0) -> EqualComponents:
    """kappa of `loss` at scores that all are `common`, in float64."""
    classes = loss.num_classes
    scores = torch.full((classes, classes), common, dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(loss.values(scores).diagonal().sum(), scores)
    directions = torch.eye(classes, dtype=torch.float64) - 1 / classes
    kappa = -(slopes[-1] @ directions[-1]) / (directions[-1] @ directions[-1])
    rest = (slopes + kappa * directions).norm(dim=1).max().item()
    own, others = slopes.diagonal(), slopes[~torch.eye(classes, dtype=torch.bool)]
    spread = max((own.max() - own.min()).item(), (others.max() - others.min()).item())
    return EqualComponents(kappa.item(), rest, spread > TIE * slopes.abs().max().item())


def effective_steps(rates: Iterable[float], kappa: float, momentum: float = 0.0) -> float:
    """kappa sum(lr) / (1 - momentum): the length of the way that a schedule takes at equal scores.

    `rates` holds the learning rate of every step. A loss with few effective steps has hardly
    begun when training ends.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum = {momentum}; from 0 to under 1")
    return kappa * float(sum(rates)) / (1 - momentum)
