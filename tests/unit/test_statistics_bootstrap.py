"""Intervals of effects: their coverage, their pairing, and on what their draws depend."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from made_up_trials import accuracy, trial
from scipy import stats

from firstorder.publish.statistics import (
    FAILS,
    HOLDS,
    NOT_RESOLVED,
    NOT_RUN,
    Cell,
    average,
    combine,
    difference,
    effect,
    judge,
    rank_correlation,
    resample,
)

TRIALS = 200


def gain_of(cells, **options):
    return effect(resample(cells, **options), difference("a", "b"))


@pytest.mark.parametrize("gap", [0.0, 0.5])
@pytest.mark.parametrize("seeds", [3, 5])
def test_an_interval_covers_the_true_difference_in_95_of_100_trials(seeds, gap):
    """And so at most 5 % of claims that sit on their threshold are said to hold."""
    random, covered, held = np.random.default_rng(seeds), 0, 0
    truth = accuracy(0.8 + gap) - accuracy(0.8)
    for number in range(TRIALS):
        cells = trial(random, {"a": 0.8 + gap, "b": 0.8}, seeds=seeds)
        found = gain_of(cells, resamples=500, seed=number).against(truth)
        covered += found.low <= truth <= found.high
        held += judge(found).status == HOLDS
    assert 0.92 <= covered / TRIALS <= 0.99
    assert held / TRIALS <= 0.05


def test_intervals_are_wide_and_not_narrow_where_only_chance_differs():
    random, covered = np.random.default_rng(0), 0
    for number in range(TRIALS):
        cells = trial(random, {"a": 0.8, "b": 0.8}, of_seeds=0.0, of_examples=0.0)
        found = gain_of(cells, resamples=500, seed=number)
        covered += found.low <= 0 <= found.high
    assert covered / TRIALS >= 0.95


def test_the_interval_of_numbers_per_seed_is_the_t_interval():
    numbers = np.array([0.61, 0.55, 0.70, 0.66, 0.58])
    found = effect(resample({"a": numbers}, resamples=200_000), average("a"))
    low, high = stats.t.interval(0.95, 4, numbers.mean(), stats.sem(numbers))
    assert found.value == pytest.approx(numbers.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.002)


@pytest.mark.parametrize("threshold", [-0.5, 0.0, 0.8])
def test_an_interval_stays_where_the_mean_can_be_and_the_verdict_is_the_same(threshold):
    numbers = np.array([0.99, 0.6])
    free, bound = (
        effect(resample({"a": numbers}), average("a"), threshold=threshold, limits=limits)
        for limits in ((-np.inf, np.inf), (-1, 1))
    )
    assert free.low < -1 and free.high > 1
    assert (bound.low, bound.high) == (-1, 1) and bound.value == free.value
    assert judge(bound).status == judge(free).status and bound.flip == free.flip


def test_the_interval_of_one_seed_is_that_of_resampled_examples():
    bits = np.random.default_rng(3).random((1, 300)) < 0.8
    found = effect(resample({"a": bits}, resamples=20_000), average("a"))
    peer = stats.bootstrap((bits[0].astype(float),), np.mean, method="percentile", rng=1)
    assert found.low == pytest.approx(peer.confidence_interval.low, abs=0.004)
    assert found.high == pytest.approx(peer.confidence_interval.high, abs=0.004)
    assert "One seed" in found.note


def test_cells_that_share_seeds_and_examples_are_paired():
    cells = trial(np.random.default_rng(1), {"a": 0.9, "b": 0.8}, of_seeds=0.01, of_both=0.1)
    paired = gain_of({name: Cell(bits) for name, bits in cells.items()})
    apart = gain_of(
        {
            "a": Cell(cells["a"], (1, 2, 3, 4, 5), "test"),
            "b": Cell(cells["b"], (6, 7, 8, 9, 10), "another"),
        }
    )
    assert paired.high - paired.low < 0.6 * (apart.high - apart.low)


def test_seeds_are_paired_by_name_and_not_by_place():
    numbers = np.array([0.1, 0.5, 0.9])
    order = [2, 0, 1]
    same = {"a": Cell(numbers, (1, 2, 3)), "b": Cell(numbers[order], (3, 1, 2))}
    found = gain_of(same)
    assert (found.low, found.high) == (0.0, 0.0)


def test_cells_without_a_disagreement_do_not_look_exact():
    bits = np.ones((5, 60), dtype=bool)
    found = gain_of({"a": bits, "b": bits.copy()}).against(-0.01)
    assert found.low < -0.015 < 0.015 < found.high
    assert judge(found).status == NOT_RESOLVED


def test_a_draw_does_not_depend_on_the_other_cells():
    cells = trial(np.random.default_rng(2), {"a": 0.9, "b": 0.8, "c": 0.1})
    alone = gain_of({name: cells[name] for name in ("b", "a")})
    among = gain_of(cells)
    assert (alone.low, alone.high) == (among.low, among.high)
    assert np.array_equal(alone.draws, among.draws)


DIGEST = """
import hashlib, numpy as np
from firstorder.publish.statistics import choose, difference, effect, resample
random = np.random.default_rng(4)
cells = {f"m{i}": random.random((5, 1000)) < 0.7 for i in range(11)}
drawn = resample(cells)
gains = [effect(drawn, difference("m0", f"m{i}"), scale=100).draws for i in range(1, 11)]
print(hashlib.sha256(np.array(gains).tobytes()).hexdigest(), choose(cells).wins)
"""


def test_draws_do_not_depend_on_the_number_of_threads():
    found = set()
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, threads)
        done = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


def test_a_claim_of_eleven_losses_takes_a_fraction_of_a_second():
    random = np.random.default_rng(5)
    cells = {name: random.random((5, 400)) < 0.8 for name in range(11)}
    resample(cells)
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        drawn = resample(cells)
        for name in range(1, 11):
            effect(drawn, difference(0, name), threshold=0)
        best = min(best, time.process_time() - start)
    assert best < 0.3


def indexed(noise: float, seed: int = 0, seeds: int = 5) -> dict:
    random, indices = np.random.default_rng(seed), (3, 10, 30, 100, 300, 1000)
    return {
        j: 0.9 - 0.1 * place + noise * random.standard_normal(seeds)
        for place, j in enumerate(indices)
    }


def test_a_rank_correlation_is_spearmans():
    cells = indexed(0.2)
    found = rank_correlation(resample(cells), list(cells), numbers=list(cells))
    peer = stats.spearmanr(list(cells), [x.mean() for x in cells.values()]).statistic
    assert found.value == pytest.approx(peer)


def test_a_clear_order_is_resolved_and_a_noisy_one_is_not():
    clear, noisy = (indexed(noise) for noise in (0.005, 0.5))
    for cells, status in ((clear, HOLDS), (noisy, NOT_RESOLVED)):
        found = rank_correlation(
            resample(cells), list(cells), numbers=list(cells), threshold=-0.8, direction="below"
        )
        assert judge(found).status == status


def test_noise_alone_is_seldom_called_an_order():
    """Six equal means: "rho > 0.5" holds in at most 5 % of the trials."""
    held = 0
    for number in range(TRIALS):
        random = np.random.default_rng(number)
        cells = {j: random.standard_normal(5) for j in range(6)}
        drawn = resample(cells, resamples=500)
        found = rank_correlation(drawn, list(cells), numbers=range(6), threshold=0.5)
        held += judge(found).status == HOLDS
    assert held / TRIALS <= 0.05


def test_a_correlation_of_sampled_indices_is_less_sure():
    cells = indexed(0.1)
    drawn, order = resample(cells), list(cells)
    fixed = rank_correlation(drawn, order, numbers=order)
    sampled = rank_correlation(drawn, order, numbers=order, indices="sampled")
    assert fixed.value == sampled.value
    assert sampled.high > fixed.high + 0.1


def test_five_indices_are_too_few_for_a_rank_correlation():
    cells = {j: x for j, x in list(indexed(0.1).items())[:5]}
    found = rank_correlation(resample(cells), list(cells), numbers=list(cells), threshold=0.5)
    assert judge(found).status == NOT_RUN
    assert "needs 6" in found.note


def test_a_constant_has_no_rank_correlation():
    cells = {j: np.full(5, 0.5) for j in range(6)}
    found = rank_correlation(resample(cells), list(cells), numbers=range(6), threshold=0.5)
    assert judge(found).status == NOT_RUN


def test_a_correlation_with_an_unknown_number_is_no_number():
    one_seed = {j: np.array([0.9 - 0.1 * j]) for j in range(6)}
    found = rank_correlation(resample(one_seed), list(one_seed), numbers=range(6), threshold=-0.5)
    assert found.value == -1 and found.note == "One seed, no interval."
    lost = {**indexed(0.1), 10: np.array([np.nan])}
    for where in ({"numbers": list(lost)}, {"cells": list(lost)}):
        found = rank_correlation(resample(lost), list(lost), threshold=0.7, **where)
        assert judge(found).status == NOT_RUN


@pytest.mark.parametrize("count", [55, 200])
def test_a_claim_about_many_effects_can_hold_and_fail(count):
    """Corrected for their number, the least p-value of 2,000 draws is not below the level."""
    bits = np.random.default_rng(5).random((2, 5, 300)) < np.array([0.9, 0.1])[:, None, None]
    drawn = resample({"good": bits[0], "bad": bits[1]})
    gain, loss = (
        effect(drawn, difference(*pair), threshold=0.3)
        for pair in (("good", "bad"), ("bad", "good"))
    )
    nothing = effect(drawn, difference("good", "good"), threshold=0.0)
    assert combine([loss] * count, "all").status == FAILS
    assert combine([gain] + [loss] * (count - 1), "any").status == HOLDS
    assert combine([nothing] * count, "all").status == NOT_RESOLVED
    assert combine([nothing] * count, "any").status == NOT_RESOLVED


def test_one_number_has_no_interval_and_is_not_resolved():
    found = effect(resample({"a": np.array([0.7])}), average("a"), threshold=0.5)
    assert judge(found).status == NOT_RESOLVED
    assert "One seed" in found.note


@pytest.mark.parametrize("threshold", [0.2, 0.9])
def test_one_seed_resolves_no_claim_however_many_its_examples_are(threshold: float) -> None:
    bits = np.random.default_rng(3).random((2, 5000)) < 0.6
    one, two = (
        effect(resample({"a": seeds}), average("a"), threshold=threshold)
        for seeds in (bits[:1], bits)
    )
    assert one.low < one.high < 0.9 and one.low > 0.2
    assert judge(one).status == combine([one, one]).status == NOT_RESOLVED
    assert combine([one, two], "all").status != HOLDS
    assert combine([two, two]).status in (HOLDS, FAILS)


def test_an_effect_is_limited_by_the_cells_that_it_reads_and_by_no_other():
    generator = np.random.default_rng(4)
    cells = {j: Cell(generator.random((3, 200)) < 0.9 - 0.1 * j) for j in range(6)}
    few = Cell(generator.random((1, 50)) < 0.8, examples="few")
    drawn = resample({**cells, "one": few})
    for found in (
        effect(drawn, difference(0, 1)),
        rank_correlation(drawn, list(cells), numbers=list(cells)),
    ):
        assert (found.seeds, found.examples, found.note) == (3, 200, "")
    alone, both = effect(drawn, average("one")), effect(drawn, difference("one", 0))
    assert (alone.seeds, alone.examples) == (both.seeds, both.examples) == (1, 50)
    assert "lacks the spread over seeds" in alone.note
    assert "lacks part of the spread over seeds" in both.note


def test_a_missing_number_is_not_judged():
    found = effect(resample({"a": np.array([0.7, np.nan])}), average("a"), threshold=0.5)
    assert judge(found).status == NOT_RUN


@pytest.mark.parametrize(
    "results", [np.ones((2, 2, 2)), np.zeros((0,)), np.array([[0.0, 0.5]])], ids=str
)
def test_results_that_are_neither_bits_nor_numbers_are_refused(results):
    with pytest.raises(ValueError, match="bits"):
        Cell(results)
