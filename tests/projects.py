"""Made-up projects: folders with their own `config/`, for tests that run the real workflow."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from firstorder.config import Config
from firstorder.jobs import plan

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / "tests" / "workflow" / "toy"
"""A study that nothing below `src/` knows."""


@dataclass
class Project:
    """A working folder with its own copy of `config/`."""

    folder: Path

    def edit(self, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change a YAML file of `config/`."""
        path = self.folder / "config" / name
        value = yaml.safe_load(path.read_text())
        change(value)
        path.write_text(yaml.safe_dump(value, allow_unicode=True, sort_keys=False))

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake here, with the programs of this interpreter's environment."""
        return self.run(
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--directory", str(self.folder), "--cores", "2", *arguments),
            check=check,
        )

    def firstorder(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line here."""
        return self.run(sys.executable, "-m", "firstorder.cli", *arguments, check=check)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command here."""
        done = subprocess.run(
            command, cwd=self.folder, env=environment(), capture_output=True, text=True
        )
        if check:
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
        return done

    def planned(self, *arguments: str) -> dict[str, int]:
        """How many jobs of every rule a dry run lists."""
        done = self.snakemake("--dry-run", *arguments)
        jobs: dict[str, int] = {}
        for line in (done.stdout + done.stderr).splitlines():
            found = re.fullmatch(r"([a-z_]+) +(\d+)", line.strip())
            if found and found[1] == "total":
                break
            if found:
                jobs[found[1]] = int(found[2])
        return jobs

    def commands(self, step: str, *targets: str) -> list[str]:
        """The commands of a step that a dry run prints, without their redirection."""
        done = self.snakemake("--dry-run", "--printshellcmds", *targets)
        return re.findall(rf"(firstorder {step} .*?) > ", done.stdout + done.stderr)

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


def make_toy(folder: Path) -> Project:
    """A project whose only study is the toy, with nothing run yet."""
    (folder / "config" / "studies").mkdir(parents=True)
    for path in (ROOT / "config").glob("*.yaml"):
        shutil.copy(path, folder / "config")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TOY / "config", folder / "config" / "studies" / "toy")
    shutil.copytree(TOY, folder / "toy", ignore=shutil.ignore_patterns("__pycache__", "config"))
    shutil.copytree(ROOT / "paper", folder / "paper", ignore=ignored)
    project = Project(folder)
    project.edit("config.yaml", lambda value: value.update(studies=["toy"], device="cpu"))
    return project


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
        "epochs": 6,
        "batch": 16,
        "lr": 0.05,
        "schedule": "linear",
        "schedule_unit": "step",
        "drop_last": True,
    },
}


USUAL = ("symmetrization", "linearized", "robust_kernels")
"""The studies of the tiny project, unless others are asked for."""


def make_project(folder: Path, studies: tuple[str, ...] = USUAL) -> Project:
    """A project of `studies` at the scale `tiny`, with nothing run yet."""
    for name in ("config", "paper"):
        shutil.copytree(ROOT / name, folder / name)
    project = Project(folder)
    main = {"scale": "tiny", "device": "cpu", "studies": list(studies)}
    project.edit("config.yaml", lambda value: value.update(main))
    project.edit("recipes.yaml", lambda value: value.update(TINY_RECIPES))
    tiny = {"tiny": {"data": "tiny", "hardware": "any"}}
    project.edit("scales.yaml", lambda value: value.update(tiny))
    for name in studies:
        own = folder / "config" / "studies" / name
        shutil.copy(own / "smoke.yaml", own / "tiny.yaml")
        project.edit(f"studies/{name}/tiny.yaml", SHRUNK[name])
    return project


def _few_trainings(scale: dict[str, Any]) -> None:
    """Turn the smoke scale into the smallest one that still has every kind of job."""
    scale["seeds"] = [1, 2]
    scale["settings"] = {"digits": {"dataset": "digits", "recipe": "tiny"}}
    noises = {
        "symmetric": ["symmetric-0.0", "symmetric-0.2"],
        "asymmetric": ["asymmetric-0.2", "asymmetric-0.4"],
        "curves": ["symmetric-0.4", "symmetric-0.8"],
        "instance": ["instance-0.2", "instance-0.4"],
        "webvision": ["instance-0.2"],
        "every-loss": ["symmetric-0.4"],
        "score-norms": ["symmetric-0.4"],
        "sensitivity": ["symmetric-0.4", "symmetric-0.8"],
        "decay": ["symmetric-0.8"],
    }
    scale["cells"] = {name: {"settings": ["digits"], "noises": own} for name, own in noises.items()}
    scale["noises"] = {}
    scale["losses"] = {
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
    scale["tuning"].update(weight_decays=[0.0, 0.01])


def _few_tasks(scale: dict[str, Any]) -> None:
    """The same for the study of linearized networks."""
    scale["eigenvectors"] = 20
    for support in scale["supports"].values():
        support.update(train=64, test=32)
    kinds = ("eigenfunctions", "binary", "nads")  # the other families have the same jobs
    scale["families"] = {name: scale["families"][name] for name in kinds}
    for name, family in scale["families"].items():
        family.update(models=family["models"][:1], seeds=[1], recipe="tiny-tangent")
        family["tasks"] = [32, 64] if name == "binary" else [2, 5]
        if family.get("watch"):
            family.update(watch=[5], watch_points=32)
        if "steps" in family:
            family["steps"] = 4
        if name == "nads":
            family["options"].update(size=5, train=32, test=16, samples=1, networks=2)


def _few_points(scale: dict[str, Any]) -> None:
    """The same for the study of robust losses on kernels."""
    for part in (scale["kernels"], scale["networks"]):
        for each in part.values():
            each.update(train=60, test=30, seeds=[1])
    scale.update(rates=[0.0, 0.4], draws=2, ridge_draws=1, exact=40)
    scale["paths"] = {"rates": [0.4], "steps": 5}
    for network in scale["networks"].values():
        network.update(recipe="tiny-tangent", epochs=[0, 6], points=30)


def _few_sentences(scale: dict[str, Any]) -> None:
    """The same for the study of line attractors: one small cell."""
    scale["seeds"] = [1]
    corpus = scale["corpora"]["synthetic"]
    corpus["cells"] = ["gru"]
    corpus["text"].update(train=2000, test=200, validation=0.1, bag=500)
    corpus["recipe"].update(embedding=8, units=12, lr=0.02)
    corpus["search"] = {
        "documents": 40,
        "starts": 24,
        "steps": 150,
        "tolerances": [0.01, 0.001, 0.0001],
        "tolerance": 0.01,
    }


SHRUNK = {
    "symmetrization": _few_trainings,
    "linearized": _few_tasks,
    "robust_kernels": _few_points,
    "line_attractor": _few_sentences,
}
"""What makes the smallest scale of every study that still has every kind of job."""


def load(root: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """The checked configuration below `root`, as a command reads it."""
    return plan.make(root, overrides or {}).config
