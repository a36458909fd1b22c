"""Verdicts: the four of them, margins, flips, and one verdict on several effects."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import numpy as np
import pytest

from firstorder.publish.statistics import (
    FAILS,
    HOLDS,
    NOT_RESOLVED,
    NOT_RUN,
    Effect,
    combine,
    difference,
    effect,
    exact,
    judge,
    not_run,
    resample,
)
from firstorder.publish.statistics.verdict import missing, share_needed


def drawn(value: float, spread: float = 1.0, seed: int = 0) -> Effect:
    """An effect whose draws are normal."""
    draws = value + spread * np.random.default_rng(seed).standard_normal(4000)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Effect(value, low, high, draws=draws)


@pytest.mark.parametrize(
    "threshold, direction, status",
    [
        (-3, "above", HOLDS),
        (3, "above", FAILS),
        (0.5, "above", NOT_RESOLVED),
        (3, "below", HOLDS),
        (-3, "below", FAILS),
        (-0.5, "below", NOT_RESOLVED),
        (3, "within", HOLDS),
        (1.5, "within", NOT_RESOLVED),
    ],
)
def test_the_interval_and_the_threshold_give_the_verdict(threshold, direction, status):
    assert judge(drawn(0.0).against(threshold, direction)).status == status


def test_an_interval_is_written_where_there_is_one():
    assert str(Effect(1.5, 1.0, 2.0, unit="points")) == "1.5 points [1, 2]"
    assert str(Effect(1.5, -np.inf, np.inf, unit="points")) == "1.5 points"
    assert str(Effect(1.5, 1.0, np.inf, unit="points")) == "1.5 points [1, ∞]"


def test_an_effect_far_from_zero_fails_to_be_within():
    for value in (-5.0, 5.0):
        assert judge(drawn(value).against(2, "within")).status == FAILS


def test_an_interval_that_ends_at_the_threshold_is_not_resolved():
    assert judge(exact(0.0, 0.0)).status == NOT_RESOLVED
    assert judge(exact(0.0, 1e-9, "below")).status == HOLDS


@pytest.mark.parametrize("direction, margin", [("above", 1.5), ("below", -1.5), ("within", -1.5)])
def test_the_margin_is_positive_on_the_claimed_side(direction, margin):
    assert drawn(2.0).against(0.5, direction).margin == pytest.approx(margin)


def test_the_flip_probability_is_the_share_of_draws_beyond_the_threshold():
    found = drawn(1.0).against(0.0)
    assert found.flip == pytest.approx(0.159, abs=0.02)
    assert found.p_holds == pytest.approx(found.flip, abs=0.001)
    assert found.p_fails == pytest.approx(1 - found.flip, abs=0.001)
    assert drawn(0.0).against(1.0, "within").flip == pytest.approx(0.317, abs=0.02)


def test_what_was_not_measured_is_not_run():
    assert judge(missing("No such run.")).status == NOT_RUN
    assert judge(missing("No such run.")).text == "No such run."
    assert not_run("x").status == NOT_RUN
    assert combine([missing("a"), missing("b")]).status == NOT_RUN
    assert combine([]).status == NOT_RUN


def test_an_effect_without_a_threshold_cannot_be_judged():
    with pytest.raises(ValueError, match="threshold"):
        judge(drawn(0.0))


def test_the_sentence_has_effect_interval_threshold_margin_and_flip():
    found = Effect(3.1, 1.2, 5.0, 2.0, unit="points", draws=np.linspace(1, 5.2, 100))
    said = judge(found, "SGCE gains.").text
    for part in ("SGCE gains.", "3.1 points [1.2, 5]", "> 2", "margin 1.1", "% of resamples"):
        assert part in said


def effects(*values: float) -> list[Effect]:
    return [drawn(value, seed=seed).against(0.0) for seed, value in enumerate(values)]


@pytest.mark.parametrize(
    "values, need, status",
    [
        ((5, 5, 5), "all", HOLDS),
        ((5, 5, 1), "all", NOT_RESOLVED),
        ((5, 5, -5), "all", FAILS),
        ((5, 5, -5), "most", HOLDS),
        ((5, 0, -5), "most", NOT_RESOLVED),
        ((5, -5, -5), "most", FAILS),
        ((5, -5, -5), "any", HOLDS),
        ((2.1, -5, -5), "any", NOT_RESOLVED),
        ((-5, -5, -5), "any", FAILS),
        ((5, 5, 5, -5), 3, HOLDS),
    ],
)
def test_many_effects_have_one_verdict(values, need, status):
    assert combine(effects(*values), need).status == status


def test_an_effect_that_is_missing_counts_as_neither():
    assert combine([*effects(5, 5), missing("gone")], "all").status == NOT_RESOLVED
    assert combine([*effects(-5, 5), missing("gone")], "all").status == FAILS
    assert combine([*effects(5, 5), missing("gone")], "most").status == HOLDS
    assert "1 not run" in combine([*effects(5, 5), missing("gone")], "most").text


def test_the_margin_of_several_is_that_of_the_effect_that_decides():
    assert combine(effects(5, 3, 1), "all").margin == pytest.approx(1)
    assert combine(effects(5, 3, 1), "most").margin == pytest.approx(3)
    assert combine(effects(5, 3, 1), "any").margin == pytest.approx(5)


def test_the_flip_of_several_is_joint():
    """Independent: 1 - (1 - .159)^2. The same draws twice: .159."""
    assert combine(effects(1, 1), "all").flip == pytest.approx(0.293, abs=0.03)
    same = drawn(1.0).against(0.0)
    assert combine([same, same], "all").flip == same.flip


def test_exact_effects_combine_to_an_exact_verdict():
    certain = [exact(1e-12, 1e-9, "below"), exact(2.0, 1.0)]
    assert combine(certain).status == HOLDS
    assert combine(certain).flip == 0.0
    assert combine([exact(1.0, 1e-9, "below"), exact(2.0, 1.0)]).status == FAILS


def test_what_limits_some_intervals_is_said_once_and_of_whom():
    first, second, other = (replace(drawn(3.0).against(0.0), name=name) for name in "ABC")
    few = [replace(each, note="One seed, no more.") for each in (first, second)]
    assert combine(few).text.endswith("resamples. One seed, no more.")
    assert combine([*few, other]).text.endswith("resamples. A, B: one seed, no more.")
    assert combine([*few, *few, other]).text.endswith("resamples. 4 of 5: one seed, no more.")


def test_one_of_one_says_what_it_is_about_and_an_exact_number_is_not_resampled():
    (alone,) = found = [drawn(3.0).against(0.0)]
    assert combine(found, "all").text == judge(alone).text
    certain = [exact(1e-16, 1e-9, "below"), exact(2e-16, 1e-9, "below")]
    for verdict in (judge(certain[0]), combine(certain)):
        assert verdict.flip == 0 and verdict.text.endswith("margin 10⁻⁹.")


def test_two_thirds_of_the_cells():
    assert [share_needed(n, 2 / 3) for n in (3, 4, 9, 10)] == [2, 3, 6, 7]


@pytest.mark.parametrize("need", ["all", "most", "any"])
def test_at_most_5_of_100_claims_over_ten_null_effects_hold(need):
    """Thresholds at the truth: every effect is null."""
    random, held, trials = np.random.default_rng(7), 0, 200
    for number in range(trials):
        numbers = {i: random.standard_normal(5) for i in range(11)}
        made = resample(numbers, resamples=1000, seed=number)
        found = [effect(made, difference(0, i), threshold=0.0) for i in range(1, 11)]
        held += combine(found, need).status == HOLDS
    assert held / trials <= 0.05


def test_a_value_that_is_nan_does_not_hold():
    assert judge(Effect(nan, nan, nan, 0.0)).status == NOT_RUN


def test_an_effect_without_a_threshold_is_no_claim() -> None:
    effect = exact(1.0, float("nan"))
    for judged in (lambda: judge(effect), lambda: combine([exact(1.0, 0.0), effect])):
        with pytest.raises(ValueError, match="threshold"):
            judged()
