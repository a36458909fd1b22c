"""The study on a few synthetic sentences, its steps run without a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
from projects import Project, load, make_project

from firstorder import files
from firstorder.config import Config
from firstorder.jobs.context import Context
from firstorder.jobs.job import Job
from firstorder.jobs.study import steps
from firstorder.publish.registry import Results
from firstorder.studies.line_attractor import analysis

NAME = "line_attractor"
NETWORK = ("synthetic", "gru")


def project(folder: Path) -> Project:
    """The tiny project with this study alone."""
    return make_project(folder, (NAME,))


def config(folder: Path) -> Config:
    """Its configuration; the working folder is its own."""
    return load(folder / "config")


def job(config: Config, step: str, *key: str) -> Job:
    """A job of a step."""
    return steps(config)[step].job(config, *key)


def run(config: Config, step: str, *key: str) -> Job:
    """Run a step; its job."""
    found = job(config, step, *key)
    module, _, name = steps(config)[step].run.rpartition(":")
    kept = Path("results/tiny/checkpoints")
    context = Context(device="cpu", checkpoints=kept, aside=found.aside)
    getattr(import_module(module), name)(found.spec, found.inputs, found.outputs, context)
    return found


def everything(config: Config) -> None:
    """Run all steps, in the order of their declaration."""
    run(config, "read_text", "synthetic")
    run(config, "count_words", "synthetic")
    for step in ("train_rnn", "find_fixed_points", "linearize_dynamics"):
        run(config, step, *NETWORK)


def second_seed_alone(config: Config) -> Results:
    """Two seeds, of which the first has no fixed points; the second is the one that was run."""
    own = job(config, "linearize_dynamics", *NETWORK).outputs
    record = files.read_json(own["1/dynamics.json"])
    for name in analysis.OF_POINTS:
        record["numbers"][name] = None
    for row in record["tolerances"]:
        row |= {"found": 0, "distinct": 0, "share": None, "tau1": None}
    files.write_json("none.json", record)
    with np.load(own["1/dynamics.npz"]) as stored:
        arrays = dict(stored)
    arrays["points"] = arrays["points"][:0]
    arrays["negation"], arrays["negation_before"] = (
        np.full_like(arrays[name], np.nan) for name in ("negation", "negation_before")
    )
    np.savez("none.npz", **arrays)
    corpus, cell = NETWORK
    row = {"corpus": corpus, "title": corpus, "reader": corpus, "cell": cell, "label": "GRU"}
    found = {
        f"{corpus}/{cell}/1/dynamics.json": "none.json",
        f"{corpus}/{cell}/1/dynamics.npz": "none.npz",
        **{f"{corpus}/{cell}/2/dynamics.{kind}": own[f"1/dynamics.{kind}"]
           for kind in ("json", "npz")},
    }  # fmt: skip
    return Results({"rows": [row], "seeds": [1, 2]}, found)


def one_network(own: Mapping[str, str]) -> Results:
    """The network that was run, alone; `own`: outputs of linearize_dynamics."""
    corpus, cell = NETWORK
    row = {"corpus": corpus, "title": corpus, "reader": corpus, "cell": cell, "label": "GRU"}
    found = {f"{corpus}/{cell}/{name}": path for name, path in own.items()}
    return Results({"rows": [row], "seeds": [1]}, found)
