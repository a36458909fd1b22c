"""The step that draws noisy labels, and the reader of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from firstorder import arrays, files
from firstorder.config import Dataset, Noise
from firstorder.errors import DataError
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec


def corrupt(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Draw a noise on the training labels of a dataset, once for every seed."""
    from firstorder.data import noise as corruption
    from firstorder.data.prepared import read_prepared
    from firstorder.data.steps import raw_file

    path = context.aside["path"]
    declared = spec["noise"] if path is None else {**spec["noise"], "path": path}
    noise = Noise.model_validate(declared)
    if path is not None and files.sha256(Path(path).expanduser()) != spec["sha256"]:
        raise DataError(f"{path}: changed since it was planned; start again")
    prepared = read_prepared(inputs["dataset"])
    human = raw_file(inputs["human"]) if noise.kind == "human" else None
    clean = prepared.train_labels
    for seed in spec["seeds"]:
        drawn = corruption.corrupt(
            clean,
            noise,
            labelled(spec["dataset"]),
            seed,
            images=prepared.train_images,
            human=human,
            rows=prepared.train_rows,
            published=prepared.published,
        )
        arrays.write(
            outputs[f"{seed}/labels.npz"],
            labels=drawn.labels,
            flipped=drawn.flipped,
            realised=drawn.realised,
            clean=clean,
        )


def labelled(declared: Mapping[str, Any]) -> Dataset:
    """A dataset with those of its fields that a noise reads: asking for others is an error."""
    classes = declared["classes"]
    names = ("",) * classes if isinstance(classes, int) else tuple(classes)
    fields = {**declared, "classes": names}
    if isinstance(fields.get("asymmetric"), list):
        fields["asymmetric"] = dict(fields["asymmetric"])
    dataset = Dataset.model_construct(set(fields), **fields)
    for name in Dataset.model_fields.keys() - fields.keys():
        vars(dataset).pop(name, None)  # a default that the job does not declare
    return dataset


def wrong_shares(labels: np.ndarray, clean: np.ndarray) -> dict[str, float | None]:
    """The realised noise of the labels (N,) that are trained on.

    `wrong_labels`: share of all labels; `realised_rate`: share in the classes that have wrong
    labels, which is what noise that leaves some classes alone declares; None without any.
    """
    wrong = labels != clean
    touched = np.isin(clean, clean[wrong])
    rate = float(wrong[touched].mean()) if wrong.any() else None
    return {"wrong_labels": float(wrong.mean()), "realised_rate": rate}


def read_labels(path: str) -> dict[str, np.ndarray]:
    """The arrays of a noisy-label file. Raises DataError when it is missing or damaged."""
    return arrays.read(path, "labels", "clean", "flipped", "realised")
