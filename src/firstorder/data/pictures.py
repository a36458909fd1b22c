"""Decode pictures: JPEG and PNG only, within bounds, in the order that is asked for."""

from __future__ import annotations

import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from firstorder.config import Dataset
from firstorder.errors import DataError
from firstorder.files import read_regular

JPEG = ("JPEG",)
FORMATS = ("JPEG", "PNG")
"""Without such a list Pillow tries every format it knows; one of them starts another program."""
SUFFIXES = (".jpeg", ".jpg", ".png")
LARGEST_FILE = 64 * 2**20
"""Bytes of one picture's file."""
LARGEST = 50_000_000
"""Pixels of one picture: twice those of the largest of ILSVRC 2012."""
NARROWEST = 1 / 40
"""Shorter over longer side: a thinner picture grows beyond any memory when it is enlarged."""
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
"""Kinds of pixels that 8 bits a channel hold; 16-bit greys would be clipped."""


@dataclass(frozen=True)
class Decoded:
    """Images (N, C, H, W) that are decoded when a slice is taken."""

    paths: tuple[Path, ...]
    sides: tuple[int, int, int]
    """Channels, height, width."""
    resize: bool = True
    """Resize to the shorter side and take the centre; otherwise another size is an error."""
    formats: tuple[str, ...] = FORMATS
    upright: bool = True
    """Turn what the camera says was taken sideways or upside down."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.paths), *self.sides)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    def __getitem__(self, key: slice) -> np.ndarray:
        paths = self.paths[key]
        images = np.empty((len(paths), *self.sides), np.uint8)
        # Decoding releases the interpreter lock, so the processors of this job share the work.
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            for index, image in enumerate(threads.map(self._decode, paths)):
                images[index] = image
        return images

    def _decode(self, path: Path) -> np.ndarray:
        image = decode(path, mode_of(self.sides[0]), self.formats, self.upright)
        return sized(image, self.sides, self.resize, str(path))


def pictures_of(dataset: Dataset, paths: tuple[Path, ...]) -> Decoded:
    """The pictures of a split of `dataset`."""
    first = decode(paths[0]) if paths and dataset.resize and dataset.content else None
    return Decoded(paths, *sides_of(dataset, first))


def sides_of(dataset: Dataset, first: Image.Image | None) -> tuple[tuple[int, int, int], bool]:
    """The sides to which pictures are decoded, and whether by resizing.

    Published content is that of its own size, which the `first` has: it is resized when it has
    been verified.
    """
    if dataset.resize and dataset.content and first is not None:
        return (dataset.shape[0], first.height, first.width), False
    return dataset.shape, dataset.resize


def mode_of(channels: int) -> str:
    """What Pillow calls images with so many channels."""
    return "L" if channels == 1 else "RGB"


def sized(image: Image.Image, sides: tuple[int, int, int], resize: bool, where: str) -> np.ndarray:
    """An image as uint8 `sides` (C, H, W); another size is resized or a DataError."""
    _, *size = sides
    if resize:
        pixels = square(image, size[0]) if size[0] == size[1] else fitted(image, *size)
    elif image.size != (size[1], size[0]):
        raise DataError(
            f"{where}: {image.width} x {image.height} pixels instead of {size[1]} x {size[0]}; "
            "declare `resize: true`, or replace it"
        )
    else:
        pixels = np.asarray(image)
    return pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None]


def decode(
    path: Path, mode: str = "RGB", formats: tuple[str, ...] = FORMATS, upright: bool = True
) -> Image.Image:
    """The picture in a regular file, in `mode`; `upright`: as its EXIF orientation says.

    Raises DataError for another format than `formats`, a size outside the bounds of this module,
    or a damaged file.
    """
    return decode_bytes(read_regular(path, LARGEST_FILE), str(path), mode, formats, upright)


def decode_bytes(
    data: bytes,
    where: str,
    mode: str = "RGB",
    formats: tuple[str, ...] = FORMATS,
    upright: bool = True,
) -> Image.Image:
    """The picture encoded in `data`, which errors call `where`; see `decode`."""
    try:
        with warnings.catch_warnings():
            # Refused below, by bounds of this module.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # Of damaged EXIF no orientation is known.
            warnings.filterwarnings("ignore", "Corrupt EXIF data", UserWarning)
            # Transparency is left out, as torchvision's loader does.
            warnings.filterwarnings("ignore", "Palette images with Transparency", UserWarning)
            with Image.open(io.BytesIO(data), formats=formats) as image:
                _check(image, where)
                turned = ImageOps.exif_transpose(image) if upright else image
                return turned.convert(mode)
    except UnidentifiedImageError:
        raise DataError(
            f"{where}: cannot decode this image (not {' or '.join(formats)}); replace it"
        ) from None
    except DataError:
        raise
    except Exception as error:  # a damaged picture fails anywhere in its decoder
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{where}: cannot decode this image ({reason}); replace it") from None


def _check(image: Image.Image, where: str) -> None:
    """Refuse sizes and kinds of pixels outside the bounds, before anything is decoded."""
    width, height = image.size
    if width * height > LARGEST or min(image.size) < NARROWEST * max(image.size):
        raise DataError(f"{where}: {width} x {height} pixels are too many or too thin; replace it")
    if image.mode not in MODES:
        raise DataError(f"{where}: pixels of kind {image.mode}; save it with 8 bits a channel")


def square(image: Image.Image, size: int) -> np.ndarray:
    """(size, size[, 3]) uint8: an image resized to a shorter side of `size`, and its centre."""
    width, height = image.size
    if width <= height:
        width, height = size, size * height // width
    else:
        width, height = size * width // height, size
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def fitted(image: Image.Image, height: int, width: int) -> np.ndarray:
    """(height, width[, 3]) uint8: an image resized without regard to its aspect."""
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
