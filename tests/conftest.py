"""What holds for every test, and the project of the toy study."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import TOY, Project, make_toy

from firstorder.jobs import plan


def pytest_configure() -> None:
    """Take interrupts again where a shell started the tests in the background, without them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_plan_of_another_test() -> Iterator[None]:
    """A plan that a test froze in this process is not announced to the processes of the next."""
    yield
    os.environ.pop(plan.VARIABLE, None)


@pytest.fixture(autouse=True)
def draws_of_its_own() -> None:
    """What a test draws without a generator does not depend on the tests before it."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose only study is the toy, as working folder; nothing was run.

    In this process the study is imported from `tests/workflow/toy`, in others from the project.
    """
    project = make_toy(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(TOY.parent))
    return project


@pytest.fixture(scope="session")
def finished_toy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The toy project, run to its end once; tests must not change it."""
    project = make_toy(tmp_path_factory.mktemp("toy"))
    project.snakemake()
    return project


@pytest.fixture
def made_toy(finished_toy: Project, tmp_path: Path) -> Project:
    """A copy of the finished toy project, with its times, to be changed."""
    import shutil

    shutil.copytree(finished_toy.folder, tmp_path, dirs_exist_ok=True, symlinks=True)
    return Project(tmp_path)
