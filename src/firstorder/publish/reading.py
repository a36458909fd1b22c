"""Records in the documented formats: JSON objects, CSV files, and arrays."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from firstorder import files
from firstorder.errors import DataError


def read_json(path: str) -> dict[str, Any]:
    """A JSON record; DataError when it is missing or not a whole JSON object."""
    try:
        value = files.read_json(path)
    except FileNotFoundError:
        raise _missing(path) from None
    except ValueError:
        raise _broken(path) from None
    if not isinstance(value, dict):
        raise _broken(path)
    return value


def read_csv(path: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV file that has at least `columns`; DataError when missing, empty or truncated."""
    if not Path(path).is_file():
        raise _missing(path)
    try:
        frame = pd.read_csv(path)
    except (ValueError, pd.errors.ParserError):
        raise _broken(path) from None
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise DataError(f"{path}: column {absent[0]} is missing; delete the file and run again")
    return frame


def read_arrays(path: str, *names: str) -> dict[str, np.ndarray]:
    """Arrays of an npz file; DataError when the file or an array is missing."""
    if not Path(path).is_file():
        raise _missing(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile):
        raise _broken(path) from None
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0]}; delete the file and run again") from None


def _missing(path: str) -> DataError:
    return DataError(f"{path}: no such file; run the workflow, or `snakemake {path}`, to make it")


def _broken(path: str) -> DataError:
    return DataError(f"{path}: truncated or not in the documented format; delete it and run again")
