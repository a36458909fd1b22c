"""Paired tests, groups of equals and rankings against scipy and against direct counts."""

from __future__ import annotations

from itertools import product

import matplotlib
import numpy as np
import pytest
from made_up_trials import trial
from matplotlib.figure import Figure
from scipy import stats

from firstorder.publish.statistics import (
    cells_needed,
    equals_of_the_best,
    holm,
    mcnemar,
    ranking,
    resample,
    sign_flips,
)
from firstorder.publish.statistics.critical_difference import draw, height

matplotlib.use("agg")


def test_mcnemar_is_the_binomial_test_on_the_examples_that_differ():
    first = np.array([1] * 70 + [0] * 30, bool)
    second = np.array([1] * 58 + [0] * 12 + [1] * 3 + [0] * 27, bool)
    found = mcnemar(first, second)
    assert (found.wins, found.losses) == (12, 3)
    assert found.p == pytest.approx(2 * stats.binom.cdf(3, 15, 0.5))


def test_mcnemar_of_equal_methods_is_one():
    bits = np.random.default_rng(0).random((3, 50)) < 0.5
    assert mcnemar(bits, bits).p == 1.0


def test_several_seeds_count_an_example_once():
    """The same predictions by five seeds say no more than by one."""
    random = np.random.default_rng(1)
    first, second = (random.random(40) < p for p in (0.8, 0.6))
    once = mcnemar(first, second)
    five = mcnemar(np.tile(first, (5, 1)), np.tile(second, (5, 1)))
    assert five.p == pytest.approx(once.p, abs=0.01)


def test_several_seeds_weigh_an_example_by_the_seeds_that_differ():
    """Examples won by 3, 2 and 1 seeds and lost by 1: 16 sign flips by hand."""
    first = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]], bool)
    second = np.array([[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]], bool)
    sums = [abs(np.dot(signs, [3, 2, 1, -1])) for signs in product((-1, 1), repeat=4)]
    assert mcnemar(first, second).p == np.mean([s >= 5 for s in sums]) == 0.375


