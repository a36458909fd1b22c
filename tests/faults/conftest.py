"""A project with one cell of trainings on digits, and its verbs as processes to be disturbed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import make_project

from .forks import Child, Done, Verbs

CELL = ("digits", "symmetric-0.4", "gce")
RUN = f"results/tiny/symmetrization/runs/{'/'.join(CELL)}"
LABELS = "results/tiny/symmetrization/labels/digits/symmetric-0.4/seed1.npz"
DATASET = "results/tiny/datasets/digits.safetensors"
TANGENT = "results/tiny/linearized/mlp/digits/seed1"
KERNEL = ("compute_kernel", "mlp", "digits", "1")
FAMILY = ("mlp", "digits", "1", "binary")
MEASURED = {"seconds", "seconds_per_step", "peak_memory_bytes", "started"}
"""What a record says of the machine's speed: the rest is the same for every run."""
RECIPE = {
    "model": "cnn4",
    "train": 600,
    "epochs": 8,
    "batch": 32,
    "lr": 0.05,
    "clip": 5.0,
    "augment": {"crop": 1},
}


@dataclass
class Project:
    """A working folder with its own copy of `config/`, and the verbs that run in it."""

    folder: Path
    verbs: Verbs
    seconds: float = 0.0
    """What the training of the cell took, with the start-up of its process."""

    def start(self, *arguments: str, **options: Any) -> Child:
        """Start a verb."""
        return self.verbs.start(self.folder, *arguments, **options)

    def run(self, *arguments: str, **options: Any) -> Done:
        """Run a verb to its end."""
        return self.verbs.run(self.folder, *arguments, **options)

    def edit(self, name: str, **changes: Any) -> None:
        """Change keys of a YAML file of `config/`; `a__b` is the key b of a."""
        path = self.folder / "config" / name
        content = yaml.safe_load(path.read_text())
        for key, value in changes.items():
            *parents, last = key.split("__")
            target = content
            for parent in parents:
                target = target[parent]
            target[last] = value
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))

    def results(self) -> dict[str, Any]:
        """What the trainings of the cell left, without what was measured."""
        found: dict[str, Any] = {}
        for path in sorted((self.folder / RUN).rglob("[!.]*")):
            if path.suffix == ".json":
                record = json.loads(path.read_text())
                found[f"{path.parent.name}/{path.name}"] = {
                    key: value for key, value in record.items() if key not in MEASURED
                }
            elif path.is_file():
                found[f"{path.parent.name}/{path.name}"] = path.read_bytes()
        return found

    def checkpoints(self) -> list[Path]:
        """The checkpoints of trainings that have not ended."""
        return sorted((self.folder / "results/tiny/checkpoints").glob("[!.]*.safetensors"))

    def partial(self) -> list[str]:
        """Files under temporary names."""
        return [str(path) for path in (self.folder / "results").rglob(".*")]

    def interrupt(self, number: int = signal.SIGTERM) -> Done:
        """Train, and send a signal when the second epoch is over."""
        child = self.start("train", *CELL)
        while "epoch 2/" not in child.log.read_text():
            time.sleep(0.01)
        os.kill(child.pid, number)
        return child.wait()


@pytest.fixture(scope="session")
def verbs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verbs]:
    """The process that runs verbs."""
    verbs = Verbs(tmp_path_factory.mktemp("logs"))
    yield verbs
    verbs.close()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, verbs: Verbs) -> Project:
    """A project whose dataset and labels are made; tests must not change it."""
    folder = make_project(tmp_path_factory.mktemp("prepared")).folder
    project = Project(folder, verbs)
    project.edit("config.yaml", checkpoint_seconds=0.02)
    project.edit("recipes.yaml", tiny=RECIPE)
    project.edit(
        "studies/symmetrization/tiny.yaml",
        losses={"comparison": ["gce"], "curves": ["gce"]},
        cells__symmetric__noises=["symmetric-0.4"],
        cells__curves__noises=["symmetric-0.4"],
    )
    for arguments in (("prepare", "digits"), ("corrupt", "digits", "symmetric-0.4")):
        done = project.run(*arguments)
        assert done.status == 0, done.text
    return project


@pytest.fixture(scope="session")
def undisturbed(prepared: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same project with its cell trained; tests must not change it."""
    project = duplicate(prepared, tmp_path_factory.mktemp("undisturbed"))
    began = time.monotonic()
    done = project.run("train", *CELL)
    assert done.status == 0, done.text
    project.seconds = time.monotonic() - began
    return project


@pytest.fixture
def project(prepared: Project, tmp_path: Path) -> Project:
    """A copy of the prepared project, to be disturbed."""
    return duplicate(prepared, tmp_path / "project")


@pytest.fixture
def trained(undisturbed: Project, tmp_path: Path) -> Project:
    """A copy of the trained project, to be changed."""
    return duplicate(undisturbed, tmp_path / "project")


def duplicate(project: Project, folder: Path) -> Project:
    """A copy of a project; links between its files become copies."""
    shutil.copytree(project.folder, folder, dirs_exist_ok=True)
    return Project(folder, project.verbs)
