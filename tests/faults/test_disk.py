"""A disk that is full, or may not be written to: one line, and no part of a result."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from projects import environment

from .conftest import CELL, DATASET, KERNEL, LABELS, RUN, TANGENT, Project

VERBS = {
    "prepare": (("prepare", "digits"), DATASET),
    "corrupt": (("corrupt", "digits", "symmetric-0.4"), LABELS),
    "train": (("train", *CELL), f"{RUN}/seed1/weights.safetensors"),
    "compute_kernel": (KERNEL, f"{TANGENT}/init.safetensors"),
}


def mounted(folder: Path, mount: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `firstorder ARGUMENTS` below `folder` after a line of shell that mounts something.

    The mounts are the process's own: nothing of them is left. Prints the files of runs at the end.
    """
    script = (
        f"{mount} || exit 99; shift 0; "
        'python -m firstorder.cli "$@"; status=$?; '
        "find results/tiny/symmetrization/runs results/tiny/checkpoints -type f; exit $status"
    )
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *arguments],
        cwd=folder,
        env=environment() | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )


@cache
def can_mount() -> bool:
    """Whether this user may mount in a namespace of its own."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


mounts = pytest.mark.skipif(not can_mount(), reason="this user may not mount file systems")


def only_line(text: str) -> str:
    """The one line that a verb says at its end."""
    assert "Traceback" not in text, text
    (line,) = [line for line in text.splitlines() if line.startswith("firstorder: ")]
    return line.removeprefix("firstorder: ")


@pytest.mark.parametrize("verb", VERBS)
def test_a_write_that_does_not_fit_is_one_line_and_leaves_no_part(
    project: Project, verb: str
) -> None:
    arguments, result = VERBS[verb]
    if verb != "compute_kernel":
        project.edit("config.yaml", checkpoint_seconds=1e9)
    path = project.folder / result
    before = path.read_bytes() if path.exists() else None
    done = project.run(*arguments, bytes=8000)
    assert done.line() == f"{result}: File too large"
    assert (path.read_bytes() if path.exists() else None) == before
    assert project.partial() == []
    done = project.run(*arguments)
    assert done.status == 0, done.text
    assert path.exists()


def test_arrays_that_do_not_fit_name_their_file_and_the_reason(project: Project) -> None:
    project.edit("studies/linearized/tiny.yaml", supports__digits__train=128)
    assert project.run(*KERNEL).status == 0
    (project.folder / TANGENT / "kernel.npy").unlink()
    init = (project.folder / TANGENT / "init.safetensors").stat().st_size
    kernel = 4 * (128 + 32) ** 2
    assert init < kernel
    done = project.run(*KERNEL, bytes=(init + kernel) // 2)
    assert done.line() == f"{TANGENT}/kernel.npy: File too large"
    assert not (project.folder / TANGENT / "kernel.npy").exists() and project.partial() == []
    assert project.run(*KERNEL).status == 0
    done = project.run("decompose", *KERNEL[1:], bytes=3000)
    assert done.line() == f"{TANGENT}/spectrum.npz: File too large"
    assert not (project.folder / TANGENT / "spectrum.npz").exists() and project.partial() == []


def test_a_checkpoint_that_does_not_fit_keeps_the_one_before(
    project: Project, undisturbed: Project
) -> None:
    project.edit("config.yaml", checkpoint_seconds=1e9)
    project.interrupt()
    (checkpoint,) = project.checkpoints()
    before = checkpoint.read_bytes()
    project.edit("config.yaml", checkpoint_seconds=0.001)
    done = project.run("train", *CELL, bytes=8000)
    assert re.fullmatch(r"results/tiny/checkpoints/\w+\.safetensors: File too large", done.line())
    assert checkpoint.read_bytes() == before and project.partial() == []
    assert "resumed in epoch" in project.run("train", *CELL).text
    assert project.results() == undisturbed.results()


@mounts
@pytest.mark.parametrize("place", ["symmetrization/runs", "checkpoints"])
def test_a_full_disk_is_one_line_and_leaves_no_part(project: Project, place: str) -> None:
    seconds = 0.001 if place == "checkpoints" else 1e9
    project.edit("config.yaml", checkpoint_seconds=seconds)
    folder = f"results/tiny/{place}"
    (project.folder / folder).mkdir(parents=True, exist_ok=True)
    (project.folder / RUN).mkdir(parents=True, exist_ok=True)
    (project.folder / "results/tiny/checkpoints").mkdir(exist_ok=True)
    mount = f"mount -t tmpfs -o size=16k none {folder}"
    done = mounted(project.folder, mount, "train", *CELL)
    assert done.returncode == 1, done.stderr
    line = only_line(done.stderr)
    assert line.startswith(folder) and line.endswith(": No space left on device")
    left = [path for path in done.stdout.splitlines() if not path.endswith("history.csv")]
    assert left == []


@mounts
def test_a_results_folder_that_is_read_only_is_one_line(project: Project) -> None:
    mount = "mount --bind results results && mount -o remount,ro,bind results"
    (project.folder / RUN).mkdir(parents=True)
    (project.folder / "results/tiny/checkpoints").mkdir(exist_ok=True)
    done = mounted(project.folder, mount, "corrupt", "digits", "symmetric-0.4")
    assert done.returncode == 1
    assert re.fullmatch(r"results/tiny/symmetrization/labels/.*: Read-only file system",
                        only_line(done.stderr))  # fmt: skip
