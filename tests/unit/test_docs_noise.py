"""The code of docs/tangent-kernels-under-noise.md runs, and gives what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tangent-kernels-under-noise.md"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the blocks of the page define, run one after another."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), found)
    return found


def test_the_page_predicts_the_accuracy_under_noise(names: dict[str, Any]) -> None:
    assert names["predicted"] == pytest.approx(float(names["measured"]), abs=0.06)


def test_the_unhinged_loss_is_constant_on_the_page_and_cross_entropy_is_not(
    names: dict[str, Any],
) -> None:
    paths = names["paths"]
    unhinged = paths.test_accuracy[1:, paths.of("unhinged")]
    assert set(unhinged.tolist()) == {float(names["measured"])}
    assert len(set(paths.test_accuracy[1:, paths.of("ce")].tolist())) > 1
    assert float(paths.wrong_fitted[-1, paths.of("ce")]) > float(
        paths.wrong_fitted[-1, paths.of("sgce")]
    )


def test_the_kernel_of_the_page_points_at_the_clean_labels(names: dict[str, Any]) -> None:
    assert names["rho"] > 2
