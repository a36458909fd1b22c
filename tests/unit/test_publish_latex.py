"""LaTeX tables: they compile, fit the text, name sources, and print the digits that are asked."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from projects import ROOT

from firstorder.publish import grid, latex

PAGE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage{booktabs,graphicx}
\setlength{\textwidth}{5.5in}
\begin{document}
%s
\end{document}
"""
WRITTEN = sorted({
    each
    for pattern in ("src/firstorder/**/*.py", "config/**/*.yaml", "config/**/*.csv")
    for path in ROOT.glob(pattern)
    for each in path.read_text(encoding="utf-8")
    if not each.isascii()
})  # fmt: skip
"""Characters of the project: any of them may come to stand in a table."""
CHARACTERS = "".join(dict.fromkeys([*latex.TEX, *WRITTEN, *"ΓΩπφωüñŠç"]))
MADE = re.compile(r"Overfull \\hbox \((?P<points>[\d.]+)pt too wide\)")


@pytest.fixture
def frame() -> pd.DataFrame:
    """Fifteen columns, every special character, and a published number from each of two sources."""
    rows = [
        {"section": f"A & B {CHARACTERS}", "row": f"Loss {row}", "corner": "Loss_%",
         "column": f"{10 * column} % of noise", "mean": 80.125, "std": 1.5,
         "text": "80.12 ± 1.50", "best": row == 1, "published": 79.0, "published_std": 0.25,
         "published_text": "79.00 ± 0.25", "source": f"Table {row}", "difference": 1.125,
         "agreement": "agrees"}
        for row in (1, 2)
        for column in range(15)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def made(frame: pd.DataFrame) -> str:
    return latex.latex(grid.sections(frame), f"Title {CHARACTERS}", "Caption.", "a-table")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on the path")
def test_a_wide_table_of_special_characters_compiles_and_fits(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "page.tex").write_text(PAGE % made(frame))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "page.pdf").is_file()
    too_wide = [float(found["points"]) for found in MADE.finditer(done.stdout)]
    assert max(too_wide, default=0.0) < 1.0


@pytest.mark.parametrize(
    ("text", "printed"),
    [("τ₁", r"$\tau$$_{1}$"),
     ("10⁻⁶", r"10$^{-}$$^{6}$"), ("Šé", r"\v S\'e"), ("\u0391Γ", r"$A$$\Gamma$"),
     ("Λλ", r"$\Lambda$$\lambda$"), ("“a”", "``a''"), ("中", "[U+4E2D]")],
)  # fmt: skip
def test_a_character_that_pdflatex_does_not_know_is_a_command_or_its_number(
    text: str, printed: str
) -> None:
    assert latex.tex(text) == printed


def test_every_character_of_the_project_is_printed() -> None:
    assert "[U+" not in latex.tex("".join(WRITTEN))


def test_environments_and_columns_are_balanced(frame: pd.DataFrame) -> None:
    text = made(frame)
    for name in ("table", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") == 1
    body = [
        line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line
    ]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {16}
    assert not re.search(r"[^\x00-\x7f]", text)


def test_sources_of_published_numbers_are_footnotes(frame: pd.DataFrame) -> None:
    text = made(frame)
    assert r"\textit{79.00 $\pm$ 0.25}$^{a}$" in text
    assert r"$^{a}$\,Table 1. $^{b}$\,Table 2." in text


@pytest.mark.parametrize(
    ("digits", "std", "rebuilt", "published"),
    [
        (None, True, "80.12 ± 1.50", "79.00 ± 0.25"),
        (1, True, "80.1 ± 1.5", "79.0 ± 0.2"),
        (0, False, "80", "79"),
        (None, False, "80.12", "79.00"),
    ],
)
def test_digits_and_spreads_are_as_asked(
    frame: pd.DataFrame, digits: int | None, std: bool, rebuilt: str, published: str
) -> None:
    again = latex.reprinted(frame, digits, std)
    assert set(again["text"]) == {rebuilt} and set(again["published_text"]) == {published}


@pytest.mark.parametrize(
    ("text", "mean", "expected"),
    [("diverged", float("nan"), "diverged"), ("81.46 ± 0.20 †", 81.456, "81.5 †"),
     ("+1.25 ± 0.10", 1.25, "+1.2"), ("−1.25", -1.25, "−1.2"), ("", float("nan"), "")],
)  # fmt: skip
def test_signs_and_marks_stay(text: str, mean: float, expected: str) -> None:
    frame = pd.DataFrame([{"text": text, "mean": mean, "std": 0.1}])
    assert list(latex.reprinted(frame, 1, False)["text"]) == [expected]


def test_a_row_that_begins_with_a_bracket_or_a_star_is_no_option_of_the_line_before(
    frame: pd.DataFrame,
) -> None:
    for label in ("[1em] a", "*a"):
        text = made(frame.assign(row=label, corner=label))
        assert f"\n{{}}{label} & " in text
        assert f"\n{label}" not in text


def test_a_title_of_two_lines_stays_in_its_caption() -> None:
    assert latex.tex("a\n\n b") == "a b"
