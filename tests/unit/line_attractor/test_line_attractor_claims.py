"""Claims on made-up records: the verdict follows the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstorder import files
from firstorder.publish.registry import Results
from firstorder.publish.verdict import FAILS, HOLDS, NOT_RESOLVED, NOT_RUN, Verdict
from firstorder.studies.line_attractor import claims

GOOD = {
    "state_pc1": 0.7,
    "state_pc2": 0.1,
    "state_pc3": 0.05,
    "state_dimension": 2.0,
    "untrained_dimension": 20.0,
    "point_pc1": 0.95,
    "mean_length": 40.0,
    "tau1": 36.0,
    "tau2": 6.0,
    "overlap": 0.95,
    "null": 0.1,
    "effect_positive": 0.7,
    "effect_negative": -0.7,
    "effect_neutral": 0.01,
    "effect_strong_positive": 1.4,
    "effect_strong_negative": -1.4,
    "linear_error": 0.12,
    "run_accuracy": 0.95,
    "single_run_accuracy": 0.7,
    "negation_before": 0.7,
    "negation_0": -0.2,
    "negation_4": 0.68,
    "jacobian_error": 1e-9,
    "inverse_error": 1e-9,
}


def made(folder: Path, *seeds: dict[str, Any], bits: float = 0.95, bag: float = 0.85) -> Results:
    """Records of a GRU, one for every seed; a hair apart, so that there is a spread."""
    row = {"corpus": "toy", "title": "toy", "reader": "synthetic", "cell": "gru", "label": "GRU"}
    found = {"toy/words.npz": str(folder / "words.npz")}
    right = np.arange(1000) < 1000 * bag
    np.savez(folder / "words.npz", correct=right)
    for seed, changed in enumerate(seeds, 1):
        hair = 1 + 1e-3 * seed
        numbers = {name: value * hair for name, value in GOOD.items()} | changed
        path = folder / f"dynamics{seed}.json"
        files.write_json(path, {"numbers": numbers})
        found[f"toy/gru/{seed}/dynamics.json"] = str(path)
        correct = folder / f"correct{seed}.npz"
        correct_bits = np.arange(1000) < 1000 * bits + seed
        np.savez(correct, correct=np.packbits(correct_bits), count=1000)
        found[f"toy/gru/{seed}/correct.npz"] = str(correct)
    return Results({"rows": [row], "seeds": list(range(1, len(seeds) + 1))}, found)


WRONG = {
    claims.low_dimensional: {"state_pc1": 0.2},
    claims.lower_than_untrained: {"untrained_dimension": 2.0},
    claims.points_on_a_line: {"point_pc1": 0.4},
    claims.slow_mode: {"tau1": 5.0},
    claims.slower_than_others: {"tau2": 30.0},
    claims.along_the_manifold: {"overlap": 0.3},
    claims.words_push: {"effect_negative": 0.1},
    claims.neutral_words: {"effect_neutral": 0.5},
    claims.strong_words: {"effect_strong_positive": 0.7, "effect_strong_negative": -0.7},
    claims.linear_step: {"linear_error": 0.6},
    claims.linear_run_is_worse: {"single_run_accuracy": 0.95},
    claims.negation_turns: {"negation_0": 0.5},
    claims.negation_weakens: {"negation_0": 0.9},
    claims.negation_ends: {"negation_4": 0.2},
    claims.mathematics: {"jacobian_error": 0.1},
}


@pytest.mark.parametrize("judge", WRONG)
def test_a_claim_holds_and_fails_by_its_numbers(judge: Any, tmp_path: Path) -> None:
    right: Verdict = judge(made(tmp_path, {}, {}, {}))
    assert right.status == HOLDS, right.text
    wrong: Verdict = judge(made(tmp_path, *3 * [WRONG[judge]]))
    assert wrong.status == FAILS, wrong.text


def test_seeds_that_disagree_are_not_resolved(tmp_path: Path) -> None:
    results = made(tmp_path, {"overlap": 0.99}, {"overlap": 0.6}, {"overlap": 0.97})
    assert claims.along_the_manifold(results).status == NOT_RESOLVED


LIMITED = {
    claims.low_dimensional: ({"state_pc1": 0.1}, {"state_pc1": 0.9}, 0, 100),
    claims.lower_than_untrained: ({"state_dimension": 1.0}, {"state_dimension": 18.0}, 0, np.inf),
    claims.points_on_a_line: ({"point_pc1": 0.99}, {"point_pc1": 0.5}, 0, 100),
    claims.along_the_manifold: ({"overlap": 0.99}, {"overlap": 0.1}, 0, np.inf),
    claims.linear_step: ({"linear_error": 0.01}, {"linear_error": 0.9}, 0, np.inf),
}


@pytest.mark.parametrize("judge", LIMITED)
def test_an_interval_of_two_seeds_stays_where_the_quantity_can_be(
    judge: Any, tmp_path: Path
) -> None:
    one, other, low, high = LIMITED[judge]
    verdict: Verdict = judge(made(tmp_path, one, other))
    assert all(low <= effect.low < effect.high <= high for effect in verdict.effects)


def test_one_seed_has_no_interval_and_is_not_resolved(tmp_path: Path) -> None:
    found = claims.slow_mode(made(tmp_path, {}))
    assert found.status == NOT_RESOLVED
    assert "One seed: no interval." in found.text


def test_accuracy_is_compared_over_the_same_documents(tmp_path: Path) -> None:
    results = made(tmp_path, {}, {}, {})
    assert claims.accurate(results, accuracy=0.9).status == HOLDS
    assert claims.beats_bag_of_words(results, points=5.0).status == HOLDS
    worse = made(tmp_path, {}, {}, {}, bits=0.8)
    assert claims.beats_bag_of_words(worse, points=0.0).status == FAILS


def test_documents_without_strong_words_or_not_are_not_run(tmp_path: Path) -> None:
    absent = dict.fromkeys(("effect_strong_positive", "effect_strong_negative", "negation_0"))
    results = made(tmp_path, *3 * [absent])
    assert claims.strong_words(results).status == NOT_RUN
    assert claims.negation_turns(results).status == NOT_RUN


def test_intervals_of_time_constants_are_on_a_logarithmic_scale(tmp_path: Path) -> None:
    spread = made(tmp_path, {"tau1": 8.0}, {"tau1": 80.0}, {"tau1": 800.0})
    (effect,) = claims.slow_mode(spread).effects
    assert effect.value == pytest.approx(80.0 / 40.08, rel=1e-3)  # the geometric mean
    assert 0 < effect.low < effect.value < effect.high
