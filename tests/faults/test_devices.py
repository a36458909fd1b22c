"""Devices that are missing or too small, and numbers that are none: one line, or a record."""

from __future__ import annotations

import json

import numpy as np
import pytest

from .conftest import CELL, FAMILY, KERNEL, RUN, TANGENT, Project

NO_GPU = "import os; os.environ['CUDA_VISIBLE_DEVICES'] = ''"
EXHAUSTED = """
import torch
from firstorder.{module} import {name} as owner
def exhausted(*_, **__):
    raise {error}
owner.{method} = exhausted
"""
OF_THE_GPU = (
    "torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB. "
    "GPU 0 has a total capacity of 8.00 GiB')"
)
OF_THE_CPU = (
    "RuntimeError('[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: "
    "can\\'t allocate memory: you tried to allocate 2147483648 bytes')"
)
OF_NUMPY = "MemoryError('Unable to allocate 2.00 GiB for an array')"
SMALL_BLOCKS = """
import torch
from firstorder.linearized import kernel
fill = kernel._fill
def failing(*arguments):
    if arguments[5] > 16:
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')
    fill(*arguments)
kernel._fill = failing
"""
MY_LOSS = """
def broken(scores):
    return scores.log()
"""


@pytest.mark.parametrize("verb", [("train", *CELL), KERNEL], ids=["train", "kernel"])
def test_a_missing_gpu_is_one_line(project: Project, verb: tuple[str, ...]) -> None:
    project.edit("config.yaml", device="cuda")
    line = project.run(*verb, before=NO_GPU).line()
    assert line == (
        "config.yaml: device: 'cuda' is not allowed: this machine has no CUDA device; "
        "set `auto` or `cpu`, or ask the scheduler for a GPU"
    )


@pytest.mark.parametrize("error", [OF_THE_GPU, OF_THE_CPU, OF_NUMPY], ids=["gpu", "cpu", "numpy"])
def test_a_training_that_does_not_fit_names_the_key_to_lower(project: Project, error: str) -> None:
    before = EXHAUSTED.format(
        module="training.loop", name="Training", method="run_pass", error=error
    )
    line = project.run("train", *CELL, before=before).line()
    assert line.startswith("out of memory (") and ("2147483648" in line or "2.00 GiB" in line)
    assert line.endswith("; lower tiny.batch (now 32) in config/recipes.yaml")
    assert project.results() == {}


def test_a_network_that_does_not_fit_names_the_key_to_lower(project: Project) -> None:
    assert project.run(*KERNEL).status == 0
    before = EXHAUSTED.format(
        module="training.loop", name="Training", method="run_pass", error=OF_THE_GPU
    )
    line = project.run("fit", *FAMILY, before=before).line()
    assert line == (
        "out of memory (CUDA out of memory. Tried to allocate 2.00 GiB); "
        "lower this recipe's batch (now 16) in recipes.yaml"
    )


def test_any_other_step_that_does_not_fit_is_one_line(project: Project) -> None:
    before = EXHAUSTED.format(module="data", name="noise", method="corrupt", error=OF_NUMPY)
    line = project.run("corrupt", "digits", "symmetric-0.4", before=before).line()
    assert line.startswith("out of memory (Unable to allocate 2.00 GiB for an array); lower ")


def test_a_kernel_that_does_not_fit_is_made_of_smaller_blocks(project: Project) -> None:
    path = project.folder / TANGENT / "kernel.npy"
    assert project.run(*KERNEL).status == 0
    whole = np.load(path, allow_pickle=False)
    done = project.run(*KERNEL, before=SMALL_BLOCKS)
    assert done.status == 0, done.text
    found = np.load(path, allow_pickle=False)
    assert np.abs(found - whole).max() <= 1e-6 * np.abs(whole).max()


def test_a_kernel_of_which_no_block_fits_names_the_key_to_lower(project: Project) -> None:
    before = SMALL_BLOCKS.replace("> 16", "> 0")
    line = project.run(*KERNEL, before=before).line()
    assert line.endswith("; lower train (now 64) of the support in config/studies/linearized/")
    assert not (project.folder / TANGENT / "kernel.npy").exists()


def test_a_loss_that_is_not_a_number_is_a_record_and_the_table_shows_it(project: Project) -> None:
    (project.folder / "mine.py").write_text(MY_LOSS)
    with (project.folder / "config/losses.yaml").open("a") as file:
        file.write('\nbroken: { label: Broken, function: "mine.py:broken" }\n')
    groups = {"comparison": ["broken"], "curves": ["broken"]}
    project.edit("studies/symmetrization/tiny.yaml", losses=groups)
    done = project.run("train", *CELL[:2], "broken")
    assert done.status == 0, done.text
    folder = (project.folder / RUN).parent / "broken"
    for seed in (1, 2):
        record = json.loads((folder / f"seed{seed}/summary.json").read_text())
        assert record["status"] == "diverged" and record["last"] is None
        assert record["final"]["train_accuracy"] is None
        assert (folder / f"seed{seed}/history.csv").read_text().startswith("epoch,lr,train_loss")
    done = project.run("table", "symmetrization", "accuracy-symmetric")
    assert done.status == 0, done.text
    table = project.folder / "results/tiny/tables/symmetrization-accuracy-symmetric.md"
    (row,) = [line for line in table.read_text().splitlines() if "Broken" in line]
    assert "diverged" in row or "2 of 2" in table.read_text()
