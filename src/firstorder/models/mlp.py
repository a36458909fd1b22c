"""Multilayer perceptron."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from firstorder.bounds import Bound
from firstorder.models.layers import Activation
from firstorder.models.layers import activation as activation_module
from firstorder.models.registry import Shape, register


@register("mlp")
def mlp(
    num_classes: int,
    shape: Shape,
    *,
    hidden: Annotated[int, Bound(ge=1)] = 100,
    depth: Annotated[int, Bound(ge=0)] = 2,
    activation: Activation = "relu",
) -> nn.Module:
    """`depth` hidden layers of `hidden` units (arXiv:2106.06770: 100, 100)."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = shape[0] * shape[1] * shape[2]
    for _ in range(depth):
        layers += [nn.Linear(width, hidden), activation_module(activation)]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, num_classes))
