"""What the page of a scale says of the configuration."""

from __future__ import annotations

import pytest
from projects import ROOT, load

from firstorder.publish import steps

STEPS = {step.name: step for step in steps.STEPS}


@pytest.mark.parametrize("step", ["page", "paper", "claims", "manifest"])
def test_only_the_data_that_the_chosen_studies_read_are_named(step: str) -> None:
    config = load(ROOT / "config", {"scale": "cifar", "studies": ["line_attractor"]})
    assert STEPS[step].job(config).spec["data"] == "IMDB"


def test_the_page_names_the_data_of_every_study() -> None:
    spec = STEPS["page"].job(load(ROOT / "config", {"scale": "small"})).spec
    data = {study["name"]: study["data"] for study in spec["studies"]}
    assert data["line_attractor"] == "SST" and "SST" not in data["symmetrization"]
    assert set(spec["data"].split("; ")) == {d for own in data.values() for d in own.split("; ")}
