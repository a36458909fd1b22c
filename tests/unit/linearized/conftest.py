"""A made-up tree of results, and a finished run of the study on a few small images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from firstorder.config import Config

from . import small
from .made_up import read_config, write_config, write_results


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete made-up tree, made once."""
    root = tmp_path_factory.mktemp("tree")
    write_config(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_results(read_config())
    return root


@pytest.fixture
def made(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of the made-up tree itself, for tests that change nothing in it."""
    monkeypatch.chdir(tree)
    return read_config()


@pytest.fixture
def tiny(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of a copy of the made-up tree; the working folder holds it."""
    shutil.copytree(tree, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return read_config()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> small.Run:
    """A finished run of all steps for one model and seed."""
    torch.set_num_threads(1)
    run = small.Run(small.configuration(tmp_path_factory.mktemp("study")))
    run.prepare()
    run.until_networks("mlp", "eigenfunctions")
    run("fit", "mlp", "tiny", "1", "eigenfunctions")
    run("rotate", "mlp", "tiny", "1", "eigenfunctions")
    for step in ("linearize", "fit", "rotate"):
        run(step, "mlp", "tiny", "1", "binary")
    for step in ("linearize", "fit"):
        run(step, "mlp", "tiny", "1", "inductive")
    run("fit", "mlp", "tiny", "1", "steps")
    run("find_directions", "mlp-gelu", "1", "nads")
    return run
