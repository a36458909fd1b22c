"""Records of trainings as tidy frames: one row per training, per epoch or per test set.

What is selected is in `results.spec` (see `selection.select`): rows, one for every cell, which
`cells` repeats for every seed. Every row of a frame begins with these keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from firstorder import arrays
from firstorder.publish.reading import broken, keyed, read_csv, read_json
from firstorder.publish.registry import Results

HISTORY = (
    "epoch", "lr", "train_loss", "train_accuracy", "clean_accuracy", "wrong_fitted",
    "wrong_corrected", "test_loss", "test_accuracy", "score_max", "grad_norm",
)  # fmt: skip

KINDS = {
    "pairflip": "pair-flip noise",
    "instance": "instance-dependent noise",
    "human": "human annotation noise",
    "matrix": "noise of a given matrix",
    "labels": "given labels",
}
"""How kinds of noise are printed that are not, like `symmetric noise`, by their name."""


def kind_of_noise(kind: str) -> str:
    """A kind of noise as printed."""
    return KINDS.get(kind, f"{kind} noise")


def with_kind(noise: str, kind: str) -> str:
    """A noise as printed, with its kind: `40 % symmetric noise`, `clean labels`."""
    return "clean labels" if noise == "clean" else f"{noise} {kind_of_noise(kind)}"


def cells(results: Results) -> Iterator[dict[str, Any]]:
    """The keys of every training, in the order of the configuration.

    setting, dataset, title, heading, noise, noise_label, kind, drawn (the kind, and what else the
    noise declares but its rate), rate (NaN where it has none), loss, label, tuned, classes, seed.
    """
    for row in results.spec["rows"]:
        rate = float("nan") if row["rate"] is None else row["rate"]
        drawn = ", ".join((kind_of_noise(row["kind"]), *row["options"]))
        for seed in results.spec["seeds"]:
            yield {**row, "rate": rate, "drawn": drawn, "seed": seed}


TestAccuracy = Literal["last_accuracy", "best_accuracy"]
"""The columns of `runs` that are of the test set."""
Fraction = Literal[
    "last_accuracy", "best_accuracy", "train_accuracy", "clean_accuracy", "wrong_fitted",
    "wrong_corrected",
]  # fmt: skip
"""The columns of `runs` that are shares of examples."""


def _path(results: Results, keys: dict[str, Any], name: str) -> str:
    return results.path(keys["setting"], keys["noise"], keys["loss"], keys["seed"], name)


def runs(results: Results) -> pd.DataFrame:
    """One row per training (summary.json).

    Columns: its keys, status, epochs, last_accuracy, best_accuracy, best_epoch, train_accuracy,
    clean_accuracy, wrong_fitted, wrong_corrected, score_max, seconds, kappa,
    effective_steps, wrong_labels, realised_rate (see `labels.wrong_shares`), device.
    Accuracies are fractions; a diverged run keeps what it reached.
    """
    rows = []
    for keys in cells(results):
        path = _path(results, keys, "summary.json")
        summary = read_json(path)
        try:
            rows.append({**keys, **_run(summary)})
        except (KeyError, TypeError, AttributeError):
            raise broken(path) from None
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
        "seconds": _number(summary.get("seconds")),
        "kappa": _number(summary.get("kappa")),
        "effective_steps": _number(summary.get("effective_steps")),
        "wrong_labels": _number(summary.get("wrong_labels")),
        "realised_rate": _number(summary.get("realised_rate")),
        "device": summary.get("device", ""),
    }


def _number(value: Any) -> float:
    return float("nan") if value is None or value == "" else float(value)


def tests(results: Results) -> pd.DataFrame:
    """One row per test set and number of guesses of every training (tests.json).

    Columns: the training's keys, status (summary.json), metric (as in tests.json), accuracy (a
    fraction).
    """
    rows = []
    status = {_place(row): row["status"] for row in runs(results).to_dict("records")}
    for keys in cells(results):
        path = _path(results, keys, "tests.json")
        try:
            for metric, accuracy in read_json(path)["accuracies"].items():
                shown = {"metric": metric, "accuracy": _number(accuracy)}
                rows.append({**keys, "status": status[_place(keys)], **shown})
        except (KeyError, TypeError, AttributeError):
            raise broken(path) from None
    return pd.DataFrame(rows)


def _place(keys: Mapping[Any, Any]) -> tuple[Any, ...]:
    return keys["setting"], keys["noise"], keys["loss"], keys["seed"]


def histories(results: Results) -> pd.DataFrame:
    """One row per epoch of every training: its keys, then history.csv.

    None of a training that diverged in its first epoch.
    """
    found = [
        keyed(keys, read_csv(_path(results, keys, "history.csv"), HISTORY))
        for keys in cells(results)
    ]
    # A frame without rows has no numbers, and would take their kind from the others.
    frames = [frame for frame in found if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def correctness(results: Results) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The keys of every training, and which test examples its last epoch predicts right.

    Boolean (N,), in the order of the prepared test set; empty after divergence (correct.npz).
    """
    for keys in cells(results):
        yield keys, arrays.read_bits(_path(results, keys, "correct.npz"))


