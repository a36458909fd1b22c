"""Records of networks as tidy frames: one row per training, per tolerance, or per word.

What is selected is in `results.spec` (see `selection.select`): rows, one for every network, which
`networks` repeats for every seed. Every row of a frame begins with these keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from firstorder.arrays import read as read_arrays
from firstorder.arrays import read_bits
from firstorder.errors import DataError
from firstorder.publish.reading import broken, read_json
from firstorder.publish.registry import Results
from firstorder.publish.statistics import Cell

Keys = dict[str, Any]
"""corpus, title, reader, cell, label, seed."""
NO_POINTS = "no seed has fixed points to read"
FINISHED = "finished an epoch"
NOT_TRAINED = f"no seed {FINISHED}"


def networks(results: Results) -> Iterator[Keys]:
    """The keys of every training, in the order of the configuration."""
    for row in results.spec["rows"]:
        for seed in results.spec["seeds"]:
            yield {**row, "seed": seed}


def path(results: Results, keys: Keys, name: str) -> str:
    """A file of a training."""
    return results.path(keys["corpus"], keys["cell"], keys["seed"], name)


def corpora(results: Results) -> dict[str, str]:
    """The selected corpora and how they are printed."""
    return {row["corpus"]: row["title"] for row in results.spec["rows"]}


def of_corpus(results: Results, corpus: str, name: str) -> dict[str, Any]:
    """A JSON record of a corpus."""
    return read_json(results.path(corpus, name))


def runs(results: Results) -> pd.DataFrame:
    """One row per training: its keys, status, test_accuracy, validation_accuracy, seconds.

    A network without a finished epoch has NaN for its accuracies.
    """
    rows = []
    for keys in networks(results):
        record = read_json(path(results, keys, "summary.json"))
        names = ("status", "test_accuracy", "validation_accuracy", "seconds")
        try:
            rows.append({**keys, **{name: record[name] for name in names}})
        except KeyError:
            raise broken(path(results, keys, "summary.json")) from None
    return pd.DataFrame(rows).astype({"test_accuracy": float, "validation_accuracy": float})


def correctness(results: Results) -> dict[tuple[str, str], Cell]:
    """(corpus, cell) -> which test documents every seed classifies right.

    Seeds without a finished epoch are left out, and networks without other seeds.
    """
    found: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for keys in networks(results):
        bits = read_bits(path(results, keys, "correct.npz"))
        if len(bits):
            found.setdefault((keys["corpus"], keys["cell"]), {})[keys["seed"]] = bits
    return {
        name: Cell(np.array(list(of.values())), tuple(of), name[0]) for name, of in found.items()
    }


def bag_correctness(results: Results) -> dict[str, np.ndarray]:
    """corpus -> which test documents the bag of words classifies right."""
    return {
        corpus: read_arrays(results.path(corpus, "words.npz"), "correct")["correct"]
        for corpus in corpora(results)
    }


def dynamics(results: Results) -> pd.DataFrame:
    """One row per training: its keys, then the numbers of dynamics.json; NaN for null."""
    rows = []
    for keys in networks(results):
        record = read_json(path(results, keys, "dynamics.json"))
        try:
            rows.append({**keys, **record["numbers"]})
        except (KeyError, TypeError):
            raise broken(path(results, keys, "dynamics.json")) from None
    frame = pd.DataFrame(rows)
    numbers = [name for name in frame.columns if name not in KEYS]
    return frame.assign(**{name: frame[name].astype(float) for name in numbers})


KEYS = ("corpus", "title", "reader", "cell", "label", "seed")


def lacking(numbers: pd.DataFrame) -> str:
    """What no seed of a network has, whose rows of `dynamics` these are; empty where one has all.

    Of a network that was not trained not even the states are a measurement.
    """
    trained, read = numbers[["state_pc1", "overlap"]].notna().any()
    return "" if read else NO_POINTS if trained else NOT_TRAINED


def tolerances(results: Results) -> pd.DataFrame:
    """One row per training and tolerance: its keys, tolerance, found, distinct, span, share, ..."""
    rows = []
    for keys in networks(results):
        record = read_json(path(results, keys, "dynamics.json"))
        try:
            rows += [{**keys, **each} for each in record["tolerances"]]
        except (KeyError, TypeError):
            raise broken(path(results, keys, "dynamics.json")) from None
    return pd.DataFrame(rows)


def arrays(results: Results, keys: Keys, *names: str) -> dict[str, np.ndarray]:
    """Arrays of dynamics.npz of one training (see `steps.linearize_dynamics`)."""
    return read_arrays(path(results, keys, "dynamics.npz"), *names)


def with_points(results: Results, row: dict[str, Any]) -> Keys:
    """The first training of a row that has a line of fixed points."""
    for seed in results.spec["seeds"]:
        keys = {**row, "seed": seed}
        if len(arrays(results, keys, "points")["points"]):
            return keys
    raise DataError(
        f"{row['label']} on {row['title']} has too few fixed points to draw: leave it out of the "
        "artefact's cells, or raise `tolerance` of the corpus's `search`"
    )


def record(results: Results, keys: Keys) -> dict[str, Any]:
    """dynamics.json of one training."""
    return read_json(path(results, keys, "dynamics.json"))


def first(results: Results) -> Keys:
    """The first training of the first network that has a line of fixed points."""
    return with_points(results, results.spec["rows"][0])
