"""Losses as matrices: scores (B, K) to the values (B, K) for every label.

A loss is built by name and called on scores and labels:

    loss = losses.build("sgce", num_classes=10, q=0.4)
    loss.values(scores)  # (B, K)
    loss(scores, labels)  # mean over the batch, differentiable
    losses.symmetrize(losses.build("gce", num_classes=10, q=0.4))  # the same where p > 1e-7
    losses.names()
"""

from __future__ import annotations

from firstorder.losses import baselines, combinations, normalisation, symmetric
from firstorder.losses.registry import Loss, build, names, register
from firstorder.losses.symmetric import is_symmetric, symmetrize

__all__ = [
    "Loss",
    "baselines",
    "build",
    "combinations",
    "is_symmetric",
    "names",
    "normalisation",
    "register",
    "symmetric",
    "symmetrize",
]
