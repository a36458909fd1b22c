"""A tiny configuration that runs the real Snakefile in a temporary folder within seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

TINY_RECIPES = {
    "tiny": {
        "model": "mlp",
        "model_parameters": {"hidden": 16, "depth": 1},
        "train": 300,
        "epochs": 3,
        "batch": 64,
        "lr": 0.05,
        "clip": 5.0,
    },
    "tiny-tangent": {
        "model": "scalar",
        "epochs": 6,
        "batch": 16,
        "lr": 0.05,
        "schedule": "linear",
        "schedule_unit": "step",
        "drop_last": True,
    },
}


@dataclass
class Project:
    """A working folder with its own copy of `config/`."""

    folder: Path

    def edit(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change a YAML file of `config/`."""
        path = self.folder / "config" / name
        value = yaml.safe_load(path.read_text())
        change(value)
        path.write_text(yaml.safe_dump(value, allow_unicode=True, sort_keys=False))

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake here, with the programs of this interpreter's environment."""
        command = [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--directory", str(self.folder), "--cores", "2", *arguments),
        ]
        done = subprocess.run(
            command, cwd=self.folder, env=environment(), capture_output=True, text=True
        )
        if check:
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
        return done

    def planned(self, *arguments: str) -> dict[str, int]:
        """How many jobs of every rule a dry run lists."""
        done = self.snakemake("--dry-run", *arguments)
        text = done.stdout + done.stderr
        if "Job stats:" not in text:
            return {}
        table = text.split("Job stats:")[1].strip().splitlines()[2:]
        jobs: dict[str, int] = {}
        for line in table:
            words = line.split()
            if len(words) != 2 or words[0] == "total":
                break
            jobs[words[0]] = int(words[1])
        return jobs

    def tree(self, below: str) -> dict[str, bytes]:
        """The files below a folder, by relative path."""
        root = self.folder / below
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }


def environment() -> dict[str, str]:
    """The environment of a user's shell: our programs first, no plan of another run."""
    inherited = {key: value for key, value in os.environ.items() if key != "FIRSTORDER_PLAN"}
    programs = str(Path(sys.executable).parent)
    return {**inherited, "PATH": f"{programs}{os.pathsep}{inherited.get('PATH', '')}"}


def make_project(folder: Path) -> Project:
    """A project at the scale `tiny`, with nothing run yet."""
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copytree(ROOT / "paper", folder / "paper")
    project = Project(folder)
    project.edit("config.yaml", lambda value: value.update(scale="tiny", device="cpu"))
    project.edit("recipes.yaml", lambda value: value.update(TINY_RECIPES))
    scale = yaml.safe_load((ROOT / "config/scales/smoke.yaml").read_text())
    shrink(scale)
    (folder / "config/scales/tiny.yaml").write_text(yaml.safe_dump(scale, sort_keys=False))
    return project


def shrink(scale: dict[str, Any]) -> None:
    """Turn the smoke scale into the smallest one that still has every kind of job."""
    scale["title"] = "tiny"
    study = scale["symmetrization"]
    study["seeds"] = [1, 2]
    for setting in study["settings"].values():
        setting["recipe"] = "tiny"
    for cells in study["cells"].values():
        cells["noises"] = cells["noises"][:2]
    study["losses"] = {
        "comparison": ["ce", "gce", "sgce"],
        "curves": ["ce", "sgce"],
        "every": ["ce", "mae"],
        "unhinged-norms": ["unhinged"],
        "score-norms": ["sgce-none", "sgce-l2"],
        "sensitivity": ["sgce-q0.9", "alpha_mae-alpha8.0"],
        "q": ["sgce-q0.9"],
        "alpha": ["alpha_mae-alpha8.0"],
        "decay": ["ce", "ce-tuned"],
        "tuned": ["ce-tuned"],
    }
    study["tuning"].update(weight_decays=[0.0, 0.01])
    linearized = scale["linearized"]
    linearized["eigenvectors"] = 20
    for support in linearized["supports"].values():
        support.update(train=64, test=32)
    kinds = ("eigenfunctions", "binary", "nads")  # the other families have the same jobs
    linearized["families"] = {name: linearized["families"][name] for name in kinds}
    for name, family in linearized["families"].items():
        family.update(models=family["models"][:1], seeds=[1], recipe="tiny-tangent")
        family["tasks"] = [32, 64] if name == "binary" else [2, 5]
        family["watch"] = [5] if family.get("watch") else []
        family["watch_points"] = 32
        if name == "nads":
            family["options"].update(size=5, train=32, test=16, samples=1, networks=2)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh tiny project."""
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project that was run to the end; tests must not change it."""
    project = make_project(tmp_path_factory.mktemp("finished"))
    project.snakemake()
    return project


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to be changed."""
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True, symlinks=True)
    return Project(tmp_path)
