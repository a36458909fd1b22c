"""Made-up projects: folders with their own `config/`, for tests that run the real workflow."""

from __future__ import annotations

import os
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


def load(root: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """The checked configuration below `root`, as a command reads it."""
    return plan.make(root, overrides or {}).config
