"""The code of docs/linearized.md runs, and gives what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "linearized.md"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the blocks of the page define, run one after another."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), found)
    return found


def test_kernels_of_the_page_have_the_shapes_that_it_says(names: dict[str, Any]) -> None:
    shapes = {name: tuple(names[name].shape) for name in ("trace", "full", "across", "own")}
    assert shapes == {
        "trace": (60, 60),
        "full": (60, 60, 3, 3),
        "across": (5, 60),
        "own": (60, 3, 3),
    }
    assert torch.allclose(names["full"].diagonal(dim1=2, dim2=3).sum(2), names["trace"], rtol=1e-4)


def test_every_parameter_of_the_page_has_factors(names: dict[str, Any]) -> None:
    from firstorder.linearized.features import _covered

    tagger = names["tagger"]
    covered = _covered(tagger, names["words"][:2], "full")[0]
    assert covered == {name for name, _ in tagger.named_parameters()}


def test_a_file_holds_the_kernel_of_the_page(names: dict[str, Any]) -> None:
    kernel = names["kernel"]
    assert torch.equal(names["on_disk"], kernel) and torch.equal(names["again"], kernel)
    assert torch.equal(names["some"], kernel[[3, 5], :150])
    names["folder"].cleanup()


def test_eigenvectors_of_the_page_are_aligned_in_their_order(names: dict[str, Any]) -> None:
    aligned = names["aligned"]
    assert float(aligned[0]) == float(aligned.max())
    assert float(names["learnable"][-1]) <= 1


def test_the_linearized_training_of_the_page_learns(names: dict[str, Any]) -> None:
    loss = names["trajectory"].train_loss
    assert bool((loss[-1] < loss[0]).all())
    at_zero = names["f_lin"](names["delta"], names["images"][:4])
    assert torch.allclose(at_zero, names["scores"][:4], atol=1e-5)
