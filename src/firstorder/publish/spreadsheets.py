"""CSV files that people open: text that a spreadsheet would run as a formula is marked as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

FORMULA = re.compile(r"'*\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-][\d.]+(e[+-]?\d+)?( ± [\d.]+)?[†*]?")
"""What begins like a formula and is a printed number."""


def csv(frame: pd.DataFrame) -> str:
    """A frame as CSV, an apostrophe before text that begins like a formula (`=`, `+`, `-`, `@`),
    also where these are of full width."""
    return _mapped(frame, _marked).to_csv(index=False, lineterminator="\n")


def read_csv(path: str | Path, **options: Any) -> pd.DataFrame:
    """What `csv` wrote, as it was: without the apostrophes, and `NA` is a text like any other."""
    frame = pd.read_csv(path, **{"keep_default_na": False, "na_values": [""], **options})
    return _mapped(frame, _unmarked)


def _mapped(frame: pd.DataFrame, change: Callable[[Any], Any]) -> pd.DataFrame:
    """A frame with all values of its columns of text changed."""
    numbers = pd.api.types.is_numeric_dtype
    return frame.apply(lambda column: column if numbers(column) else column.map(change))


def _marked(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace("\r", " ")  # which to_csv would not quote
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def _unmarked(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("'") and FORMULA.match(value):
        return value[1:]
    return value
