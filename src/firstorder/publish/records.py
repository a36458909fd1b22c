"""Records of runs as tidy frames: one row per run, per epoch or per number of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from firstorder.config import Config, Selection
from firstorder.publish import needs
from firstorder.publish.reading import broken, keyed, read_arrays, read_csv, read_json

RUN = (
    "task", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "distance",
)  # fmt: skip
ALIGNMENT = ("task", "k", "part", "initial", "trained")
EVOLUTION = ("family", "task", "epoch", "part", "alignment", "trace", "relative")
ENERGY = ("family", "task", "moment", "part", "components", "energy")
GRADIENTS = ("k", "eigenvalue", "alignment")


def linearized_runs(
    config: Config, select: Selection, family: str | None, *arms: str
) -> pd.DataFrame:
    """One row per task and epoch of the arms of a family; None: of those of the selection.

    Columns: model, label, support, seed, family, arm, then those of ARM.csv. Empty when the scale
    lacks the family.
    """
    frames = []
    for keys in _tangents(config, select, family):
        for arm in arms:
            path = _tangent_path(config, keys, f"runs/{keys['family']}/{arm}.csv")
            frames.append(keyed({**keys, "arm": arm}, read_csv(path, RUN)))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def linearized_tasks(
    config: Config, select: Selection, family: str | None, *arms: str
) -> pd.DataFrame:
    """One row per task of the arms of a family: keys, task, and the fields of ARM.json's tasks."""
    rows = []
    for keys in _tangents(config, select, family):
        for arm in arms:
            path = _tangent_path(config, keys, f"runs/{keys['family']}/{arm}.json")
            record = read_json(path)
            if not isinstance(record.get("tasks"), dict):
                raise broken(path)
            for task in sorted(record["tasks"], key=int):
                fields = record["tasks"][task]
                rows.append({**keys, "arm": arm, "task": int(task), **fields})
    return pd.DataFrame(rows)


def last_epochs(runs: pd.DataFrame) -> pd.DataFrame:
    """The last row of every (model, seed, arm, task) of `linearized_runs`."""
    if runs.empty:
        return runs
    keys = ["model", "seed", "family", "arm", "task"]
    return runs.sort_values("epoch", kind="stable").groupby(keys, sort=False).tail(1).sort_index()


def linearized_csv(config: Config, select: Selection, name: str) -> pd.DataFrame:
    """alignment.csv, evolution.csv or energy.csv of the selection's families, with its keys."""
    columns = {"alignment.csv": ALIGNMENT, "evolution.csv": EVOLUTION, "energy.csv": ENERGY}[name]
    frames = []
    for keys in _tangents(config, select):
        path = _tangent_path(config, keys, f"runs/{keys['family']}/{name}")
        frames.append(keyed(keys, read_csv(path, columns)))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def spectra(config: Config, select: Selection) -> pd.DataFrame:
    """One row per kept eigenvalue: keys, k (from 1), eigenvalue, trace, share, cumulative."""
    frames = []
    for keys in _tangents(config, select):
        arrays = read_arrays(_tangent_path(config, keys, "spectrum.npz"), "eigenvalues", "trace")
        values = np.asarray(arrays["eigenvalues"], dtype=float)
        trace = float(arrays["trace"])
        frame = pd.DataFrame(
            {
                "k": np.arange(1, len(values) + 1),
                "eigenvalue": values,
                "trace": trace,
                "share": values / trace,
                "cumulative": np.cumsum(values) / trace,
            }
        )
        frames.append(keyed(keys, frame))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def gradients(config: Config, select: Selection) -> pd.DataFrame:
    """One row per eigenvector checked by gradients: keys, k (from 1), eigenvalue, alignment."""
    frames = [
        keyed(keys, read_csv(_tangent_path(config, keys, "gradients.csv"), GRADIENTS))
        for keys in _tangents(config, select)
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def tangent_arrays(
    config: Config, select: Selection, name: str, *arrays: str
) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Keys and named arrays of an npz file (spectrum.npz, nads.npz) of every initialisation."""
    for keys in _tangents(config, select):
        yield keys, read_arrays(_tangent_path(config, keys, name), *arrays)


def _tangents(
    config: Config, select: Selection, family: str | None = None
) -> Iterator[dict[str, Any]]:
    families = () if family is None else (family,)
    for name, model, support, seed in needs.tangents(config, select, *families):
        label = config.studies.linearized.models[model].label
        yield {"model": model, "label": label, "support": support, "seed": seed, "family": name}


def _tangent_path(config: Config, keys: dict[str, Any], name: str) -> str:
    return needs.paths_of(config).tangent(keys["model"], keys["support"], keys["seed"], name)
