"""The claims hold, fail and stay open on made-up records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firstorder.publish.registry import Results
from firstorder.publish.style import Drawing
from firstorder.publish.verdict import FAILS, HOLDS, NOT_RESOLVED, NOT_RUN
from firstorder.studies.robust_kernels import claims, figures, tables

from .made_up import of_kernel, of_network


@pytest.mark.parametrize(
    ("claim", "change"),
    [
        (claims.equal_first_step, {"first": {"ce": (False, 1.0), "mae": (False, 0.99)}}),
        (claims.unhinged_constant, {"changed": 1}),
        (claims.unhinged_constant, {"error": 1e-3}),
        (claims.noise_identity, {"identity_error": 1e-3}),
        (claims.noise_identity, {"factor": 0.05}),
        (claims.moment_prediction, {"offset": 0.05}),
        (claims.infinite_ridge, {"ridge_cosine": 0.99}),
    ],
)
def test_a_claim_on_kernels_holds_until_its_number_is_wrong(
    tmp_path: Path, claim: Any, change: dict[str, Any]
) -> None:
    assert claim(of_kernel(tmp_path)).status == HOLDS
    assert claim(of_kernel(tmp_path, **change)).status == FAILS


def test_a_loss_that_breaks_ties_is_named_and_not_counted(tmp_path: Path) -> None:
    first = {"ce": (False, 1.0), "mae": (True, 0.9)}
    verdict = claims.equal_first_step(of_kernel(tmp_path, first=first))
    assert verdict.status == HOLDS
    assert "1 losses" in verdict.text and "Not counted: MAE" in verdict.text


def test_a_gap_as_large_as_the_threshold_is_not_resolved(tmp_path: Path) -> None:
    assert claims.moment_prediction(of_kernel(tmp_path, offset=0.02)).status == NOT_RESOLVED


def test_kernels_of_several_seeds_are_told_apart(tmp_path: Path) -> None:
    records = of_kernel(tmp_path)
    (row,) = records.spec["rows"]
    files = records.files | {
        name.replace("k/1/", "k/2/"): path for name, path in records.files.items()
    }
    two = Results({**records.spec, "rows": [row, {**row, "seed": "2"}]}, files)
    for claim in (
        claims.equal_first_step, claims.unhinged_constant, claims.noise_identity,
        claims.moment_prediction, claims.infinite_ridge,
    ):  # fmt: skip
        names = [each.name for each in claim(two).effects]
        assert sum("seed 2" in name for name in names) * 2 == len(names), names
        assert not any("seed" in each.name for each in claim(records).effects)


def test_a_rho_that_may_as_well_be_another_ranks_nothing(tmp_path: Path) -> None:
    """The seeds' rho is as uncertain as their accuracy: neither is taken as known."""
    wide = {
        loss: [(rho + sign * off, acc) for off, (rho, acc) in zip((0, 60, -60), pairs, strict=True)]
        for sign, (loss, pairs) in zip((1, -1, 1, -1, 1, -1), SIX.items(), strict=True)
    }
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (sure,) = claims.rotation_predicts_accuracy(of_network(one, SIX)).effects
    (unsure,) = claims.rotation_predicts_accuracy(of_network(other, wide)).effects
    assert unsure.value == sure.value == 1
    assert unsure.low < sure.low


def test_rates_beyond_the_claim_are_not_judged(tmp_path: Path) -> None:
    names = {each.name for each in claims.moment_prediction(of_kernel(tmp_path)).effects}
    assert not any("0.9" in name for name in names) and any("0.8" in name for name in names)


ALONG = {
    "ce": [(5.0, 0.60), (6.0, 0.62), (5.5, 0.61)],
    "mae": [(28.0, 0.90), (29.0, 0.92), (30.0, 0.94)],
    "sgce": [(18.0, 0.80), (19.0, 0.82), (20.0, 0.84)],
}


SIX = {f"loss{k}": [(5.0 * k + seed, 0.5 + 0.07 * k) for seed in range(3)] for k in range(6)}


def test_rho_that_orders_the_accuracies_predicts_them(tmp_path: Path) -> None:
    verdict = claims.rotation_predicts_accuracy(of_network(tmp_path, SIX))
    assert verdict.effects[0].value == 1
    against = {loss: [(40 - rho, acc) for rho, acc in pairs] for loss, pairs in SIX.items()}
    assert claims.rotation_predicts_accuracy(of_network(tmp_path, against)).status == FAILS


