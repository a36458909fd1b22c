"""The tiny project: fresh, finished, and copies of the finished one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from projects import Project, make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh tiny project."""
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project that was run to the end; tests must not change it."""
    project = make_project(tmp_path_factory.mktemp("finished"))
    project.snakemake()
    return project


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to be changed."""
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True, symlinks=True)
    return Project(tmp_path)
