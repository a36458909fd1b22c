"""A definition in a new file of a package is known by its name alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from firstorder import losses, models
from firstorder.errors import ConfigError
from firstorder.losses.registry import _ENTRIES
from firstorder.models.registry import _BUILDERS, _INITIALISERS
from firstorder.studies.symmetrization.frames import kind_of_noise

LOSS = """
from firstorder.losses.registry import register


@register("fresh-ramp")
def ramp(scores, *, margin: float = 0.9):
    return (margin - scores.softmax(-1)).clamp(min=0)
"""
MODEL = """
import math

from torch import nn

from firstorder.models.registry import register


@register("fresh-layer")
def layer(num_classes, shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), num_classes))
"""


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two packages that each have one more file."""
    for package, text in ((losses, LOSS), (models, MODEL)):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / "fresh.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    yield
    for known, name in (
        (_ENTRIES, "fresh-ramp"), (_BUILDERS, "fresh-layer"), (_INITIALISERS, "fresh-layer"),
        (sys.modules, "firstorder.losses.fresh"), (sys.modules, "firstorder.models.fresh"),
    ):  # fmt: skip
        known.pop(name, None)


@pytest.mark.usefixtures("added")
def test_a_loss_in_a_new_file_is_known() -> None:
    loss = losses.build("fresh-ramp", 10, margin=0.8)
    assert loss.values(torch.zeros(2, 10)).allclose(torch.full((2, 10), 0.7))
    assert "fresh-ramp" in losses.names()


@pytest.mark.usefixtures("added")
def test_a_network_in_a_new_file_is_known() -> None:
    assert models.build("fresh-layer", 3, (1, 4, 4))(torch.zeros(2, 1, 4, 4)).shape == (2, 3)
    with pytest.raises(ConfigError, match=r"'fresh-laye' is unknown; allowed: .*fresh-layer"):
        models.build("fresh-laye", 3, (1, 4, 4))


def test_a_new_kind_of_noise_is_printed_by_its_name() -> None:
    assert kind_of_noise("backwards") == "backwards noise"
    assert kind_of_noise("pairflip") == "pair-flip noise"
