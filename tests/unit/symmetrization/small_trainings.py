"""Steps that really run, on a few made-up images."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import made_up_trainings as made_up
import numpy as np

from firstorder.config import Config
from firstorder.data.prepared import Split, write_prepared
from firstorder.jobs.context import Context
from firstorder.jobs.job import Job
from firstorder.jobs.paths import paths
from firstorder.jobs.study import find
from firstorder.streams import numpy_stream
from firstorder.studies.symmetrization.settings import NAME

SCALE = f"studies/{NAME}/tiny.yaml"
TUNING = {"weight_decays": [0.0, 0.1], "budget": {"configurations": 2}}
CELL = ("images", "symmetric-0.4", "ce")


def write_project(root: Path) -> None:
    """The made-up configuration with a short recipe and two seeds; no records."""
    made_up.write_config(root)
    made_up.edit("recipes.yaml", {"short.epochs": 2, "short.batch": 16})
    made_up.edit(SCALE, {"seeds": [1, 2], "tuning": TUNING})
    write_images(made_up.load())


def write_images(config: Config) -> None:
    """A prepared dataset whose classes differ in brightness."""
    random = numpy_stream(0, "made up")
    splits = {}
    for name, count in (("train", 100), ("test", 40)):
        labels = np.arange(count) % 10
        noise = random.integers(0, 60, (count, 1, 8, 8))
        images = (20 * labels[:, None, None, None] + noise).astype(np.uint8)
        splits[name] = Split(images, labels.astype(np.int64))
    path = paths(config).dataset("cifar10")
    write_prepared(path, "cifar10", config.datasets["cifar10"].classes, splits)


def job_of(config: Config, step: str, *key: str) -> Job:
    """A job of the study."""
    (found,) = (each for each in find(NAME).steps if each.name == step)
    return found.job(config, *key)


def perform(config: Config, step: str, *key: str, checkpoints: str = "checkpoints") -> Job:
    """Run a job of the study."""
    job = job_of(config, step, *key)
    run(job, checkpoints)
    return job


def run(job: Job, checkpoints: str = "checkpoints") -> None:
    """Run a job that was planned, from the JSON of its spec."""
    (found,) = (each for each in find(NAME).steps if each.name == job.step)
    module, _, name = found.run.rpartition(":")
    context = Context(code="0", device="cpu", checkpoints=Path(checkpoints), aside=job.aside)
    spec = json.loads(json.dumps(dict(job.spec), allow_nan=False))
    getattr(import_module(module), name)(spec, job.inputs, job.outputs, context)


def content(job: Job) -> dict[str, bytes]:
    """What a job wrote, except records, which hold times."""
    return {
        name: Path(path).read_bytes()
        for name, path in job.outputs.items()
        if not name.endswith(".json")
    }
