"""Claims of the symmetrization study, judged on both sides of their thresholds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import made_up_trainings as made_up
import numpy as np
import pytest

from firstorder.config import Config
from firstorder.data.noise import corrupt
from firstorder.publish.verdict import Verdict
from firstorder.streams import numpy_stream
from firstorder.studies.symmetrization import effects, tuning
from firstorder.studies.symmetrization.claims_choice import may_be_best
from firstorder.studies.symmetrization.grid import noise
from firstorder.studies.symmetrization.settings import NAME, Select

RUNS = Select(cells="symmetric", losses="comparison")
NOTHING = Select()
MATRICES = Select(cells="curves", losses="comparison")


def test_cross_entropy_memorises_where_it_falls_by_more_than_the_threshold(made: Config) -> None:
    assert made_up.judge(made, "memorises", RUNS, drop=0.01, fitted=0.5).status == "holds"
    verdict = made_up.judge(made, "memorises", RUNS, drop=0.5, fitted=0.5)
    assert verdict.status == "fails"
    place = "Made-up images, 80 % symmetric noise"
    assert verdict.numbers[f"wrong labels fitted, CE, {place}"] == pytest.approx(57)
    assert verdict.numbers[f"fall, CE, {place}"] < 50
    assert verdict.margin < 0


def test_cross_entropy_memorises_only_where_it_fits_the_wrong_labels(made: Config) -> None:
    assert made_up.judge(made, "memorises", RUNS, drop=0.01).status == "fails"


def test_an_order_of_losses_holds_one_way_only(made: Config) -> None:
    tiers = [["ce"], ["gce"], ["nce+rce"], ["sgce"]]
    assert made_up.judge(made, "order", RUNS, tiers=tiers, rate=0.8).status == "holds"
    assert made_up.judge(made, "order", RUNS, tiers=tiers[::-1], rate=0.8).status == "fails"


def test_an_order_holds_only_as_far_as_the_growth_of_its_gap_does(made: Config) -> None:
    tiers = [["ce"], ["gce"], ["nce+rce"], ["sgce"]]
    found = made_up.judge(made, "order", RUNS, tiers=tiers, rate=0.8, growing=True)
    (growth,) = (effect for effect in found.effects if effect.name.startswith("growth"))
    assert growth.low < 0 < growth.value  # the losses are in order, the growth is not resolved
    assert found.status == "not resolved"


def test_a_gain_is_judged_against_its_threshold(made: Config) -> None:
    options = {"pairs": [["ce", "sgce"]], "rates": [0.4, 0.8]}
    found = made_up.judge(made, "gain", RUNS, gap=0.05, **options)
    assert found.status == "holds"
    for effect in found.effects:
        assert effect.low < effect.value < effect.high
        assert (effect.seeds, effect.examples) == (3, 200)
    assert made_up.judge(made, "gain", RUNS, gap=0.9, **options).status == "fails"


def test_a_gain_near_its_threshold_is_not_resolved(made: Config) -> None:
    options = {"pairs": [["ce", "sgce"]], "rates": [0.8]}
    (effect,) = made_up.judge(made, "gain", RUNS, gap=0.05, **options).effects
    found = made_up.judge(made, "gain", RUNS, gap=effect.value / 100 - 0.001, **options)
    assert found.status == "not resolved"
    assert found.flip > 0.2


def test_every_pair_gains_unless_a_share_is_enough(made: Config) -> None:
    options = {"pairs": [["ce", "sgce"], ["sgce", "ce"]], "rates": [0.4, 0.8], "gap": 0.05}
    assert made_up.judge(made, "gain", RUNS, **options).status == "fails"
    assert made_up.judge(made, "gain", RUNS, share=0.5, **options).status == "holds"


def test_every_variant_that_is_run_is_compared_with_the_loss_that_it_varies(made: Config) -> None:
    select = Select(cells="curves", losses="decay")
    verdict = made_up.judge(made, "gain", select, variants="tuned", rates=[0.8], gap=-1.0)
    assert verdict.status == "holds"
    pairs = {name.split(", Made-up")[0] for name in verdict.numbers}
    assert pairs == {"CE, tuned − CE", "GCE, tuned − GCE"}


def test_losses_are_close_within_a_gap(made: Config) -> None:
    losses = ["sgce", "alpha_mae", "unhinged"]
    assert made_up.judge(made, "close", RUNS, losses=losses, gap=0.1).status == "holds"
    assert made_up.judge(made, "close", RUNS, losses=["ce", *losses], gap=0.1).status == "fails"
    assert made_up.judge(made, "close", RUNS, losses=["ce", "ce-tuned"]).status == "not run"


def test_a_loss_is_competitive_in_the_cells_where_it_is_near_the_best(made: Config) -> None:
    def status(loss: str, share: float) -> str:
        rivals = {"losses": [loss], "baselines": ["ce", "gce", "alpha_mae"], "share": share}
        return made_up.judge(made, "competitive", RUNS, gap=0.1, **rivals).status

    assert (status("sgce", 1.0), status("unhinged", 0.5)) == ("holds", "holds")
    assert status("mae", 0.5) == "fails"


def test_a_variant_that_varies_nothing_takes_its_place_in_an_order(made: Config) -> None:
    select = Select(cells="curves", losses="q")
    tiers = [["sgce-q1.0"], ["sgce-q0.7"], ["sgce-q0.4"]]  # 0.7 is the loss's own value
    verdict = made_up.judge(made, "order", select, tiers=tiers, rate=0.8)
    assert any("SGCE − SGCE (q = 1.0)" in name for name in verdict.numbers)


@pytest.mark.parametrize(
    ("decay", "tied", "status"),
    [(0.01, (), "fails"), (0.001, (), "holds"), (0.001, (0.001, 0.01), "not resolved")],
)
def test_the_tuned_weight_decays_differ_or_do_not(
    tiny: Config, decay: float, tied: tuple[float, ...], status: str
) -> None:
    select = Select(cells="curves", losses="tuned")
    files = made_up.results(tiny, "tuning.json", **select.model_dump()).files
    records = made_up.tuned(0.01), made_up.tuned(decay, tied)
    for path, record in zip(files.values(), records, strict=True):
        Path(path).write_text(json.dumps(record))
    assert made_up.judge(tiny, "optimum-differs", select).status == status


def test_a_loss_of_which_every_weight_decay_diverged_is_no_evidence(tiny: Config) -> None:
    select = Select(cells="curves", losses="tuned")
    files = made_up.results(tiny, "tuning.json", **select.model_dump()).files
    records = made_up.tuned(0.01), made_up.tuned(0.001)
    records[1]["stages"][0] |= {"tied": [], "p": [0.0, 0.0, 0.0]}
    for path, record in zip(files.values(), records, strict=True):
        Path(path).write_text(json.dumps(record))
    verdict = made_up.judge(tiny, "optimum-differs", select)
    assert verdict.status == "not run"
    assert "diverged for GCE" in verdict.text


@pytest.mark.parametrize("curve", [[0.5, 0.5, 0.5, 0.5], [0.48, 0.5, 0.53, 0.5]])
def test_optima_of_equal_losses_seldom_differ(curve: list[float]) -> None:
    """Losses that share one curve over the weight decays: at most 5 % of "holds"."""
    random, held, trials = numpy_stream(0, "optima"), 0, 60
    stage = {"candidates": [{"weight_decay": 10.0**k} for k in range(4)], "default": 0}
    for _ in range(trials):
        bests = []
        for _ in range(4):
            tried = [
                [random.random(140) < level + 0.03 * random.normal() for _ in range(3)]
                for level in curve
            ]
            found = stage | tuning.chosen_of(stage, tried, [1, 2, 3])
            bests.append(may_be_best(found, 0.05 / 4))
        held += not set.intersection(*bests)
    assert held <= 0.05 * trials


def test_many_classes_are_said_to_be_missing_not_failed(made: Config) -> None:
    verdict = made_up.judge(made, "underfits", RUNS, classes=[50, 10000])
    assert verdict.status == "not run"
    assert verdict.text


def test_diverged_runs_count_as_scores_without_bound(made: Config) -> None:
    select = Select(cells="curves", losses="norms")
    options = {"raw": ["unhinged-none"], "normalised": ["unhinged-l2", "unhinged-bn"]}
    # Scores grow 20-fold in the made-up histories; one raw seed diverged, the others did not.
    assert made_up.judge(made, "scores-explode", select, factor=19.0, **options).status == "fails"
    verdict = made_up.judge(made, "scores-explode", select, factor=19.9, **options)
    grown = {name.rpartition(", Made-up")[0]: value for name, value in verdict.numbers.items()}
    assert grown["growth of the scores, Unhinged, no normalisation"] > 10  # a power of ten
    assert grown["growth of the scores, Unhinged, Euclidean norm"] == pytest.approx(np.log10(20))
    assert re.search(r"\b2 of \d+ trainings diverged", verdict.text)


def test_scores_of_trainings_that_all_diverged_at_once_are_run_and_without_bound(
    tiny: Config,
) -> None:
    norms = ["none", "l2", "bn"]
    made_up.lose(*(f"{loss}-{norm}" for loss in ("unhinged", "sgce") for norm in norms))
    made_up.lose("unhinged", "sgce")
    options = {"raw": ["unhinged-none"], "normalised": ["unhinged-l2", "unhinged-bn"]}
    verdict = made_up.judge(
        tiny, "scores-explode", Select(cells="curves", losses="norms"), **options
    )
    assert verdict.status == "fails"
    assert re.search(r"(\d+) of \1 trainings diverged: without bound", verdict.text)


def test_diverged_runs_are_named_in_a_claim_and_count_as_wrong(made: Config) -> None:
    select = Select(cells="curves", losses="norms")
    options = {"pairs": [["unhinged-none", "unhinged-l2"]], "rates": [0.8], "gap": 0.2}
    verdict = made_up.judge(made, "gain", select, **options)
    assert "diverged (Unhinged, no normalisation); they count as right nowhere" in verdict.text
    (effect,) = verdict.effects
    assert 20 < effect.value < 50


def test_a_training_that_diverged_has_fallen_to_nothing(made: Config) -> None:
    select = Select(cells="curves", losses="norms")
    options = {"losses": ["unhinged-none", "unhinged-l2"], "rates": [0.8], "drop": 0.2}
    falls = made_up.judge(made, "stays", select, **options).numbers
    (without,) = (value for name, value in falls.items() if "no normalisation" in name)
    assert without > 20 and max(value for value in falls.values() if value != without) < 20


def test_what_a_training_that_diverged_did_not_measure_cannot_hold(made: Config) -> None:
    select = Select(cells="curves", losses="norms")
    options = {"loss": "unhinged-none", "drop": -1.0, "fitted": 0.0, "rates": (0.8, 0.8)}
    verdict = made_up.judge(made, "memorises", select, **options)
    assert verdict.status == "not resolved" and "1 not run" in verdict.text
    tiers = [["unhinged-none"], ["unhinged-l2"], ["unhinged-bn"]]
    verdict = made_up.judge(made, "order", select, tiers=tiers, rate=0.8, value="wrong_fitted")
    assert "2 not run" in verdict.text and "they are not counted" in verdict.text


TIERS = [["ce"], ["gce"], ["nce+rce"], ["sgce"]]
ONLY_LOST: dict[str, dict[str, Any]] = {
    "order": {"tiers": TIERS, "rate": 0.8, "growing": True},
    "close": {"losses": ["sgce", "alpha_mae", "unhinged"], "gap": 0.1},
    "gain": {"pairs": [["ce", "sgce"]], "rates": [0.8], "gap": 0.05},
    "competitive": {"losses": ["sgce"], "baselines": ["ce", "alpha_mae"], "gap": 0.1},
    "underfits": {"gap": -0.2},
}


@pytest.mark.parametrize("at", [1, 6])
def test_no_claim_is_resolved_where_everything_diverged(tiny: Config, at: int) -> None:
    made_up.lose(*made_up.COMPARISON, at=at)
    for predicate, options in ONLY_LOST.items():
        verdict = made_up.judge(tiny, predicate, RUNS, **options)
        assert verdict.status == "not run", (predicate, verdict.text)
        assert re.search(r"(\d+) of \1 trainings diverged", verdict.text), verdict.text


def test_a_gap_of_what_a_training_that_diverged_did_not_measure_grows_nowhere(
    tiny: Config,
) -> None:
    options = {"tiers": TIERS[::-1], "rate": 0.8, "growing": True, "value": "wrong_fitted"}
    made_up.lose("sgce", at=6, noise="0.2", seeds="1")
    verdict = made_up.judge(tiny, "order", RUNS, **options)
    assert verdict.status == "not run"
    assert "A value is missing: growth of the gap, Made-up images." in verdict.text


def test_a_setting_in_which_every_training_diverged_has_no_best_parameter(tiny: Config) -> None:
    select = Select(cells="curves", losses="q")
    options = {"chosen": 0.8, "rates": [0.2, 0.6], "tolerance": 0.1}
    assert made_up.judge(tiny, "reuse", select, **options).status == "holds"
    made_up.lose("sgce", *(f"sgce-q{value}" for value in (0.1, 0.4, 1.0)))
    assert "Every training diverged." in made_up.judge(tiny, "reuse", select, **options).text


def test_a_claim_of_several_parts_does_not_hold_by_those_that_are_run(made: Config) -> None:
    rivals = {"baselines": ["ce", "gce"], "gap": 1.0}
    assert made_up.judge(made, "competitive", RUNS, losses=["sgce"], **rivals).status == "holds"
    verdict = made_up.judge(made, "competitive", RUNS, losses=["sgce", "focal"], **rivals)
    assert verdict.status == "not run" and "focal is not run" in verdict.text
    pairs = [["ce", "sgce"], ["ce", "focal"]]
    assert made_up.judge(made, "gain", RUNS, pairs=pairs[:1], rates=[0.8], gap=0).status == "holds"
    verdict = made_up.judge(made, "gain", RUNS, pairs=pairs, rates=[0.8], gap=0)
    assert verdict.status == "not resolved" and "1 not run" in verdict.text
    tiers = [["ce"], ["gce"], ["sgce"]]
    assert made_up.judge(made, "order", MATRICES, tiers=tiers, rate=0.4).status == "holds"
    verdict = made_up.judge(made, "order", MATRICES, tiers=tiers, rate=0.4, growing=True)
    assert verdict.status == "not run" and "No rate below 0.4" in verdict.text


@pytest.mark.parametrize("predicate", ["constant-gradient", "same-first-steps", "smooth"])
def test_what_follows_from_the_definitions_holds(made: Config, predicate: str) -> None:
    assert made_up.judge(made, predicate, NOTHING).status == "holds"


def test_curvature_is_judged_in_the_order_of_the_parameter(made: Config) -> None:
    found = made_up.judge(made, "smooth", NOTHING, qs=[0.3, 0.1], alphas=[2.0, 0.5])
    assert found.status == "holds"


@pytest.mark.parametrize("predicate", ["decomposes", "only-convex", "equal-components"])
def test_what_is_certain_holds_of_every_loss(made: Config, predicate: str) -> None:
    verdict = made_up.judge(made, predicate, Select(losses="comparison"))
    assert verdict.status == "holds"
    labels = [entry.label for name, entry in made.losses.items() if name in made_up.COMPARISON]
    assert set(labels) <= set(verdict.numbers)


def test_noise_only_shrinks_the_gradients_of_every_symmetric_loss(made: Config) -> None:
    assert made_up.judge(made, "noise-identity", Select(losses="decay")).status == "not run"
    verdict = made_up.judge(made, "noise-identity", Select(losses="comparison"))
    assert verdict.status == "holds"
    assert {"SGCE", "MAE", "error of CE"} <= set(verdict.numbers)
    assert "GCE" not in verdict.numbers


def test_a_loss_that_bends_is_not_taken_for_linear(made: Config) -> None:
    select = Select(losses="comparison")
    assert made_up.judge(made, "only-convex", select, linear=["ce", "gce"]).status == "fails"


def test_first_steps_are_alike_only_from_nearly_equal_scores(made: Config) -> None:
    assert made_up.judge(made, "same-first-steps", NOTHING, scale=1.0).status == "fails"


@pytest.mark.parametrize(
    ("predicate", "options"),
    [
        ("memorises", {"loss": "ce-tuned"}),
        ("close", {"losses": ["ce", "sgce"]}),
        ("gain", {"pairs": [["ce", "ce-tuned"]], "rates": [0.4], "gap": 0}),
        ("gain", {"variants": "tuned", "rates": [0.4], "gap": 0}),
        ("optimum-differs", {}),
        ("reuse", {}),
        ("underfits", {}),
        ("stays", {"losses": ["ce"], "rates": [0.4]}),
        ("exact-counts", {}),
        ("competitive", {"losses": ["sgce"], "baselines": ["ce"]}),
    ],
)
def test_a_claim_without_data_is_not_run(made: Config, predicate: str, options: Any) -> None:
    verdict = made_up.judge(made, predicate, NOTHING, **options)
    assert verdict.status == "not run"


def label_files(config: Config, select: Select) -> list[Path]:
    """Where the noisy labels of a selection lie; the folders are there."""
    found = made_up.results(config, "labels.npz", **select.model_dump()).files.values()
    files = [Path(path) for path in found]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
    return files


def test_the_exact_count_of_moved_labels_is_checked(tiny: Config) -> None:
    floor = {f"symmetric-{rate}": {"kind": "symmetric", "rate": rate, "sampler": "floor"}
             for rate in (0.4, 0.8)}  # fmt: skip
    config = made_up.edit(f"studies/{NAME}/tiny.yaml", {"noises": floor})
    clean = np.repeat(np.arange(10), 100)
    for path in label_files(config, MATRICES):
        rate = float(path.parent.name.split("-")[1])
        moved = np.floor(rate / 9 * 100 + 1e-9) / 100
        realised = np.full((10, 10), moved)
        np.fill_diagonal(realised, 1 - 9 * moved)
        np.savez(path, realised=realised, clean=clean)
    assert made_up.judge(config, "exact-counts", MATRICES).status == "holds"
    realised[0, 1] += 0.02
    np.savez(path, realised=realised, clean=clean)
    verdict = made_up.judge(config, "exact-counts", MATRICES)
    assert verdict.numbers["largest difference"] == pytest.approx(2)


@pytest.mark.parametrize("pairs", [{9: 1, 3: 5, 5: 3}, "blocks"])
def test_asymmetric_noise_changes_the_classes_of_its_map(
    tiny: Config, pairs: dict[int, int] | str
) -> None:
    made_up.edit("datasets.yaml", {"cifar10.asymmetric": pairs})
    cells = {"settings": ["images"], "noises": ["asymmetric-0.25"]}
    config = made_up.edit(f"studies/{NAME}/tiny.yaml", {"cells.asymmetric": cells})
    select = Select(cells="asymmetric", losses="comparison")
    clean, drawn = np.repeat(np.arange(10), 12), noise(config, "asymmetric-0.25")
    for seed, path in enumerate(label_files(config, select)):
        realised = corrupt(clean, drawn, config.datasets["cifar10"], seed).realised
        np.savez(path, realised=realised, clean=clean)
    verdict = made_up.judge(config, "exact-counts", select)
    assert verdict.status == "holds"
    assert verdict.numbers["fewest classes changed"] == (10 if pairs == "blocks" else 3)
    realised[0], realised[2, 4] = realised[1], 1 / 12
    np.savez(path, realised=realised, clean=clean)
    assert made_up.judge(config, "exact-counts", select).status == "fails"


@pytest.mark.parametrize(("p", "status"), [(0.01, "fails"), (0.02, "not resolved")])
def test_a_claim_of_several_parts_fails_at_a_level_corrected_for_their_number(
    p: float, status: str
) -> None:
    parts = Verdict("fails", "", p_fails=p), Verdict("holds", "", p_fails=1.0)
    assert effects.both(*parts).status == status
    assert effects.both(Verdict("fails", ""), *parts).status == "fails"  # of one that is exact
