"""Code digests: what counts as a change, and how far a change reaches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"

PACKAGE = {
    "__init__.py": "",
    "registry.py": "KNOWN = {}\ndef register(name):\n    def add(f):\n        KNOWN[name] = f\n"
    "        return f\n    return add\ndef build(name):\n    return KNOWN[name]\n",
    "one.py": "from firstorder.registry import register\n"
    '@register("one")\ndef first(x):\n    """Doc."""\n    return helper(x)\n'
    "def helper(x):\n    return x + 1\n"
    "def unused(x):\n    return 7\n",
    "two.py": "from firstorder import one\nfrom firstorder.registry import register\n"
    '@register("two")\ndef second(x):\n    return one.helper(x)\n',
    "entry.py": "from firstorder import registry\ndef run(name):\n    return registry.build(name)\n"
    "def other():\n    from firstorder import one\n    return one.unused(1)\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of the same name as ours, with our `digest` in it."""
    folder = tmp_path / "firstorder"
    folder.mkdir()
    for name, text in PACKAGE.items():
        (folder / name).write_text(text)
    (folder / "digest.py").write_text((SOURCE / "firstorder" / "digest.py").read_text())
    return folder


def code(package: Path, *entries: str) -> str:
    script = f"from firstorder import digest; print(digest.code(*{list(entries)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=package.parent,
        env={"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def edit(package: Path, name: str, old: str, new: str) -> None:
    path = package / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


ONE = "firstorder.one:first"
TWO = "firstorder.two:second"
RUN = "firstorder.entry:run"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Doc."""', '"""Another."""'),
        ("def helper(x):", "# a comment\n\n\ndef helper(x):"),
        ("def helper(x):", "def helper(x: int) -> int:"),
        ("return 7", "return 8"),
    ],
    ids=["docstring", "comment", "annotation", "unused definition"],
)
def test_what_changes_no_result_changes_no_digest(package: Path, old: str, new: str) -> None:
    before = code(package, ONE)
    edit(package, "one.py", old, new)
    assert code(package, ONE) == before


def test_a_change_reaches_its_dependents_through_modules(package: Path) -> None:
    before = code(package, ONE), code(package, TWO), code(package, RUN)
    edit(package, "one.py", "x + 1", "x + 2")
    after = code(package, ONE), code(package, TWO), code(package, RUN)
    assert after[0] != before[0] and after[1] != before[1]
    assert after[2] == before[2]


def test_registering_one_more_function_changes_no_other_digest(package: Path) -> None:
    before = code(package, RUN, ONE)
    edit(
        package,
        "two.py",
        "def second",
        '@register("three")\ndef third(x):\n    return 3\n\n\n@register("two")\ndef second',
    )
    assert code(package, RUN, ONE) == before


def test_an_import_inside_a_function_is_followed(package: Path) -> None:
    before = code(package, "firstorder.entry:other")
    edit(package, "one.py", "return 7", "return 8")
    assert code(package, "firstorder.entry:other") != before


def test_a_statement_that_runs_on_import_counts(package: Path) -> None:
    before = code(package, ONE)
    edit(package, "registry.py", "KNOWN = {}\n", "KNOWN = {}\nprint\n")
    assert code(package, ONE) != before


def test_a_file_of_the_user_counts_as_a_whole(package: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("def loss(s):\n    return s\n")
    before = code(package, f"{mine}:loss")
    mine.write_text("def loss(s):\n    return 2 * s\n")
    assert code(package, f"{mine}:loss") != before


def test_registered_definitions_are_found_by_their_decorator() -> None:
    from firstorder import digest

    assert digest.registered("firstorder.losses", "sgce") == ("firstorder.losses.symmetric:sgce",)
    with pytest.raises(KeyError):
        digest.registered("firstorder.losses", "no-such-loss")


def test_trainings_do_not_depend_on_the_other_study_or_on_publishing() -> None:
    from firstorder import digest

    modules = {m for m, _ in digest.reach(("firstorder.studies.symmetrization", "train"))}
    assert modules
    assert not {m for m in modules if m.startswith(("firstorder.linearized", "firstorder.publish"))}
