"""Every row of docs/reliability.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NAMED = re.compile(r"`(?:(tests/[\w/]+\.py|test_\w+\.py)(?:::)?)?((?:test_|…)?[\w…]*)`")


def rows(project: Path) -> list[str]:
    """The last cells of all tables of the page."""
    lines = (project / "docs/reliability.md").read_text(encoding="utf-8").splitlines()
    cells = [line.rstrip(" |").rpartition(" | ")[2] for line in lines if line.startswith("|")]
    return [cell for cell in cells if "test_" in cell]


def defined(project: Path, file: str) -> list[str]:
    """The names of the tests of a file; a bare name is of tests/faults/, else of tests/unit/."""
    places = [Path(file)] if "/" in file else [Path("tests", each, file) for each in PLACES]
    found = [project / place for place in places if (project / place).is_file()]
    assert found, f"{file} does not exist"
    return re.findall(r"^def (test_\w+)", found[0].read_text(encoding="utf-8"), re.MULTILINE)


PLACES = ("faults", "unit")


def test_every_test_that_the_page_names_exists(project: Path) -> None:
    said = rows(project)
    assert len(said) > 50
    for cell in said:
        known: list[str] = []
        for file, name in NAMED.findall(cell):
            known = defined(project, file) if file else known
            pattern = name.replace("…", r"\w*")
            if name and not any(re.fullmatch(pattern, each) for each in known):
                pytest.fail(f"{cell}: no {name} in {file or 'that file'}")
