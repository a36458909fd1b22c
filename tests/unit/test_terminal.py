"""Text that a terminal cannot show is shown escaped, and ends nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from projects import Project

ENCODINGS = ("ascii", "latin-1", "cp1252", "utf-8")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_verbs_print_on_any_terminal(toy: Project, encoding: str) -> None:
    title = "Café − 中 😀"
    toy.edit(
        "studies/toy/study.yaml", lambda study: study["artefacts"]["pixels"].update(title=title)
    )
    for verb, status in (("list", 0), ("losses", 0), ("nové", 2)):
        done = subprocess.run(
            [sys.executable, "-m", "firstorder.cli", verb],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            cwd=toy.folder,
            capture_output=True,
        )
        assert done.returncode == status, done.stderr
        assert b"Traceback" not in done.stderr
        if verb == "list":
            # click takes an ASCII terminal for a UTF-8 one that says so wrongly.
            shown = "utf-8" if encoding == "ascii" else encoding
            assert title.encode(shown, "backslashreplace") in done.stdout
