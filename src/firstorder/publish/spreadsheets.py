"""CSV files that people open: text that a spreadsheet would run as a formula is marked as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

FORMULA = re.compile(r"'*\s*[=+\-@]")
NUMBER = re.compile(r"[+-][\d.]+(e[+-]?\d+)?( ± [\d.]+)?[†*]?")
"""What begins like a formula and is a printed number."""


def csv(frame: pd.DataFrame) -> str:
    """A frame as CSV, an apostrophe before text that begins like a formula (`=`, `+`, `-`, `@`)."""
    texts = {name: frame[name].map(_marked) for name in frame if _holds_text(frame[name])}
    return frame.assign(**texts).to_csv(index=False, lineterminator="\n")


def read_csv(path: str | Path, **options: Any) -> pd.DataFrame:
    """What `csv` wrote, as it was: without the apostrophes, and `NA` is a text like any other."""
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""], **options)
    texts = {name: frame[name].map(_unmarked) for name in frame if _holds_text(frame[name])}
    return frame.assign(**texts)


def _holds_text(column: pd.Series) -> bool:
    return pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column)


def _marked(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace("\r", " ")  # which to_csv would not quote
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def _unmarked(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("'") and FORMULA.match(value):
        return value[1:]
    return value
