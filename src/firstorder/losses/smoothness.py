"""How much a loss bends on bounded scores: what a search finds, and the bounds in q and alpha.

Over all scores the smoothness of SGCE does not vanish with q; where the scores of an example
differ by at most D, as normalised ones do, it is at most proportional to q.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from firstorder.losses.registry import Loss

MAE_SMOOTHNESS = 1 / (3 * math.sqrt(3))
"""Largest |eigenvalue| of the Hessian of 1 - p_y, over all scores."""


def largest_curvature(
    loss: Loss, spread: float, *, examples: int = 1000, rounds: int = 8, seed: int = 0
) -> float:
    """Largest |eigenvalue| of a Hessian that is found where max s - min s <= `spread`.

    A lower estimate: scores of three values (label, one rival, the rest) on a grid and random
    ones, the best of which are moved at random for `rounds` rounds.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (examples, loss.num_classes)
    scores = spread * torch.rand(shape, dtype=torch.float64, generator=generator)
    scores = torch.cat([scores, _three_values(loss.num_classes, spread)])
    found = curvatures(loss, scores)
    for step in range(rounds):
        best = scores[found.topk(20).indices]
        moves = torch.randn(10, *best.shape, dtype=torch.float64, generator=generator)
        moved = (best + spread * 0.2 * 0.6**step * moves).clamp(0, spread).flatten(0, 1)
        scores = torch.cat([best, moved])
        found = curvatures(loss, scores)
    return found.max().item()


def curvatures(loss: Loss, scores: Tensor) -> Tensor:
    """Largest |eigenvalue| of the Hessian of the first label's value, (B,), at scores (B, K)."""
    scores = scores.detach().requires_grad_()
    (slopes,) = torch.autograd.grad(loss.values(scores)[:, 0].sum(), scores, create_graph=True)
    if not slopes.requires_grad:  # a linear loss
        return torch.zeros(len(scores), dtype=scores.dtype)
    rows = [
        torch.autograd.grad(slope.sum(), scores, retain_graph=True)[0] for slope in slopes.unbind(1)
    ]
    return torch.linalg.eigvalsh(torch.stack(rows, dim=1)).abs().amax(-1)


def _three_values(classes: int, spread: float, steps: int = 12) -> Tensor:
    """Scores of the label, of one rival and of the rest (0), (steps^2, K)."""
    line = torch.linspace(0, spread, steps, dtype=torch.float64)
    scores = torch.zeros(steps, steps, classes, dtype=torch.float64)
    scores[:, :, 0], scores[:, :, 1] = line[:, None], line[None]
    return scores.flatten(0, 1)


def sgce_bound(q: float, spread: float, classes: int) -> float:
    """(1 - 1/K) (4 q + (1 - exp(-q D)) / 2), at most (1 - 1/K) q (4 + D/2)."""
    return (1 - 1 / classes) * (4 * q + (1 - math.exp(-q * spread)) / 2)


def alpha_mae_smoothness(
    alpha: float, classes: int, form: Literal["T0", "T1", "T2", "mix"] = "T2"
) -> float:
    """The smoothness of alpha-MAE over all scores: proportional to alpha, of T0 to its square."""
    factor = {"T0": alpha, "T1": 1.0, "T2": float(classes), "mix": 1.0}[form]
    return factor * alpha * MAE_SMOOTHNESS
