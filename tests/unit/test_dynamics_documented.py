"""The code of docs/dynamics.md runs, and its table names what the package has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from firstorder import dynamics

ROOT = Path(__file__).resolve().parents[2]


def page() -> str:
    return (ROOT / "docs" / "dynamics.md").read_text()


def test_the_pages_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for block in re.findall(r"```python\n(.*?)```", page(), re.DOTALL):
            code = block.replace(
                "randn(500, 64)", "randn(40, 64)"
            )  # as many starts as a test needs
            exec(code.replace("max_steps=3000", "max_steps=1500"), names)
        points, theta, pushes = names["points"], names["theta"], names["pushes"]
        assert isinstance(points, torch.Tensor)
        assert len(points) > 20
        assert theta.shape == (len(points),)  # type: ignore[attr-defined]
        assert pushes.shape == (len(points), 20)  # type: ignore[attr-defined]
        saved = dynamics.FixedPoints.load(tmp_path / "points.npz")
        assert torch.equal(saved.at(1e-6), points)
        lstm_step, states = names["step"], 0.1 * torch.randn(3, 64)
        assert dynamics.linearize(lstm_step, states, torch.zeros(8)).recurrent.shape == (3, 64, 64)  # type: ignore[arg-type]


def test_the_example_is_fifteen_lines_long() -> None:
    first = re.findall(r"```python\n(.*?)```", page(), re.DOTALL)[0]
    lines = [line for line in first.splitlines() if line and "your own" not in line]
    assert len(lines) <= 15


def test_every_public_function_is_in_the_pages_table() -> None:
    told = set(re.findall(r"^\| `([a-z_.]+)\(", page(), re.MULTILINE))
    functions = {name for name in dynamics.__all__ if name[0].islower()} - {"spread", "nearest"}
    assert functions <= told
    assert {"spread", "nearest"} <= set(re.findall(r"\w+", page()))
