"""Whatever a verb is given, it succeeds or says in one line what is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import make_project

from firstorder import cli

VERBS = cli.commands.list_commands(cli.click.Context(cli.commands))
KEYS = ("scale", "studies", "device", "results", "resources", "checkpoint_seconds", "", "x", "a.b")
WORDS = st.sampled_from([text for text in hostile.TEXTS if "\0" not in text]) | st.sampled_from(
    [*VERBS, "linearized", "symmetrization", "mlp", "1", "gce", "eigenfunctions", "accuracy"]
)
VALUES = WORDS | st.sampled_from(
    [
        "[1",
        "{",
        "[" * 10_000,
        "0x_",
        "2020-99-99",
        "!!int x",
        "{a: {b: c}}",
        ".nan",
        "[smoke]",
        "*a",
    ]
)
OPTIONS = st.one_of(
    st.tuples(st.just("--set"), st.builds("{}={}".format, st.sampled_from(KEYS), VALUES)),
    st.tuples(st.sampled_from(["--scale", "--results", "--set", "--strict", "--no"]), VALUES),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tiny project in which nothing was made, in whose folder we are."""
    folder, before = tmp_path_factory.mktemp("fuzz"), Path.cwd()
    make_project(folder)
    os.chdir(folder)
    yield folder
    os.chdir(before)


@hostile.PROFILE
@given(
    verb=st.sampled_from(VERBS),
    words=st.lists(WORDS, max_size=4),
    options=st.lists(OPTIONS, max_size=2),
)
def test_a_verb_succeeds_or_says_one_line(
    folder: Path, verb: str, words: list[str], options: list[tuple[str, str]]
) -> None:
    arguments = [verb, *words, *(word for option in options for word in option)]
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr(sys, "argv", ["firstorder", *arguments])
        patch.setattr(cli.click, "echo", lambda text, err=False, **_: said.append(str(text)))
        patch.setattr("firstorder.doctor._answers", lambda url: False)
        try:
            cli.main()
        except SystemExit as end:
            status = end.code or 0
        else:
            status = 0
    assert status in (0, 1, 2), (arguments, said)
    if status == 1 and verb != "doctor":
        (line,) = said if verb != "explain" else said[-1:]
        assert line.startswith("firstorder: ") and line.isprintable(), (arguments, said)
