"""The shape of a set of states: principal axes, dimension, a coordinate along a manifold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from firstorder.dynamics.fixed_points import distinct, spread
from firstorder.dynamics.step import DynamicsError, check_states

NEIGHBOURS = 10
SAME = 0.01
"""Of the points' spread: the resolution of their coordinate."""
REGULARISATION = 1e-3
"""Of the local fits, relative to the trace of their Gram matrices."""


@dataclass(frozen=True)
class Principal:
    """Principal axes of a set of states."""

    mean: Tensor
    """(N,)."""
    axes: Tensor
    """(P, N): orthonormal rows, most variance first; P = min(B, N)."""
    variances: Tensor
    """(P,)."""

    @property
    def shares(self) -> Tensor:
        """Shares (P,) of the variance; of a single repeated point, zeros."""
        return self.variances / self.variances.sum().clamp(min=torch.finfo(self.mean.dtype).tiny)

    @property
    def participation(self) -> float:
        """(sum s)^2 / sum s^2: the number of axes if they share the variance equally."""
        return float(self.variances.sum() ** 2 / self.variances.square().sum())

    @property
    def direction(self) -> Tensor:
        """The first axis (N,): of fixed points, the direction of their manifold."""
        return self.axes[0]

    def project(self, states: Tensor, count: int = 2) -> Tensor:
        """Coordinates (..., count) of `states` (..., N) on the first axes."""
        return (states - self.mean) @ self.axes[:count].mT


def principal(states: Tensor, readout: Tensor | None = None) -> Principal:
    """Principal axes of `states` (B, N); with `readout` (N,), signed so that axis . readout > 0."""
    check_states("states", states)
    mean = states.mean(0)
    centred = states - mean
    if len(states) > states.shape[1]:
        variances, axes = torch.linalg.eigh(centred.mT @ centred / len(states))
        variances, axes = variances.flip(0).clamp(min=0), axes.mT.flip(0)
    else:
        _, singular, axes = torch.linalg.svd(centred, full_matrices=False)
        variances = singular.square() / len(states)
    # Without a readout, the largest entry of an axis is positive: the same on every machine.
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))[:, 0]
    signs = torch.sign(axes @ readout if readout is not None else largest)
    return Principal(mean, axes * torch.where(signs == 0, 1, signs)[:, None], variances)


def coordinate(
    points: Tensor,
    readout: Tensor | None = None,
    *,
    method: Literal["lle", "projection"] = "lle",
    neighbours: int = NEIGHBOURS,
) -> Tensor:
    """theta (K,) in [-1, 1]: where `points` (K, N) lie along a one-dimensional manifold.

    `lle` is locally linear embedding in the full space, `projection` the first principal axis of
    the points. It grows along that axis, and so along `readout` (N,) where one is given.
    """
    along = principal(points, readout).project(points, 1)[:, 0]
    if method == "projection":
        return _rescaled(along)
    theta = embed(points, neighbours).to(along)
    rising = (theta - theta.mean()) @ (along - along.mean())
    return _rescaled(theta if rising >= 0 else -theta)


def embed(points: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """Locally linear embedding of `points` (K, N) into one dimension, (K,); sign arbitrary.

    Every point is written as an affine combination of its nearest neighbours; the embedding is
    the slowest non-constant vector that the same combinations reproduce. Points closer together
    than SAME of their spread are embedded as one: fixed points crowd, and a crowd's neighbours are
    all its own. The number of neighbours grows until one point is reached from all others, from
    neighbour to neighbour: of crowds that are left by no such path each would have a coordinate of
    its own, whatever lies between them. O(K^3 log K).
    """
    points = points.double()
    alone = points[distinct(points, SAME * spread(points))]
    K = len(alone)
    if K < 3:
        raise DynamicsError(f"points: {K} different points do not make a manifold; use projection")
    distances = torch.cdist(alone, alone)
    distances.fill_diagonal_(torch.inf)
    count = min(neighbours, K - 1)
    while True:
        near = distances.topk(count, largest=False).indices
        if count == K - 1 or _connected(near):
            break
        count = min(2 * count, K - 1)
    offsets = alone[near] - alone[:, None]
    gram = offsets @ offsets.mT
    trace = gram.diagonal(dim1=1, dim2=2).sum(1)
    gram = gram + torch.diag_embed((REGULARISATION * trace)[:, None].expand(-1, count))
    weights = torch.linalg.solve(gram, gram.new_ones(K, count, 1))
    weights = (weights / weights.sum(1, keepdim=True))[:, :, 0]
    residual = torch.eye(K, dtype=gram.dtype, device=gram.device)
    residual.scatter_add_(1, near, -weights)
    _, vectors = torch.linalg.eigh(residual.mT @ residual)
    nearest = torch.cdist(points, alone).argmin(1)
    return vectors[:, 1][nearest]  # vector 0 is constant


def _connected(near: Tensor) -> bool:
    """Whether some point is reached from all others along their neighbours (K, count).

    Then the rows of weights that sum to one reproduce no vector but the constant.
    """
    reached = torch.eye(len(near), device=near.device).scatter_(1, near, 1.0)
    for _ in range(len(near).bit_length()):
        reached = (reached @ reached).clamp(max=1.0)
    return bool((reached > 0).all(0).any())


def _rescaled(values: Tensor) -> Tensor:
    """To [-1, 1]; zeros where all are equal."""
    low, high = values.min(), values.max()
    if high == low:
        return torch.zeros_like(values)
    return 2 * (values - low) / (high - low) - 1
