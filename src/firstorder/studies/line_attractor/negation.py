"""Contextual effects: what a word does to the effect of the words after it.

After the word w at a fixed point h* the state is h_0 = F(h*, e_w), and without further words
h_k = F(h_(k-1), 0). The effect of a word e there is l_1 . J_inp(h_k) e, with l_1 of h*.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from firstorder import dynamics
from firstorder.studies.line_attractor import network as networks
from firstorder.studies.line_attractor.network import Network
from firstorder.studies.line_attractor.points import Read

STEPS = 10
AT = 100
"""Fixed points over which effects are averaged."""
AT_MODIFIERS = 10
CANDIDATES = 300
"""The most frequent words that are no class's, which may modify."""
LISTED = 20


def spaced(count: int, theta: Tensor, most: int) -> Tensor:
    """Positions of at most `most` of `count` points, evenly along theta."""
    order = theta.argsort()
    return order[torch.linspace(0, count - 1, min(most, count)).round().long()]


def gradient(network: Network, left: Tensor, states: Tensor) -> Tensor:
    """l . J_inp (B, E) at `states` (B, S) and no input, for `left` (B, S)."""
    x = networks.nothing(network).expand(len(states), -1).clone().requires_grad_()
    along = (networks.step(network, states, x) * left).sum()
    return torch.autograd.grad(along, x)[0]


@torch.no_grad()
def after(network: Network, points: Tensor, token: int, steps: int = STEPS) -> list[Tensor]:
    """h_0 ... h_steps, each (B, S), after the word `token` at `points` (B, S)."""
    word = networks.embedded(network, np.array([token])).expand(len(points), -1)
    states = [networks.step(network, points, word)]
    rest = networks.nothing(network).expand(len(points), -1)
    for _ in range(steps):
        states.append(networks.step(network, states[-1], rest))
    return states


def effects(
    network: Network, found: Read, theta: Tensor, token: int, classes: dict[str, Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean effects of every class: at h* (C,), and k steps after `token` (STEPS + 1, C).

    `classes` holds the inputs (W, E) of each class; NaN for a class without words.
    """
    index = spaced(len(theta), theta, AT)
    points, left = found.linear.points[index], found.left[index].to(found.linear.points)

    def means(states: Tensor) -> list[float]:
        push = gradient(network, left, states)
        return [
            float((push @ inputs.mT).mean()) if len(inputs) else np.nan
            for inputs in classes.values()
        ]

    later = [means(states) for states in after(network, points, token)]
    return np.array(means(points)), np.array(later)


def modifiers(
    network: Network,
    found: Read,
    theta: Tensor,
    candidates: np.ndarray,
    inputs: Tensor,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The words of `candidates` (tokens) that change the effects of others most.

    Strength: |l_1 (J_inp(h_0) - J_inp(h*)) E| over |l_1 J_inp(h*) E|, averaged over points, for
    the inputs E (W, E) of the classes. Returns the LISTED strongest tokens, their strengths, and
    their displacements F(h*, e_w) - h* on the two principal axes of these displacements.
    """
    index = spaced(len(theta), theta, AT_MODIFIERS)
    points, left = found.linear.points[index], found.left[index].to(found.linear.points)
    plain = gradient(network, left, points) @ inputs.mT
    strengths, moved = [], []
    for token in candidates.tolist():
        word = networks.embedded(network, np.array([token])).expand(len(points), -1)
        with torch.no_grad():
            states = networks.step(network, points, word)
        changed = gradient(network, left, states) @ inputs.mT - plain
        strengths.append(float((changed.norm(dim=1) / plain.norm(dim=1)).mean()))
        moved.append((states - points).mean(0))
    strength = np.array(strengths)
    order = np.argsort(-strength, kind="stable")[:LISTED]
    displaced = torch.stack([moved[i] for i in order])
    plane = dynamics.principal(displaced).project(displaced).cpu().numpy()
    return candidates[order], strength[order], plane


def candidates(tokens: np.ndarray, classed: np.ndarray, words: int, token: int) -> np.ndarray:
    """The most frequent tokens of no class, and `token` among them."""
    frequency: Any = np.bincount(tokens, minlength=words)
    frequency[classed] = 0
    frequency[:2] = 0
    often = np.argsort(-frequency, kind="stable")[:CANDIDATES]
    often = often[frequency[often] > 0]
    return often if token in often else np.append(often, token)
