"""Images on the device: normalisation, and random augmentation as tensor operations.

Augmentation turns uint8 images into uint8 images, as torchvision's transforms do on pictures, with
every parameter drawn per image. Drawing and applying are two functions, so that what is
applied can be compared with torchvision image by image.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from firstorder.errors import ConfigError

KINDS = ("resized-crop", "crop", "flip", "rotate", "jitter")
"""What an augmentation may hold, in the order of application."""
AREA = (0.08, 1.0)
"""Share of the image that a resized crop takes."""
ASPECT = (3 / 4, 4 / 3)
"""Width over height of a resized crop, log-uniform."""
TRIES = 10
"""Draws of a box before the whole image is taken."""
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""The changes of a jitter."""
GREY = (0.2989, 0.587, 0.114)
"""Luminance of red, green and blue (ITU-R 601)."""

Spec = Mapping[str, bool | int | float | str]


def standardise(
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """(images / 255 - mean) / std per channel, in `dtype`; images (B, C, H, W) uint8.

    Computed in float32 (float64 if that is asked for) whatever the final type.
    """
    wide = torch.promote_types(dtype, torch.float32)
    scale = _constant(tuple(1 / (255 * s) for s in std), wide, images.device)
    shifts = tuple(-m / s for m, s in zip(mean, std, strict=True))
    shift = _constant(shifts, wide, images.device)
    pixels = images.to(dtype=wide, memory_format=memory_format)
    pixels.mul_(scale.view(-1, 1, 1)).add_(shift.view(-1, 1, 1))
    return pixels.to(dtype)


@dataclass(frozen=True)
class Augmentation:
    """The random parameters of one batch of B images; None: this part is not applied."""

    boxes: Tensor | None = None
    """(B, 4) top, left, height, width of the resized crop, in pixels."""
    size: int = 0
    """Side of the resized crop after resizing."""
    shifts: Tensor | None = None
    """(B, 2) rows and columns by which the crop's window moves, each in [-padding, padding]."""
    flips: Tensor | None = None
    """(B,) bool: mirrored left to right."""
    angles: Tensor | None = None
    """(B,) degrees, counter-clockwise."""
    factors: Tensor | None = None
    """(B, 4) brightness, contrast, saturation (1: unchanged) and hue (0: unchanged, in turns)."""
    order: Tensor | None = None
    """(B, 4) the order in which the four are applied: BRIGHTNESS, CONTRAST, SATURATION, HUE."""


def augment(batch: Tensor, spec: Spec, generator: torch.Generator) -> Tensor:
    """A random version of every image of `batch` (B, C, H, W) uint8, also uint8.

    `spec` (applied in this order): `resized-crop`: side of a box of random area and
    aspect, resized (bilinear, antialiased); `crop`: padding in black pixels, before a crop of the
    original size; `flip`: probability; `rotate`: largest angle in degrees (nearest pixel, black
    outside); `jitter`: strength of brightness, contrast and saturation, and twice that of
    hue. `generator` lives on the batch's device.
    """
    parameters = draw_augmentation(batch.shape, spec, generator)
    return apply_augmentation(batch, parameters)


def draw_augmentation(shape: Sequence[int], spec: Spec, generator: torch.Generator) -> Augmentation:
    """Parameters for a batch of `shape` (B, C, H, W), on the generator's device."""
    unknown = sorted(set(spec) - set(KINDS))
    if unknown:
        raise ConfigError(f"augment: {unknown[0]!r} is unknown; allowed: {', '.join(KINDS)}")
    count, channels, height, width = shape
    device = generator.device

    def uniform(*size: int) -> Tensor:
        return torch.rand(size, generator=generator, device=device)

    drawn: dict[str, Tensor] = {}
    size = int(spec.get("resized-crop", 0))
    if size:
        drawn["boxes"] = _draw_boxes(height, width, uniform(4, count, TRIES))
    if padding := int(spec.get("crop", 0)):
        drawn["shifts"] = torch.randint(
            -padding, padding + 1, (count, 2), generator=generator, device=device
        )
    if probability := float(spec.get("flip", 0.0)):
        drawn["flips"] = uniform(count) < probability
    if degrees := float(spec.get("rotate", 0.0)):
        drawn["angles"] = degrees * (2 * uniform(count) - 1)
    if strength := float(spec.get("jitter", 0.0)):
        if channels != 3:
            raise ConfigError(
                f"augment: jitter needs 3 colour channels, these images have {channels}"
            )
        factors = uniform(count, 4)
        lowest, highest = max(0.0, 1 - strength), 1 + strength
        low = _constant((*[lowest] * 3, -strength / 2), factors.dtype, device)
        high = _constant((*[highest] * 3, strength / 2), factors.dtype, device)
        drawn["factors"] = low + (high - low) * factors
        drawn["order"] = uniform(count, 4).argsort(dim=1)
    return Augmentation(size=size, **drawn)


def apply_augmentation(batch: Tensor, parameters: Augmentation) -> Tensor:
    """The images (B, C, H, W) uint8 changed as `parameters` say, also uint8."""
    if parameters.boxes is not None:
        batch = resized_crop(batch, parameters.boxes, parameters.size)
    if parameters.shifts is not None or parameters.flips is not None:
        batch = crop_and_flip(batch, parameters.shifts, parameters.flips)
    if parameters.angles is not None:
        batch = rotate(batch, parameters.angles)
    if parameters.factors is not None and parameters.order is not None:
        batch = jitter(batch, parameters.factors, parameters.order)
    return batch


def seen_shape(shape: tuple[int, int, int], spec: Mapping[Any, Any]) -> tuple[int, int, int]:
    """The shape of what a network trained with `spec` sees of images of `shape` (C, H, W)."""
    size = int(spec.get("resized-crop", 0))
    return (shape[0], size, size) if size else shape


def evaluation_view(batch: Tensor, spec: Spec) -> Tensor:
    """The images as a network trained with `spec` meets them at test time.

    Where training takes resized crops, the centre of the same size; else the batch itself.
    """
    size = int(spec.get("resized-crop", 0))
    if not size:
        return batch
    if size > min(batch.shape[2:]):
        raise ConfigError(f"augment: resized-crop: {size} is larger than images {batch.shape[2:]}")
    top, left = round((batch.shape[2] - size) / 2), round((batch.shape[3] - size) / 2)
    return batch[:, :, top : top + size, left : left + size]


def crop_and_flip(batch: Tensor, shifts: Tensor | None, flips: Tensor | None) -> Tensor:
    """Shift every image's window over black surroundings, then mirror it where `flips` is true."""
    height, width = batch.shape[2:]
    rows = torch.arange(height, device=batch.device).view(1, -1, 1)
    columns = torch.arange(width, device=batch.device).view(1, 1, -1)
    if flips is not None:
        columns = torch.where(flips.view(-1, 1, 1), width - 1 - columns, columns)
    if shifts is not None:
        rows = rows + shifts[:, 0].view(-1, 1, 1)
        columns = columns + shifts[:, 1].view(-1, 1, 1)
    return _gather(batch, rows, columns)


def rotate(batch: Tensor, angles: Tensor) -> Tensor:
    """Rotate every image counter-clockwise by degrees: nearest pixel, black outside."""
    height, width = batch.shape[2:]
    y = torch.arange(height, device=batch.device).view(1, -1, 1) - (height - 1) / 2
    x = torch.arange(width, device=batch.device).view(1, 1, -1) - (width - 1) / 2
    cos = angles.deg2rad().cos().view(-1, 1, 1)
    sin = angles.deg2rad().sin().view(-1, 1, 1)
    rows = sin * x + cos * y + (height - 1) / 2
    columns = cos * x - sin * y + (width - 1) / 2
    return _gather(batch, rows.round().long(), columns.round().long())


def resized_crop(batch: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Crop every image to its box (top, left, height, width) and resize it to size x size.

    A bilinear, antialiased resize is a product with one matrix on each side.
    """
    top, left, height, width = boxes.unbind(1)
    vertical = _resize_matrix(top, height, batch.shape[2], size)
    horizontal = _resize_matrix(left, width, batch.shape[3], size)
    with torch.autocast(batch.device.type, enabled=False):
        pixels = vertical.unsqueeze(1) @ batch.float() @ horizontal.mT.unsqueeze(1)
    return pixels.round_().clamp_(0, 255).to(torch.uint8)


def jitter(batch: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of RGB images, in each image's own order."""
    pixels = jitter_unit(batch.float() / 255, factors, order)
    return pixels.mul_(255).round_().to(torch.uint8)


def jitter_unit(pixels: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """`jitter` for values in [0, 1], without rounding.

    Changes before that of hue are made in the first three stages, changes after it in the last
    three, each on all images and kept where it is due: picking images out would wait for the
    device.
    """
    hue = order.argsort(dim=1)[:, HUE]
    for stage in range(3):
        pixels = _blended(pixels, factors, order[:, stage], stage < hue)
    pixels = _hue(pixels, factors[:, HUE].view(-1, 1, 1, 1))
    for stage in range(1, 4):
        pixels = _blended(pixels, factors, order[:, stage], stage > hue)
    return pixels


def _blended(pixels: Tensor, factors: Tensor, kind: Tensor, chosen: Tensor) -> Tensor:
    """Images (B, 3, H, W), changed in brightness, contrast or saturation where `chosen` (B,).

    `kind` (B,) says in which: blended with black, with the mean grey or with the grey image.
    """
    factor = factors.gather(1, kind[:, None]).view(-1, 1, 1, 1)
    kind, chosen = kind.view(-1, 1, 1, 1), chosen.view(-1, 1, 1, 1)
    grey = _grey(pixels)
    mean = grey.mean(dim=(1, 2, 3), keepdim=True)
    other = grey.where(kind == SATURATION, mean.where(kind == CONTRAST, torch.zeros_like(mean)))
    return (factor * pixels + (1 - factor) * other).clamp(0, 1).where(chosen, pixels)


@functools.cache
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers (K,) on a device, for reading only.

    They are kept because copying them there would make every batch wait for the device.
    """
    with torch.inference_mode(False):  # whoever asks first, training can use them too
        return torch.tensor(values, dtype=dtype, device=device)


def _draw_boxes(height: int, width: int, uniform: Tensor) -> Tensor:
    """Boxes (B, 4) of a random share and aspect of the image from `uniform` (4, B, tries).

    The first draw that fits counts; if none does, the largest centred box of an allowed aspect.
    """
    area = height * width * (AREA[0] + (AREA[1] - AREA[0]) * uniform[0])
    log_aspect = math.log(ASPECT[0]) + math.log(ASPECT[1] / ASPECT[0]) * uniform[1]
    widths = (area * log_aspect.exp()).sqrt().round().long()
    heights = (area / log_aspect.exp()).sqrt().round().long()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.long().argmax(dim=1, keepdim=True)  # 0 where none fits
    h, w = heights.gather(1, first), widths.gather(1, first)
    top = (uniform[2].gather(1, first) * (height - h + 1)).long()
    left = (uniform[3].gather(1, first) * (width - w + 1)).long()
    boxes = torch.cat([top, left, h, w], dim=1)
    whole_w = min(width, round(height * ASPECT[1]))
    whole_h = min(height, round(width / ASPECT[0]))
    centred = ((height - whole_h) // 2, (width - whole_w) // 2, whole_h, whole_w)
    whole = _constant(centred, boxes.dtype, boxes.device)
    return torch.where(fits.any(dim=1, keepdim=True), boxes, whole)


def _resize_matrix(start: Tensor, length: Tensor, source: int, size: int) -> Tensor:
    """Matrices (B, size, source) that resize pixels [start, start + length) to `size` pixels.

    Triangle filter, as wide as a new pixel when it shrinks; nothing outside the box is seen.
    """
    scale = (length / size).view(-1, 1, 1)
    centres = (torch.arange(size, device=start.device).view(1, -1, 1) + 0.5) * scale
    pixels = torch.arange(source, device=start.device).view(1, 1, -1) - start.view(-1, 1, 1)
    weights = (1 - (pixels + 0.5 - centres).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixels >= 0) & (pixels < length.view(-1, 1, 1)))
    return weights / weights.sum(dim=2, keepdim=True)


def _gather(batch: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels at (rows, columns), which broadcast to (B, H, W); black outside the image."""
    count, channels, height, width = batch.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    shape = (count, *index.shape[1:])
    flat = index.expand(shape).reshape(count, 1, -1).expand(-1, channels, -1)
    pixels = batch.reshape(count, channels, -1).gather(2, flat).view(count, channels, *shape[1:])
    return pixels * inside.expand(shape).unsqueeze(1)


def _grey(pixels: Tensor) -> Tensor:
    red, green, blue = pixels.unbind(1)
    return (GREY[0] * red + GREY[1] * green + GREY[2] * blue).unsqueeze(1)


def _hue(pixels: Tensor, turns: Tensor) -> Tensor:
    """Rotate the hue of HSV colours; value and saturation stay."""
    red, green, blue = pixels.unbind(1)
    value, low = pixels.amax(dim=1), pixels.amin(dim=1)
    chroma = value - low
    safe = chroma.where(chroma > 0, torch.ones_like(chroma))
    # Sixths of a turn, counted from the largest channel.
    sixths = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixths = sixths + 6 * turns.squeeze(1)
    offsets = _constant((5.0, 3.0, 1.0), sixths.dtype, sixths.device)
    position = (sixths.unsqueeze(1) + offsets.view(1, 3, 1, 1)) % 6
    ramp = torch.minimum(position, 4 - position).clamp(0, 1)
    return value.unsqueeze(1) - chroma.unsqueeze(1) * ramp
