"""Multilayer perceptron."""

from __future__ import annotations

from torch import nn

from firstorder.models.layers import activation as activation_module
from firstorder.models.registry import Shape, register


@register("mlp")
def mlp(
    num_classes: int, shape: Shape, *, hidden: int = 100, depth: int = 2, activation: str = "relu"
) -> nn.Module:
    """`depth` hidden layers of `hidden` units (arXiv:2106.06770: 100, 100)."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = shape[0] * shape[1] * shape[2]
    for _ in range(depth):
        layers += [nn.Linear(width, hidden), activation_module(activation)]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, num_classes))
