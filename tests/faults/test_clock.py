"""A clock that jumps loses no work and asks for none again."""

from __future__ import annotations

import os
import time

import pytest
from projects import Project as Workflow

from .conftest import CELL, DATASET, LABELS, RUN, Project

JUMPING = """
import itertools, time
from firstorder.training import checkpoint, saver
jumps = itertools.cycle({jumps})
now = time.time
time.time = lambda: now() + next(jumps)
count, save = itertools.count(1), checkpoint.save
def counting(*arguments):
    save(*arguments)
    print('checkpoint', next(count), flush=True)
checkpoint.save = counting
"""
YEAR = 366 * 24 * 3600


@pytest.mark.parametrize("jumps", [[YEAR, -YEAR], [-YEAR, -2 * YEAR]], ids=["to and fro", "back"])
def test_checkpoints_are_written_by_a_clock_that_does_not_jump(
    project: Project, undisturbed: Project, jumps: list[int]
) -> None:
    project.edit("config.yaml", checkpoint_seconds=1e9)
    done = project.run("train", *CELL, before=JUMPING.format(jumps=jumps))
    assert done.status == 0 and "checkpoint" not in done.text, done.text
    assert project.results() == undisturbed.results()


def test_a_checkpoint_is_due_though_the_clock_stands_still(
    project: Project, undisturbed: Project
) -> None:
    before = JUMPING.format(jumps=[0]) + "then = now(); time.time = lambda: then\n"
    done = project.run("train", *CELL, before=before)
    assert done.status == 0 and done.text.count("checkpoint") > 4, done.text
    assert project.results() == undisturbed.results()


def test_inputs_from_the_future_train_nothing_again(project: Project) -> None:
    workflow = Workflow(project.folder)
    target = f"{RUN}/seed1/summary.json"
    for seed in (1, 2):  # so that Snakemake makes them, and keeps a record of their inputs
        (project.folder / LABELS).with_name(f"seed{seed}.npz").unlink()
    workflow.snakemake(target)
    before = (project.folder / target).read_text()
    for name in (DATASET, LABELS):
        os.utime(project.folder / name, (time.time() + YEAR,) * 2)
    assert workflow.planned(target) == {}
    # Snakemake compares the content of small inputs only; a large one it takes for changed. Then
    # the job runs, and finds that what it would train is there.
    for path in (project.folder / RUN).rglob("*.*"):
        path.unlink()
    done = project.run("train", *CELL)
    assert done.status == 0, done.text
    assert done.text.count("was finished before; its files are put back") == 2
    assert (project.folder / target).read_text() == before


def test_a_clock_that_jumps_back_stops_the_run_with_a_reason_and_loses_no_training(
    project: Project, undisturbed: Project
) -> None:
    workflow = Workflow(project.folder)
    inputs = [path for path in (project.folder / "results").rglob("*.*") if path.is_file()]
    future = time.time() + YEAR
    for path in inputs:
        os.utime(path, (future, future))
    done = workflow.snakemake(f"{RUN}/seed1/summary.json", check=False)
    assert done.returncode != 0
    assert "This could indicate a clock skew problem" in done.stdout + done.stderr
    assert project.results() == {}  # Snakemake takes what it cannot date for corrupted
    past = time.time() - YEAR
    for path in inputs:
        os.utime(path, (past, past))
    workflow.snakemake(f"{RUN}/seed1/summary.json")
    log = project.folder / "results/tiny/logs/train/digits/symmetric-0.4/gce.log"
    assert log.read_text().count("was finished before") == 2
    assert set(project.results()) == set(undisturbed.results())
