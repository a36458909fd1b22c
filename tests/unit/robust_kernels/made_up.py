"""Made-up records of the study, and the study on a few made-up images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from firstorder.config import Config, load
from firstorder.data.prepared import Split, write_prepared
from firstorder.jobs.context import Context
from firstorder.jobs.job import Job
from firstorder.jobs.paths import paths
from firstorder.jobs.study import find
from firstorder.publish.registry import Results
from firstorder.streams import numpy_stream
from firstorder.studies.robust_kernels.settings import NAME, Kernel, Network, Paths, Scale

ROOT = Path(__file__).parents[3]
LOSSES = tuple(
    {"loss": loss, "label": label, "function": loss, "parameters": {}}
    for loss, label in (("ce", "CE"), ("mae", "MAE"), ("sgce", "SGCE"))
)

RIDGE = {"eigenpairs": None, "interpolation": 0.0}


def configuration(folder: Path, **update: Any) -> Config:
    """The study as published, on 60 + 30 digits of noise with two losses for networks."""
    overrides = {"studies": [NAME], "results": str(folder), "device": "cpu"}
    config = load(ROOT / "config", overrides, find)
    recipe = config.recipes["tangent"].model_copy(update={"epochs": 2, "batch": 16})
    size: dict[str, Any] = {"model": "mlp", "dataset": "digits", "train": 60, "test": 30}
    scale = Scale(
        kernels={"tiny": Kernel(**size, seeds=(1,))},
        rates=(0.0, 0.4),
        draws=3,
        ridge_draws=1,
        exact=40,
        paths=Paths(rates=(0.4,), steps=5),
        networks={
            "tiny": Network(
                **size, seeds=(1, 2), positive=(5, 6, 7, 8, 9), rate=0.4, recipe="short",
                epochs=(0, 2), points=30,
            )
        },
    )  # fmt: skip
    declared = config.studies[NAME].declared.model_copy(update={"on_networks": ("ce", "mae")})
    own = replace(config.studies[NAME], declared=declared, scale=scale.model_copy(update=update))
    return replace(config, recipes=config.recipes | {"short": recipe}, studies={NAME: own})


def write_images(config: Config) -> None:
    """A prepared dataset whose classes differ in brightness."""
    random = numpy_stream(0, "made up")
    splits = {}
    for name, count in (("train", 80), ("test", 40)):
        labels = np.arange(count) % 10
        noise = random.integers(0, 60, (count, 1, 8, 8))
        images = (20 * labels[:, None, None, None] + noise).astype(np.uint8)
        splits[name] = Split(images, labels.astype(np.int64))
    classes = config.datasets["digits"].classes
    write_prepared(paths(config).dataset("digits"), "digits", classes, splits)


def perform(config: Config, step: str, *key: str) -> Job:
    """Run a job of the study from the JSON of its spec."""
    (found,) = (each for each in find(NAME).steps if each.name == step)
    job = found.job(config, *key)
    module, _, name = found.run.rpartition(":")
    context = Context(code="0", device="cpu", checkpoints=Path(paths(config).checkpoints))
    spec = json.loads(json.dumps(dict(job.spec), allow_nan=False))
    getattr(import_module(module), name)(spec, job.inputs, job.outputs, context)
    return job


def _csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def of_kernel(folder: Path, **change: Any) -> Results:
    """Records of one kernel in which every statement is true, or what `change` makes of them.

    offset: measured accuracy less the predicted one. factor: of noise, more than was predicted.
    first: rows of first_step.csv. Others: statements.
    """
    random = numpy_stream(0, "made up")
    rates, samplers = (0.0, 0.4, 0.8, 0.9), ("remainder", "iid")
    offset, factor = change.pop("offset", 0.0), change.pop("factor", 0.0)
    measured, predicted, factors = [], [], []
    for rate in rates:
        for sampler in samplers:
            told = 0.8 - 0.5 * rate**4
            predicted.append({"rate": rate, "sampler": sampler, "accuracy": told})
            for draw in range(1, 21 if rate else 2):
                off = 0.01 * random.standard_normal() + offset if rate else 0.0
                where = {"rate": rate, "sampler": sampler, "draw": draw}
                for name in ("mean", "best", "interpolating"):
                    measured.append({**where, "classifier": name, "accuracy": told + off})
        for draw in range(1, 21 if rate else 2):
            spread = 0.01 * random.standard_normal() + factor if rate else 0.0
            told = 1 - rate * 10 / 9
            factors.append({"rate": rate, "draw": draw, "factor": told + spread})
    first = change.pop("first", {"ce": (False, 1.0), "mae": (False, 1.0), "sgce": (False, 1.0)})
    steps = [
        {"loss": loss, "kappa": 1.0, "breaks_ties": ties, "cosine": cosine, "error": 1 - cosine}
        for loss, (ties, cosine) in first.items()
    ]
    statements = {"ridge_cosine": 1.0, "identity_error": 1e-15, "error": 1e-15, "changed": 0,
                  "steps": 100, **change}  # fmt: skip
    for name, rows in (
        ("accuracy.csv", measured), ("predicted.csv", predicted), ("factors.csv", factors),
        ("first_step.csv", steps),
    ):  # fmt: skip
        _csv(folder / name, rows)
    paths_rows = [
        {"rate": 0.4, "loss": each["loss"], "step": step, "test_accuracy": 0.8, "wrong_fitted": 0.1}
        for each in LOSSES
        for step in (0, 1, 10)
    ]
    _csv(folder / "paths.csv", paths_rows)
    for name in ("noise.json", "exact.json"):
        (folder / name).write_text(json.dumps({"statements": statements}))
    row = {"kernel": "k", "seed": "1", "title": "MLP, digits", "classes": 10}
    files = {f"k/1/{path.name}": str(path) for path in folder.iterdir()}
    return Results({"rows": [row], "losses": list(LOSSES), "ridge": RIDGE}, files)


def of_network(folder: Path, ends: Mapping[str, Sequence[tuple[float, float]]]) -> Results:
    """Records of trainings that end with (rho, test accuracy), a pair a seed, by loss.

    A seed whose rho is nan diverged after its first epochs.
    """
    files = {}
    for loss, pairs in ends.items():
        rows, correct = [], {}
        for seed, (rho, accuracy) in enumerate(pairs, 1):
            reached = ((0, 20.0), (5, None), (10, rho))[: 2 if np.isnan(rho) else 3]
            for epoch, own in reached:
                rows.append(
                    {"seed": seed, "epoch": epoch, "test_accuracy": accuracy, "wrong_fitted": 0.1,
                     "rho": "" if own is None else own}
                )  # fmt: skip
            bits = np.arange(200) < 200 * accuracy
            correct[f"seed{seed}"] = bits[:0] if np.isnan(rho) else bits
        _csv(folder / f"{loss}.csv", rows)
        np.savez(folder / f"{loss}.npz", **correct)
        files[f"n/{loss}/rotation.csv"] = str(folder / f"{loss}.csv")
        files[f"n/{loss}/correct.npz"] = str(folder / f"{loss}.npz")
    rows = [
        {"network": "n", "loss": loss, "title": "MLP, digits", "last": 10,
         "seeds": list(range(1, len(pairs) + 1))}
        for loss, pairs in ends.items()
    ]  # fmt: skip
    losses = [each for each in LOSSES if each["loss"] in ends]
    return Results({"rows": rows, "losses": losses}, files)
