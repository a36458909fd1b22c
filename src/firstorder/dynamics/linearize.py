"""Jacobians of a step function at many points.

One step from near a fixed point h*: h' - h* = J_rec (h - h*) + J_inp (x - x*), with
J_rec = dF/dh and J_inp = dF/dx at (h*, x*).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from firstorder.dynamics.step import Step, at_input, check_states, check_step

CACHE_NUMBERS = 2**20
"""How many numbers of Jacobians are computed at once: larger blocks leave the CPU's caches."""


@dataclass(frozen=True)
class Linearization:
    """The linear systems of a step function at K points."""

    points: Tensor
    """(K, N)."""
    recurrent: Tensor
    """J_rec (K, N, N): row i holds the derivatives of the next state's unit i."""
    inputs: Tensor
    """J_inp (K, N, E); E = 0 for a step without an input."""
    at: Tensor
    """The input x* (E,) at which they were taken."""


def linearize(step: Step, points: Tensor, input: Tensor | None = None) -> Linearization:
    """The Jacobians of `step` at `points` (K, N) and at one `input` (E,).

    N backward passes a point, of many points at once. The step must be one that `torch.func`
    can map and differentiate.
    """
    check_states("points", points)
    points = points.detach()
    with torch.no_grad():
        check_step(points, at_input(step, input)(points))
    size = points.shape[1]
    chunk = max(1, CACHE_NUMBERS // size**2)
    if input is None:
        derivative = vmap(jacrev(lambda h: step(h[None])[0]), chunk_size=chunk)
        none = points.new_empty(0)
        return Linearization(points, derivative(points).detach(), points[:, :, None] * none, none)
    both = vmap(
        jacrev(lambda h, x: step(h[None], x[None])[0], argnums=(0, 1)), (0, None), chunk_size=chunk
    )
    recurrent, inputs = both(points, input)
    return Linearization(points, recurrent.detach(), inputs.detach(), input)
