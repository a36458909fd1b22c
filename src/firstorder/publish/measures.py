"""Numbers drawn from frames: means over seeds, rank correlations, ranges."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype


def over_seeds(frame: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """mean, std (n - 1) and count of `value` over what `keys` leaves free.

    Ascending in the numeric keys; the other keys keep the order in which they first appear.
    """
    grouped = frame.astype({value: float}).groupby(keys, sort=False, dropna=False)[value]
    found = grouped.agg(["mean", "std", "count"]).reset_index()
    ranks = {
        key: found[key] if is_numeric_dtype(found[key]) else pd.factorize(found[key])[0]
        for key in keys
    }
    return found.loc[pd.DataFrame(ranks).sort_values(keys).index].reset_index(drop=True)


def spearman(x: pd.Series | np.ndarray, y: pd.Series | np.ndarray) -> float:
    """Spearman's rank correlation over pairs without gaps; NaN for constants or under 3 pairs."""
    pairs = pd.DataFrame({"x": np.asarray(x, float), "y": np.asarray(y, float)}).dropna()
    if len(pairs) < 3 or pairs["x"].nunique() < 2 or pairs["y"].nunique() < 2:
        return float("nan")
    ranks = pairs.rank()
    return float(np.corrcoef(ranks["x"], ranks["y"])[0, 1])


def number_range(values: pd.Series | pd.Index | np.ndarray, digits: int) -> str:
    """`3.1 to 5.6`, or one number where both print alike."""
    present = np.asarray(values, dtype=float)
    present = present[~np.isnan(present)]
    if not len(present):
        return "no"
    ends = (f"{end:.{digits}f}".replace("-", "−") for end in (present.min(), present.max()))
    low, high = ends
    return low if low == high else f"{low} to {high}"
