"""What a job knows besides its declaration."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from firstorder.jobs.context import Context


def test_scratch_folders_go_with_their_jobs(tmp_path: Path) -> None:
    context = Context(checkpoints=tmp_path / "checkpoints")
    with pytest.raises(KeyboardInterrupt), context.scratch() as one, context.scratch() as other:
        (one / "kernel.npy").write_text("large")
        assert one.is_dir() and other.is_dir() and one != other
        raise KeyboardInterrupt
    assert not list(context.checkpoints.iterdir())


def test_the_next_scratch_folder_takes_the_place_of_what_any_killed_job_left(
    tmp_path: Path,
) -> None:
    context = Context(checkpoints=tmp_path)
    child = os.fork()
    if child == 0:
        with context.scratch() as folder:
            (folder / "kernel.npy").write_text("large")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (left,) = tmp_path.iterdir()
    assert (left / "kernel.npy").is_file()
    with context.scratch() as folder:
        assert list(tmp_path.iterdir()) == [folder]
