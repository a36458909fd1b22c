"""Claims on made-up records: the verdict follows the numbers."""

from __future__ import annotations

from collections.abc import Sequence
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


def made(
    folder: Path,
    *seeds: dict[str, Any],
    bits: float = 0.95,
    bag: float = 0.85,
    lstm: Sequence[dict[str, Any]] = (),
    untrained: Sequence[int] = (),
) -> Results:
    """Records of a GRU (and an LSTM), one for every seed; a hair apart, so that there is a spread.

    The seeds `untrained` of the GRU diverged in their first epoch.
    """
    cells = {"gru": seeds} | ({"lstm": lstm} if lstm else {})
    rows = [
        {"corpus": "toy", "title": "toy", "reader": "synthetic", "cell": c, "label": c.upper()}
        for c in cells
    ]
    found = {"toy/words.npz": str(folder / "words.npz")}
    right = np.arange(1000) < 1000 * bag
    np.savez(folder / "words.npz", correct=right)
    for cell, each in cells.items():
        for seed, changed in enumerate(each, 1):
            hair = 1 + 1e-3 * seed
            numbers = {name: value * hair for name, value in GOOD.items()} | changed
            path = folder / f"{cell}{seed}.json"
            files.write_json(path, {"numbers": numbers})
            found[f"toy/{cell}/{seed}/dynamics.json"] = str(path)
            correct = folder / f"{cell}{seed}.npz"
            count = 0 if cell == "gru" and seed in untrained else 1000
            correct_bits = np.arange(count) < 1000 * bits + seed
            np.savez(correct, correct=np.packbits(correct_bits), count=count)
            found[f"toy/{cell}/{seed}/correct.npz"] = str(correct)
    return Results({"rows": rows, "seeds": list(range(1, len(seeds) + 1))}, found)


NO_POINTS = dict.fromkeys(name for name in GOOD if name not in (
    "state_pc1", "state_pc2", "state_pc3", "state_dimension", "untrained_dimension", "mean_length",
))  # fmt: skip
"""The numbers of a network without fixed points."""


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
    assert "One seed, no interval." in found.text


def test_accuracy_is_compared_over_the_same_documents(tmp_path: Path) -> None:
    results = made(tmp_path, {}, {}, {})
    assert claims.accurate(results, accuracy=0.9).status == HOLDS
    assert claims.beats_bag_of_words(results, points=5.0).status == HOLDS
    worse = made(tmp_path, {}, {}, {}, bits=0.8)
    assert claims.beats_bag_of_words(worse, points=0.0).status == FAILS


def test_documents_without_strong_words_or_not_are_not_run(tmp_path: Path) -> None:
    strong, not_ = ("effect_strong_positive", "effect_strong_negative"), ("negation_before",)
    not_ += ("negation_0", "negation_4")
    results = made(tmp_path, *3 * [dict.fromkeys((*strong, *not_))])
    assert claims.strong_words(results).text.startswith("Only the synthetic corpus has words")
    for judge in (claims.negation_turns, claims.negation_weakens, claims.negation_ends):
        found = judge(results)
        assert (found.status, found.text) == (NOT_RUN, "“not” is no word of these documents.")


OF_POINTS = [
    claims.points_on_a_line, claims.slow_mode, claims.slower_than_others,
    claims.along_the_manifold, claims.words_push, claims.neutral_words, claims.strong_words,
    claims.linear_step, claims.linear_run_is_worse, claims.negation_turns,
    claims.negation_weakens, claims.negation_ends,
]  # fmt: skip


@pytest.mark.parametrize("judge", OF_POINTS)
def test_a_network_without_fixed_points_keeps_a_claim_about_all_from_holding(
    judge: Any, tmp_path: Path
) -> None:
    without = 3 * [NO_POINTS]
    found: Verdict = judge(made(tmp_path, {}, {}, {}, lstm=without))
    assert found.status == NOT_RESOLVED
    assert "LSTM, toy: no seed has fixed points to read" in found.text
    alone: Verdict = judge(made(tmp_path, *without))
    assert (alone.status, alone.text) == (NOT_RUN, "no seed has fixed points to read")


