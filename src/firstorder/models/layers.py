"""Layers that the families share."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import nn

from firstorder.bounds import Bound
from firstorder.errors import ConfigError

Activation = Literal["gelu", "relu"]
"""What `activation` knows, and a configuration may name."""
Width = Annotated[float, Bound(gt=0)]
"""Factor of all numbers of channels and units."""


def activation(name: str) -> nn.Module:
    """A fresh activation module; `gelu` is the tanh approximation, as in flax."""
    if name == "relu":
        return nn.ReLU()
    if name == "gelu":
        return nn.GELU(approximate="tanh")
    raise ConfigError(f"activation {name!r} is unknown; allowed: gelu, relu")


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros (before, after) one axis of `size` pixels so that ceil(size / stride) come out.

    The odd zero goes after, as in flax and TensorFlow: stride 2 on an even axis pads (0, 1)
    where torch's `padding=1` pads (1, 1), so the two see grids shifted by a pixel.
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def flat_size(channels: int, height: int, width: int, halvings: int) -> int:
    """Numbers that are left of an image after `halvings` 2 x 2 poolings.

    Raises ConfigError where the image is too small for them.
    """
    height, width = height >> halvings, width >> halvings
    if height < 1 or width < 1:
        raise ConfigError(
            f"model: images must have at least {1 << halvings} pixels a side for "
            f"{halvings} poolings; choose a smaller model"
        )
    return channels * height * width


def show_black(
    module: nn.Module,
    shape: tuple[int, ...],
    memory_format: torch.memory_format = torch.contiguous_format,
) -> None:
    """Let two black images of `shape` through `module` in evaluation mode; its modes stay."""
    modes = {each: each.training for each in module.modules()}
    images = torch.zeros(2, *shape).to(memory_format=memory_format)
    try:
        with torch.no_grad():
            module.eval()(images)
    finally:
        for each, mode in modes.items():
            each.training = mode
