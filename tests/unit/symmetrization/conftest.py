"""Copies of a made-up project with the records of every artefact."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import made_up_trainings as made_up
import pytest
import small_trainings

from firstorder.config import Config
from firstorder.publish.registry import Results


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete made-up tree, made once."""
    root = tmp_path_factory.mktemp("tree")
    made_up.write_config(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        made_up.write_records(made_up.load())
    return root


@pytest.fixture
def made(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of the made-up tree itself, for tests that change nothing in it."""
    monkeypatch.chdir(tree)
    return made_up.load()


@dataclass(frozen=True)
class Made:
    """A table or figure that was made: its files by format, what it listed and what it opened."""

    files: dict[str, Path]
    listed: set[str]
    opened: set[str]


@pytest.fixture(scope="session")
def artefact_of(tree: Path) -> Callable[[str], Made]:
    """Makes a table or figure in the made-up tree, once for all tests."""

    @cache
    def make(artefact: str) -> Made:
        opened: set[str] = set()
        find = Results.path

        def path(results: Results, *parts: str | int) -> str:
            opened.add(find(results, *parts))
            return find(results, *parts)

        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tree)
            patch.setattr(Results, "path", path)
            config = made_up.load()
            files = {name: tree / path for name, path in made_up.make(config, artefact).items()}
            inputs = made_up.job(config, artefact).inputs
        return Made(files, {p for name, p in inputs.items() if name != "published"}, opened)

    return make


@pytest.fixture
def configured(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The made-up tree with a configuration of its own, for tests that change no record."""
    shutil.copytree(tree / "config", tmp_path / "config")
    results = tmp_path / "results" / "tiny"
    results.mkdir(parents=True)
    for path in (tree / "results" / "tiny").iterdir():
        if path.name not in ("tables", "figures"):
            (results / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return made_up.load()


@pytest.fixture
def tiny(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of a copy of the made-up tree; the working folder holds it."""
    shutil.copytree(tree, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return made_up.load()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A project whose steps can be run; the working folder holds it."""
    monkeypatch.chdir(tmp_path)
    small_trainings.write_project(tmp_path)
    return made_up.load()
