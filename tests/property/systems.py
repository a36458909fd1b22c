"""Made-up systems whose fixed points are known, and random cells of the networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from firstorder.dynamics import Step
from firstorder.models import recurrent

HOPFIELD = 0.957504024
"""The positive solution of m = tanh(2 m)."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def pattern(size: int = 12) -> Tensor:
    return torch.sign(normal(size, seed=3))


def hopfield(states: Tensor) -> Tensor:
    """One stored pattern p: fixed points m p and -m p are stable, 0 is not."""
    p = pattern(states.shape[1])
    return torch.tanh(2 * p * (states @ p / len(p))[:, None])


def ring(states: Tensor) -> Tensor:
    """Every point of the unit circle of the first two coordinates is fixed; the others decay."""
    radius = states[:, :2].norm(dim=1, keepdim=True)
    return torch.cat((states[:, :2] * (1.5 - 0.5 * radius), 0.3 * states[:, 2:]), 1)


CENTRE = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)
RATES = torch.tensor([1.5, 0.8, -0.4], dtype=torch.float64)


def saddle(states: Tensor) -> Tensor:
    """One fixed point, which repels along one axis and attracts along two."""
    return CENTRE + (states - CENTRE) * RATES


def limit_cycle(states: Tensor) -> Tensor:
    """Turns by 40 degrees a step around the unit circle; at rest only in its unstable middle."""
    angle = math.radians(40)
    turn = states.new_tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    radius = states.norm(dim=1, keepdim=True)
    return states @ turn.mT * (1.3 - 0.3 * radius)


def drifting(states: Tensor) -> Tensor:
    """No fixed point anywhere."""
    return 0.5 * states + torch.nn.functional.softplus(states) + 0.2 - 0.5 * states.clamp(max=0)


def slow_line(states: Tensor) -> Tensor:
    """The first coordinate hardly moves between the fixed points -1, 0 and 1; the second decays."""
    x, y = states[:, :1], states[:, 1:]
    return torch.cat((x + 0.02 * x * (1 - x.square()), 0.5 * y), 1)


def linear(J: Tensor, J_inp: Tensor) -> Step:
    return lambda states, inputs: states @ J.mT + inputs @ J_inp.mT


def in_basis(step: Step, A: Tensor) -> Step:
    """The same system in the coordinates g of h = A g."""
    return lambda g, x: step(g @ A.mT, x) @ torch.linalg.inv(A).mT


def cell(name: str, units: int = 7, inputs: int = 5, seed: int = 0) -> recurrent.Parameters:
    """Random parameters, none of them zero, in float64."""
    drawn = recurrent.initialise(name, 20, inputs, units, generator(seed), gate_bias=0.5)
    return {
        key: value.double() + 0.3 * normal(*value.shape, seed=seed + i)
        for i, (key, value) in enumerate(drawn.items())
    }
