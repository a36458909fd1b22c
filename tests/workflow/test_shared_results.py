"""Two projects with one folder of results: one run at a time, the other is told in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from projects import make_toy

from firstorder.errors import UserError
from firstorder.jobs import lock

HOLD = (
    "import sys; from firstorder.jobs import lock; lock.hold(sys.argv[1]);"
    "print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """A process in a folder `first`, which holds the results folder `shared/smoke`."""
    (tmp_path / "first").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "shared/smoke")],
        cwd=tmp_path / "first",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_refused_and_a_killed_one_leaves_no_lock(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"shared/smoke: a run from another folder writes"):
        lock.hold(tmp_path / "shared/smoke")
    holder.kill()
    holder.communicate()
    lock.hold(tmp_path / "shared/smoke")


def test_a_workflow_run_says_so_in_one_line_and_runs_nothing(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    project = make_toy(tmp_path / "second")
    project.edit("config.yaml", lambda value: value.update(results=str(tmp_path / "shared")))
    done = project.snakemake(check=False)
    holder.communicate()
    assert done.returncode == 1
    (line,) = [each for each in done.stderr.splitlines() if "firstorder: " in each]
    assert "a run from" in line and "Traceback" not in done.stderr + done.stdout
    assert not list((tmp_path / "shared/smoke").glob("[!.]*"))
