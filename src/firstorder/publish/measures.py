"""Numbers drawn from frames: means over seeds, rank correlations, spikes of an alignment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

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


def spikes(alignment: pd.DataFrame) -> pd.DataFrame:
    """How far the kernel turned towards its training task, per model, seed, task and part.

    With g_k = A_T(u_k) / A_0(u_k) over the kept eigenfunctions k and j the trained one:
    spike = g_j / median_k g_k; rank = rank of A_T(u_j) among all A_T(u_k), 1 the largest;
    order = Spearman correlation of A_T and A_0 over k != j; argmax = the k of the largest g_k;
    scale = median_k g_k. Tasks beyond the kept eigenfunctions are left out.
    """
    rows = []
    keys = ["model", "label", "seed", "task", "part"]
    for key, line in alignment.groupby(keys, sort=False):
        task = int(line["task"].iloc[0])
        kept = line[(line["initial"] > 0) & line["trained"].notna()]
        if task not in set(kept["k"]):
            continue
        growth = (kept["trained"] / kept["initial"]).to_numpy()
        at = int(np.flatnonzero(kept["k"].to_numpy() == task)[0])
        others = np.arange(len(kept)) != at
        trained, initial = kept["trained"].to_numpy(), kept["initial"].to_numpy()
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "spike": growth[at] / np.median(growth),
                "rank": int((trained > trained[at]).sum()) + 1,
                "order": spearman(trained[others], initial[others]),
                "argmax": int(kept["k"].to_numpy()[growth.argmax()]),
                "scale": float(np.median(growth)),
            }
        )
    return pd.DataFrame(rows)


NADS = (
    "nads.npz",
    "singular_values",
    "directions",
    "expectation_singular_values",
    "expectation_directions",
    "gradient_directions",
)
"""File and arrays that `directions` needs."""


def directions(
    found: Iterable[tuple[dict[str, Any], dict[str, np.ndarray]]], indices: Sequence[int]
) -> pd.DataFrame:
    """What anisotropy directions are like, per model, seed and index (from 1).

    relative = squared singular value over the first; frequency = mean radial frequency;
    expectation, gradient = squared norm of the projection of direction j on the first j ones of
    the other definitions: j / d for unrelated directions.
    """
    rows = []
    for keys, arrays in found:
        squared = np.asarray(arrays["singular_values"], float) ** 2
        V = np.asarray(arrays["directions"], float)
        for j in indices:
            inside = {
                name: float(((arrays[f"{name}_directions"][:j] @ V[j - 1]) ** 2).sum())
                for name in ("expectation", "gradient")
            }
            relative = float(squared[j - 1] / squared[0])
            rows.append(
                {**keys, "task": j, "relative": relative, "frequency": frequency(V[j - 1])} | inside
            )
    return pd.DataFrame(rows)


def frequency(direction: np.ndarray) -> float:
    """Power-weighted mean radial frequency of a square image, in cycles per image."""
    side = round(len(direction) ** 0.5)
    power = np.abs(np.fft.fft2(direction.reshape(side, side))) ** 2
    cycles = np.fft.fftfreq(side, 1 / side)
    return float((power * np.hypot(cycles[:, None], cycles[None, :])).sum() / power.sum())


def number_range(values: pd.Series | pd.Index | np.ndarray, digits: int) -> str:
    """`3.1 to 5.6`, or one number where both print alike."""
    present = np.asarray(values, dtype=float)
    present = present[~np.isnan(present)]
    if not len(present):
        return "no"
    ends = (f"{end:.{digits}f}".replace("-", "−") for end in (present.min(), present.max()))
    low, high = ends
    return low if low == high else f"{low} to {high}"
