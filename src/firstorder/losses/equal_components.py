"""Every loss at equal scores is kappa times the unhinged loss (Prop. 5.2); its effective steps.

At scores t 1 the gradient of a loss that does not know the order of the classes is
-kappa (e_y - 1/K), that of the unhinged loss times kappa. Under a common learning rate kappa is
the size of the first step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from firstorder.losses.registry import Loss


@dataclass(frozen=True)
class EqualComponents:
    """kappa, and the norm of what is left of the gradient beside -kappa (e_y - 1/K)."""

    kappa: float
    residual: float


def equal_components(loss: Loss, common: float = 0.0) -> EqualComponents:
    """kappa of `loss` at scores that all are `common`, in float64.

    The gradient is that of the last label: where a loss singles out the largest score
    (ce_eps+mae), the tie goes to the first.
    """
    scores = torch.full((1, loss.num_classes), common, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(loss.values(scores)[0, -1], scores)[0][0]
    direction = torch.full_like(slope, -1 / loss.num_classes)
    direction[-1] += 1
    kappa = -(slope @ direction) / (direction @ direction)
    return EqualComponents(kappa.item(), (slope + kappa * direction).norm().item())


def effective_steps(rates: Iterable[float], kappa: float, momentum: float = 0.0) -> float:
    """kappa sum(lr) / (1 - momentum): the length of the way that a schedule takes at equal scores.

    `rates` holds the learning rate of every step. A loss with few effective steps has hardly
    begun when training ends.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum = {momentum}; from 0 to under 1")
    return kappa * float(sum(rates)) / (1 - momentum)
