"""Files of records, read with one line for whatever is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from firstorder import files
from firstorder.errors import DataError


def read_json(path: str) -> dict[str, Any]:
    """A JSON record; DataError when it is missing or not a whole JSON object."""
    try:
        value = files.read_json(path)
    except FileNotFoundError:
        raise files.missing(path) from None
    except ValueError:
        raise broken(path) from None
    if not isinstance(value, dict):
        raise broken(path)
    return value


def read_csv(path: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV file that has at least `columns`; DataError when missing, empty or truncated."""
    if not Path(path).is_file():
        raise files.missing(path)
    try:
        frame = pd.read_csv(path)
    except (ValueError, pd.errors.ParserError):
        raise broken(path) from None
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise DataError(f"{path}: column {absent[0]} is missing; delete the file and run again")
    return frame


def broken(path: str) -> DataError:
    """The error for a file that is not in its documented format."""
    return DataError(f"{path}: truncated or not in the documented format; delete it and run again")


def keyed(keys: dict[str, Any], frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with the columns of `keys` in front; a column of the file wins."""
    front = pd.DataFrame({name: [value] * len(frame) for name, value in keys.items()})
    front = front[[name for name in front.columns if name not in frame.columns]]
    return pd.concat([front, frame.reset_index(drop=True)], axis=1)
