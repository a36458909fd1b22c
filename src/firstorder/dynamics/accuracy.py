"""How well the linear systems at fixed points predict the network that they approximate."""

from __future__ import annotations

import torch
from torch import Tensor

from firstorder.dynamics.linearize import Linearization
from firstorder.dynamics.step import Step, at_input, check_states

CHUNK = 4096
"""States whose distances to all points are held at once."""


def nearest(points: Tensor, states: Tensor) -> Tensor:
    """The index (M,) of the point (K, N) nearest to each of `states` (M, N)."""
    return torch.cat([torch.cdist(part, points).argmin(1) for part in states.split(CHUNK)])


def predict(linear: Linearization, which: Tensor, states: Tensor, inputs: Tensor | None) -> Tensor:
    """One linear step (M, N) of `states` (M, N) about the points `which` (M,).

    h* + J_rec (h - h*) + J_inp (x - x*), with `inputs` x (M, E).
    """
    out = torch.empty_like(states)
    points, counts = which.unique(return_counts=True)
    # Point by point: a Jacobian for every state would not fit into memory.
    groups = which.argsort().split(counts.tolist())
    for point, rows in zip(points.tolist(), groups, strict=True):
        h = linear.points[point]
        step = (states[rows] - h) @ linear.recurrent[point].mT
        if inputs is not None:
            step = step + (inputs[rows] - linear.at) @ linear.inputs[point].mT
        out[rows] = h + step
    return out


@torch.no_grad()
def one_step(
    step: Step, linear: Linearization, states: Tensor, inputs: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Relative errors |h'_true - h'_lin| / |h'_true| (M,), and both next states (M, N).

    One true and one linear step from each of `states` (M, N) with `inputs` (M, E), about the
    nearest point. Returns errors, true, linear.
    """
    check_states("states", states)
    true = step(states) if inputs is None else step(states, inputs)
    predicted = predict(linear, nearest(linear.points, states), states, inputs)
    errors = torch.linalg.vector_norm(true - predicted, dim=1)
    return errors / torch.linalg.vector_norm(true, dim=1), true, predicted


@torch.no_grad()
def linear_run(
    linear: Linearization, starts: Tensor, inputs: Tensor, at: int | None = None
) -> Tensor:
    """States (T, B, N) of the network run wholly linearised from `starts` (B, N).

    `inputs` is (T, B, E). Every step is taken about the point nearest to the state that the
    linear system itself has reached, or always about point `at`.
    """
    if at is not None:
        return _about(linear, starts, inputs, at)
    h, states = starts, []
    for x in inputs:
        h = predict(linear, nearest(linear.points, h), h, x)
        states.append(h)
    return torch.stack(states)


def _about(linear: Linearization, starts: Tensor, inputs: Tensor, at: int) -> Tensor:
    h, states = starts - linear.points[at], []
    pushes = (inputs - linear.at) @ linear.inputs[at].mT
    for push in pushes:
        h = h @ linear.recurrent[at].mT + push
        states.append(h)
    return torch.stack(states) + linear.points[at]


@torch.no_grad()
def relaxation(step: Step, states: Tensor, input: Tensor | None = None, steps: int = 50) -> Tensor:
    """|h_{t+1} - h_t| / |h_t| (steps, M) of `states` (M, N) left alone at a constant `input` (E,).

    Near 0 after a few steps where the states lie close to a manifold of fixed points.
    """
    check_states("states", states)
    F, found = at_input(step, input), []
    for _ in range(steps):
        after = F(states)
        change = torch.linalg.vector_norm(after - states, dim=1)
        found.append(change / torch.linalg.vector_norm(states, dim=1))
        states = after
    return torch.stack(found)
