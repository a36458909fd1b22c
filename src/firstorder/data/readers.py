"""Decode raw files as published: one reader for each format.

A reader takes the declaration and the folder with the (verified) raw files and returns the
splits `train` and `test`: images (N, C, H, W) uint8 and labels (N,) int64.
"""

from __future__ import annotations

import gzip
import itertools
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from firstorder.config import Dataset
from firstorder.data.pickles import load_plain
from firstorder.data.prepared import Split
from firstorder.data.subset import stratified_subset
from firstorder.errors import DataError
from firstorder.streams import numpy_stream

PATCH = 32
LARGEST_CROP = 128
LEAST_CONTRAST = 8.0
"""Grey levels (standard deviation) below which a patch is blank sky or shade, and left out."""
HELD_OUT = ((205, 365), (345, 505))
"""Columns of each photo (640 wide) that only test patches show: part of its object (a tower, a
flower), part of its background."""


def digits(dataset: Dataset, folder: Path) -> dict[str, Split]:
    """scikit-learn's 1,797 handwritten digits, 8 x 8; a fixed stratified part is for testing.

    Pixel values 0..16 become 0..255. The images keep their order within each part.
    """
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    images = np.rint(values.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    held_out = np.zeros(len(labels), dtype=bool)
    held_out[stratified_subset(labels, dataset.test, numpy_stream(0, "split digits"))] = True
    return {
        part: Split(images[mask], labels[mask].astype(np.int64))
        for part, mask in (("train", ~held_out), ("test", held_out))
    }


def photo_patches(dataset: Dataset, folder: Path) -> dict[str, Split]:
    """Square patches, resized to 32 x 32, of the two photos that scikit-learn bundles; no labels.

    Test patches come from a band of columns of each photo, training patches from both sides
    of it, so no pixel is in both. Sides are log-uniform in [32, 128] pixels.
    """
    from sklearn.datasets import load_sample_images

    train, test = [], []
    for photo, (left, right) in zip(load_sample_images().images, HELD_OUT, strict=True):
        train += [photo[:, :left], photo[:, right:]]
        test += [photo[:, left:right]]
    return {
        "train": Split(patches(train, dataset.train), np.full(dataset.train, -1)),
        "test": Split(patches(test, dataset.test), np.full(dataset.test, -1)),
    }


def patches(photos: Sequence[np.ndarray], count: int) -> np.ndarray:
    """`count` patches (count, 3, 32, 32) uint8 of `photos` (H, W, 3 each), by their areas.

    Photo, size and position follow a four-dimensional Weyl sequence, which fills their space
    more evenly than random draws: patches resemble one another as little as possible, and
    a longer sequence begins like a shorter one.
    """
    root = 1.1673039782614187  # of x^5 = x + 1: the most even sequence in four dimensions
    shares = np.cumsum([photo.shape[0] * photo.shape[1] for photo in photos])
    found: list[np.ndarray] = []
    for step in itertools.count(1):
        which, size, down, right = step * root ** -np.arange(1.0, 5.0) % 1.0
        photo = photos[int(np.searchsorted(shares, which * shares[-1], side="right"))]
        side = round(PATCH * (LARGEST_CROP / PATCH) ** size)
        top = int(down * (photo.shape[0] - side + 1))
        left = int(right * (photo.shape[1] - side + 1))
        crop = Image.fromarray(np.ascontiguousarray(photo[top : top + side, left : left + side]))
        patch = np.asarray(crop.resize((PATCH, PATCH), Image.Resampling.BILINEAR))
        if patch.std(axis=(0, 1)).mean() >= LEAST_CONTRAST:
            found.append(patch.transpose(2, 0, 1))
        if len(found) == count:
            return np.stack(found)
    raise AssertionError("unreachable: the sequence has no end")


def idx(dataset: Dataset, folder: Path) -> dict[str, Split]:
    """MNIST's format: four gzipped files of big-endian sizes followed by bytes."""

    def read(prefix: str, dimensions: int) -> np.ndarray:
        (file,) = (file for file in dataset.files if file.name.startswith(prefix))
        return read_idx(folder / file.name, dimensions)

    return {
        split: Split(
            read(f"{prefix}-images", 3)[:, None], read(f"{prefix}-labels", 1).astype(np.int64)
        )
        for split, prefix in (("train", "train"), ("test", "t10k"))
    }


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array in a gzipped IDX file; DataError if it is damaged or has another rank."""
    try:
        with gzip.open(path, "rb") as stream:
            data = stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch it again") from None
    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(
            f"{path}: not an IDX file of bytes in {dimensions} dimensions; fetch it again"
        )
    shape = tuple(np.frombuffer(data[4:start], ">u4").tolist())
    array = np.frombuffer(data, np.uint8, offset=start)
    if array.size != np.prod(shape, dtype=np.int64):
        raise DataError(f"{path}: {array.size} bytes do not make an array {shape}; fetch it again")
    return array.reshape(shape)


class _CifarLayout(NamedTuple):
    """What the members of a CIFAR archive and the keys of its dictionaries are called."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: bytes
    meta: str
    names: bytes


CIFAR = {
    "cifar-10-python.tar.gz": _CifarLayout(
        train=tuple(f"cifar-10-batches-py/data_batch_{batch}" for batch in range(1, 6)),
        test=("cifar-10-batches-py/test_batch",),
        labels=b"labels",
        meta="cifar-10-batches-py/batches.meta",
        names=b"label_names",
    ),
    "cifar-100-python.tar.gz": _CifarLayout(
        train=("cifar-100-python/train",),
        test=("cifar-100-python/test",),
        labels=b"fine_labels",
        meta="cifar-100-python/meta",
        names=b"fine_label_names",
    ),
}


def cifar(dataset: Dataset, folder: Path) -> dict[str, Split]:
    """CIFAR-10 or CIFAR-100 (fine labels): pickled batches in a tar archive, in published order.

    The archive is read in memory, never unpacked, and its pickles may hold nothing but data.
    """
    (file,) = dataset.files
    path = folder / file.name
    layout = CIFAR.get(file.name)
    if layout is None:
        raise DataError(f"{path}: the reader `cifar` knows {', '.join(CIFAR)}")
    if file.sha256 is None and file.md5 is None:
        raise DataError(f"{path}: declare its sha256 in datasets.yaml; it holds pickles")
    members = _members(path, {*layout.train, *layout.test, layout.meta})
    names = tuple(
        name.decode() if isinstance(name, bytes) else name
        for name in _entry(members, layout.meta, layout.names, path)
    )
    if names != dataset.classes:
        raise DataError(
            f"{path}: its classes are {', '.join(names)}; declare these in datasets.yaml"
        )

    def split(batches: tuple[str, ...]) -> Split:
        images = [np.asarray(_entry(members, batch, b"data", path)) for batch in batches]
        labels = [np.asarray(_entry(members, batch, layout.labels, path)) for batch in batches]
        if any(part.dtype != np.uint8 or part.shape[1:] != (3072,) for part in images):
            raise DataError(f"{path}: images are not rows of 3072 bytes; fetch it again")
        pixels = np.concatenate(images).reshape(-1, 3, 32, 32)
        return Split(pixels, np.concatenate(labels).astype(np.int64))

    return {"train": split(layout.train), "test": split(layout.test)}


def _members(path: Path, wanted: set[str]) -> dict[str, Any]:
    """The unpickled regular members `wanted` of a gzipped tar archive."""
    found: dict[str, Any] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if member.name in wanted and member.isreg():
                    stream = archive.extractfile(member)
                    assert stream is not None
                    found[member.name] = load_plain(stream.read(), f"{path}: {member.name}")
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged archive ({error}); fetch it again") from None
    missing = sorted(wanted - found.keys())
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}; fetch it again")
    return found


def _entry(members: dict[str, Any], member: str, key: bytes, path: Path) -> Any:
    """`key` of a member's dictionary, whether it was written by Python 2 (bytes) or 3."""
    content = members[member]
    if isinstance(content, dict):
        for name in (key, key.decode()):
            if name in content:
                return content[name]
    raise DataError(f"{path}: {member} has no {key.decode()}; fetch it again")