def tunings(results: Results) -> pd.DataFrame:
    """One row per tuned loss of every setting: the keys of its first cell, the chosen fields.

    Also stages (see `tuning.tune`) and tied: the candidates of the last stage within one standard
    error of its best.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in results.spec["rows"]:
        where = (row["setting"], row["loss"])
        if row["tuned"] and where not in rows:
            path = results.path(*where, "tuning.json")
            record = read_json(path)
            try:
                last = record["stages"][-1]
                tied = [last["candidates"][place] for place in last["tied"]]
                rows[where] = row | record | record["chosen"] | {"tied": tied}
            except (KeyError, TypeError, IndexError):
                raise broken(path) from None
    return pd.DataFrame(list(rows.values()))


def chosen(results: Results) -> dict[tuple[str, str], dict[str, Any]]:
    """What tuning chose for every tuned loss, by (setting, loss)."""
    found = tunings(results)
    if found.empty:
        return {}
    return dict(
        zip(zip(found["setting"], found["loss"], strict=True), found["chosen"], strict=True)
    )


def costs(results: Results) -> pd.DataFrame:
    """One row per loss of every setting and round of its measurement (cost.json).

    Columns: the keys of the loss's first cell, round, milliseconds (of a training step), device.
    """
    rows: list[dict[str, Any]] = []
    seen = set()
    for row in results.spec["rows"]:
        where = (row["setting"], row["loss"])
        if where in seen:
            continue
        seen.add(where)
        path = results.path(row["setting"], "cost.json")
        record = read_json(path)
        try:
            rows += [
                {**row, "round": count, "milliseconds": 1e3 * float(seconds),
                 "device": record["device"]}
                for count, seconds in enumerate(record["seconds_per_step"][row["loss"]], 1)
            ]  # fmt: skip
        except (KeyError, TypeError, AttributeError):
            raise broken(path) from None
    return pd.DataFrame(rows)


def label_matrices(results: Results) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The realised noise matrix (K, K) of every (dataset, noise, seed), with class counts.

    Yields the keys of a cell (and counts: images per true class) and the matrix.
    """
    seen = set()
    for keys in cells(results):
        where = (keys["dataset"], keys["noise"], keys["seed"])
        if where not in seen:
            seen.add(where)
            drawn = arrays.read(results.path(*where, "labels.npz"), "realised", "clean")
            counts = np.bincount(drawn["clean"], minlength=len(drawn["realised"]))
            yield {**keys, "counts": counts}, drawn["realised"]


def diverged(runs: pd.DataFrame, how: str) -> str:
    """`; diverged: 4 (CE, SGCE), counting as 0`, for a legend; empty where none did."""
    failed = runs.loc[runs["status"] == "diverged", "label"]
    if failed.empty:
        return ""
    return f"; diverged: {len(failed)} ({', '.join(failed.unique())}), {how}"


def named(results: Results, name: str) -> str:
    """The name under which a loss is trained: a variant may equal the loss that it varies."""
    return results.spec["synonyms"].get(name, name)


def variants(results: Results, family: str) -> list[dict[str, Any]]:
    """The members of a family of variants that are selected.

    Of each: base, base_label, parameter, value, loss.
    """
    return [each for each in results.spec["variants"] if each["family"] == family]


def printed(results: Results, name: str, key: str) -> dict[str, str]:
    """How `name` is printed for every value of `key`, such as `heading` for `setting`."""
    return {row[key]: row[name] for row in results.spec["rows"]}
