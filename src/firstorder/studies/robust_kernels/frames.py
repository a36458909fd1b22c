"""Records of the study as tidy frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from firstorder.publish.reading import keyed, read_arrays, read_csv, read_json
from firstorder.publish.registry import Results

MEASURED = ("rate", "sampler", "draw", "classifier", "accuracy")
PREDICTED = ("rate", "sampler", "accuracy")
FACTORS = ("rate", "draw", "factor")
PATHS = ("rate", "loss", "step", "test_accuracy", "wrong_fitted")
FIRST = ("loss", "kappa", "breaks_ties", "cosine", "error")
ROTATION = ("seed", "epoch", "test_accuracy", "wrong_fitted", "rho")
SAMPLERS = {"remainder": "exact counts", "iid": "drawn one by one"}
CLASSIFIERS = {
    "mean": "mean classifier",
    "best": "ridge, penalty by leaving one out",
    "interpolating": "ridge, interpolating",
}


def of_kernels(results: Results, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV file of every kernel and seed, with `kernel`, `seed` and `title` in front."""
    rows = results.spec["rows"]
    paths = [results.path(row["kernel"], row["seed"], name) for row in rows]
    frames = [keyed(row, read_csv(p, columns)) for row, p in zip(rows, paths, strict=True)]
    return pd.concat(frames, ignore_index=True)


def of_networks(results: Results) -> pd.DataFrame:
    """rotation.csv of every network and loss, with `network`, `loss` and `title` in front."""
    rows = results.spec["rows"]
    paths = [results.path(row["network"], row["loss"], "rotation.csv") for row in rows]
    frames = [keyed(row, read_csv(p, ROTATION)) for row, p in zip(rows, paths, strict=True)]
    return pd.concat(frames, ignore_index=True)


def ends(results: Results) -> pd.DataFrame:
    """The last measured kernel of every training, with its test accuracy."""
    frame = of_networks(results).dropna(subset=["rho", "test_accuracy"])
    last = frame.groupby(["network", "loss", "seed"], sort=False)["epoch"].idxmax()
    return frame.loc[last].reset_index(drop=True)


def correct(results: Results, network: str, loss: str, seed: int) -> np.ndarray:
    """Which test examples a training gets right; none after divergence."""
    path = results.path(network, loss, "correct.npz")
    return read_arrays(path, f"seed{seed}")[f"seed{seed}"]


def statements(results: Results) -> pd.DataFrame:
    """The exact statements of every kernel: noise.json and exact.json."""
    found: list[dict[str, Any]] = []
    for row in results.spec["rows"]:
        own: dict[str, Any] = dict(row)
        for name in ("noise.json", "exact.json"):
            own |= read_json(results.path(row["kernel"], row["seed"], name))["statements"]
        found.append(own)
    return pd.DataFrame(found)


def labels(results: Results) -> dict[str, str]:
    """How losses are printed, in the study's order."""
    return {each["loss"]: each["label"] for each in results.spec["losses"]}
