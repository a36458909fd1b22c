"""Claims judged on made-up results, on both sides of their thresholds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from firstorder.publish.claims import judge

# ruff: noqa: F811  (a fixture is an argument)
from test_publish_records import REFERENCE, tiny, tree  # noqa: F401  (fixtures)

from firstorder import config as configuration
from firstorder.config import Claim, Config, Selection
from firstorder.data.noise import corrupt
from firstorder.publish import claims, needs, registry

ROOT = Path(__file__).resolve().parents[2]
RUNS = Selection(cells="symmetric", losses="comparison", files=("summary.json",))
EIGENFUNCTIONS = Selection(family="eigenfunctions")
ALIGNMENT = Selection(family="eigenfunctions", files=("runs/eigenfunctions/alignment.csv",))


def judged(
    config: Config, predicate: str, select: Selection | None = None, **options: object
) -> claims.Verdict:
    claim = Claim(
        title="T", where="W", predicate=predicate, select=select or Selection(), options=options
    )
    study = "linearized" if claim.select.family else "symmetrization"
    return judge.verdict(config, study, "X", claim)


def test_cross_entropy_memorises_where_it_falls_by_more_than_the_threshold(tiny: Config) -> None:
    assert judged(tiny, "memorises", RUNS, drop=0.01, fitted=0.5).status == "holds"
    verdict = judged(tiny, "memorises", RUNS, drop=0.5, fitted=0.5)
    assert verdict.status == "fails"
    assert verdict.effects["largest_drop"] < 0.5


def test_cross_entropy_memorises_only_where_it_fits_the_wrong_labels(tiny: Config) -> None:
    verdict = judged(tiny, "memorises", RUNS, drop=0.01)
    assert verdict.status == "fails"
    assert verdict.effects["wrong_fitted"] == pytest.approx(0.57)


def test_an_order_of_losses_holds_one_way_only(tiny: Config) -> None:
    tiers = [["ce"], ["gce"], ["nce+rce"], ["sgce"]]
    assert judged(tiny, "order", RUNS, tiers=tiers, rate=0.8, growing=True).status == "holds"
    assert judged(tiny, "order", RUNS, tiers=tiers[::-1], rate=0.8).status == "fails"


def test_a_gain_is_judged_against_its_threshold(tiny: Config) -> None:
    options = {"pairs": [["ce", "sgce"]], "rates": [0.4, 0.8]}
    assert judged(tiny, "gain", RUNS, gap=0.05, **options).status == "holds"
    assert judged(tiny, "gain", RUNS, gap=0.9, **options).status == "fails"


def test_every_pair_gains_unless_a_share_is_enough(tiny: Config) -> None:
    options = {"pairs": [["ce", "sgce"], ["sgce", "ce"]], "rates": [0.4, 0.8], "gap": 0.05}
    verdict = judged(tiny, "gain", RUNS, **options)
    assert verdict.status == "fails"
    assert verdict.effects["share"] == 0.5
    assert judged(tiny, "gain", RUNS, share=0.5, **options).status == "holds"


def test_every_variant_that_is_run_is_compared_with_the_loss_that_it_varies(tiny: Config) -> None:
    select = Selection(cells="curves", losses="decay", files=("summary.json",))
    verdict = judged(tiny, "gain", select, variants="tuned", rates=[0.8], gap=-1.0)
    assert verdict.status == "holds"
    assert set(verdict.effects) == {"share", "gap_ce-tuned_ce", "gap_gce-tuned_gce"}


def test_losses_are_close_within_a_gap(tiny: Config) -> None:
    losses = ["sgce", "alpha_mae", "unhinged"]
    assert judged(tiny, "close", RUNS, losses=losses, gap=0.1).status == "holds"
    assert judged(tiny, "close", RUNS, losses=["ce", *losses], gap=0.1).status == "fails"
    assert judged(tiny, "close", RUNS, losses=["ce"]).status == "not run at this scale"


def test_a_variant_that_varies_nothing_takes_its_place_in_an_order(tiny: Config) -> None:
    select = Selection(cells="curves", losses="q", files=("summary.json",))
    tiers = [["sgce-q1.0"], ["sgce-q0.7"], ["sgce-q0.4"]]  # 0.7 is the loss's own value
    assert judged(tiny, "order", select, tiers=tiers, rate=0.8, share=0.0).status == "holds"


@pytest.mark.parametrize(("decay", "status"), [(0.01, "fails"), (0.001, "holds")])
def test_the_tuned_weight_decays_differ_or_do_not(tiny: Config, decay: float, status: str) -> None:
    select = Selection(cells="curves", losses="tuned", files=("tuning.json",))
    paths = needs.selected(tiny, "symmetrization", select)
    for path, chosen in zip(paths, (0.01, decay), strict=True):
        record = {"chosen": {"weight_decay": chosen}, "validation_accuracy": 0.75}
        Path(path).write_text(json.dumps(record))
    assert judged(tiny, "optimum-differs", select).status == status


def test_many_classes_are_said_to_be_missing_not_failed(tiny: Config) -> None:
    verdict = judged(tiny, "underfits", RUNS, classes=[50, 10000])
    assert verdict.status == "not run at this scale"
    assert verdict.text


@pytest.mark.parametrize(
    "predicate",
    [
        "memorises",
        "close",
        "gain",
        "optimum-differs",
        "reuse",
        "underfits",
        "stays",
        "exact-counts",
    ],
)
def test_a_claim_without_data_is_not_run(tiny: Config, predicate: str) -> None:
    options = {"loss": "ce-tuned", "losses": ["ce"], "pairs": [["ce", "ce-tuned"]], "gap": 0}
    verdict = judged(tiny, predicate, rates=[0.4, 0.8], **options)
    assert verdict.status == "not run at this scale"


def test_diverged_runs_count_as_scores_without_bound(tiny: Config) -> None:
    select = Selection(cells="curves", losses="norms", files=("summary.json", "history.csv"))
    options = {"raw": ["unhinged-none"], "normalised": ["unhinged-l2", "unhinged-bn"]}
    # Scores grow 20-fold in the made-up histories; one raw seed diverged, the others did not.
    assert judged(tiny, "scores-explode", select, factor=19.0, **options).status == "fails"
    verdict = judged(tiny, "scores-explode", select, factor=19.9, **options)
    assert verdict.effects["raw_growth"] == pytest.approx(20.0)


@pytest.mark.parametrize("predicate", ["constant-gradient", "same-first-steps", "noise-identity"])
def test_what_follows_from_the_definitions_holds(tiny: Config, predicate: str) -> None:
    assert judged(tiny, predicate).status == "holds"


def test_first_steps_are_alike_only_from_nearly_equal_scores(tiny: Config) -> None:
    assert judged(tiny, "same-first-steps", scale=1.0).status == "fails"


def test_function_space_takes_the_steps_of_the_weights(tiny: Config) -> None:
    claim = Claim(title="T", where="W", predicate="dual-form")
    verdict = judge.verdict(tiny, "linearized", "E3", claim)
    assert verdict.status == "holds"
    assert verdict.effects["difference"] < 1e-10


@pytest.mark.parametrize(
    ("predicate", "holding", "failing"),
    [
        ("heavy-tail", {"share": 0.4}, {"share": 0.99}),
        ("accuracy-falls", {"arm": "linear"}, {"arm": "linear", "correlation": -1.1}),
        ("kernel-ranks-tasks", {}, {"correlation": 1.1}),
        ("linear-wins", {"gap": 0.02}, {"gap": 0.5}),
        ("slower-to-fit", {}, {"correlation": 1.1}),
        ("farther", {"from": 2, "share": 4}, {"from": 2, "share": 4, "correlation": 1.1}),
        ("spike", {"least": 2}, {"least": 50}),
        ("spike-fades", {"large": 50}, {"large": 50, "least": 50}),
        ("one-axis", {"rank": 40}, {"rank": 0}),
        ("order-kept", {}, {"correlation": 1.1}),
        ("alignment-grows", {"growth": 2}, {"growth": 50}),
        ("energy-concentrates", {}, {"rise": 2.0}),
        ("trained-kernel-is-the-network", {"close": 0.2}, {"close": 0.0}),
    ],
)
def test_a_claim_of_the_linearized_study_is_judged_on_both_sides(
    tiny: Config, predicate: str, holding: dict, failing: dict
) -> None:
    assert judged(tiny, predicate, EIGENFUNCTIONS, **holding).status == "holds"
    assert judged(tiny, predicate, EIGENFUNCTIONS, **failing).status == "fails"


ALL_TASKS = Selection(
    family="eigenfunctions", also=("architectures", "binary", "architectures-binary", "nads")
)
NADS = Selection(family="nads")
WIDTHS = Selection(family="width", also=("eigenfunctions",))
SIZES = Selection(
    family="architectures-binary", also=("binary",), models=("mlp", "lenet", "residual")
)
LENET = Selection(family="eigenfunctions", models=("lenet",), dataset="photos")


@pytest.mark.parametrize(
    ("predicate", "select", "holding", "failing"),
    [
        ("nad-spectrum", NADS, {"index": 400, "ratio": 0.5}, {"ratio": 0.5, "decay": 1e9}),
        ("nad-alignment", NADS, {}, {"correlation": 1.1}),
        ("accuracy-falls", NADS, {"arm": "network"}, {"arm": "network", "correlation": -1.1}),
        (
            "accuracy-falls",
            NADS,
            {"arm": "network", "first": 1.0, "last": 0.5, "near": 0.08},
            {"arm": "network", "first": 1.0, "last": 0.4, "near": 0.08},
        ),
        ("alignment-ranks", ALL_TASKS, {"correlation": 0.2}, {"correlation": 1.1}),
        ("gap-grows", SIZES.model_copy(update={"models": ("mlp", "lenet")}), {}, None),
        (
            "reference-shape",
            LENET,
            {"reference": REFERENCE, "tasks": (2, 50)},
            {"reference": REFERENCE, "tasks": (2, 50), "correlation": 1.1},
        ),
    ],
)
def test_a_claim_about_several_families_is_judged_on_both_sides(
    tiny: Config, predicate: str, select: Selection, holding: dict, failing: dict | None
) -> None:
    assert judged(tiny, predicate, select, **holding).status == "holds"
    if failing is not None:
        assert judged(tiny, predicate, select, **failing).status == "fails"


def test_seeds_whose_largest_growths_only_average_to_the_task_do_not_count(tiny: Config) -> None:
    for path, largest in zip(
        needs.selected(tiny, "linearized", ALIGNMENT.model_copy(update={"models": ("lenet",)})),
        (8, 12),
        strict=True,
    ):
        frame = pd.read_csv(path)
        at = (frame["task"] == 10) & (frame["part"] == "train") & (frame["k"] == largest)
        frame.loc[at, "trained"] *= 1000
        frame.to_csv(path, index=False)
    verdict = judged(tiny, "order-kept", ALIGNMENT, correlation=0.5)
    assert verdict.status == "fails"
    # Four indices from 10 on, two models, two seeds.
    assert "grows most in 14 of 16 trainings" in verdict.text


@pytest.mark.parametrize(("off", "status"), [(1e-5, "holds"), (1e-2, "fails"), (np.nan, "fails")])
def test_an_alignment_by_gradients_is_compared_with_the_eigenvalue(
    tiny: Config, off: float, status: str
) -> None:
    select = EIGENFUNCTIONS.model_copy(update={"files": ("gradients.csv",)})
    values = pd.DataFrame({"k": [1, 2, 5], "eigenvalue": [9.0, 4.0, 1.0]})
    for path in needs.selected(tiny, "linearized", select):
        values.assign(alignment=values["eigenvalue"] * [1, 1 + off, 1]).to_csv(path, index=False)
    verdict = judged(tiny, "alignment-is-eigenvalue", select, error=1e-4)
    assert verdict.status == status
    assert verdict.text.startswith("For 12 eigenfunctions, the 5th the last")


def test_accuracy_falls_between_two_ends_where_these_are_given(tiny: Config) -> None:
    verdict = judged(tiny, "accuracy-falls", NADS, arm="network", first=0.8, last=0.5, near=0.08)
    assert verdict.status == "fails"
    assert verdict.effects["first_off"] > 0.1 > verdict.effects["last_off"]
    high = {"last": 0.5, "from": 1000}
    assert judged(tiny, "accuracy-falls", NADS, arm="network", **high).status == (
        "not run at this scale"
    )


def test_architectures_are_compared_on_a_size_that_all_have(tiny: Config) -> None:
    verdict = judged(tiny, "gap-by-architecture", SIZES)
    assert verdict.text.startswith("With 50 training examples")
    assert set(verdict.effects) == {"gap_MLP", "gap_LeNet", "gap_ResNet-18"}


def test_the_most_examples_are_those_of_each_model(tiny: Config) -> None:
    verdict = judged(tiny, "network-wins", SIZES, **{"from": 1000})
    assert set(verdict.effects) == {"gap_MLP", "gap_LeNet"}
    assert judged(tiny, "network-wins", SIZES, **{"from": 5000}).status == "not run at this scale"


def test_widths_are_compared_within_an_architecture(tiny: Config) -> None:
    verdict = judged(tiny, "closer-with-width", WIDTHS)
    assert set(verdict.effects) == {"change_MLP"}
    assert verdict.text.index("MLP, 25 wide") < verdict.text.index("MLP, 400 wide")
    lenet = Selection(family="eigenfunctions", models=("lenet",))
    assert judged(tiny, "closer-with-width", lenet).status == "not run at this scale"


def test_a_reference_on_other_data_is_not_compared(tiny: Config) -> None:
    other = LENET.model_copy(update={"dataset": "cifar10"})
    verdict = judged(tiny, "reference-shape", other, reference=REFERENCE)
    assert verdict.status == "not run at this scale"


def test_steps_that_are_never_reached_count_as_more(tiny: Config) -> None:
    verdict = judged(tiny, "more-steps", EIGENFUNCTIONS)
    assert verdict.status == "holds"
    assert verdict.effects["never_reached"] == 2 * 2 * 2


def test_the_exact_count_of_moved_labels_is_checked(tiny: Config) -> None:
    select = Selection(cells="curves", losses="comparison", files=("labels.npz",))
    clean = np.repeat(np.arange(10), 100)
    for path in needs.selected(tiny, "symmetrization", select):
        rate = float(Path(path).parent.name.split("-")[1])
        moved = np.floor(rate / 9 * 100 + 1e-9) / 100
        realised = np.full((10, 10), moved)
        np.fill_diagonal(realised, 1 - 9 * moved)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, realised=realised, clean=clean)
    assert judged(tiny, "exact-counts", select).status == "holds"
    realised[0, 1] += 0.02
    np.savez(path, realised=realised, clean=clean)
    assert judged(tiny, "exact-counts", select).effects["largest_difference"] == pytest.approx(2)


@pytest.mark.parametrize("pairs", [{9: 1, 3: 5, 5: 3}, "blocks"])
def test_asymmetric_noise_changes_the_classes_of_its_map(
    tiny: Config, pairs: dict[int, int] | str
) -> None:
    scale, dataset = tiny.scale.symmetrization, tiny.datasets["cifar10"]
    group = scale.cells["curves"][0].model_copy(update={"noises": ("asymmetric-0.25",)})
    scale = scale.model_copy(update={"cells": {"asymmetric": (group,)}})
    dataset = dataset.model_copy(update={"asymmetric": pairs})
    config = tiny.model_copy(
        update={
            "scale": tiny.scale.model_copy(update={"symmetrization": scale}),
            "datasets": {**tiny.datasets, "cifar10": dataset},
        }
    )
    select = Selection(cells="asymmetric", losses="comparison", files=("labels.npz",))
    clean = np.repeat(np.arange(10), 11)
    noise = configuration.noise(config, "asymmetric-0.25")
    for seed, path in enumerate(needs.selected(config, "symmetrization", select)):
        realised = corrupt(clean, noise, dataset, seed).realised
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, realised=realised, clean=clean)
    verdict = judged(config, "exact-counts", select)
    assert verdict.status == "holds"
    assert verdict.effects["least_changed"] == (10 if pairs == "blocks" else 3)
    realised[0], realised[2, 4] = realised[1], 1 / 11
    np.savez(path, realised=realised, clean=clean)
    assert judged(config, "exact-counts", select).status == "fails"


def test_written_verdicts_name_every_claim_and_count_the_failures(tiny: Config) -> None:
    declared = {
        "A": Claim(title="Holds", where="W", predicate="memorises", select=RUNS,
                   options={"drop": 0.01, "fitted": 0.5}),
        "B": Claim(title="Fails", where="W", predicate="memorises", select=RUNS,
                   options={"drop": 0.9}),
        "C": Claim(title="Missing", where="W", predicate="reuse"),
    }  # fmt: skip
    study = tiny.studies.symmetrization.model_copy(update={"claims": declared})
    studies = tiny.studies.model_copy(update={"symmetrization": study})
    config = tiny.model_copy(update={"studies": studies})
    claims.build(config)
    paths = needs.paths_of(config)
    frame = pd.read_csv(paths.claims("csv"))
    assert list(frame["status"]) == ["holds", "fails", "not run at this scale"]
    assert json.loads(frame["effects"][0])["least_drop"] > 0
    for suffix in ("md", "html"):
        text = Path(paths.claims(suffix)).read_text()
        assert all(claim.title in text for claim in declared.values())
    text, failed = claims.verify(config)
    assert failed == 1
    assert "  1 hold\n  1 fail: " in text and text.endswith("  1 not run at this scale")


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_every_declared_claim_and_artefact_has_its_function_and_inputs(scale: str) -> None:
    from firstorder.publish import figures, tables  # noqa: F401  (register)

    config = configuration.load(ROOT / "config", {"scale": scale})
    for study in config.settings.studies:
        for name, claim in needs.claims(config, study).items():
            registry.lookup(claim.predicate, name)
            needs.selected(config, study, claim.select)
    for of, name, artefact in configuration.artefacts(config):
        registry.lookup(artefact.draw, name)
        assert needs.inputs(config, of, name) or artefact.draw == "loss-shapes"
        said = needs.description(config, of, name)
        assert all(said.values())
