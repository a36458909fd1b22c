"""Normalisation of the scores between network and loss: none, Euclidean norm, batch norm.

It does not see the label, so a symmetric loss of normalised scores is still symmetric; it
bounds losses, such as the unhinged one, that are not bounded below. Predictions are the largest
normalised score.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from firstorder.losses.registry import widen

ScoreNorm = Literal["none", "l2", "bn"]


class Euclidean(nn.Module):
    """s / (|s| + 1e-8) for scores (B, K)."""

    def forward(self, scores: Tensor) -> Tensor:
        scores = widen(scores)
        return scores / (torch.linalg.vector_norm(scores, dim=-1, keepdim=True) + 1e-8)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of the K scores without affine part, running statistics in evaluation.

    A training batch of one example has no variance: it takes the running statistics too.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, eps=1e-5, momentum=0.1, affine=False)

    def forward(self, scores: Tensor) -> Tensor:
        scores = widen(scores)
        if self.training and scores.shape[0] == 1:
            return functional.batch_norm(
                scores, self.running_mean, self.running_var, training=False, eps=self.eps
            )
        return super().forward(scores)


def build(kind: ScoreNorm, num_classes: int) -> nn.Module:
    """The module that normalises scores (B, K). Raises KeyError for another kind."""
    if kind == "bn":
        return BatchNorm(num_classes)
    return {"none": nn.Identity, "l2": Euclidean}[kind]()
