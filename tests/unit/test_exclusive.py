"""A killed run can be started again; a run that goes on is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, project: Path) -> Iterator[Start]:
    """Start `exclusive` in a folder, with a stand-in for Snakemake that runs a line of shell.

    The stand-in takes and leaves a lock like Snakemake's, and lifts it on `--unlock`.
    """
    (tmp_path / "snakemake").write_text(
        "#!/bin/sh\n"
        'if [ "$1" = --unlock ]; then echo unlocked; rm -f .snakemake/locks/*; exit; fi\n'
        'mkdir -p .snakemake/locks; [ -z "$(ls .snakemake/locks)" ] || exit 7\n'
        ': >.snakemake/locks/0.input.lock; echo $$ >pid; eval "$1"; status=$?\n'
        "rm .snakemake/locks/*; exit $status\n"
    )
    (tmp_path / "snakemake").chmod(0o755)
    started = []

    def begin(line: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "firstorder.exclusive", "./snakemake", line],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(project / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(path: Path) -> None:
    for _ in range(1000):
        if path.exists() and path.read_text().strip():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} did not appear")


def test_the_exit_status_is_that_of_the_command(start: Start) -> None:
    assert start("true").wait() == 0
    assert start("false").wait() == 1
    assert start("true").wait() == 0


def test_a_killed_run_is_continued(start: Start, tmp_path: Path) -> None:
    killed = start("sleep 30")
    wait_for(tmp_path / "pid")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert list((tmp_path / ".snakemake" / "locks").iterdir())
    again = start("echo done")
    assert again.communicate()[0].splitlines() == [
        "the last run was killed; continuing where it stopped",
        "unlocked",
        "done",
    ]
    assert again.returncode == 0
    assert start("echo done").communicate()[0] == "done\n"


def test_a_second_run_waits_for_nobody_and_disturbs_nobody(start: Start, tmp_path: Path) -> None:
    first = start("until [ -e go ]; do sleep 0.05; done")
    wait_for(tmp_path / "pid")
    second = start("true")
    assert second.communicate()[0] == "another run goes on in this folder; wait for its end\n"
    assert second.returncode == 1
    (tmp_path / "go").touch()
    assert first.wait() == 0


def test_a_command_that_outlives_its_parent_still_counts(start: Start, tmp_path: Path) -> None:
    first = start("until [ -e go ]; do sleep 0.05; done")
    wait_for(tmp_path / "pid")
    first.kill()
    first.wait()
    assert start("true").wait() == 1
    (tmp_path / "go").touch()
    first.communicate()  # the end of its output is the end of the command
    assert start("true").wait() == 0


def test_a_lock_of_somebody_else_stays(start: Start, tmp_path: Path) -> None:
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").touch()
    assert start("true").wait() == 7
    assert (locks / "0.input.lock").exists()


def test_an_interrupt_is_left_to_the_command(start: Start, tmp_path: Path) -> None:
    process = start("trap 'echo tidied; exit 3' INT; echo >ready; while :; do sleep 0.05; done")
    wait_for(tmp_path / "pid")
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate()[0] == "tidied\n"
    assert process.returncode == 3
