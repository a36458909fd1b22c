"""Records of the study as tidy frames: one row per epoch, per task or per number of a file.

Rows begin with model, label, support, seed and family of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from firstorder.arrays import read as read_arrays
from firstorder.publish.measures import over_seeds
from firstorder.publish.reading import broken, keyed, read_csv, read_json
from firstorder.publish.registry import Results
from firstorder.studies.linearized.grid import TRAINED

KEYS = ["model", "label", "support", "seed", "family"]
COLUMNS = {
    "alignment.csv": ("task", "k", "part", "initial", "trained"),
    "evolution.csv": ("family", "task", "epoch", "part", "alignment", "trace", "relative"),
    "energy.csv": ("family", "task", "moment", "part", "components", "energy"),
    "gradients.csv": ("k", "eigenvalue", "alignment"),
}
EPOCHS = (
    "task", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "distance",
)  # fmt: skip
"""Columns of ARM.csv."""
Group = Literal["runs", "baselines"]


def runs(
    results: Results, *arms: str, family: str | None = None, group: Group = "runs"
) -> pd.DataFrame:
    """One row per task and epoch of the arms of the selected runs, or of those of a family.

    Columns: model, label, support, seed, family, arm, then those of ARM.csv.
    """
    return _together(
        [
            keyed({**run, "arm": arm}, read_csv(_path(results, run, f"{arm}.csv"), EPOCHS))
            for run in _rows(results, family, group)
            for arm in arms
        ]
    )


def tasks(results: Results, *arms: str, family: str | None = None) -> pd.DataFrame:
    """One row per task of the arms: keys, arm, task, and the fields of ARM.json's tasks."""
    rows = []
    for run in _rows(results, family):
        for arm in arms:
            path = _path(results, run, f"{arm}.json")
            record = read_json(path)
            if not isinstance(record.get("tasks"), dict):
                raise broken(path)
            for task in sorted(record["tasks"], key=int):
                fields = record["tasks"][task]
                rows.append({**run, "arm": arm, "task": int(task), **fields})
    return pd.DataFrame(rows)


def last_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    """The last row of every (model, seed, arm, task) of `runs`."""
    if epochs.empty:
        return epochs
    keys = ["model", "seed", "family", "arm", "task"]
    last = epochs.sort_values("epoch", kind="stable").groupby(keys, sort=False).tail(1)
    return last.sort_index()


def of_file(results: Results, name: str) -> pd.DataFrame:
    """A CSV file of every selected run, with its keys in front: one of COLUMNS."""
    return _together(
        [keyed(run, read_csv(_path(results, run, name), COLUMNS[name])) for run in _rows(results)]
    )


def spectra(results: Results) -> pd.DataFrame:
    """One row per kept eigenvalue: keys, k (from 1), eigenvalue, trace, share, cumulative."""
    frames = []
    for run, found in arrays(results, "spectrum.npz", "eigenvalues", "trace"):
        values = np.asarray(found["eigenvalues"], dtype=float)
        trace = float(found["trace"])
        frame = pd.DataFrame(
            {
                "k": np.arange(1, len(values) + 1),
                "eigenvalue": values,
                "trace": trace,
                "share": values / trace,
                "cumulative": np.cumsum(values) / trace,
            }
        )
        frames.append(keyed(run, frame))
    return _together(frames)


