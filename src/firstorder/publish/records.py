"""Records of runs as tidy frames: one row per run, per epoch or per number of a file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from firstorder import files
from firstorder.config import Config, Selection, losses, selected_cells
from firstorder.config import noise as noise_of
from firstorder.errors import DataError
from firstorder.publish import needs

HISTORY = (
    "epoch", "lr", "train_loss", "train_accuracy", "clean_accuracy", "wrong_fitted",
    "wrong_corrected", "test_loss", "test_accuracy", "score_max", "grad_norm",
)  # fmt: skip
RUN = (
    "task", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "distance",
)  # fmt: skip
ALIGNMENT = ("task", "k", "part", "initial", "trained")
EVOLUTION = ("family", "task", "epoch", "part", "alignment", "trace", "relative")
ENERGY = ("family", "task", "moment", "part", "components", "energy")
GRADIENTS = ("k", "eigenvalue", "alignment")
SYMMETRIZATION_KEYS = ("setting", "dataset", "noise", "kind", "rate", "loss", "label", "seed")


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


def symmetrization_runs(config: Config, select: Selection) -> pd.DataFrame:
    """One row per training of the selection, in the order of the configuration.

    Columns: setting, dataset, noise, kind, rate, loss, label, seed, classes, train, status,
    epochs, last_accuracy, best_accuracy, best_epoch, train_accuracy, clean_accuracy,
    wrong_fitted, wrong_corrected, score_max, weight_decay, seconds, seconds_per_step, device.
    Accuracies are fractions; a diverged run keeps what it reached.
    """
    paths = needs.paths_of(config)
    rows = []
    for keys in _cells(config, select):
        where = (keys["setting"], keys["noise"], keys["loss"], keys["seed"])
        path = paths.run(*where, "summary.json")
        summary = read_json(path)
        try:
            rows.append({**keys, **_run(summary)})
        except (KeyError, TypeError, AttributeError):
            raise _broken(path) from None
    return pd.DataFrame(rows)


def _run(summary: dict[str, Any]) -> dict[str, Any]:
    last, best, final = (summary.get(name) or {} for name in ("last", "best", "final"))
    return {
        "status": summary["status"],
        "epochs": summary["epochs_run"],
        "last_accuracy": _number(last.get("test_accuracy")),
        "best_accuracy": _number(best.get("test_accuracy")),
        "best_epoch": _number(best.get("epoch")),
        "train_accuracy": _number(final.get("train_accuracy")),
        "clean_accuracy": _number(final.get("clean_accuracy")),
        "wrong_fitted": _number(final.get("wrong_fitted")),
        "wrong_corrected": _number(final.get("wrong_corrected")),
        "score_max": _number(last.get("score_max")),
        "weight_decay": _weight_decay(summary["spec"]),
        "seconds": _number(summary.get("seconds")),
        "seconds_per_step": _number(summary.get("seconds_per_step")),
        "device": summary.get("device", ""),
    }


def _weight_decay(spec: dict[str, Any]) -> float | str:
    """The loss's weight decay where it has one of its own, else the recipe's."""
    own = spec["loss"].get("weight_decay")
    return spec["recipe"]["weight_decay"] if own is None else own


def _number(value: Any) -> float:
    return float("nan") if value is None or value == "" else float(value)


def symmetrization_tests(config: Config, select: Selection) -> pd.DataFrame:
    """One row per test set and number of guesses of every training of the selection.

    Columns: the training's keys, metric (as in tests.json), accuracy (a fraction).
    """
    paths = needs.paths_of(config)
    rows = []
    for keys in _cells(config, select):
        path = paths.run(keys["setting"], keys["noise"], keys["loss"], keys["seed"], "tests.json")
        try:
            for metric, accuracy in read_json(path)["accuracies"].items():
                rows.append({**keys, "metric": metric, "accuracy": _number(accuracy)})
        except (KeyError, TypeError, AttributeError):
            raise _broken(path) from None
    return pd.DataFrame(rows)


def symmetrization_histories(config: Config, select: Selection) -> pd.DataFrame:
    """One row per epoch of every training of the selection: its keys, then history.csv."""
    paths = needs.paths_of(config)
    frames = []
    for keys in _cells(config, select):
        where = (keys["setting"], keys["noise"], keys["loss"], keys["seed"])
        history = read_csv(paths.run(*where, "history.csv"), HISTORY)
        frames.append(_keyed(keys, history))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def symmetrization_tuning(config: Config, select: Selection) -> pd.DataFrame:
    """One row per tuned loss of the selection: setting, dataset, loss, label, chosen fields."""
    paths, known = needs.paths_of(config), losses(config)
    rows = []
    for setting, loss in dict.fromkeys((s, x) for s, _, x in selected_cells(config, select)):
        dataset = config.scale.symmetrization.settings[setting].dataset
        if known[loss].on(dataset).tuned:
            record = read_json(paths.tuned(setting, loss))
            label = known[loss].label
            rows.append(
                {"setting": setting, "dataset": dataset, "loss": loss, "label": label}
                | record
                | record["chosen"]
            )
    return pd.DataFrame(rows)


def label_matrices(
    config: Config, select: Selection
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The realised noise matrix (K, K) of every (dataset, noise, seed), with class counts.

    Yields keys (dataset, noise, kind, rate, seed, counts: images per true class) and the matrix.
    """
    paths, seen = needs.paths_of(config), set()
    for keys in _cells(config, select):
        path = paths.labels(keys["dataset"], keys["noise"], keys["seed"])
        if path not in seen:
            seen.add(path)
            arrays = read_arrays(path, "realised", "clean")
            counts = np.bincount(arrays["clean"], minlength=len(arrays["realised"]))
            yield {**keys, "counts": counts}, arrays["realised"]


def _cells(config: Config, select: Selection) -> Iterator[dict[str, Any]]:
    known, scale = losses(config), config.scale.symmetrization
    for setting, noise_name, loss in selected_cells(config, select):
        dataset = scale.settings[setting].dataset
        noise = noise_of(config, noise_name)
        recipe = config.recipes[scale.settings[setting].recipe]
        for seed in scale.seeds:
            yield {
                "setting": setting,
                "dataset": dataset,
                "noise": noise_name,
                "kind": noise.kind,
                "rate": float("nan") if noise.kind == "human" else noise.rate,
                "loss": loss,
                "label": known[loss].label,
                "seed": seed,
                "classes": len(config.datasets[dataset].classes),
                "train": recipe.train or config.datasets[dataset].train,
            }


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
            frames.append(_keyed({**keys, "arm": arm}, read_csv(path, RUN)))
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
                raise _broken(path)
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
        frames.append(_keyed(keys, read_csv(path, columns)))
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
        frames.append(_keyed(keys, frame))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def gradients(config: Config, select: Selection) -> pd.DataFrame:
    """One row per eigenvector checked by gradients: keys, k (from 1), eigenvalue, alignment."""
    frames = [
        _keyed(keys, read_csv(_tangent_path(config, keys, "gradients.csv"), GRADIENTS))
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


def _keyed(keys: dict[str, Any], frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with the columns of `keys` in front; a column of the file wins."""
    front = pd.DataFrame({name: [value] * len(frame) for name, value in keys.items()})
    front = front[[name for name in front.columns if name not in frame.columns]]
    return pd.concat([front, frame.reset_index(drop=True)], axis=1)
