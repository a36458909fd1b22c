"""The study on a few small images: its steps, run one by one without a workflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from firstorder.config import Config, load
from firstorder.data.prepared import Split, write_prepared
from firstorder.jobs import study as studies
from firstorder.jobs.context import Context
from firstorder.jobs.job import Job
from firstorder.jobs.paths import paths
from firstorder.studies.linearized.settings import Directions, Family, LinearizedScale, Support

ROOT = Path(__file__).parents[3]
TRAIN, TEST = 48, 24


def configuration(folder: Path, epochs: int = 4, **recipe: Any) -> Config:
    """The models of the study on 8 x 8 digits of noise, with a family of every kind."""
    overrides = {"scale": "smoke", "studies": ["linearized"], "results": str(folder),
                 "device": "cpu"}  # fmt: skip
    config = load(ROOT / "config", overrides, studies.find)
    update = {"epochs": epochs, "batch": 16, "evaluate_every": 1, **recipe}
    short = config.recipes["tangent-short"].model_copy(update=update)
    common: dict[str, Any] = {"models": ("mlp", "lenet"), "seeds": (1,), "recipe": "short"}
    scale = LinearizedScale(
        supports={"tiny": Support(dataset="digits", train=TRAIN, test=TEST)},
        families={
            "eigenfunctions": Family(
                kind="eigenfunctions", support="tiny", tasks=(2, 3), watch=(3,), watch_points=20,
                **common,
            ),
            "inductive": Family(kind="inductive", support="tiny", tasks=(2, 3), **common),
            "binary": Family(kind="binary", support="tiny", tasks=(10, 48), **common),
            "steps": Family(kind="binary", support="tiny", tasks=(10, 48), steps=6, **common),
            "nads": Family(
                kind="nads",
                tasks=(1, 20),
                options=Directions(size=5, train=40, test=20, samples=2, networks=5),
                **common | {"models": ("mlp-gelu",)},
            ),
        },
        memory_gib=1.0,
        eigenvectors=12,
    )  # fmt: skip
    return with_study(replace(config, recipes=config.recipes | {"short": short}), scale=scale)


def with_study(config: Config, **parts: Any) -> Config:
    """A configuration with another `scale` or `declared` of the study."""
    own = replace(config.studies["linearized"], **parts)
    return replace(config, studies={"linearized": own})


def with_dataset(config: Config, **update: Any) -> Config:
    """A configuration whose digits are declared otherwise."""
    digits = config.datasets["digits"].model_copy(update=update)
    return replace(config, datasets=config.datasets | {"digits": digits})


def function(step: str) -> Callable[..., None]:
    """The function of a step of the study."""
    (found,) = (each for each in studies.find("linearized").steps if each.name == step)
    module, _, name = found.run.partition(":")
    return getattr(import_module(module), name)


@dataclass(frozen=True)
class Run:
    """A configuration whose jobs are run when they are called by step and key."""

    config: Config
    code: str = "code"

    def job(self, step: str, *key: str) -> Job:
        """A job of the study."""
        known = {each.name: each for each in studies.find("linearized").steps}
        return known[step].job(self.config, *key)

    def __call__(self, step: str, *key: str) -> None:
        job = self.job(step, *key)
        function(step)(job.spec, job.inputs, job.outputs, self.context(job))

    def context(self, job: Job) -> Context:
        """The circumstances in which a job is run."""
        return Context(
            code=self.code,
            device="cpu",
            checkpoints=Path(paths(self.config).checkpoints),
        )

    def prepare(self) -> None:
        """Write the prepared images."""
        generator = np.random.default_rng(0)
        labels = np.arange(60) % 10
        images = generator.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
        classes = self.config.datasets["digits"].classes
        split = Split(images, labels)
        path = paths(self.config).dataset("digits")
        write_prepared(path, "digits", classes, {"train": split, "test": split})

    def until_networks(self, model: str, family: str) -> None:
        """Run the steps before `fit`."""
        self("compute_kernel", model, "tiny", "1")
        self("decompose", model, "tiny", "1")
        self("linearize", model, "tiny", "1", family)

    def start(self, name: str, model: str = "mlp") -> Path:
        """A file of an initialisation."""
        return Path(paths(self.config).study("linearized", model, "tiny", "seed1", name))

    def file(self, name: str, family: str = "eigenfunctions", model: str = "mlp") -> Path:
        """A file of a family of tasks."""
        if family == "nads":
            return Path(paths(self.config).study("linearized", model, "gaussian", "seed1", family,
                                                 name))  # fmt: skip
        return Path(paths(self.config).study("linearized", model, "tiny", "seed1", "runs", family,
                                             name))  # fmt: skip
