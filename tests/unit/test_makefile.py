"""What `make` sets for the programs that it starts, whatever the account and the shell are."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

VARIABLES = "HOME", "PYTHONPATH", "PIP_USER", "PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE"
ASK = f'ask: ; @echo "{"|".join("$$" + name for name in VARIABLES)}"'


def asked(project: Path, **environment: str) -> list[str]:
    """The VARIABLES of a recipe."""
    given = {key: value for key, value in os.environ.items() if key != "HOME"} | environment
    command = ["make", "--no-print-directory", f"--eval={ASK}", "ask"]
    done = subprocess.run(
        command, cwd=project, env=given, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().split("|")


def test_a_home_folder_that_can_be_written_stays(project: Path, tmp_path: Path) -> None:
    assert asked(project, HOME=str(tmp_path))[0] == str(tmp_path)


def test_without_a_home_folder_the_project_gives_one(project: Path) -> None:
    ours = str(project / ".snakemake" / "home")
    for home in ({}, {"HOME": "/proc/nothing"}, {"HOME": ""}):
        assert asked(project, **home)[0] == ours
        assert Path(ours).is_dir()


def test_the_shell_adds_no_packages_to_the_locked_ones(project: Path) -> None:
    given = {"HOME": "/tmp", "PYTHONPATH": "/x", "PIP_USER": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    assert asked(project, **given)[1:] == ["", "", "", "1"]
