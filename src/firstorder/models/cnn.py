"""The peers' plain convolutional networks: CNN-4 (MNIST) and CNN-8 (CIFAR-10)."""

from __future__ import annotations

from torch import nn

from firstorder.models.layers import Activation, flat_size
from firstorder.models.layers import activation as activation_module
from firstorder.models.registry import Shape, register


@register("cnn4")
def cnn4(num_classes: int, shape: Shape, *, activation: Activation = "relu") -> nn.Module:
    """Two convolutions, each followed by a pooling, and two linear layers (section 6.2)."""
    return _stages(((32,), (64,)), 128, num_classes, shape, activation)


@register("cnn8")
def cnn8(num_classes: int, shape: Shape, *, activation: Activation = "relu") -> nn.Module:
    """Three pairs of convolutions, each followed by a pooling, and two linear layers (6.1)."""
    return _stages(((64, 64), (128, 128), (196, 196)), 256, num_classes, shape, activation)


def _stages(
    widths: tuple[tuple[int, ...], ...],
    hidden: int,
    num_classes: int,
    shape: Shape,
    activation: str,
) -> nn.Module:
    """A pooling after every tuple of `widths`; batch norm before every activation.

    Of ReLU and pooling the pooling is computed first: the largest number is the same before and
    after, as is its gradient, and ReLU has a quarter of the work.
    """
    channels, height, width = shape
    layers: list[nn.Module] = []
    for stage in widths:
        for features in stage:
            layers += [
                nn.Conv2d(channels, features, 3, padding=1),
                nn.BatchNorm2d(features),
                activation_module(activation),
            ]
            channels = features
        layers.insert(len(layers) - (activation == "relu"), nn.MaxPool2d(2))
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(flat_size(channels, height, width, len(widths)), hidden),
        nn.BatchNorm1d(hidden),
        activation_module(activation),
        nn.Linear(hidden, num_classes),
    )
