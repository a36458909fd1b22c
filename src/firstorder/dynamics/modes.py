"""Eigenmodes of Jacobians: J = R diag(lambda) L with L = R^-1.

The columns r_a of R are the right eigenvectors, of unit length; the rows l_a of L the left ones,
with l_a . r_b = 1 where a = b and else 0. A trained network's J is far from normal, so L is not
the transpose of R.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from firstorder.dynamics.step import DynamicsError


@dataclass(frozen=True)
class Modes:
    """The modes of K Jacobians, slowest (largest |lambda|) first."""

    values: Tensor
    """lambda (K, N), complex."""
    right: Tensor
    """R (K, N, N), complex; right[k, :, a] is r_a."""
    left: Tensor
    """L (K, N, N), complex; left[k, a] is l_a."""

    @property
    def stable(self) -> Tensor:
        """Whether all modes of a point decay, (K,)."""
        return (self.values.abs() < 1).all(1)


@dataclass(frozen=True)
class RealMode:
    """One real mode at each of K points."""

    values: Tensor
    """(K,)."""
    right: Tensor
    """(K, N), unit length."""
    left: Tensor
    """(K, N), left . right = 1."""
    rank: Tensor
    """(K,) int64: how many modes are slower. Not 0: the slowest are complex pairs."""


def decompose(jacobians: Tensor, readout: Tensor | None = None) -> Modes:
    """The modes of `jacobians` (K, N, N), sorted by |lambda|.

    The phase of an eigenvector is arbitrary (for a real one, its sign). With `readout` (N,) it is
    chosen so that r_a . readout is real and positive; l_a turns along. Works in float64, and
    returns the complex type of `jacobians`. O(N^3) a point.
    """
    if jacobians.ndim != 3 or jacobians.shape[1] != jacobians.shape[2]:
        raise DynamicsError(f"jacobians: expected (K, N, N), got {tuple(jacobians.shape)}")
    precise = torch.promote_types(jacobians.dtype, torch.float64)  # complex ones stay complex
    values, right = torch.linalg.eig(jacobians.to(precise))
    order = values.abs().argsort(dim=1, descending=True, stable=True)  # pairs stay together
    values = values.gather(1, order)
    right = right.gather(2, order[:, None, :].expand_as(right))
    right = right / torch.linalg.vector_norm(right, dim=1, keepdim=True)
    if readout is not None:
        along = torch.einsum("kna,n->ka", right, readout.to(right))
        phase = torch.where(along.abs() > 0, along / along.abs(), torch.ones_like(along))
        right = right / phase[:, None, :]
    left, singular = torch.linalg.inv_ex(right)
    # Rounding parts the eigenvectors of a defective matrix: it leaves l_a, of length
    # 1 / cos(l_a, r_a), so long that half of the digits of a mode are lost, or more.
    most = torch.finfo(right.dtype).eps ** -0.5
    whole = (torch.linalg.vector_norm(left, dim=2) <= most).all(1) & (singular == 0)
    if not whole.all():
        first = int((~whole).nonzero()[0])
        raise DynamicsError(
            f"jacobians: number {first} has no basis of eigenvectors (it is defective); "
            "leave this point out"
        )
    return Modes(*(each.to(jacobians.dtype.to_complex()) for each in (values, right, left)))


def time_constants(values: Tensor) -> Tensor:
    """tau = |1 / ln |lambda||, in steps: infinite at |lambda| = 1, 0 at lambda = 0."""
    return (1 / values.abs().log()).abs()


def top_real(modes: Modes) -> RealMode:
    """The slowest real mode of every point, which is the slowest of all unless that is complex.

    Raises DynamicsError where a point has complex modes only.
    """
    real = modes.values.imag == 0  # LAPACK gives real eigenvalues of real matrices exactly
    if not real.any(1).all():
        first = int((~real.any(1)).nonzero()[0])
        raise DynamicsError(f"modes: point {first} has no real eigenvalue")
    rank = real.int().argmax(1)
    rows = torch.arange(len(rank), device=rank.device)
    return RealMode(
        modes.values[rows, rank].real,
        modes.right[rows, :, rank].real,
        modes.left[rows, rank].real,
        rank,
    )


def project_inputs(left: Tensor, jacobians: Tensor, inputs: Tensor) -> Tensor:
    """l . J_inp x (K, W): how far each of `inputs` (W, E) pushes along a mode of each point.

    `left` (K, N) are left eigenvectors, `jacobians` (K, N, E) those by the input.
    """
    return torch.einsum("kn,kne->ke", left, jacobians) @ inputs.mT


def input_memory(modes: Modes, jacobians: Tensor, input: Tensor, steps: int) -> Tensor:
    """What is left of one `input` (E,) after 0 ... `steps` steps, (steps + 1, K, N).

    sum_a lambda_a^k r_a (l_a . J_inp x), with `jacobians` J_inp (K, N, E).
    """
    pushed = torch.einsum(
        "kan,kne,e->ka", modes.left, jacobians.to(modes.left), input.to(modes.left)
    )
    powers = torch.stack([modes.values**k for k in range(steps + 1)])
    return torch.einsum("kna,ska->skn", modes.right, powers * pushed).real