def arrays(
    results: Results, name: str, *names: str
) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Keys and named arrays of an npz file (spectrum.npz, nads.npz) of every selected run."""
    for run in _rows(results):
        yield run, read_arrays(_path(results, run, name), *names)


def trained_on(results: Results, family: str, name: str) -> list[int]:
    """The tasks of a family that a file has, but for those that diverged."""
    (kind,) = (kind for kind, names in TRAINED.items() if name in names)
    tasks: list[int] = family_facts(results, family)[kind]
    return tasks


def without_alignment(results: Results, alignment: pd.DataFrame) -> pd.DataFrame:
    """Keys and task of every training of which `alignment` has no row: its network diverged."""
    rows = [
        {**run, "task": task}
        for run in _rows(results)
        if family_facts(results, run["family"])["kind"] == "eigenfunctions"
        for task in trained_on(results, run["family"], "alignment.csv")
    ]
    keys = ["model", "seed", "family", "task"]
    there = set(alignment[keys].itertuples(index=False, name=None)) if len(alignment) else set()
    lost = [row for row in rows if tuple(row[key] for key in keys) not in there]
    return pd.DataFrame(lost, columns=[*KEYS, "task"])


def family_facts(results: Results, family: str) -> dict[str, Any]:
    """Kind, examples, tasks, epochs or steps of a family, and the signal of `nads`."""
    facts: dict[str, Any] = results.spec["families"][family]
    return facts


def first_family(results: Results) -> str:
    """The first family of the selected runs."""
    return str(results.spec["runs"][0]["family"])


def families(results: Results) -> list[str]:
    """The families of the selected runs, in their order."""
    return list(dict.fromkeys(run["family"] for run in results.spec["runs"]))


def model_order(results: Results) -> dict[str, int]:
    """The place of every model in the order of the study."""
    return {row["model"]: place for place, row in enumerate(results.spec["models"])}


def architectures(results: Results, epochs: pd.DataFrame) -> pd.Series:
    """The label of the architecture of the model of every row."""
    names = {row["model"]: row["architecture"] for row in results.spec["models"]}
    return epochs["model"].map(names)


def examples(results: Results, family: str, task: int) -> int:
    """How many examples a task of a family is trained on."""
    facts = family_facts(results, family)
    return int(task) if facts["kind"] == "binary" else int(facts["train"])


def ranked_tasks(results: Results) -> pd.DataFrame:
    """Every task, seed and arm of a selection: its last accuracies, and how learnable it looks.

    Adds architecture, kind, relative_alignment, examples, and ratio = relative_alignment times
    examples. The lemma of section 2 bounds the gap between training and test by the square root
    of a norm over the number of examples, and the norm from below by the inverse of the alignment:
    together trace / (alignment * examples), the inverse of `ratio`.
    """
    arms = ("network", "linear")
    last = last_epochs(runs(results, *arms))
    keys = ["model", "seed", "family", "arm", "task"]
    data = last.merge(tasks(results, *arms)[[*keys, "relative_alignment"]], on=keys)
    counts = [examples(results, f, t) for f, t in zip(data["family"], data["task"], strict=True)]
    kinds = {name: facts["kind"] for name, facts in results.spec["families"].items()}
    return data.assign(
        architecture=architectures(results, data),
        kind=data["family"].map(kinds),
        examples=counts,
        ratio=data["relative_alignment"] * counts,
    )


def against_reference(results: Results, reference: Sequence[Sequence[float]]) -> pd.DataFrame:
    """Mean last test accuracies over seeds, beside those of a reference measurement.

    Every row of `reference` is an index and the accuracies (fractions) of the linearization, the
    network, and the linear model on the trained kernel. Columns: arm, task, mean, std, count,
    reference; one row for every arm and index of the reference, NaN where that is not run.
    """
    arms = ("linear", "network", "retrained")
    ours = over_seeds(last_epochs(runs(results, *arms)), ["arm", "task"], "test_accuracy")
    rows = [
        {"arm": arm, "task": int(task), "reference": value}
        for task, *values in reference
        for arm, value in zip(arms, values, strict=True)
    ]
    return pd.DataFrame(rows).merge(ours, on=["arm", "task"], how="left")


def _rows(
    results: Results, family: str | None = None, group: Group = "runs"
) -> Iterator[dict[str, Any]]:
    for run in results.spec[group]:
        if family in (None, run["family"]):
            yield dict(run)


def _path(results: Results, run: dict[str, Any], name: str) -> str:
    return results.path(run["family"], run["model"], run["seed"], name)


def _together(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all frames; files that have nothing but a header decide no type of a column."""
    filled = [frame for frame in frames if len(frame)]
    if filled:
        return pd.concat(filled, ignore_index=True)
    return frames[0] if frames else pd.DataFrame()
