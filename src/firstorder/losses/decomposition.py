"""How exactly a loss is a symmetric part plus a part without label, and in one way only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from firstorder.losses.registry import Loss
from firstorder.losses.symmetric import centred


@dataclass(frozen=True)
class Decomposition:
    """Errors of Prop. 4.1 on given scores, relative to 1 + the largest |value| of the loss.

    `class_sum`: largest |sum_k L_sym(s, k)|. `label`: largest difference over labels of what is
    left, L - L_sym. `unique`: largest distance of L_sym + C/K from the only solution of the linear
    equations L' + R' = L, sum_k L' = C. `solutions`: dimension of the solutions of the same
    equations with L = C = 0: 0 where there is no other decomposition.
    """

    class_sum: float
    label: float
    unique: float
    solutions: int


def decomposition(loss: Loss, scores: Tensor, total: float = 1.0) -> Decomposition:
    """Check the decomposition of `loss` on scores (B, K), float64; `total` is the class sum C."""
    values = loss.values(scores)
    classes, scale = values.shape[-1], 1 + values.abs().max().item()
    symmetric = centred(values)
    rest = values - symmetric
    equations = torch.ones(classes + 1, classes + 1, dtype=values.dtype)
    equations[:classes, :classes] = torch.eye(classes)
    equations[classes, classes] = 0
    right = torch.cat([values, torch.full_like(values[:, :1], total)], dim=1)
    solved = torch.linalg.solve(equations, right.T).T[:, :classes]
    return Decomposition(
        class_sum=symmetric.sum(-1).abs().max().item() / scale,
        label=(rest.amax(-1) - rest.amin(-1)).max().item() / scale,
        unique=(solved - symmetric - total / classes).abs().max().item() / scale,
        solutions=classes + 1 - int(torch.linalg.matrix_rank(equations)),
    )
