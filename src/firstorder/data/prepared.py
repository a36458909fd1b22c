"""The prepared form of a dataset: one safetensors file of uint8 images and int64 labels.

Images are written block by block and read as memory maps, so that a dataset may be larger than
memory. Tensors: train_images, train_labels, test_images, test_labels, and NAME_images,
NAME_labels of every further test set; train_rows, where the test set is held out from the published
training images; metadata: the dataset's id and its class names.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from firstorder.errors import DataError
from firstorder.files import replacing

BLOCK = 512
"""Images that are held in memory at once while a dataset is written."""
DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype(np.uint8), "I64": np.dtype("<i8")}


class Pixels(Protocol):
    """Images (N, C, H, W), uint8: an array, or something that decodes a slice when asked."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, key: slice, /) -> np.ndarray: ...


class Split(NamedTuple):
    """A training or test set: images (N, C, H, W) uint8, labels (N,) int64 (-1: unlabelled)."""

    images: Pixels
    labels: np.ndarray


@dataclass(frozen=True)
class Images:
    """A prepared dataset: images (N, C, H, W) uint8, labels (N,) int64 (-1: unlabelled)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...] = ()
    extra_tests: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    """Further test sets: name -> (images, labels)."""
    train_rows: np.ndarray | None = None
    """Where each training image is among the published ones (N,); None: where it is here."""

    @property
    def published(self) -> int:
        """How many training images are published, those of a test set that is held out too."""
        held_out = 0 if self.train_rows is None else len(self.test_labels)
        return len(self.train_labels) + held_out


def write_prepared(
    path: str | Path,
    name: str,
    classes: tuple[str, ...],
    splits: Mapping[str, Split],
    train_rows: np.ndarray | None = None,
) -> None:
    """Write the splits of dataset `name` to `path`, atomically; images pass in blocks.

    DataError where a block is not what its images say of themselves.
    """
    # Labels first: their eight-byte numbers then start at multiples of eight.
    tensors: dict[str, Pixels] = {
        **({} if train_rows is None else {"train_rows": train_rows.astype(np.int64)}),
        **{f"{split}_labels": splits[split].labels for split in splits},
        **{f"{split}_images": splits[split].images for split in splits},
    }
    codes = {dtype: code for code, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"dataset": name, "classes": json.dumps(classes)}}
    end = 0
    for key, tensor in tensors.items():
        begin, end = end, end + math.prod(tensor.shape) * tensor.dtype.itemsize
        header[key] = {
            "dtype": codes[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            for start in range(0, tensor.shape[0], BLOCK):
                block = np.ascontiguousarray(tensor[start : start + BLOCK])
                expected = (min(BLOCK, tensor.shape[0] - start), *tensor.shape[1:])
                if block.shape != expected or block.dtype != tensor.dtype:
                    raise DataError(
                        f"{name}: {block.dtype} of shape {block.shape} where its reader announced "
                        f"{tensor.dtype} of shape {expected}; mend the reader"
                    )
                stream.write(block.tobytes())


def read_prepared(path: str | Path) -> Images:
    """Read a prepared dataset; its arrays are private memory maps (nothing is read yet).

    Raises DataError, naming the file, when it is missing, truncated, lacks a tensor or has
    labels that its classes do not explain.
    """
    path = Path(path)
    mend = "delete it and prepare the dataset again"
    try:
        tensors, metadata = _map(path)
        classes = tuple(json.loads(metadata["classes"]))
        extra = {
            key.removesuffix("_images"): (tensors[key], tensors[key.replace("_images", "_labels")])
            for key in tensors
            if key.endswith("_images") and key not in ("train_images", "test_images")
        }
        images = Images(
            train_images=tensors["train_images"],
            train_labels=tensors["train_labels"],
            test_images=tensors["test_images"],
            test_labels=tensors["test_labels"],
            classes=classes,
            extra_tests=extra,
            train_rows=tensors.get("train_rows"),
        )
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; prepare the dataset first") from None
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0]} is missing; {mend}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: truncated or not a dataset ({error}); {mend}") from None
    for images_of, labels in (
        (images.train_images, images.train_labels),
        (images.test_images, images.test_labels),
        *extra.values(),
    ):
        problem = label_problem(labels, len(images_of), len(classes))
        if problem is not None:
            raise DataError(f"{path}: {problem}; {mend}")
    return images


def label_problem(labels: np.ndarray, count: int, classes: int) -> str | None:
    """What is wrong with the labels of `count` images of `classes` classes (0: unlabelled)."""
    if labels.dtype != np.int64 or labels.shape != (count,):
        return f"{count} images have labels of shape {labels.shape} and type {labels.dtype}"
    low, high = (0, classes - 1) if classes else (-1, -1)
    if count and (labels.min() < low or labels.max() > high):
        return f"labels in [{labels.min()}, {labels.max()}] instead of [{low}, {high}]"
    return None


def _map(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a safetensors file, mapped (changes stay private), and its metadata."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= size - 8:
            raise ValueError("its header does not fit")
        header = json.loads(stream.read(length))
    metadata = header.pop("__metadata__")
    start = 8 + length
    if start + max(entry["data_offsets"][1] for entry in header.values()) != size:
        raise ValueError(f"it has {size} bytes, its header says otherwise")
    return {
        key: np.memmap(
            path,
            mode="c",
            dtype=DTYPES[entry["dtype"]],
            offset=start + entry["data_offsets"][0],
            shape=tuple(entry["shape"]),
        ).view(np.ndarray)
        for key, entry in header.items()
    }, metadata
