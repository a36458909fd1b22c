"""Entries of tables, published numbers beside them, and the formats in which they are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firstorder.errors import ConfigError
from firstorder.publish import grid, latex
from firstorder.publish.table import (
    COLUMNS,
    REASON,
    agrees,
    mark_best,
    plus_minus,
    published,
    spread,
)

PUBLISHED = Path(__file__).resolve().parents[2] / "config" / "published"


def test_the_spread_has_n_minus_one_and_none_for_one_seed() -> None:
    mean, std, n = spread(pd.Series([1.0, 2.0, 3.0, np.nan]))
    assert (mean, std, n) == (2.0, 1.0, 3)
    assert np.isnan(spread(pd.Series([1.0]))[1])
    assert plus_minus(82.236, 0.25) == "82.24 ± 0.25"
    assert plus_minus(82.236, float("nan")) == "82.24"
    assert plus_minus(float("nan"), float("nan")) == ""


@pytest.mark.parametrize(
    ("mean", "std", "anchor", "anchor_std", "agreement"),
    [
        (83.2, 0.0, 82.24, 0.25, True),  # within one point
        (83.3, 0.0, 82.24, 0.0, False),
        (84.0, 0.35, 82.24, 0.25, True),  # 1.76 <= 3 (0.35 + 0.25)
        (84.1, 0.35, 82.24, 0.25, False),
        (83.2, float("nan"), 82.24, float("nan"), True),
    ],
)
def test_a_cell_agrees_within_a_point_or_three_times_both_spreads(
    mean: float, std: float, anchor: float, anchor_std: float, agreement: bool
) -> None:
    assert agrees(mean, std, anchor, anchor_std) is agreement


def test_the_best_of_a_column_is_bold_and_ties_share_it() -> None:
    frame = pd.DataFrame(
        {"section": "", "column": ["a", "a", "a"], "mean": [1.001, 1.004, 0.5], "eligible": True}
    )
    assert list(mark_best(frame)["best"]) == [True, True, False]


def test_a_row_without_a_rebuilt_number_begins_with_the_published_one() -> None:
    frame = pd.DataFrame(
        {"section": "", "row": ["CE", "best of the paper"], "column": "worst", "corner": "Loss",
         "text": ["70.00", ""], "published_text": ["", "81.28"], "best": False}
    )  # fmt: skip
    (section,) = grid.sections(frame)
    assert [[cell.text for cell in row] for row in section.rows] == [
        ["CE", "rebuilt", "70.00"],
        ["best of the paper", "published", "81.28"],
    ]


def test_special_characters_are_escaped_in_every_format() -> None:
    frame = pd.DataFrame(
        [{"section": "A & B_1", "row": "50 % <α>", "column": "x|y", "corner": "#", "mean": 1.0,
          "std": 0.1, "n": 2, "text": "1.00 ± 0.10", "best": True}]
    )  # fmt: skip
    laid_out = grid.sections(frame)
    text = latex.latex(laid_out, "T", "C", "l")
    assert r"A \& B\_1" in text
    assert r"50 \% \textless{}$\alpha$\textgreater{}" in text
    assert r"\textbf{1.00 $\pm$ 0.10}" in text
    page = grid.webpage(laid_out, "T", "C")
    assert "A &amp; B_1" in page
    assert "&lt;α&gt;" in page
    assert "x\\|y" in grid.markdown(laid_out, "T", "C")


def test_a_file_of_published_numbers_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"config/published/none\.csv"):
        published("config/published/none.csv", "last_accuracy")


def test_the_columns_of_published_numbers_are_checked(tmp_path: Path) -> None:
    row = "s,t,cifar10,symmetric-0.4,ce,last_accuracy,58.46,0.21,3,T"
    for name, more in (("misspelt", "not_comparred"), ("repeated", f"{REASON},{REASON}")):
        path = tmp_path / f"{name}.csv"
        path.write_text(f"{','.join(COLUMNS)},{more}\n{row},\n")
        with pytest.raises(ConfigError, match=f"{name}.csv: expected the columns .*{REASON}"):
            published(str(path), "last_accuracy")
    path = tmp_path / "without-reasons.csv"
    path.write_text(f"{','.join(COLUMNS)}\n{row}\n")
    anchors = published(str(path), "last_accuracy")
    assert [record[REASON] for record in anchors.values()] == [""]
