"""One table: its entries, the published numbers beside them, and when two numbers agree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from firstorder.errors import ConfigError

COLUMNS = (
    "study", "artefact", "dataset", "noise", "loss", "metric", "mean", "std", "n", "source",
)  # fmt: skip
PROTOCOL = (
    "loss_parameters", "noise_generator", "network", "initialisation", "batch", "epochs",
    "schedule", "epoch", "like_loss", "like_noise",
)  # fmt: skip
"""Columns, if there are any, on how a number was made; empty where that is unknown to us.

`n` is the number of seeds, `epoch` is last or best. `like_loss` and `like_noise` name the loss
and the noise of this project under which everything is as in the source, where those of `loss`
and `noise` differ.
"""
REASON = "not_compared"
"""A last column, if there is one: why a number is not compared by value; empty where it is."""
UNSTABLE = "unstable: compare its order"
"""The reason that has a number's place among the others of its column compared instead."""


@dataclass(frozen=True)
class Table:
    """A tidy frame (see `firstorder.publish.grid`) and sentences for its caption."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def spread(values: pd.Series) -> tuple[float, float, int]:
    """Mean, standard deviation (n - 1; NaN for one value) and number of the values present."""
    present = values.dropna().astype(float)
    if present.empty:
        return float("nan"), float("nan"), 0
    return float(present.mean()), float(present.std(ddof=1)), len(present)


def by_seed(values: pd.Series) -> str:
    """The values behind a mean, `1: 82.1, 2: 81.9`; `values` is indexed by seed."""
    present = values.dropna().astype(float)
    return ", ".join(f"{seed}: {value:.6g}" for seed, value in present.items())


def plus_minus(mean: float, std: float, digits: int = 2) -> str:
    """`82.24 ± 0.25`; without the spread where there is none, empty where there is no mean."""
    if np.isnan(mean):
        return ""
    text = f"{mean:.{digits}f}".replace("-", "−")
    return text if np.isnan(std) else f"{text} ± {std:.{digits}f}"


def agrees(mean: float, std: float, published: float, published_std: float) -> bool:
    """Whether a rebuilt accuracy (in points) agrees with a published one.

    |mean - published| <= max(1.0, 3 (std + published_std)), an unknown spread counting as zero.
    """
    both = np.nan_to_num(std) + np.nan_to_num(published_std)
    return bool(abs(mean - published) <= max(1.0, 3.0 * both))


def published(path: str | None, metric: str) -> dict[tuple[str, str, str], dict]:
    """Published numbers of a file of config/published/, by (dataset, noise, loss).

    Where several sources give one number, the first of the file is the anchor. A number that was
    made with another variant of loss or noise stands, without its reason, for that variant too.
    """
    if path is None:
        return {}
    found: dict[tuple[str, str, str], dict] = {}
    for record in _published(path).to_dict("records"):
        if record["metric"] == metric:
            found.setdefault((record["dataset"], record["noise"], record["loss"]), record)
            if record["like_loss"] or record["like_noise"]:
                noise = record["like_noise"] or record["noise"]
                loss = record["like_loss"] or record["loss"]
                found.setdefault((record["dataset"], noise, loss), {**record, REASON: ""})
    return found


@cache
def _published(path: str) -> pd.DataFrame:
    if not Path(path).is_file():
        raise ConfigError(f"{path}: no such file; run from the project's folder")
    frame = pd.read_csv(path, dtype=dict.fromkeys((*PROTOCOL, REASON), str))
    known = (COLUMNS, (*COLUMNS, REASON), (*COLUMNS, *PROTOCOL, REASON))
    if tuple(frame.columns) not in known:
        wanted, more = ", ".join(COLUMNS), ", ".join(PROTOCOL)
        raise ConfigError(
            f"{path}: expected the columns {wanted} and, if needed, {REASON}, or {more}, {REASON}"
        )
    text = {
        name: frame[name].astype(object).fillna("") if name in frame else ""
        for name in ("dataset", "noise", *PROTOCOL, REASON)
    }
    return frame.assign(**text)


def mark_best(frame: pd.DataFrame, digits: int = 2) -> pd.DataFrame:
    """Mark the best number of every column of every section; equal print, equally best."""
    rounded = frame["mean"].where(frame["eligible"]).round(digits)
    best = rounded.groupby([frame["section"], frame["column"]]).transform("max")
    return frame.assign(best=rounded.eq(best)).drop(columns="eligible")
