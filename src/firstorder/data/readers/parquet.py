"""Hugging Face's parquet files, as of `cifar10` and `mnist`: a column of encoded pictures, a
column of labels. Needs pyarrow (`pip install 'firstorder[parquet]'`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from firstorder.config import Dataset
from firstorder.data.archives import LARGEST, open_regular
from firstorder.data.pictures import decode_bytes
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, reader
from firstorder.errors import DataError

FOLDERS = (".", "data", "plain_text", "mnist", "cifar10", "cifar100", "fashion_mnist")
"""Where the files of a configuration lie."""
IMAGES = ("img", "image")
LABELS = ("label", "fine_label", "labels")
ROWS = 1024
"""Pictures that are held in encoded form at a time."""


def layouts(dataset: Dataset, folder: Path) -> Iterator[dict[str, Path]]:
    """`train-00000-of-00001.parquet` and its like, any number of parts for each split."""
    for place in FOLDERS:
        files = {}
        for split in ("train", "test"):
            parts = sorted((folder / place).glob(f"{split}-*.parquet")) or [
                folder / place / f"{split}-00000-of-00001.parquet"
            ]
            files.update({f"{split} {part.name}": part for part in parts})
        yield files


@reader("parquet", layouts=layouts)
def parquet(dataset: Dataset, files: Files) -> dict[str, Split]:
    """The splits train and test, in the order of the rows."""
    splits = {}
    for split in ("train", "test"):
        parts = [path for key, path in files.items() if key.startswith(f"{split} ")]
        examples = [example for path in parts for example in _rows(dataset, path)]
        if not examples:
            raise DataError(f"{parts[0]}: no rows; replace it")
        images, labels = zip(*examples, strict=True)
        splits[split] = Split(np.stack(images), np.array(labels, dtype=np.int64))
    return splits


def _rows(dataset: Dataset, path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """The image (C, H, W) uint8 and the label of every row."""
    try:
        import pyarrow
        from pyarrow import parquet as format
    except ImportError:
        raise DataError(
            f"{path}: reading parquet needs pyarrow: pip install 'firstorder[parquet]'"
        ) from None
    channels, height, width = dataset.shape
    with open_regular(path) as stream:
        try:
            table = format.ParquetFile(stream)
            groups = range(table.num_row_groups)
            if sum(table.metadata.row_group(each).total_byte_size for each in groups) > LARGEST:
                raise DataError(f"{path}: unpacks to more than {LARGEST} bytes; replace it")
            columns = [_column(table, names, path) for names in (IMAGES, LABELS)]
            for batch in table.iter_batches(ROWS, columns=columns):
                for picture, label in zip(
                    batch.column(columns[0]).to_pylist(),
                    batch.column(columns[1]).to_pylist(),
                    strict=True,
                ):
                    image = _picture(picture, "L" if channels == 1 else "RGB", path)
                    if image.size != (width, height):
                        raise DataError(f"{path}: a picture of {image.size} pixels")
                    if type(label) is not int or not 0 <= label < 2**31:
                        raise DataError(f"{path}: label {str(label)[:60]!r} is no whole number")
                    pixels = np.asarray(image)
                    yield (pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)), label
        except (pyarrow.ArrowException, OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{path}: damaged parquet file ({reason}); replace it") from None


def _column(table: Any, names: tuple[str, ...], path: Path) -> str:
    there = [name for name in names if name in table.schema_arrow.names]
    if not there:
        known = ", ".join(table.schema_arrow.names)
        raise DataError(f"{path}: no column {' or '.join(names)}; it has {known}")
    return there[0]


def _picture(value: Any, mode: str, path: Path) -> Image.Image:
    """An encoded picture: bytes, or Hugging Face's pair of bytes and path."""
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise DataError(f"{path}: pictures are not in it (only their paths); replace it")
    return decode_bytes(data, str(path), mode)
