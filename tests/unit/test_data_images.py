"""Augmentation equals torchvision's, image by image, for the same parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import InterpolationMode, RandomResizedCrop, functional

from firstorder.data import images
from firstorder.errors import ConfigError
from firstorder.streams import torch_stream

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    ),
]


def photos(count: int, side: int = 32, channels: int = 3) -> Tensor:
    """Smooth pictures with full contrast, uint8."""
    noise = torch.rand(count, channels, 6, 6, generator=torch_stream(0, "photos"))
    smooth = torch.nn.functional.interpolate(
        noise, (side, side), mode="bicubic", align_corners=False
    )
    return (smooth.clamp(0, 1) * 255).round().to(torch.uint8)


def picture(image: Tensor) -> Image.Image:
    array = image.numpy().transpose(1, 2, 0)
    return Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array)


def tensor(image: Image.Image) -> Tensor:
    array = np.asarray(image)
    return torch.from_numpy(np.array(array[None] if array.ndim == 2 else array.transpose(2, 0, 1)))


def draw(batch: Tensor, spec: images.Spec, seed: int = 1) -> images.Augmentation:
    return images.draw_augmentation(batch.shape, spec, torch_stream(seed, "augment"))


def given(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


@pytest.mark.parametrize("channels", [1, 3])
def test_crop_and_flip_equal_torchvision_on_pictures(channels: int) -> None:
    batch = photos(64, 32, channels)
    drawn = draw(batch, {"crop": 4, "flip": 0.5})
    found = images.apply_augmentation(batch, drawn)
    for image, shift, flip, result in zip(
        batch, given(drawn.shifts), given(drawn.flips), found, strict=True
    ):
        padded = functional.pad(picture(image), [4])
        expected = functional.crop(padded, 4 + int(shift[0]), 4 + int(shift[1]), 32, 32)
        if flip:
            expected = functional.hflip(expected)
        assert torch.equal(result, tensor(expected))


def test_rotation_equals_torchvision() -> None:
    batch = photos(64)
    drawn = draw(batch, {"rotate": 20})
    angles = given(drawn.angles)
    assert 15 < angles.max() <= 20 and -20 <= angles.min() < -15
    found = images.apply_augmentation(batch, drawn)
    as_tensors = torch.stack(
        [
            functional.rotate(image, float(angle), InterpolationMode.NEAREST)
            for image, angle in zip(batch, angles, strict=True)
        ]
    )
    as_pictures = torch.stack(
        [
            tensor(functional.rotate(picture(image), float(angle), InterpolationMode.NEAREST))
            for image, angle in zip(batch, angles, strict=True)
        ]
    )
    # Sums of float32 numbers in another order move a coordinate across a half once in a while.
    assert (found == as_tensors).float().mean() > 0.9999
    assert (found == as_pictures).float().mean() > 0.995


def test_resized_crop_equals_torchvision_to_one_grey_level() -> None:
    batch = photos(48, 64)
    drawn = draw(batch, {"resized-crop": 48})
    found = images.apply_augmentation(batch, drawn)
    assert found.shape == (48, 3, 48, 48)
    for image, box, result in zip(batch, given(drawn.boxes).tolist(), found, strict=True):
        expected = tensor(functional.resized_crop(picture(image), *box, [48, 48]))
        assert (result.int() - expected.int()).abs().max() <= 1


def test_resized_crops_are_distributed_as_torchvisions() -> None:
    uniform = torch.rand(4, 4000, images.TRIES, generator=torch_stream(1, "boxes"))
    boxes = images._draw_boxes(64, 64, uniform).float()
    torch.manual_seed(0)  # torchvision draws from the global generator
    canvas = torch.zeros(1, 64, 64)
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(canvas, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    ).float()
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= 64).all()
    assert boxes.mean(0) == pytest.approx(theirs.mean(0), abs=1.2)
    assert boxes.std(0) == pytest.approx(theirs.std(0), abs=1.2)


def test_a_box_that_never_fits_becomes_the_largest_allowed_one() -> None:
    impossible = torch.ones(4, 3, images.TRIES) * 0.999
    assert images._draw_boxes(20, 100, impossible).tolist() == [[0, 36, 20, 27]] * 3
    assert images._draw_boxes(64, 64, impossible).tolist() == [[0, 0, 64, 64]] * 3


CHANGES: list[Callable[[Tensor, float], Tensor]] = [
    functional.adjust_brightness,
    functional.adjust_contrast,
    functional.adjust_saturation,
    functional.adjust_hue,
]


def test_colour_jitter_equals_torchvision_in_every_order() -> None:
    batch = photos(48)
    drawn = draw(batch, {"jitter": 0.4})
    factors, order = given(drawn.factors), given(drawn.order)
    assert len(set(map(tuple, order.tolist()))) > 15
    found = images.jitter_unit(batch / 255, factors, order)
    rounded = images.apply_augmentation(batch, drawn)
    for image, factor, sequence, result, grey in zip(
        batch, factors, order.tolist(), found, rounded, strict=True
    ):
        expected = image / 255
        for kind in sequence:
            expected = CHANGES[kind](expected, float(factor[kind]))
        assert torch.allclose(result, expected, atol=2e-5)
        assert (grey.float() - expected * 255).abs().max() <= 0.51


@pytest.mark.parametrize("kind", range(3))  # pictures keep hue in 256 steps: too coarse to compare
def test_colour_changes_equal_torchvision_on_pictures_to_two_grey_levels(kind: int) -> None:
    batch = photos(16)
    factors = torch.tensor([[1.0, 1.0, 1.0, 0.0]]).repeat(16, 1)
    factors[:, kind] = torch.linspace(0.6, 1.4, 16)
    found = images.jitter(batch, factors, torch.arange(4).repeat(16, 1))
    for image, factor, result in zip(batch, factors[:, kind].tolist(), found, strict=True):
        expected = tensor(CHANGES[kind](picture(image), factor))  # type: ignore[arg-type]
        assert (result.int() - expected.int()).abs().max() <= 2


def test_grey_images_keep_their_colour_under_hue() -> None:
    batch = torch.arange(0, 256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    factors = torch.tensor([[1.0, 1.0, 1.0, 0.15]])
    assert torch.equal(images.jitter(batch, factors, torch.arange(4)[None]), batch)


def test_draws_lie_in_their_ranges_and_reach_them() -> None:
    batch = torch.zeros(2000, 3, 8, 8, dtype=torch.uint8)
    drawn = draw(batch, {"crop": 4, "flip": 0.25, "jitter": 0.4})
    assert given(drawn.shifts).unique().tolist() == list(range(-4, 5))
    assert given(drawn.flips).float().mean() == pytest.approx(0.25, abs=0.03)
    low, high = given(drawn.factors).min(0).values, given(drawn.factors).max(0).values
    assert low.tolist() == pytest.approx([0.6, 0.6, 0.6, -0.2], abs=0.01)
    assert high.tolist() == pytest.approx([1.4, 1.4, 1.4, 0.2], abs=0.01)


def test_an_empty_augmentation_changes_nothing() -> None:
    batch = photos(3)
    assert torch.equal(images.augment(batch, {}, torch_stream(1, "augment")), batch)


def test_augmentation_depends_on_its_generator_alone() -> None:
    batch = photos(8)
    spec: images.Spec = {"crop": 4, "flip": 0.5, "rotate": 20, "resized-crop": 24, "jitter": 0.4}
    torch.manual_seed(1)
    first = images.augment(batch, spec, torch_stream(5, "augment"))
    torch.manual_seed(2)
    again = images.augment(batch, spec, torch_stream(5, "augment"))
    assert torch.equal(first, again)
    assert first.shape == (8, 3, 24, 24) and first.dtype == torch.uint8
    assert not torch.equal(first, images.augment(batch, spec, torch_stream(6, "augment")))


def test_impossible_augmentations_are_named() -> None:
    with pytest.raises(ConfigError, match="'mixup' is unknown"):
        draw(photos(1), {"mixup": 1})
    with pytest.raises(ConfigError, match="3 colour channels"):
        draw(photos(1, 8, 1), {"jitter": 0.4})


def test_evaluation_sees_the_centre_where_training_crops() -> None:
    batch = photos(2, 36)
    expected = functional.center_crop(batch, [28, 28])
    assert torch.equal(images.evaluation_view(batch, {"resized-crop": 28}), expected)
    assert images.evaluation_view(batch, {"crop": 4}) is batch
    assert images.seen_shape((3, 36, 36), {"resized-crop": 28}) == (3, 28, 28)
    assert images.seen_shape((3, 36, 40), {"crop": 4}) == (3, 36, 40)
    with pytest.raises(ConfigError, match="resized-crop: 64 is larger than images"):
        images.evaluation_view(batch, {"resized-crop": 64})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_standardise_equals_torchvisions_normalisation(
    device: str, dtype: torch.dtype, memory_format: torch.memory_format
) -> None:
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    batch = photos(4)
    found = images.standardise(batch.to(device), mean, std, dtype, memory_format)
    expected = functional.normalize(batch.double() / 255, list(mean), list(std))
    assert found.dtype == dtype and found.is_contiguous(memory_format=memory_format)
    error = (found.cpu().double() - expected).abs().max()
    assert error <= {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 1e-2}[dtype]
    assert batch.dtype == torch.uint8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_devices_agree_on_the_same_parameters() -> None:
    batch = photos(32, 64)
    spec: images.Spec = {"crop": 4, "flip": 0.5, "rotate": 20, "resized-crop": 48, "jitter": 0.4}
    drawn = draw(batch, spec)
    changes: dict[str, Any] = {
        key: value.cuda() for key, value in vars(drawn).items() if isinstance(value, Tensor)
    }
    there_drawn = replace(drawn, **changes)
    here = images.apply_augmentation(batch, drawn).int()
    there = images.apply_augmentation(batch.cuda(), there_drawn).cpu().int()
    assert ((here - there).abs() <= 1).float().mean() > 0.999


class Operations(TorchDispatchMode):
    """Names the operations that torch performs."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None):
        self.names.append(operation.overloadpacket.__name__)
        return operation(*given, **(named or {}))


def test_augmentation_does_not_loop_over_the_images() -> None:
    assert len(operations(16)) == len(operations(128))


def test_augmentation_and_normalisation_never_wait_for_the_device() -> None:
    # Each reads a number from the device, or (the last) brings one there from a Python list.
    waiting = {"nonzero", "item", "_local_scalar_dense", "lift_fresh"}
    assert waiting.isdisjoint(operations(16))


def operations(size: int) -> list[str]:
    """What is done to a batch, once the constants are on the device."""
    spec: images.Spec = {"crop": 4, "flip": 0.5, "rotate": 20, "resized-crop": 24, "jitter": 0.4}
    batch, generator = photos(size), torch_stream(1, "augment")
    for _ in range(2):
        with Operations() as seen:
            images.standardise(images.augment(batch, spec, generator), (0.5,) * 3, (0.25,) * 3)
    return seen.names