def test_seeds_of_a_loss_are_no_further_losses_of_the_rank_correlation(tmp_path: Path) -> None:
    swapped = SIX | {"loss4": SIX["loss5"], "loss5": SIX["loss4"], "loss3": SIX["loss0"],
                     "loss0": SIX["loss3"]}  # fmt: skip
    crossed = {
        loss: [(rho, SIX[loss][0][1]) for rho, _ in pairs] for loss, pairs in swapped.items()
    }
    twice = {loss: pairs[:2] for loss, pairs in crossed.items()}
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()
    (two,) = claims.rotation_predicts_accuracy(of_network(few, twice)).effects
    (three,) = claims.rotation_predicts_accuracy(of_network(many, crossed)).effects
    assert three.value == two.value
    assert three.high - three.low > 0.7 * (two.high - two.low)
    verdict = claims.rotation_predicts_accuracy(of_network(tmp_path, ALONG))
    assert verdict.status == NOT_RUN and "3 indices" in verdict.text


def test_symmetric_losses_turn_less_until_one_turns_as_far(tmp_path: Path) -> None:
    assert claims.symmetric_turn_less(of_network(tmp_path, ALONG)).status == HOLDS
    beyond = {**ALONG, "mae": [(2.0, 0.5), (2.5, 0.5), (1.5, 0.5)]}
    assert claims.symmetric_turn_less(of_network(tmp_path, beyond)).status == FAILS


@pytest.mark.parametrize("lost", [1, 3])
def test_a_loss_under_which_a_training_diverged_is_named_and_never_judged_by_its_start(
    tmp_path: Path, lost: int
) -> None:
    gone = (float("nan"), 0.5)
    records = of_network(tmp_path, SIX | {"sgce": ALONG["sgce"][lost:] + [gone] * lost,
                                          "ce": ALONG["ce"]})  # fmt: skip
    ranked = claims.rotation_predicts_accuracy(records)
    assert ranked.status == NOT_RUN and "A training with SGCE has no ρ" in ranked.text
    turned = claims.symmetric_turn_less(records)
    assert turned.status == NOT_RUN and "A training has no ρ" in turned.text


def test_a_claim_and_a_figure_count_the_seeds_that_have_a_rho_at_their_end(tmp_path: Path) -> None:
    gone = (float("nan"), 0.5)
    some = of_network(tmp_path, {**ALONG, "sgce": [*ALONG["sgce"][:2], gone]})
    verdict = claims.symmetric_turn_less(some)
    assert verdict.status == NOT_RESOLVED
    lost = "SGCE (2 of 3 seeds have it)"
    assert f"Without ρ at the end: n: {lost}." in verdict.text
    assert told(figures.rotation(some)).endswith(f"; without ρ at the end: {lost}")
    none = of_network(tmp_path, {loss: [gone] * 3 for loss in ALONG})
    assert claims.symmetric_turn_less(none).status == NOT_RUN
    assert "CE (0 of 3 seeds have it), MAE (0" in told(figures.rotation(none))
    whole = of_network(tmp_path, ALONG)
    assert "ithout ρ" not in claims.symmetric_turn_less(whole).text + told(figures.rotation(whole))


def told(drawing: Drawing) -> str:
    """What the title of the legend says."""
    return drawing.figure.legends[0].get_title().get_text()


def test_a_network_of_which_a_training_diverged_is_named_beside_one_that_is_judged(
    tmp_path: Path,
) -> None:
    lost = {**SIX, "ce": [*ALONG["ce"][:2], (float("nan"), 0.5)]}
    other = tmp_path / "other"
    other.mkdir()
    first, second = of_network(tmp_path, SIX), of_network(other, lost)
    rows = [*first.spec["rows"], *({**row, "network": "m"} for row in second.spec["rows"])]
    renamed = {name.replace("n/", "m/", 1): path for name, path in second.files.items()}
    both = Results({**second.spec, "rows": rows}, first.files | renamed)
    verdict = claims.rotation_predicts_accuracy(both)
    assert "1 not run" in verdict.text and verdict.status == NOT_RESOLVED
    assert "Without ρ at the end: m: CE (2 of 3 seeds have it)." in verdict.text


def test_the_table_has_every_statement_with_its_error(tmp_path: Path) -> None:
    frame = tables.exact_statements(of_kernel(tmp_path, changed=3)).frame
    assert len(frame) == 3 + len(tables.STATEMENTS)
    (changed,) = frame.loc[frame["row"].str.endswith("that differ"), "text"]
    assert changed == "3"
    assert frame["row"].str.contains("after 100 steps").any()


def test_the_table_of_accuracies_has_both_samplers_side_by_side(tmp_path: Path) -> None:
    frame = tables.accuracy(of_kernel(tmp_path)).frame
    assert list(dict.fromkeys(frame["column"])) == [
        "clean", "40 %, exact counts", "40 %, drawn one by one", "80 %, exact counts",
        "80 %, drawn one by one",
    ]  # fmt: skip
