"""LeNet of arXiv:2106.06770: SAME convolutions and average pooling."""

from __future__ import annotations

from torch import nn

from firstorder.models.layers import Activation, Width, flat_size
from firstorder.models.layers import activation as activation_module
from firstorder.models.registry import Shape, register


@register("lenet")
def lenet(
    num_classes: int, shape: Shape, *, activation: Activation = "relu", width: Width = 1.0
) -> nn.Module:
    """Two 5 x 5 convolutions (6 and 16 channels), then 120 and 84 units, all times `width`.

    Section 4.2.
    """
    channels, height, columns = shape
    first, second, third, last = (max(1, round(width * units)) for units in (6, 16, 120, 84))
    return nn.Sequential(
        nn.Conv2d(channels, first, 5, padding=2),
        activation_module(activation),
        nn.AvgPool2d(2),
        nn.Conv2d(first, second, 5, padding=2),
        activation_module(activation),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(flat_size(second, height, columns, halvings=2), third),
        activation_module(activation),
        nn.Linear(third, last),
        activation_module(activation),
        nn.Linear(last, num_classes),
    )
