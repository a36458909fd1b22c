"""What documents say of the project is so: paths exist, and nothing is counted by hand."""

from __future__ import annotations

import re

import pytest
import yaml
from projects import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "config/README.md", *(ROOT / "docs").glob("*.md")])
WORDS = {2: "two", 3: "three", 4: "four", 5: "five"}
PLACE = re.compile(r"`((?:config|docs|src|tests|workflow|profiles|envs|paper)/[\w./-]+)`")
FREE = re.compile(r"/(NAME|STUDY|SCALE)|toy_|my_|pets|profiles/mine|published/\w+\.csv$")
"""Paths of the reader's own, or with a name to fill in."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_exists(page) -> None:  # type: ignore[no-untyped-def]
    named = {name for name in PLACE.findall(page.read_text()) if not FREE.search(name)}
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


@pytest.mark.parametrize("file", ["README.md", "pyproject.toml", "CITATION.cff", ".zenodo.json"])
def test_the_number_of_studies_is_that_of_the_configuration(file: str) -> None:
    chosen = yaml.safe_load((ROOT / "config/config.yaml").read_text())["studies"]
    said = set(re.findall(r"(\w+) studies of first-order", (ROOT / file).read_text().lower()))
    assert said == {WORDS[len(chosen)]}


def test_the_evaluation_guide_counts_nothing_that_a_change_makes_stale() -> None:
    text = (ROOT / "docs/artifact-evaluation.md").read_text()
    assert re.findall(r"\d[\d,]* (?:claims|files compared|trainings|hold\b|fail\b)", text) == []
