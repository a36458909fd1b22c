"""LeNet of the linearized study: SAME convolutions and average pooling."""

from __future__ import annotations

from torch import nn

from firstorder.models.layers import activation as activation_module
from firstorder.models.layers import flat_size
from firstorder.models.registry import Shape, register


@register("lenet")
def lenet(num_classes: int, shape: Shape, *, activation: str = "relu") -> nn.Module:
    """Two 5 x 5 convolutions (6 and 16 channels), then 120 and 84 units (section 4.2)."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2),
        activation_module(activation),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2),
        activation_module(activation),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(flat_size(16, height, width, halvings=2), 120),
        activation_module(activation),
        nn.Linear(120, 84),
        activation_module(activation),
        nn.Linear(84, num_classes),
    )
