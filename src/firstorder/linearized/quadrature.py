"""Quadratic forms v' f(A) v of a symmetric matrix that is known by its products alone.

m steps of Lanczos from v give the nodes and weights of the Gauss quadrature of the spectral measure
of v: exact where f is a polynomial of degree below 2 m, for every f from the same products (Golub
and Meurant, Matrices, Moments and Quadrature). Rounding makes copies of nodes that share their
weight, which changes no sum. Averages over random signs v estimate traces.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from firstorder.linearized.cg import TINY, Operator

EXHAUSTED = 1e-14
"""What is left of a product, as a share of what it has along its column, when it is rounding."""


@dataclass(frozen=True)
class Measures:
    """The spectral measures of T columns, as m nodes and weights each; float64."""

    nodes: Tensor
    """(m, T), ascending."""
    weights: Tensor
    """(m, T), not negative; those of a column add up to its squared norm."""

    def of(self, values: Tensor) -> Tensor:
        """v' f(A) v (T,) from f at the nodes (m, T)."""
        return (self.weights * values).sum(0)


def measures(operator: Operator, columns: Tensor, *products: int) -> list[Measures]:
    """The measures of `columns` (N, T) float64, none zero, as each number of `products` gives them.

    A product serves all columns, and the largest number all others.
    """
    steps = min(max(products), len(columns))
    norms = columns.norm(dim=0)
    before, vector = torch.zeros_like(columns), columns / norms
    beta = torch.zeros_like(norms)
    diagonal, off = [], []
    for _ in range(steps):
        image = operator(vector) - beta * before
        alpha = (vector * image).sum(0)
        image -= alpha * vector
        beta = image.norm(dim=0)
        # A column whose invariant subspace is exhausted goes on as zeros, with weights of zero.
        beta = torch.where(beta <= EXHAUSTED * alpha.abs(), 0.0, beta)
        diagonal.append(alpha)
        off.append(beta)
        before, vector = vector, torch.where(beta > 0, image / beta.clamp(min=TINY), 0.0)
    T = torch.diag_embed(torch.stack(diagonal, 1))
    beside = torch.stack(off[:-1], 1) if steps > 1 else T.new_zeros(len(T), 0)
    T = T + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
    found = []
    for count in products:
        nodes, vectors = torch.linalg.eigh(T[:, :count, :count])
        found.append(Measures(nodes.T, (norms[:, None] * vectors[:, 0, :]).square().T))
    return found


def signs(count: int, columns: int, device: torch.device) -> Tensor:
    """Random signs (count, columns) float64, always the same: probes of a trace."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, 2, (count, columns), generator=generator, dtype=torch.float64)
    return (2.0 * drawn - 1.0).to(device)
