"""What documents say of the project is so: paths exist, and nothing is counted by hand."""

from __future__ import annotations

import re
import subprocess

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


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True)
    return done.stdout.strip()


def test_every_commit_that_results_are_from_is_in_the_history() -> None:
    pages = [*PAGES, *(ROOT / "docs").glob("*/**/*.md")]
    named = {name for page in pages for name in re.findall("`([0-9a-f]{7,40})`", page.read_text())}
    known = _git("rev-list", "HEAD").splitlines()
    strange = [name for name in named if not any(x.startswith(name) for x in known)]
    if len(strange) == len(named) or _git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("without the history of the project")
    assert strange == []


def test_what_is_unknown_to_us_is_not_said_to_be_unpublished() -> None:
    folders = ("config", "docs", "src", "workflow", "paper")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    text = {".py", ".md", ".yaml", ".csv", ".tex", ".html", ".typ", ".smk"}
    said = re.compile(r"(?:not|never) published|unpublished")
    found = [path for path in files if path.suffix in text and said.search(path.read_text())]
    assert found == []
