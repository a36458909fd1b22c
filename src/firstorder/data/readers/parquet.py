"""Hugging Face's parquet files, as of `cifar10` and `mnist`: a column of encoded pictures, a
column of labels. Needs pyarrow (`pip install 'firstorder[parquet]'`)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from firstorder.config import Dataset
from firstorder.data import parts
from firstorder.data.archives import LARGEST, open_regular
from firstorder.data.lists import is_clutter
from firstorder.data.pictures import decode_bytes, mode_of, sides_of, sized
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, reader
from firstorder.data.readers.image_folder import spellings
from firstorder.errors import DataError

FOLDERS = (".", "data", "default", "plain_text", "mnist", "cifar10", "cifar100", "fashion_mnist")
"""Where the files of a configuration lie."""
IMAGES = ("img", "image")
LABELS = ("label", "fine_label", "labels")
ROWS = 1024
"""Pictures that are held in encoded form at a time."""


def layouts(dataset: Dataset, folder: Path) -> Iterator[dict[str, Path]]:
    """`train-00000-of-00001.parquet`, `train/0000.parquet` and their like, any number a split."""
    wanted = parts.wanted(dataset)
    for place in FOLDERS:
        found = [_spelled(folder / place, spellings(dataset, split)) for split in wanted]
        for chosen in itertools.product(*found):
            yield {
                f"{split} {part.name}": part
                for split, each in zip(wanted, chosen, strict=True)
                for part in each
            }


def _spelled(folder: Path, names: tuple[str, ...]) -> list[list[Path]]:
    """The files of a split, once for every spelling that is there."""
    patterns = (f"{name}{mark}*.parquet" for name in names for mark in "-/")
    found = [
        sorted(path for path in folder.glob(pattern) if not is_clutter(path.name))
        for pattern in patterns
    ]
    return [each for each in found if each] or [[folder / f"{names[0]}-00000-of-00001.parquet"]]


@reader("parquet", layouts=layouts)
def parquet(dataset: Dataset, files: Files) -> dict[str, Split]:
    """All splits, in the order of the rows."""
    splits = {}
    for split in parts.wanted(dataset):
        paths = [path for key, path in files.items() if key.startswith(f"{split} ")]
        images: list[np.ndarray] = []
        labels: list[int] = []
        for where, image, label in (row for path in paths for row in _rows(dataset, path)):
            if not images:
                sides, resize = sides_of(dataset, image)
            images.append(sized(image, sides, resize, where))
            labels.append(label)
        if not images:
            raise DataError(f"{paths[0]}: no rows; replace it")
        splits[split] = Split(np.stack(images), np.array(labels, dtype=np.int64))
    return splits


def _rows(dataset: Dataset, path: Path) -> Iterator[tuple[str, Image.Image, int]]:
    """Where it stands, the picture and the label of every row."""
    try:
        import pyarrow
        from pyarrow import parquet as format
    except ImportError:
        raise DataError(
            f"{path}: reading parquet needs pyarrow: pip install 'firstorder[parquet]'"
        ) from None
    mode, row = mode_of(dataset.shape[0]), 0
    with open_regular(path) as stream:
        try:
            table = format.ParquetFile(stream)
            groups = range(table.num_row_groups)
            if sum(table.metadata.row_group(each).total_byte_size for each in groups) > LARGEST:
                raise DataError(f"{path}: unpacks to more than {LARGEST} bytes; replace it")
            columns = [_column(table, names, path) for names in (IMAGES, LABELS)]
            _check_classes(dataset, table, columns[1], path)
            for batch in table.iter_batches(ROWS, columns=columns):
                for picture, label in zip(
                    batch.column(columns[0]).to_pylist(),
                    batch.column(columns[1]).to_pylist(),
                    strict=True,
                ):
                    row += 1
                    where = f"{path}: row {row}"
                    if type(label) is not int or not 0 <= label < 2**31:
                        raise DataError(f"{where}: label {str(label)[:60]!r} is no whole number")
                    yield where, _picture(picture, mode, where), label
        except (pyarrow.ArrowException, OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{path}: damaged parquet file ({reason}); replace it") from None


def _column(table: Any, names: tuple[str, ...], path: Path) -> str:
    there = [name for name in names if name in table.schema_arrow.names]
    if not there:
        known = ", ".join(table.schema_arrow.names)
        raise DataError(f"{path}: no column {' or '.join(names)}; it has {known}")
    return there[0]


def _check_classes(dataset: Dataset, table: Any, column: str, path: Path) -> None:
    """Refuse labels that the file gives the declared names, but in another order."""
    noted = (table.schema_arrow.metadata or {}).get(b"huggingface", b"")
    try:
        names = json.loads(noted)["info"]["features"][column]["names"]
    except (TypeError, ValueError, KeyError):
        return  # it says nothing of names
    declared = list(dataset.classes)
    if isinstance(names, list) and names != declared and sorted(names, key=str) == sorted(declared):
        raise DataError(
            f"{path}: its labels are {', '.join(names)}, but {', '.join(declared)} are declared; "
            "correct `classes` in datasets.yaml"
        )


def _picture(value: Any, mode: str, where: str) -> Image.Image:
    """An encoded picture: bytes, or Hugging Face's pair of bytes and path."""
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise DataError(f"{where}: the picture is not in it (only its path); replace the file")
    return decode_bytes(data, where, mode)
