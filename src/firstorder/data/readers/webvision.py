"""WebVision mini: the first 50 classes of WebVision 1.0's Google part, and its two test sets.

Expected below `resources/webvision/` (or another of the dataset's folders), as published:
the lists train_filelist_google.txt, val_filelist.txt and synsets.txt; the training images
where the list says (google/...); val_images_256/; and, for the second test set, the
ILSVRC 2012 validation images sorted into folders by synset: ilsvrc12_val/n01440764/*.JPEG.

Every image is resized to a shorter side of 256 and cropped in the centre, 16 GB in all: they are
decoded in blocks while the dataset is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from firstorder.config import Dataset
from firstorder.data.prepared import Split
from firstorder.errors import DataError


@dataclass(frozen=True)
class Decoded:
    """Images (N, 3, size, size) that are decoded when a slice is taken."""

    paths: tuple[Path, ...]
    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.paths), 3, self.size, self.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    def __getitem__(self, key: slice) -> np.ndarray:
        paths = self.paths[key]
        images = np.empty((len(paths), *self.shape[1:]), np.uint8)
        # Decoding releases the interpreter lock, so threads share the work.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for index, image in enumerate(threads.map(self._decode, paths)):
                images[index] = image
        return images

    def _decode(self, path: Path) -> np.ndarray:
        try:
            with Image.open(path) as image:
                return square(image.convert("RGB"), self.size)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{path}: cannot decode this image ({error}); replace it") from None


def square(image: Image.Image, size: int) -> np.ndarray:
    """(3, size, size) uint8: an RGB image resized to a shorter side of `size`, and its centre."""
    width, height = image.size
    if width <= height:
        width, height = size, size * height // width
    else:
        width, height = size * width // height, size
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size))).transpose(2, 0, 1)


def webvision(dataset: Dataset, folder: Path) -> dict[str, Split]:
    """The splits train, test (WebVision's validation images) and ilsvrc12."""
    roots = [folder, *(folder / Path(other).expanduser() for other in dataset.folders)]
    classes, size = len(dataset.classes), dataset.shape[1]
    train = _listed(folder / "train_filelist_google.txt", classes)
    test = _listed(folder / "val_filelist.txt", classes)
    ilsvrc12 = _sorted_by_synset(roots, _synsets(folder / "synsets.txt", classes))

    def split(examples: list[tuple[Path, int]]) -> Split:
        labels = np.array([label for _, label in examples], dtype=np.int64)
        return Split(Decoded(tuple(path for path, _ in examples), size), labels)

    return {
        "train": split([(_find(roots, path), label) for path, label in train]),
        "test": split([(_find(roots, f"val_images_256/{path}"), label) for path, label in test]),
        "ilsvrc12": split(ilsvrc12),
    }


def _listed(file: Path, classes: int) -> list[tuple[str, int]]:
    """The (path, label) lines of a list whose label is below `classes`."""
    examples = []
    for number, line in _lines(file):
        path, _, label = line.rpartition(" ")
        if not path or not label.isdecimal():
            raise DataError(f"{file}: line {number}: {line!r} is not `path label`")
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise DataError(f"{file}: line {number}: {path} leaves the dataset's folder")
        if int(label) < classes:
            examples.append((path, int(label)))
    return examples


def _synsets(file: Path, classes: int) -> list[str]:
    """WordNet ids such as n01440764, in label order."""
    found = [line.split()[0] for _, line in _lines(file)][:classes]
    for synset in found:
        if not (synset.startswith("n") and synset[1:].isdecimal()):
            raise DataError(f"{file}: {synset!r} is not a synset such as n01440764")
    return found


def _sorted_by_synset(roots: list[Path], synsets: list[str]) -> list[tuple[Path, int]]:
    examples = []
    for label, synset in enumerate(synsets):
        folder = _find(roots, f"ilsvrc12_val/{synset}")
        images = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in (".jpeg", ".jpg")
        )
        examples += [(path, label) for path in images]
    return examples


def _find(roots: list[Path], relative: str) -> Path:
    for root in roots:
        path = root / relative
        if path.exists():
            return path
    raise DataError(f"{roots[0] / relative}: no such file; WebVision's images must be placed there")


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a text file that are not blank."""
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        if line.strip():
            yield number, line.strip()
