"""The study on a few synthetic sentences, its steps run without a workflow."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from projects import Project, load, make_project

from firstorder.config import Config
from firstorder.jobs.context import Context
from firstorder.jobs.job import Job
from firstorder.jobs.study import steps

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
