"""The project's folder, and copies of its configuration with a few keys changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """A copy of `config/`: `edited(file, {"dotted.key": value})` changes it, returns its path."""
    root = tmp_path / "config"
    shutil.copytree(ROOT / "config", root)

    def edit(file: str | None = None, changes: dict[str, Any] | None = None) -> Path:
        if file is not None:
            content = yaml.safe_load((root / file).read_text())
            for path, value in (changes or {}).items():
                *parents, key = path.split(".")
                target = content
                for parent in parents:
                    target = target.setdefault(parent, {})
                target[key] = value
            (root / file).write_text(yaml.safe_dump(content, allow_unicode=True))
        return root

    return edit


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch computes with one thread, as a job of most recipes does."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
