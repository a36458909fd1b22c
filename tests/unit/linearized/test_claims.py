"""Claims judged on made-up results, on both sides of their thresholds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firstorder.config import Claim, Config
from firstorder.jobs.context import Context
from firstorder.jobs.study import steps
from firstorder.publish import judge
from firstorder.studies.linearized.settings import Select

from .made_up import EIGENFUNCTIONS, REFERENCE, judged, results
from .small import with_study


def test_function_space_takes_the_steps_of_the_weights(tiny: Config) -> None:
    verdict = judged(tiny, "dual-form")
    assert verdict.status == "holds"
    assert verdict.numbers["difference"] < 1e-10


@pytest.mark.parametrize(
    ("predicate", "holding", "failing"),
    [
        ("heavy-tail", {"share": 0.4}, {"share": 0.99}),
        ("accuracy-falls", {"arm": "linear"}, {"arm": "linear", "correlation": -1.1}),
        ("kernel-ranks-tasks", {}, {"correlation": 1.1}),
        ("linear-wins", {"gap": 0.02}, {"gap": 0.5}),
        ("slower-to-fit", {}, {"correlation": 1.1}),
        ("farther", {"lowest": 2, "share": 4}, {"lowest": 2, "share": 4, "correlation": 1.1}),
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


ALL_TASKS = {
    "family": "eigenfunctions",
    "also": ["architectures", "binary", "architectures-binary", "nads"],
}
NADS = {"family": "nads"}
WIDTHS = {"family": "width", "also": ["eigenfunctions"]}
SIZES = {
    "family": "architectures-binary", "also": ["binary"], "models": ["mlp", "lenet", "residual"],
}  # fmt: skip
LENET = {"family": "eigenfunctions", "models": ["lenet"], "dataset": "photos"}


@pytest.mark.parametrize(
    ("predicate", "select", "holding", "failing"),
    [
        ("nad-spectrum", NADS, {"index": 400, "ratio": 0.5}, {"ratio": 0.5, "decay": 1e9}),
        ("nad-alignment", NADS, {}, {"correlation": 1.1}),
        (
            "accuracy-falls-to-chance",
            NADS,
            {"arm": "network"},
            {"arm": "network", "correlation": -1.1},
        ),
        (
            "accuracy-falls-to-chance",
            NADS,
            {"arm": "network", "first": 1.0, "last": 0.5, "near": 0.08},
            {"arm": "network", "first": 1.0, "last": 0.4, "near": 0.08},
        ),
        ("alignment-ranks", ALL_TASKS, {"correlation": 0.2}, {"correlation": 1.1}),
        ("gap-grows", {**SIZES, "models": ["mlp", "lenet"]}, {}, None),
        (
            "reference-shape",
            LENET,
            {"reference": REFERENCE, "tasks": (2, 50)},
            {"reference": REFERENCE, "tasks": (2, 50), "correlation": 1.1},
        ),
    ],
)
def test_a_claim_about_several_families_is_judged_on_both_sides(
    tiny: Config, predicate: str, select: dict, holding: dict, failing: dict | None
) -> None:
    assert judged(tiny, predicate, select, **holding).status == "holds"
    if failing is not None:
        assert judged(tiny, predicate, select, **failing).status == "fails"


def test_seeds_whose_largest_growths_only_average_to_the_task_do_not_count(tiny: Config) -> None:
    found = results(tiny, "claim", "order-kept", {**EIGENFUNCTIONS, "models": ["lenet"]})
    for path, largest in zip(found.files.values(), (8, 12), strict=True):
        frame = pd.read_csv(path)
        at = (frame["task"] == 10) & (frame["part"] == "train") & (frame["k"] == largest)
        frame.loc[at, "trained"] *= 1000
        frame.to_csv(path, index=False)
    verdict = judged(tiny, "order-kept", EIGENFUNCTIONS, correlation=0.5)
    assert verdict.status == "fails"
    # Four indices from 10 on, two models, two seeds.
    assert "grows most in 14 of 16 trainings" in verdict.text


@pytest.mark.parametrize(("off", "status"), [(1e-5, "holds"), (1e-2, "fails"), (np.nan, "fails")])
def test_an_alignment_by_gradients_is_compared_with_the_eigenvalue(
    tiny: Config, off: float, status: str
) -> None:
    values = pd.DataFrame({"k": [1, 2, 5], "eigenvalue": [9.0, 4.0, 1.0]})
    found = results(tiny, "claim", "alignment-is-eigenvalue", EIGENFUNCTIONS)
    for path in found.files.values():
        values.assign(alignment=values["eigenvalue"] * [1, 1 + off, 1]).to_csv(path, index=False)
    verdict = judged(tiny, "alignment-is-eigenvalue", EIGENFUNCTIONS, error=1e-4)
    assert verdict.status == status
    assert verdict.text.startswith("For 12 eigenfunctions, the 5th the last")


def test_accuracy_falls_between_two_ends_where_these_are_given(tiny: Config) -> None:
    verdict = judged(
        tiny, "accuracy-falls-to-chance", NADS, arm="network", first=0.8, last=0.5, near=0.08
    )
    assert verdict.status == "fails"
    assert verdict.numbers["first_off"] > 0.1 > verdict.numbers["last_off"]
    high = {"last": 0.5, "lowest": 1000}
    assert judged(tiny, "accuracy-falls-to-chance", NADS, arm="network", **high).status == (
        "not run"
    )


def test_architectures_are_compared_on_a_size_that_all_have(tiny: Config) -> None:
    verdict = judged(tiny, "gap-by-architecture", SIZES)
    assert verdict.text.startswith("With 50 training examples")
    assert set(verdict.numbers) == {"gap_MLP", "gap_LeNet", "gap_ResNet-18"}


def test_the_most_examples_are_those_of_each_model(tiny: Config) -> None:
    verdict = judged(tiny, "network-wins", SIZES, lowest=1000)
    assert set(verdict.numbers) == {"gap_MLP", "gap_LeNet"}
    assert judged(tiny, "network-wins", SIZES, lowest=5000).status == "not run"


def test_widths_are_compared_within_an_architecture(tiny: Config) -> None:
    verdict = judged(tiny, "closer-with-width", WIDTHS)
    assert set(verdict.numbers) == {"change_MLP"}
    assert verdict.text.index("MLP, 25 wide") < verdict.text.index("MLP, 400 wide")
    lenet = {"family": "eigenfunctions", "models": ["lenet"]}
    assert judged(tiny, "closer-with-width", lenet).status == "not run"


def test_a_reference_on_other_data_is_not_compared(tiny: Config) -> None:
    other = {**LENET, "dataset": "images"}
    verdict = judged(tiny, "reference-shape", other, reference=REFERENCE)
    assert verdict.status == "not run"


def test_steps_that_are_never_reached_count_as_more(tiny: Config) -> None:
    verdict = judged(tiny, "more-steps", EIGENFUNCTIONS)
    assert verdict.status == "holds"
    assert verdict.numbers["never_reached"] == 2 * 2 * 2


def test_a_control_without_watched_tasks_is_not_run(tiny: Config) -> None:
    # The made-up files of the control have nothing but a header.
    verdict = judged(tiny, "random-labels", EIGENFUNCTIONS)
    assert verdict.status == "not run"


def test_a_family_that_the_scale_lacks_leaves_a_claim_not_run(tiny: Config) -> None:
    assert judged(tiny, "gap-grows", {"family": "absent"}).status == "not run"


def test_written_verdicts_name_every_claim_and_count_the_failures(tiny: Config) -> None:
    declared = {
        name: Claim[Select](title=title, where="W", predicate=predicate, options=options,
                            select=Select.model_validate(select))
        for name, title, predicate, options, select in (
            ("A", "Holds", "spike", {"least": 2}, EIGENFUNCTIONS),
            ("B", "Fails", "spike", {"least": 50}, EIGENFUNCTIONS),
            ("C", "Missing", "gap-grows", {}, {"family": "absent"}),
        )
    }  # fmt: skip
    study = tiny.studies["linearized"].declared.model_copy(update={"claims": declared})
    job = steps(tiny)["claims"].job(with_study(tiny, declared=study))
    judge.claims(job.spec, job.inputs, job.outputs, Context())
    frame = pd.read_csv(job.outputs["csv"])
    assert list(frame["status"]) == ["holds", "fails", "not run"]
    assert json.loads(frame["effects"][0])["least"] > 2
    for suffix in ("md", "html"):
        text = Path(job.outputs[suffix]).read_text()
        assert all(claim.title in text for claim in declared.values())
    text, failed = judge.verify(job.spec, frame)
    assert failed == 1
    assert "  1 hold\n  1 fail: B\n" in text and text.endswith("  1 not run")
