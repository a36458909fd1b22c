"""NumPy's own formats: one `.npz` with an array for the images and labels of each split, or four
`.npy` files of the same names."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np

from firstorder.config import Dataset
from firstorder.data import parts
from firstorder.data.archives import LARGEST, open_regular, zip_members, zip_names
from firstorder.data.lists import is_clutter
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, only, reader
from firstorder.errors import DataError

NAMES = {
    "images": ("{}_images", "x_{}", "X_{}", "{}_x", "{}_X", "images_{}"),
    "labels": ("{}_labels", "y_{}", "Y_{}", "{}_y", "{}_Y", "labels_{}"),
}
"""How the arrays of a split may be called: train_images and train_labels, Keras' x_train, ..."""


DIMENSIONS = 8
"""Of an array at most: old versions of NumPy allow 32."""


def layouts(dataset: Dataset, folder: Path) -> Iterator[dict[str, Path]]:
    """The file itself, an `.npz` in the folder, or `.npy` files.

    Of several `.npz` those that, by their headers, may hold what is declared to be published.
    """
    if folder.suffix.lower() == ".npz" and not folder.is_dir():
        yield {"arrays": folder}
        return
    there = sorted(folder.iterdir()) if folder.is_dir() else ()
    found = [path for path in there if path.suffix.lower() == ".npz" and not is_clutter(path.name)]
    several = len(found) > 1
    for path in found:
        if not several or (dataset.content and _may_hold(path, dataset)):
            yield {"arrays": path}
    yield {
        f"{split}_{kind}": only((folder / f"{name}.npy" for name in _names(split, kind)), dataset)
        for split in parts.wanted(dataset)
        for kind in NAMES
    }
    if several and dataset.reader == "npz" and not dataset.content:
        raise DataError(f"{folder}: {len(found)} .npz lie in it; leave one, or name it as `path`")


def _may_hold(path: Path, dataset: Dataset) -> bool:
    """Whether an archive has as many images and labels as are published, as its headers say."""
    try:
        with open_regular(path) as raw, zipfile.ZipFile(raw) as archive:
            sizes = {
                each.filename.removesuffix(".npy"): each.file_size for each in archive.infolist()
            }
            for split, count in parts.published(dataset).items():
                for kind in NAMES:
                    (name,) = sizes.keys() & set(_names(split, kind))
                    with archive.open(f"{name}.npy") as stream:
                        shape = _header(cast(BinaryIO, stream), sizes[name], name)[2]
                    if shape[:1] != (count,):
                        return False
    except Exception:  # whatever it is, it is not this
        return False
    return True


def _names(split: str, kind: str) -> list[str]:
    return [name.format(split) for name in NAMES[kind]]


@reader("npz", layouts=layouts)
def npz(dataset: Dataset, files: Files) -> dict[str, Split]:
    """All splits. Images are uint8: (N, H, W), (N, H, W, C) or (N, C, H, W)."""
    wanted = parts.wanted(dataset)
    if "arrays" not in files:
        arrays = {key: (str(path), read_npy(path)) for key, path in files.items()}
        where = next(iter(files.values())).parent
    else:
        where = files["arrays"]
        known = {name for split in wanted for kind in NAMES for name in _names(split, kind)}
        members = zip_members(where, LARGEST, lambda name: name.removesuffix(".npy") in known)
        arrays = {
            name.removesuffix(".npy"): (f"{where}: {name}", _array(content, f"{where}: {name}"))
            for name, content in members.items()
        }
    splits = {}
    for split in wanted:
        images = _named(arrays, split, "images", where)
        labels = _named(arrays, split, "labels", where)
        if images is None or labels is None:
            continue
        splits[split] = Split(_channels_first(dataset, *images), _flat(*labels))
    if "train" not in splits:
        there = [name.removesuffix(".npy") for name in zip_names(where)]
        raise DataError(
            f"{where}: no train_images and train_labels; it has {', '.join(there) or 'nothing'}"
        )
    return splits


def read_npy(path: Path) -> np.ndarray:
    """The array of a `.npy` file, mapped; objects (pickles) are refused."""
    with open_regular(path) as stream:
        start, dtype, shape, order = _header(stream, path.stat().st_size, str(path))
    if 0 in shape:  # of nothing there is no map
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape, order)


def _array(content: bytes, where: str) -> np.ndarray:
    """The array in the bytes of a `.npy` file, whose header is checked before memory is asked."""
    start, dtype, shape, order = _header(io.BytesIO(content), len(content), where)
    return np.frombuffer(content, dtype, offset=start).reshape(shape, order=order)


def _header(
    stream: BinaryIO, size: int, where: str
) -> tuple[int, np.dtype[Any], tuple[int, ...], Literal["C", "F"]]:
    """Where the numbers begin in a `.npy` file of `size` bytes, their type, shape and order."""
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_column, dtype = read(stream)
        if dtype.hasobject or dtype.kind not in "iufb":
            raise ValueError(f"it holds values of type {dtype}")
        if len(shape) > DIMENSIONS or not all(
            type(side) is int and 0 <= side < 2**40 for side in shape
        ):
            raise ValueError(f"no array has the shape {shape}")
        if math.prod(shape) * dtype.itemsize != size - stream.tell():
            raise ValueError("its size is not that of its header")
    except Exception as error:  # a damaged header fails anywhere in its parser
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{where}: not an array of numbers ({reason}); replace it") from None
    return stream.tell(), dtype, shape, "F" if by_column else "C"


Placed = tuple[str, np.ndarray]
"""Where an array lies, and itself."""


def _named(arrays: dict[str, Placed], split: str, kind: str, where: Path) -> Placed | None:
    there = [name for name in _names(split, kind) if name in arrays]
    if len(there) > 1:
        raise DataError(f"{where}: {' and '.join(there)} are both in it; leave one")
    return arrays[there[0]] if there else None


def _channels_first(dataset: Dataset, where: str, images: np.ndarray) -> np.ndarray:
    """Images as (N, C, H, W): channels may come last, or not at all."""
    if images.dtype != np.uint8:
        mend = "; perhaps save (255 * x).round().astype('uint8')" * (images.dtype.kind == "f")
        raise DataError(f"{where}: images are {images.dtype}, not uint8 from 0 to 255{mend}")
    channels = dataset.shape[0]
    if images.ndim == 3:
        return images[:, None]
    # Where both readings fit (3 x 3 x 3), channels come first, as in every prepared file.
    if images.ndim == 4 and images.shape[1] != channels and images.shape[3] == channels:
        return images.transpose(0, 3, 1, 2)
    return images


def _flat(where: str, labels: np.ndarray) -> np.ndarray:
    """Labels (N,), also from Keras' (N, 1)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        mend = "; of one-hot labels save y.argmax(1)" * (labels.ndim == 2)
        raise DataError(
            f"{where}: labels {labels.shape} of {labels.dtype} are no vector of whole numbers{mend}"
        )
    return labels.astype(np.int64)
