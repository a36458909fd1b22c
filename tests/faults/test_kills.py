"""A training that is killed, anywhere and as often as chance will, ends with the same bits."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

from firstorder.jobs import ledger

from .conftest import CELL, Project, duplicate

KILLS = 20
LIVES = 4
"""Kills of one training before it is left alone."""


def test_trainings_killed_at_random_moments_end_with_the_bits_of_undisturbed_ones(
    prepared: Project, undisturbed: Project, tmp_path: Path
) -> None:
    chance = random.Random(int(os.environ.get("FIRSTORDER_KILL_SEED", "0")))
    expected, kills, resumed = undisturbed.results(), 0, 0
    for number in itertools.count():
        project = duplicate(prepared, tmp_path / str(number))
        for life in range(LIVES):
            child = project.start("train", *CELL)
            if (
                number == life == 0
            ):  # at least one is killed within an epoch, however slow the start
                while "epoch 2/" not in child.log.read_text():
                    time.sleep(0.01)
            else:
                time.sleep(chance.uniform(0, undisturbed.seconds))
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            done = child.wait()
            kills += done.status == -signal.SIGKILL
            if done.status != -signal.SIGKILL:
                break  # it was quicker
            resumed += "resumed in epoch" in done.text
        else:
            done = project.run("train", *CELL)
        assert done.status == 0, done.text
        assert project.results() == expected
        assert project.checkpoints() == []
        resumed += "resumed in epoch" in done.text
        if kills >= KILLS:
            break
    print(f"{kills} kills of {number + 1} trainings, {resumed} resumed within an epoch")
    assert resumed > 0


def test_sigterm_writes_a_checkpoint_at_once_and_ends_the_process(
    project: Project, undisturbed: Project
) -> None:
    project.edit("config.yaml", checkpoint_seconds=1e9)
    done = project.interrupt()
    assert done.status == -signal.SIGTERM
    assert "epoch 8/8" not in done.text
    assert len(project.checkpoints()) == 1 and project.partial() == []
    done = project.run("train", *CELL)
    assert "resumed in epoch" in done.text and "epoch 2/8" not in done.text.split("seed 2")[0]
    assert project.results() == undisturbed.results()
    notes = [
        ledger.read(ledger.place(str(each.folder / "results/tiny"), "/".join(("train", *CELL))))
        for each in (project, undisturbed)
    ]
    assert [note is not None and note.resumed for note in notes] == [True, False]


def test_what_a_kill_within_a_write_leaves_is_no_result_and_is_cleared_away(
    project: Project, undisturbed: Project
) -> None:
    project.interrupt()
    (checkpoint,) = project.checkpoints()
    half = checkpoint.with_name(f".{checkpoint.stem}.1.tmp.safetensors")
    half.write_bytes(checkpoint.read_bytes()[:1000])
    done = project.run("train", *CELL)
    assert "resumed in epoch" in done.text
    assert project.results() == undisturbed.results()
    assert not half.exists()
