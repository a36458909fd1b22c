"""Jacobians of a step function at many points.

One step from near a fixed point h*: h' - h* = J_rec (h - h*) + J_inp (x - x*), with
J_rec = dF/dh and J_inp = dF/dx at (h*, x*).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from firstorder.dynamics.step import Step, at_input, check_gradient, check_states, check_step

ROWS = 8192
"""Points times units of one backward pass: enough for all cores, and small for their caches."""


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

    One forward pass, and backward passes of some units and all points at once: states are rows of
    their own, so a unit's sum over the points has every point's own derivative. The same numbers
    as `torch.func.vmap(jacrev(step))`, without its restrictions on the step, of which only the
    backward pass is batched, and without the seconds in which its first call imports torch's
    compiler.
    """
    check_states("points", points)
    h = points.detach().clone()
    count, size = h.shape
    with torch.no_grad():
        check_step(h, at_input(step, input)(h))
    at = h.new_empty(0) if input is None else input.detach()
    x = at.expand(count, -1).clone()
    recurrent = h.new_zeros(count, size, size)
    inputs = h.new_zeros(count, size, len(at))
    with torch.enable_grad():
        h.requires_grad_()
        x.requires_grad_()
        after = step(h) if input is None else step(h, x)
        check_gradient(after)
        identity = torch.eye(size, dtype=h.dtype, device=h.device)
        for some in torch.arange(size).split(max(1, ROWS // count)):
            directions = identity[some, None].expand(-1, count, -1)
            gradients = torch.autograd.grad(
                after, (h, x), directions, True, allow_unused=True, is_grads_batched=True
            )
            for jacobians, found in zip((recurrent, inputs), gradients, strict=True):
                if found is not None:
                    jacobians[:, some] = found.movedim(0, 1)
    return Linearization(points.detach(), recurrent, inputs, at)
