"""Numbers and counts as readers see them."""

from __future__ import annotations

import math

import pytest

from firstorder.publish.numerals import counted, number, powered, significant


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [
        (3.0, 3, "3"),
        (-0.5, 3, "−0.5"),
        (0.0, 3, "0"),
        (999.7, 3, "1,000"),
        (1506.2, 3, "1,506"),
        (2.1e6, 2, "2.1×10⁶"),
        (1e-9, 3, "10⁻⁹"),
        (-1e-9, 3, "−10⁻⁹"),
        (3.04e-15, 2, "3×10⁻¹⁵"),
        (-math.inf, 3, "−∞"),
    ],
)
def test_a_number_has_a_true_minus_and_raised_powers(value: float, digits: int, said: str) -> None:
    assert number(value, digits) == said


def test_numbers_of_a_column_keep_their_zeros_and_no_point_at_the_end() -> None:
    assert [significant(value) for value in (1.0, 0.92, 123.4)] == ["1.00", "0.920", "123"]
    assert [significant(value, 2) for value in (0.07, 0.047, 14.2)] == ["0.070", "0.047", "14"]


def test_tolerances_of_a_column_are_all_powers_of_ten() -> None:
    assert [powered(value) for value in (1e-4, 5e-5, 1e-8)] == ["10⁻⁴", "5×10⁻⁵", "10⁻⁸"]


def test_a_verb_agrees_with_its_number() -> None:
    said = [counted(1, "fails"), counted(2, "fails"), counted(0, "holds"), counted(2, "not run")]
    assert said == ["1 fails", "2 fail", "0 hold", "2 not run"]
