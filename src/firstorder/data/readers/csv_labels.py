"""Pictures and a list of their labels for each split: `train.csv`, `test.csv` (or `val.csv`).

A line is `path,label`, below an optional heading; the path is from the list's folder, the label
a class's name or number. The images come in the order of the list. No picture has two labels, or
is trained and tested on.
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from firstorder.config import Dataset
from firstorder.data import parts
from firstorder.data.lists import inside, label_numbers, line_feeds, read_text
from firstorder.data.pictures import pictures_of
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, only, reader
from firstorder.data.readers.image_folder import spellings
from firstorder.errors import DataError

HEADING = ("label", "class", "target")
"""What the second column of a heading may be called."""

PICTURES = "pictures"
"""Stands among the splits for the folder."""

Line = tuple[str, str, str]
"""Where it stands, path and label."""


def layouts(dataset: Dataset, folder: Path) -> Iterator[dict[str, Path]]:
    """The lists; where they are, the folder that the pictures lie in."""
    lists = {
        split: only((folder / f"{name}.csv" for name in spellings(dataset, split)), dataset)
        for split in parts.wanted(dataset)
    }
    there = all(path.exists() for path in lists.values())
    yield {**lists, **({PICTURES: folder} if there else {})}


@reader("csv_labels", layouts=layouts, channels=(1, 3), streamed=True)
def csv_labels(dataset: Dataset, files: Files) -> dict[str, Split]:
    """A split for every list; images are decoded in blocks while the dataset is written."""
    lists = {
        split: list(_listed(file, dataset.classes))
        for split, file in files.items()
        if split != PICTURES
    }
    labels = [(where, label) for each in lists.values() for where, _, label in each]
    known = label_numbers(dataset.classes, labels, f"; a heading is path,{' or '.join(HEADING)}")
    found = {
        split: Split(
            pictures_of(
                dataset, tuple(_there(files[split].parent / path, at) for at, path, _ in each)
            ),
            np.array([known[label] for _, _, label in each], dtype=np.int64),
        )
        for split, each in lists.items()
    }
    # Last: a heading taken for data is no picture, and in each list.
    _check_apart(dataset, lists, files)
    return found


def _there(picture: Path, where: str) -> Path:
    if not picture.is_file():
        raise DataError(f"{where}: {picture}: no such picture")
    return picture


def _check_apart(dataset: Dataset, lists: Mapping[str, Sequence[Line]], files: Files) -> None:
    """Refuse a picture that has two labels, or is both trained and tested on."""
    seen: dict[str, tuple[str, str]] = {}
    for split, lines in lists.items():
        for where, path, label in lines:
            name = posixpath.normpath(path)  # ./a.png is a.png
            first, known = seen.get(name, (None, label))
            if label != known:
                raise DataError(f"{where}: {path} is listed as {known} and as {label}")
            # A picture that is twice in one list may get into both parts of it.
            if first == "train" and (split != first or dataset.test_from == "train"):
                both = f"in {files[first].name} and in {files[split].name}"
                twice = "twice" if split == first else both
                raise DataError(f"{where}: {path} is listed {twice}: train or test on it, not both")
            seen.setdefault(name, (split, label))


def _listed(file: Path, classes: Sequence[str]) -> Iterator[Line]:
    """Every line of a list."""
    # Not splitlines(): the line separators of Unicode may be part of a name.
    text = io.StringIO(line_feeds(read_text(file)), newline="")
    rows, may_be_heading = csv.reader(text), True
    try:
        for row in rows:
            fields = [field.strip() for field in row]
            if not any(fields):
                continue
            where = f"{file}: line {rows.line_num}"
            if len(fields) != 2:
                raise DataError(f"{where}: {len(fields)} columns; write path,label")
            if not all(fields):
                raise DataError(f"{where}: an empty column; write path,label")
            path, label = fields
            first, may_be_heading = may_be_heading, False
            if first and label.lower() in HEADING and label not in classes:
                continue
            yield where, inside(path, where), label
    except csv.Error as error:
        raise DataError(f"{file}: line {rows.line_num}: {error}") from None
