"""The choice of a tuned value."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from made_up_trials import trial
from scipy import stats

from firstorder.errors import ConfigError, DataError
from firstorder.publish.statistics import Cell, choose


def bits(counts: list[int], size: int = 140) -> np.ndarray:
    """Correctness of seeds that have the first `counts` examples right."""
    return np.arange(size) < np.array(counts)[:, None]


def test_one_image_does_not_decide():
    candidates = {0.9: bits([70, 70, 70]), 0.1: bits([71, 70, 70])}
    found = choose(candidates, default=0.9)
    assert (found.best, found.value) == (0.1, 0.9)
    assert set(found.tied) == {0.1, 0.9}


def test_a_clearly_better_value_is_chosen_over_the_default():
    candidates = {0.9: bits([70, 72, 71]), 0.1: bits([90, 91, 95])}
    found = choose(candidates, default=0.9)
    assert found.value == found.best == 0.1
    assert found.wins[0.1] == found.kept[0.1] == 1.0


def test_ties_go_to_the_default_then_to_the_smaller_step_then_to_the_first():
    tied = {name: np.array([0.5, 0.6, 0.7]) for name in ("a", "b", "c")}
    assert choose(tied, default="c", steps={"a": 3, "b": 1, "c": 2}).value == "c"
    assert choose(tied, steps={"a": 3, "b": 1, "c": 2}).value == "b"
    assert choose(tied).value == "a"


def test_the_standard_error_is_that_of_the_paired_difference():
    first, second = np.array([0.80, 0.75, 0.82, 0.78]), np.array([0.70, 0.72, 0.69, 0.74])
    found = choose({"a": first, "b": second})
    assert found.errors["b"] == pytest.approx(stats.sem(first - second))
    assert found.errors["a"] == 0.0


def test_the_standard_error_of_bits_adds_seeds_and_examples():
    made = trial(np.random.default_rng(0), {"a": 0.8, "b": 0.6})
    gain = made["a"].astype(float) - made["b"]
    expected = np.hypot(stats.sem(gain.mean(1)), stats.sem(gain.mean(0)))
    assert choose(made).errors["b"] == pytest.approx(expected)


def test_the_best_is_within_one_error_of_itself_whatever_the_numbers():
    random = np.random.default_rng(1)
    for _ in range(50):
        found = choose({i: random.random(3) for i in range(6)}, default=3, resamples=50)
        assert found.best in found.tied
        assert found.value in found.tied
        assert sum(found.wins.values()) == pytest.approx(1)
        assert sum(found.kept.values()) == pytest.approx(1)


def test_how_often_a_value_wins_is_counted_over_resampled_seeds_and_examples():
    made = trial(np.random.default_rng(2), {"a": 0.81, "b": 0.8, "c": -1.0})
    found = choose(made)
    assert found.wins["c"] == 0.0
    assert 0.02 < found.wins["b"] < 0.98
    numbers = {"a": np.array([0.5, 0.9, 0.1]), "b": np.array([0.6, 0.5, 0.3])}
    draws = [list(each) for each in product(range(3), repeat=3)]
    by_hand = np.mean([numbers["a"][d].mean() >= numbers["b"][d].mean() - 1e-12 for d in draws])
    assert choose(numbers, resamples=20_000).wins["a"] == pytest.approx(by_hand, abs=0.01)


def test_examples_are_resampled_too():
    """Equal seeds; of 50 examples the first is right alone on 4, the second alone on 2."""
    first, second = np.zeros((2, 3, 50), bool)
    first[:, :14], second[:, :10], second[:, 14:16] = True, True, True
    times = np.random.default_rng(3).multinomial(50, [4 / 50, 2 / 50, 44 / 50], size=100_000)
    expected = (times[:, 0] >= times[:, 1]).mean()
    wins = choose({"a": first, "b": second}, resamples=5000).wins
    assert wins["a"] == pytest.approx(expected, abs=0.02)
    assert 0.05 < wins["b"] < 0.3


def test_a_diverged_candidate_is_never_chosen():
    candidates = {"a": np.array([0.9, np.nan, 0.9]), "b": np.array([0.2, 0.3, 0.2])}
    found = choose(candidates, default="a")
    assert found.value == "b"
    assert found.wins == {"a": 0.0, "b": 1.0}
    with pytest.raises(DataError, match="diverged"):
        choose({"a": candidates["a"]})


def test_two_seeds_are_too_few():
    with pytest.raises(ConfigError, match="at least 3"):
        choose({"a": np.array([0.1, 0.2])})


def test_candidates_share_their_seeds():
    with pytest.raises(ConfigError, match="other seeds"):
        choose({"a": np.array([0.1, 0.2, 0.3]), "b": Cell(np.array([0.1, 0.2, 0.3]), (4, 5, 6))})