def test_the_exact_claim_is_about_the_networks_that_have_points(tmp_path: Path) -> None:
    results = made(tmp_path, {}, {}, {}, lstm=3 * [NO_POINTS])
    found = claims.mathematics(results)
    assert found.status == HOLDS
    assert "central differences (3 of 6 trainings have points): " in found.text
    assert " of 3 trainings" not in claims.mathematics(made(tmp_path, {}, {}, {})).text
    alone = claims.mathematics(made(tmp_path, *3 * [NO_POINTS]))
    assert (alone.status, alone.text) == (NOT_RUN, "no seed has fixed points to read")


@pytest.mark.parametrize(
    "judge", [claims.strong_words, claims.negation_weakens, claims.negation_ends]
)
def test_a_network_without_a_positive_effect_is_not_said_to_lack_points(
    judge: Any, tmp_path: Path
) -> None:
    lstm = 3 * [TURNED[judge]]
    found: Verdict = judge(made(tmp_path, {}, {}, {}, lstm=lstm))
    assert found.status != HOLDS
    assert "LSTM, toy: no seed has a positive effect to compare with" in found.text
    assert "no seed has fixed points" not in found.text


TURNED = {
    claims.negation_turns: {"negation_before": -0.1, "negation_0": 0.3},
    claims.negation_weakens: {"negation_before": -0.1, "negation_0": 0.3},
    claims.negation_ends: {"negation_before": -0.1, "negation_4": -0.5},
    claims.strong_words: {
        "effect_positive": -0.7, "effect_negative": 0.7,
        "effect_strong_positive": -1.4, "effect_strong_negative": 1.4,
    },
}  # fmt: skip


@pytest.mark.parametrize("judge", TURNED)
def test_a_ratio_of_effects_that_are_turned_round_fails(judge: Any, tmp_path: Path) -> None:
    hairs = [
        {name: value * (1 + 1e-3 * seed) for name, value in TURNED[judge].items()}
        for seed in (1, 2, 3)
    ]
    found: Verdict = judge(made(tmp_path, *hairs))
    assert found.status == FAILS, found.text


@pytest.mark.parametrize("judge", [claims.low_dimensional, claims.lower_than_untrained])
def test_the_states_of_a_network_that_was_not_trained_are_no_measurement(
    judge: Any, tmp_path: Path
) -> None:
    nothing = {**dict.fromkeys(GOOD), "untrained_dimension": 20.0}
    some: Verdict = judge(made(tmp_path, {}, {}, nothing))
    assert some.status == HOLDS and "(2 of 3 seeds finished an epoch)" in some.text
    none: Verdict = judge(made(tmp_path, {}, {}, {}, lstm=3 * [nothing]))
    assert none.status == NOT_RESOLVED and "LSTM, toy: no seed finished an epoch" in none.text


def test_a_seed_that_never_finished_an_epoch_is_no_measurement(tmp_path: Path) -> None:
    results = made(tmp_path, {}, {}, {}, lstm=[{}, {}, {}], untrained=[2])
    for judge in (claims.accurate, claims.beats_bag_of_words):
        found = judge(results)
        assert found.status == HOLDS
        assert "GRU, toy (2 of 3 seeds finished an epoch): " in found.text
        assert "; LSTM, toy: " in found.text
    for judge in (claims.accurate, claims.beats_bag_of_words):
        found = judge(made(tmp_path, {}, {}, {}, lstm=[{}, {}, {}], untrained=[1, 2, 3]))
        assert found.status == NOT_RESOLVED
        assert "GRU, toy: no seed finished an epoch" in found.text


def test_intervals_of_time_constants_are_on_a_logarithmic_scale(tmp_path: Path) -> None:
    spread = made(tmp_path, {"tau1": 8.0}, {"tau1": 80.0}, {"tau1": 800.0})
    (effect,) = claims.slow_mode(spread).effects
    assert effect.value == pytest.approx(80.0 / 40.08, rel=1e-3)  # the geometric mean
    assert 0 < effect.low < effect.value < effect.high
