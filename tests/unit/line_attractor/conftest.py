"""A finished run of the study on a few sentences."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from firstorder.config import Config

from . import small


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, made once."""
    folder = tmp_path_factory.mktemp("sentences")
    small.project(folder)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small.everything(small.config(folder))
    return folder


@pytest.fixture
def tiny(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of a copy of the finished run, which is the working folder."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return small.config(tmp_path)
