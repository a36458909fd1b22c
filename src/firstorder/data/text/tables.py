"""Labelled texts in CSV files: Yelp polarity, and a user's own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from firstorder.data.text import files
from firstorder.errors import DataError

WORDS = {"0": 0, "1": 1, "negative": 0, "positive": 1, "neg": 0, "pos": 1}
"""How a user's file may spell a label."""
YELP = {"1": 0, "2": 1}
"""Polarity as published: 1 for one and two stars, 2 for four and five."""
LONGEST_FIELD = 2**24

Texts = tuple[list[str], list[int]]
"""Texts and labels (0 negative, 1 positive)."""


def read_table(path: str | Path) -> Texts:
    """A user's file with a header that names the columns `text` and `label`, in any order.

    Labels are 0 and 1, or negative and positive.
    """
    rows = _rows(path)
    _, header = next(rows, (0, []))
    names = [name.strip().lower() for name in header]
    if not {"text", "label"} <= set(names):
        raise DataError(
            f"{path}: its first line is {', '.join(header) or 'empty'}; "
            "it must name the columns text and label"
        )
    for name in ("text", "label"):
        if names.count(name) > 1:
            raise DataError(f"{path}: line 1: two columns are called {name}; rename one")
    return _texts(path, rows, len(names), names.index("text"), names.index("label"), WORDS)


def read_yelp(path: str | Path) -> Texts:
    """Yelp review polarity: "1" or "2", and the text, without a header.

    Line ends inside a text are written as backslash and n.
    """
    texts, labels = _texts(path, _rows(path), 2, 1, 0, YELP)
    return [text.replace("\\n", "\n") for text in texts], labels


def _rows(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """The line at which every row ends, and its fields; empty lines are skipped."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        reader = csv.reader(io.StringIO(files.read(path), newline=""), strict=True)
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: not CSV ({error})") from None
    finally:
        csv.field_size_limit(before)


def _texts(
    path: str | Path,
    rows: Iterator[tuple[int, list[str]]],
    columns: int,
    text: int,
    label: int,
    spelled: dict[str, int],
) -> Texts:
    texts, labels = [], []
    for line, row in rows:
        if len(row) != columns:
            raise DataError(
                f"{path}: line {line}: {len(row)} fields instead of {columns}; quote commas"
            )
        value = spelled.get(row[label].strip().lower())
        if value is None:
            allowed = ", ".join(spelled)
            raise DataError(f"{path}: line {line}: label {row[label]!r}; allowed: {allowed}")
        if not row[text].strip():
            raise DataError(f"{path}: line {line}: the text is empty; leave the line out")
        texts.append(row[text])
        labels.append(value)
    if not texts:
        raise DataError(f"{path}: no texts in it")
    return texts, labels
