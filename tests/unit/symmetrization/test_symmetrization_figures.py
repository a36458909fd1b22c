"""Figures of the symmetrization study: drawn with their data, the same to the byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import made_up_trainings as made_up
import numpy as np
import pandas as pd
import pytest

from firstorder.config import Config

FIGURES = [name for name, entry in made_up.ARTEFACTS.items() if entry["kind"] == "figure"]


@pytest.mark.parametrize("artefact", FIGURES)
def test_every_figure_is_drawn_with_its_data(
    artefact_of: Callable[[str], Any], artefact: str
) -> None:
    found = artefact_of(artefact).files
    assert len(pd.read_csv(found["csv"])) > 0
    for suffix, start in (("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")):
        content = found[suffix].read_bytes()
        assert content.startswith(start)
        assert b"Date" not in content
    assert not list(found["csv"].parent.glob(".*"))


def test_a_figure_repeats_to_the_byte(made: Config, artefact_of: Callable[[str], Any]) -> None:
    first = [path.read_bytes() for path in artefact_of("by-noise").files.values()]
    again = [path.read_bytes() for path in made_up.make(made, "by-noise").values()]
    assert again == first


def test_the_unhinged_gradient_is_flat_and_every_loss_starts_at_zero(
    artefact_of: Callable[[str], Any],
) -> None:
    data = pd.read_csv(artefact_of("loss-shapes").files["csv"])
    unhinged = data[data["loss"] == "unhinged"]["gradient"]
    assert unhinged.to_numpy() == pytest.approx(np.sqrt(0.9))
    nearest = data[(data["probability"] - 0.1).abs() < 0.003]
    assert nearest["value"].abs().max() < 0.3


def test_the_ranks_of_the_losses_are_drawn_best_first(artefact_of: Callable[[str], Any]) -> None:
    data = pd.read_csv(artefact_of("ranks").files["csv"])
    assert data["label"].iloc[0] == "SGCE"
    assert data["rank"].is_monotonic_increasing
    assert set(data["cells"]) == {4}
