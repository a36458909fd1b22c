"""Residual networks: the CIFAR variants of ResNet-18 and ResNet-34, and ResNet-50.

Batch norm follows torch: momentum 0.1 and the unbiased variance in the running average. flax,
in which arXiv:2106.06770 was written, averages the biased one; the ratio is n/(n - 1) with
n = B H W values a channel, 1.00001 for a batch of 128 images of 32 x 32 and 1.0005 at 4 x 4.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from firstorder.errors import ConfigError
from firstorder.models.layers import Activation, Width, same_padding
from firstorder.models.layers import activation as activation_module
from firstorder.models.registry import Shape, register

Padding = Literal["same", "torch"]
"""Of strided convolutions, see `ResNet`."""


@register("resnet18")
def resnet18(
    num_classes: int,
    shape: Shape,
    *,
    activation: Activation = "relu",
    zero_init_residual: bool = False,
    padding: Padding = "torch",
    width: Width = 1.0,
) -> nn.Module:
    """Four stages of two blocks (arXiv:2106.06770, section 4.3)."""
    return ResNet((2, 2, 2, 2), num_classes, shape, activation, zero_init_residual, padding, width)


@register("resnet34")
def resnet34(
    num_classes: int,
    shape: Shape,
    *,
    activation: Activation = "relu",
    zero_init_residual: bool = False,
    padding: Padding = "torch",
    width: Width = 1.0,
) -> nn.Module:
    """Stages of 3, 4, 6 and 3 blocks (arXiv:2605.20347, section 6.3)."""
    return ResNet((3, 4, 6, 3), num_classes, shape, activation, zero_init_residual, padding, width)


@register("resnet50", init="torchvision")
def resnet50(num_classes: int, shape: Shape, *, zero_init_residual: bool = False) -> nn.Module:
    """torchvision's ResNet-50, for WebVision (arXiv:2605.20347, section 6.4)."""
    from torchvision.models import resnet as torchvision_resnet

    if shape[0] != 3:
        raise ConfigError(f"model 'resnet50': images have {shape[0]} channels; it takes 3")
    module = torchvision_resnet.resnet50(weights=None, num_classes=num_classes)
    if zero_init_residual:
        for block in module.modules():
            if isinstance(block, torchvision_resnet.Bottleneck):
                block.bn3 = ZeroNorm(block.bn3.num_features)
    return module


class ZeroNorm(nn.BatchNorm2d):
    """Batch norm that starts as the zero map: it switches a residual branch off."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.zeros_(self.weight)


class Block(nn.Module):
    """conv, BN, act, conv, BN, plus the shortcut, act."""

    def __init__(
        self,
        channels: int,
        features: int,
        stride: int,
        size: tuple[int, int],
        activation: str,
        zero_init_residual: bool,
        padding: str,
    ) -> None:
        super().__init__()
        self.pad, conv_padding = _padding(size, stride, padding)
        self.conv1 = nn.Conv2d(channels, features, 3, stride, conv_padding, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.act1 = activation_module(activation)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn2 = (ZeroNorm if zero_init_residual else nn.BatchNorm2d)(features)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != features:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, features, 1, stride, bias=False), nn.BatchNorm2d(features)
            )
        self.act2 = activation_module(activation)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.act1(self.bn1(self.conv1(self.pad(x))))
        return self.act2(self.bn2(self.conv2(branch)) + self.shortcut(x))


class ResNet(nn.Module):
    """CIFAR variant: 3 x 3 stem of stride 1, no max-pooling, widths 64 to 512 times `width`.

    `padding` is that of strided convolutions: `torch` (a zero on either side) or `same` (flax).
    """

    def __init__(
        self,
        blocks: tuple[int, ...],
        num_classes: int,
        shape: Shape,
        activation: str,
        zero_init_residual: bool,
        padding: str,
        width: float,
    ) -> None:
        super().__init__()
        widths = [max(1, round(64 * 2**stage * width)) for stage in range(len(blocks))]
        channels, *size = shape
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        self.act = activation_module(activation)
        layers: list[nn.Module] = []
        channels = widths[0]
        for stage, (count, features) in enumerate(zip(blocks, widths, strict=True)):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                layers.append(
                    Block(
                        channels,
                        features,
                        stride,
                        (size[0], size[1]),
                        activation,
                        zero_init_residual,
                        padding,
                    )
                )
                channels = features
                size = [-(-pixels // stride) for pixels in size]
        self.blocks = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.stem(x)))
        return self.linear(self.flatten(self.pool(self.blocks(x))))


def _padding(size: tuple[int, int], stride: int, padding: str) -> tuple[nn.Module, int]:
    """What goes before a 3 x 3 convolution, and the convolution's own padding."""
    if padding not in ("same", "torch"):
        raise ConfigError(f"padding {padding!r} is unknown; allowed: same, torch")
    rows, columns = same_padding(size[0], 3, stride), same_padding(size[1], 3, stride)
    if padding == "torch" or rows == columns == (1, 1):
        return nn.Identity(), 1
    return nn.ZeroPad2d((*columns, *rows)), 0
