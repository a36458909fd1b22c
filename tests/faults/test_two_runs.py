"""Two workflow runs in one folder: the second is refused, the first goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from projects import ROOT, environment
from projects import Project as Workflow

from .conftest import RUN, Project


def test_a_second_workflow_run_in_the_folder_is_refused(project: Project) -> None:
    project.edit("recipes.yaml", tiny__epochs=100_000)
    target = f"{RUN}/seed1/summary.json"
    first = subprocess.Popen(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--cores", "1", target),
        ],
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        log = project.folder / f"results/tiny/logs/train/{RUN.partition('runs/')[2]}.log"
        while not (log.exists() and "seed 1" in log.read_text()):
            assert first.poll() is None
            time.sleep(0.05)
        second = Workflow(project.folder).snakemake(target, check=False)
        assert second.returncode != 0
        said = second.stdout + second.stderr
        assert "Traceback" not in said
        assert "Directory cannot be locked" in said
        assert first.poll() is None
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
