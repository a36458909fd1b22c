"""Records of the study as tidy frames."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from firstorder import arrays
from firstorder.publish.numerals import number, of_all
from firstorder.publish.reading import keyed, read_csv, read_json
from firstorder.publish.registry import Results

MEASURED = ("rate", "sampler", "draw", "classifier", "accuracy")
PREDICTED = ("rate", "sampler", "accuracy")
FACTORS = ("rate", "draw", "factor")
PATHS = ("rate", "loss", "step", "test_accuracy", "wrong_fitted")
FIRST = ("loss", "kappa", "breaks_ties", "cosine", "error")
ROTATION = ("seed", "epoch", "test_accuracy", "wrong_fitted", "rho")
SAMPLERS = {"remainder": "exact counts", "iid": "drawn one by one"}


def classifiers(results: Results) -> dict[str, str]:
    """How the classifiers of `noise.classify_under_noise` are printed, by name."""
    said = results.spec["ridge"]
    chosen = "leaving one out" if said["eigenpairs"] is None else "generalised cross-validation"
    least = said["interpolation"]
    return {
        "mean": "mean classifier",
        "best": f"ridge, penalty by {chosen}",
        "interpolating": f"ridge, penalty {number(least)}" if least else "ridge, interpolating",
    }


def of_kernels(results: Results, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV file of every kernel and seed, with `kernel`, `seed` and `title` in front."""
    rows = results.spec["rows"]
    paths = [results.path(row["kernel"], row["seed"], name) for row in rows]
    frames = [keyed(row, read_csv(p, columns)) for row, p in zip(rows, paths, strict=True)]
    return pd.concat(frames, ignore_index=True)


def kernels(results: Results, by: str = "kernel") -> dict[tuple[str, str], str]:
    """How the kernel of every (kernel, seed) is called: by one of its keys, and by its seed where
    there are several of that name."""
    rows = results.spec["rows"]
    several = {name for name, n in Counter(row[by] for row in rows).items() if n > 1}
    return {
        (row["kernel"], row["seed"]): f"{row[by]}, seed {row['seed']}"
        if row[by] in several
        else row[by]
        for row in rows
    }


def of_networks(results: Results) -> pd.DataFrame:
    """rotation.csv of every network and loss, with `network`, `loss` and `title` in front."""
    found = []
    for row in results.spec["rows"]:
        path = results.path(row["network"], row["loss"], "rotation.csv")
        key = {name: row[name] for name in ("network", "loss", "title")}
        found.append(keyed(key, read_csv(path, ROTATION)))
    return pd.concat(found, ignore_index=True)


def ends(results: Results) -> pd.DataFrame:
    """rho and the test accuracy at the end of every training that has both."""
    last = {row["network"]: row["last"] for row in results.spec["rows"]}
    frame = of_networks(results).dropna(subset=["rho", "test_accuracy"])
    return frame[frame["epoch"] == frame["network"].map(last)].reset_index(drop=True)


def without_end(results: Results, end: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The losses of every network with which a training is not among the `ends`: it diverged, or
    its kernel became zero. With each `SGCE (1 of 3 seeds have it)`."""
    reached, said = end.groupby(["network", "loss"]).size(), labels(results)
    found: dict[str, dict[str, str]] = {row["network"]: {} for row in results.spec["rows"]}
    for row in results.spec["rows"]:
        known = reached.get((row["network"], row["loss"]), 0)
        if left := of_all(known, len(row["seeds"]), "seeds have it"):
            found[row["network"]][row["loss"]] = said[row["loss"]] + left
    return found


def correct(results: Results, network: str, loss: str, seed: int) -> np.ndarray:
    """Which test examples a training gets right; none after divergence."""
    path = results.path(network, loss, "correct.npz")
    return arrays.read(path, f"seed{seed}")[f"seed{seed}"]


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