def test_bits_of_other_shapes_are_not_paired():
    with pytest.raises(ValueError, match="not paired"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


def gain(first: np.ndarray, second: np.ndarray) -> float:
    return np.sum(first - second)


@pytest.mark.parametrize("count", [5, 8])
def test_sign_flips_are_counted_one_by_one(count):
    d = np.random.default_rng(count).standard_normal(count) + 0.5
    sums = [abs(np.dot(signs, d)) for signs in product((-1, 1), repeat=count)]
    by_hand = np.mean([s >= abs(d.sum()) - 1e-9 for s in sums])
    peer = stats.permutation_test(
        (d, np.zeros(count)),
        lambda x, y: np.sum(x - y),
        permutation_type="samples",
        n_resamples=1e5,
    )
    assert sign_flips(d).p == by_hand == pytest.approx(peer.pvalue)


def test_five_seeds_cannot_be_significant_by_sign_flips():
    found = sign_flips(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert found.p == found.smallest == 0.0625


def test_many_sign_flips_are_sampled():
    d = np.random.default_rng(3).standard_normal(40) + 0.3
    exact = stats.ttest_1samp(d, 0).pvalue
    assert sign_flips(d).p == pytest.approx(exact, abs=0.02)


def test_holm_is_the_sequentially_rejective_procedure():
    raw = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    assert holm(raw) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(holm(raw)) == list(raw)
    assert max(holm({i: 0.6 for i in range(3)}).values()) == 1.0


@pytest.mark.parametrize("ahead", [0.0, 0.05])
def test_the_truly_best_of_many_is_missing_in_at_most_5_of_100_trials(ahead):
    random, missing, trials = np.random.default_rng(8), 0, 150
    levels = {f"m{i}": 0.8 for i in range(8)} | {"best": 0.8 + ahead}
    for number in range(trials):
        drawn = resample(trial(random, levels), resamples=1000, seed=number)
        missing += "best" not in equals_of_the_best(drawn).equals
    assert missing / trials <= 0.05


def test_a_method_that_is_clearly_worse_is_no_equal_of_the_best():
    levels = {"good": 1.5, "better": 1.55, "bad": 0.2}
    drawn = resample(trial(np.random.default_rng(9), levels, of_seeds=0.05))
    found = equals_of_the_best(drawn)
    assert set(found.equals) == {"good", "better"}
    assert found.best in found.equals
    assert found.p[found.best] == 1.0


def table(cells: int = 12, seed: int = 0) -> dict[str, list[float]]:
    random = np.random.default_rng(seed)
    level = {"ce": 50.0, "gce": 60.0, "sgce": 66.0, "anl": 66.3, "mae": 40.0}
    hard = 10 * random.standard_normal(cells)
    return {name: list(x + hard + 2 * random.standard_normal(cells)) for name, x in level.items()}


def test_the_best_of_very_many_methods_has_no_equals_far_below_it():
    random = np.random.default_rng(6)
    cells = {j: random.random((5, 400)) < (0.9 if j == 0 else 0.3) for j in range(60)}
    assert equals_of_the_best(resample(cells)).equals == (0,)


def test_ranks_and_friedmans_test_are_those_of_scipy():
    scores = table()
    found = ranking(scores)
    ranks = stats.rankdata([[-x for x in row] for row in scores.values()], axis=0).mean(1)
    assert dict(zip(found.methods, found.ranks, strict=True)) == pytest.approx(
        dict(zip(scores, ranks, strict=True))
    )
    assert found.p == pytest.approx(stats.friedmanchisquare(*scores.values()).pvalue)
    assert found.methods[-1] == "mae"
    assert list(found.ranks) == sorted(found.ranks)


def test_the_critical_difference_is_nemenyis_of_demsars_table():
    """q(0.05) / sqrt 2 is 2.343, 2.569, 2.728, 3.164 for 3, 4, 5 and 10 methods (table 5a)."""
    for methods, q in ((3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)):
        scores = {f"m{i}": np.random.default_rng(i).random(14) for i in range(methods)}
        expected = q * np.sqrt(methods * (methods + 1) / (6 * 14))
        assert ranking(scores).critical_difference == pytest.approx(expected, rel=1e-3)


def test_pairs_are_wilcoxons_tests_adjusted_by_holm():
    scores = table()
    raw = {
        pair: stats.wilcoxon(np.subtract(scores[pair[0]], scores[pair[1]])).pvalue
        for pair in ranking(scores).pairs
    }
    assert ranking(scores).pairs == pytest.approx(holm(raw))


@pytest.mark.parametrize("by", ["wilcoxon", "nemenyi"])
def test_no_two_of_a_group_can_be_told_apart_and_close_methods_are_one(by):
    found = ranking(table(), by=by)
    assert any({"sgce", "anl"} <= set(group) for group in found.groups)
    assert not any({"mae", "anl"} <= set(group) for group in found.groups)


def test_equal_methods_have_one_group():
    scores = {name: [1.0, 2.0, 3.0] for name in "abc"}
    found = ranking(scores)
    assert found.groups == (("a", "b", "c"),)
    assert (found.p, found.ranks) == (1.0, (2.0, 2.0, 2.0))


@pytest.mark.parametrize("methods", [3, 5, 11])
def test_even_one_order_in_all_cells_tells_no_two_apart_with_too_few_cells(methods):
    def pairs_told_apart(cells: int) -> int:
        # Distances differ from cell to cell, so that the test is the exact one.
        scores = {f"m{i}": [i * (1 + 0.1 * cell) for cell in range(cells)] for i in range(methods)}
        return sum(p <= 0.05 for p in ranking(scores).pairs.values())

    needed = cells_needed(methods)
    assert pairs_told_apart(needed - 1) == 0 < pairs_told_apart(needed)


def test_a_ranking_takes_no_gaps():
    with pytest.raises(ValueError, match="no gap"):
        ranking({"a": [1, np.nan], "b": [1, 2], "c": [2, 3]})


def test_the_diagram_names_every_method_with_its_rank():
    found = ranking(table(), by="nemenyi")
    figure = Figure(figsize=(6, height(found)))
    axes = figure.subplots()
    draw(axes, found)
    texts = " ".join(text.get_text() for text in axes.texts)
    for name, rank in zip(found.methods, found.ranks, strict=True):
        assert name in texts and f"{rank:.2f}" in texts
    assert "CD" in texts
