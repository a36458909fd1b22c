"""CSV files for spreadsheets: no text is a formula, and everything is read back as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firstorder.publish import spreadsheets

FORMULAS = [
    "=1+1", '=HYPERLINK("http://a.example","x")', "@SUM(A1)", "+cmd|' /C calc'!A0",
    "-2+3+cmd|''!A0",
    "\t=1", " \n=1", "'=1", "''@a", "-", "+x",
    "\uff1d1+1", "\uff0b1", " \uff0d1", "\uff20a",
]  # fmt: skip
PLAIN = ["NCE+AGCE", "'quoted'", "a=b", "NA", "nan", "None", "", "+0.52", "-0.52 ± 0.10", "+1e-05"]


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_begins_like_a_formula_is_marked_as_text(text: str) -> None:
    written = spreadsheets.csv(pd.DataFrame({"label": [text], "value": [-1.5]}))
    cell, number = written.removeprefix("label,value\n").rstrip("\n").rsplit(",", 1)
    assert cell.lstrip('"').startswith("'")
    assert number == "-1.5"


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_and_printed_numbers_are_written_as_they_are(text: str) -> None:
    frame = pd.DataFrame({"label": [text], "value": [1]})
    assert spreadsheets.csv(frame) == frame.to_csv(index=False, lineterminator="\n")


def test_a_carriage_return_makes_no_new_row() -> None:
    assert spreadsheets.csv(pd.DataFrame({"label": ["a\r=1"]})) == "label\na =1\n"


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    texts = [text for text in (*FORMULAS, *PLAIN) if text]
    frame = pd.DataFrame(
        {"label": texts, "value": [-1.5, *[np.nan] * (len(texts) - 1)], "best": True}
    )
    path = tmp_path / "table.csv"
    path.write_text(spreadsheets.csv(frame), newline="")
    again = spreadsheets.read_csv(path, dtype={"label": str})
    assert list(again["label"]) == texts
    assert again["value"].equals(frame["value"]) and again["best"].all()
