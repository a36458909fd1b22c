"""What a network is trained on: tensors that live on the training device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from firstorder.errors import ConfigError
from firstorder.models.layers import show_black

Standardise = Callable[[Tensor], Tensor]
"""uint8 images (B, C, H, W) -> float32 network inputs."""

View = Callable[[Tensor], Tensor]
"""Raw images (B, C, H, W) -> the part of them that is evaluated."""

KEEP_BYTES = 2**30
"""Splits whose float32 form is smaller are standardised once instead of batch by batch."""


@dataclass(frozen=True)
class Data:
    """Images (N, C, H, W), uint8 or already standardised float32; labels (N,) int64.

    `labels` are those trained on (perhaps noisy), `clean` the true ones.
    """

    images: Tensor
    labels: Tensor
    clean: Tensor
    test_images: Tensor
    test_labels: Tensor

    def to(self, device: torch.device) -> Data:
        """The same data on `device`."""
        return Data(
            self.images.to(device),
            self.labels.to(device),
            self.clean.to(device),
            self.test_images.to(device),
            self.test_labels.to(device),
        )


def scale(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]; float images as they are."""
    return images if images.is_floating_point() else images.float().div_(255)


def as_it_is(images: Tensor) -> Tensor:
    """The whole of every image."""
    return images


class Batching(Protocol):
    """How examples are shared out over batches; a recipe of the configuration is one."""

    @property
    def batch(self) -> int: ...
    @property
    def drop_last(self) -> bool: ...


def batch_sizes(count: int, recipe: Batching) -> list[int]:
    """Sizes of an epoch's batches; a last batch of one is left out (batch norm needs two).

    Raises ConfigError where no batch is left.
    """
    full, rest = divmod(count, recipe.batch)
    sizes = [recipe.batch] * full
    if not recipe.drop_last and (rest > 1 or (rest == 1 and not full)):
        sizes.append(rest)
    if not sizes:
        raise ConfigError(
            f"recipe: batch {recipe.batch} is not allowed with drop_last: the training set has "
            f"{count} examples; choose a smaller batch"
        )
    return sizes


def layout(module: nn.Module, shape: tuple[int, ...]) -> torch.memory_format:
    """The memory format of images of `shape` in which `module` trains fastest without harm.

    Channels last is what oneDNN and cuDNN compute in; other layouts they convert on the way. For
    processors with AVX2 alone oneDNN's gradient of a strided convolution by one pixel writes
    beyond its memory in that layout where there are fewer than eight channels (its issue 6035).
    A user's network may take views that channels last does not have.
    """
    for part in module.modules():
        if (
            isinstance(part, nn.Conv2d)
            and part.kernel_size == (1, 1)
            and part.stride != (1, 1)
            and part.in_channels // part.groups < 8
        ):
            return torch.contiguous_format
    try:
        show_black(module, shape, torch.channels_last)
    except RuntimeError:
        return torch.contiguous_format
    return torch.channels_last


class Inputs:
    """One split as the network takes it.

    Without augmentation it is standardised in advance where that is cheap; with it, raw images
    are augmented and then standardised, batch by batch.
    """

    def __init__(
        self,
        images: Tensor,
        standardise: Standardise,
        view: View,
        layout: torch.memory_format,
        augmented: bool = False,
    ) -> None:
        self.standardise, self.view, self.layout = standardise, view, layout
        self.images = images
        if not augmented and 4 * images.numel() <= KEEP_BYTES:
            self.images = self.finish(images)

    def __len__(self) -> int:
        return self.images.shape[0]

    def finish(self, batch: Tensor) -> Tensor:
        """Raw images as the network takes them; does nothing to images that are ready."""
        if not batch.is_floating_point():
            batch = self.standardise(batch)
        if batch.ndim == 4:
            batch = batch.contiguous(memory_format=self.layout)
        return batch

    def take(self, index: Tensor) -> Tensor:
        """The images at `index` (B,), perhaps raw."""
        return self.images.index_select(0, index)

    def span(self, start: int, stop: int) -> Tensor:
        """The images from `start` to `stop`, as they are evaluated."""
        return self.finish(self.view(self.images[start:stop]))
