"""What the page of a scale says of the configuration."""

from __future__ import annotations

import re

import pytest
from projects import ROOT, load

from firstorder.publish import claims_page, grid, steps

STEPS = {step.name: step for step in steps.STEPS}


@pytest.mark.parametrize("step", ["page", "paper", "claims", "manifest"])
def test_only_the_data_that_the_chosen_studies_read_are_named(step: str) -> None:
    config = load(ROOT / "config", {"scale": "cifar", "studies": ["line_attractor"]})
    assert STEPS[step].job(config).spec["data"] == "IMDB"


def test_a_verdict_has_one_colour_in_the_page_the_claims_and_the_paper() -> None:
    page = (ROOT / "src/firstorder/publish/assets/page.css").read_text(encoding="utf-8")
    paper = (ROOT / "paper/main.typ").read_text(encoding="utf-8")
    names = {"holds": "good", "fails": "bad", "not resolved": "open"}
    for status, name in names.items():
        (colour,) = re.findall(rf"--{name}: (#\w+);", page)
        assert f'"{status}": rgb("{colour}")' in paper
        assert f".{claims_page.LOOK[status]} {{ color: {colour}; }}" in grid.PAGE.template
    assert len(set(claims_page.LOOK.values())) == len(claims_page.LOOK)


def test_the_page_names_the_data_of_every_study() -> None:
    spec = STEPS["page"].job(load(ROOT / "config", {"scale": "small"})).spec
    data = {study["name"]: study["data"] for study in spec["studies"]}
    assert data["line_attractor"] == "SST" and "SST" not in data["symmetrization"]
    assert set(spec["data"].split("; ")) == {d for own in data.values() for d in own.split("; ")}
