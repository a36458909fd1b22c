"""Claims judged on made-up results, on both sides of their thresholds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from firstorder.config import Claim, Config
from firstorder.jobs.context import Context
from firstorder.jobs.study import steps
from firstorder.publish import judge
from firstorder.studies.linearized.settings import Judged

from .made_up import EIGENFUNCTIONS, REFERENCE, judged, lose, results
from .small import with_study


def test_function_space_takes_the_steps_of_the_weights(made: Config) -> None:
    verdict = judged(made, "dual-form")
    assert verdict.status == "holds"
    assert verdict.numbers["largest difference"] < 1e-10


@pytest.mark.parametrize(
    ("predicate", "holding", "failing"),
    [
        ("heavy-tail", {"share": 0.4}, {"share": 0.99}),
        ("accuracy-falls", {"correlation": 0.0}, {"correlation": -1.1}),
        ("kernel-ranks-tasks", {"correlation": 0.5}, {"correlation": 1.1}),
        ("linear-wins", {"gap": 0.02}, {"gap": 0.5}),
        ("slower-to-fit", {}, {"correlation": 1.1}),
        ("more-steps", {}, {"correlation": 1.1}),
        ("farther", {"lowest": 2, "share": 4}, {"lowest": 2, "share": 4, "correlation": 1.1}),
        ("spike", {"least": 2}, {"least": 500}),
        ("spike-fades", {"large": 50, "least": 1.1}, {"large": 50, "least": 500}),
        ("one-axis", {"rank": 40}, {"rank": 0}),
        ("order-kept", {}, {"correlation": 1.1}),
        ("alignment-grows", {"growth": 2}, {"growth": 50}),
        ("energy-concentrates", {}, {"rise": 2.0}),
        ("trained-kernel-is-the-network", {"close": 0.2}, {"close": 0.0001, "tasks": (1, 1000)}),
    ],
)
def test_a_claim_of_the_linearized_study_is_judged_on_both_sides(
    made: Config, predicate: str, holding: dict, failing: dict
) -> None:
    assert judged(made, predicate, EIGENFUNCTIONS, **holding).status == "holds"
    assert judged(made, predicate, EIGENFUNCTIONS, **failing).status != "holds"


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
SAME = [[task, 1 - task / 200, 1 - task / 200, 1 - task / 200] for task in (2, 5, 10, 20, 50, 100)]


@pytest.mark.parametrize(
    ("predicate", "select", "holding", "failing"),
    [
        ("nad-spectrum", NADS, {"index": 400, "ratio": 0.1}, {"ratio": 0.1, "decay": 1e9}),
        ("nad-alignment", NADS, {}, {"correlation": 1.1}),
        (
            "accuracy-falls-to-chance",
            NADS,
            {},
            {"correlation": -1.1},
        ),
        (
            "accuracy-falls-to-chance",
            NADS,
            {"first": 1.0, "last": 0.5, "near": 0.15},
            {"first": 1.0, "last": 0.4, "near": 0.1},
        ),
        ("linear-accuracy-falls-to-chance", NADS, {}, {"correlation": -1.1}),
        ("alignment-ranks", ALL_TASKS, {"correlation": -0.9}, {"correlation": 1.1}),
        ("faster-on-trained", EIGENFUNCTIONS, {}, {"lowest": 1000}),
        ("trained-kernel-wins", {"family": "binary"}, {}, None),
        (
            "reference-shape",
            LENET,
            {"reference": SAME, "correlation": 0.5},
            {"reference": SAME, "correlation": 1.1},
        ),
    ],
)
def test_a_claim_about_several_families_is_judged_on_both_sides(
    made: Config, predicate: str, select: dict, holding: dict, failing: dict | None
) -> None:
    assert judged(made, predicate, select, **holding).status == "holds"
    if failing is not None:
        assert judged(made, predicate, select, **failing).status != "holds"


def test_a_training_in_which_another_index_grows_more_does_not_count(tiny: Config) -> None:
    before = {e.name: e.value for e in judged(tiny, "order-kept", EIGENFUNCTIONS).effects[2:]}
    assert before == {"MLP": 100.0, "LeNet": 100.0}
    found = results(tiny, "claim", "order-kept", {**EIGENFUNCTIONS, "models": ["lenet"]})
    for path, largest in zip(found.files.values(), (8, 12), strict=True):
        frame = pd.read_csv(path)
        at = (frame["task"] == 10) & (frame["part"] == "train") & (frame["k"] == largest)
        frame.loc[at, "trained"] *= 1000
        frame.to_csv(path, index=False)
    verdict = judged(tiny, "order-kept", EIGENFUNCTIONS, correlation=0.5)
    # Of four indices from 10 on, that of one is passed in both seeds.
    assert {e.name: e.value for e in verdict.effects[2:]} == {"MLP": 100.0, "LeNet": 75.0}


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


def test_accuracy_falls_between_two_ends_where_these_are_given(made: Config) -> None:
    verdict = judged(made, "accuracy-falls-to-chance", NADS, first=0.8, last=0.5, near=0.08)
    assert verdict.status == "fails"
    off = verdict.numbers
    assert off["LeNet, j = 1, from 80 %"] == pytest.approx(20, abs=0.5)
    assert off["LeNet, j = 60, from 50 %"] == pytest.approx(5, abs=0.5)
    high = {"last": 0.5, "lowest": 1000}
    assert judged(made, "accuracy-falls-to-chance", NADS, **high).status == "not run"


def test_a_rank_correlation_of_fewer_than_six_indices_is_not_run(made: Config) -> None:
    verdict = judged(made, "farther", EIGENFUNCTIONS, lowest=10)
    assert verdict.status == "not run" and "six" in verdict.text


def test_the_recipe_is_printed_beside_what_is_judged_converged(made: Config) -> None:
    verdict = judged(made, "trained-kernel-wins", {"family": "binary"})
    judged_ones = {e.name: e.value for e in verdict.effects if e.threshold == 0}
    beside = {e.name: e.value for e in verdict.effects if np.isnan(e.threshold)}
    assert set(judged_ones) == {"MLP", "LeNet"}
    assert all(value == pytest.approx(6, abs=1.5) for value in judged_ones.values())
    assert all(abs(value) < 1.5 for value in beside.values()) and len(beside) == 4
    assert "By the recipe at equal trace: MLP" in verdict.text


def test_a_seed_that_diverged_is_told_in_a_claim_on_sizes(tiny: Config) -> None:
    chosen = {**SIZES, "models": ["mlp", "lenet"]}
    before = judged(tiny, "network-wins", chosen, lowest=1000)
    assert {e.name for e in before.effects[:2]} == {"MLP", "LeNet"}
    lose("lenet", [1000], family="binary", seeds="2")
    after = judged(tiny, "network-wins", chosen, lowest=1000)
    assert {e.name for e in after.effects[:2]} == {"MLP", "LeNet (1 of 2 seeds finished)"}
    assert after.status == "not resolved"


LOST: dict[str, dict[str, Any]] = {
    "linear-wins": {"share": 1},
    "kernel-ranks-tasks": {},
    "slower-to-fit": {"epochs": (5, 15)},
    "more-steps": {},
    "farther": {"lowest": 2, "share": 3},
    "faster-on-trained": {},
    "trained-kernel-is-the-network": {},
    "spike": {},
    "spike-fades": {"large": 50},
    "one-axis": {},
    "order-kept": {},
    "alignment-grows": {},
    "energy-concentrates": {"lowest": 10},
}
"""Claims about eigenfunction tasks that read networks, or what is made of them."""
TASKS = [2, 5, 10, 20, 50, 100]


@pytest.mark.parametrize("predicate", LOST)
def test_a_model_whose_networks_diverged_is_named_and_resolves_nothing(
    predicate: str, tiny: Config
) -> None:
    options = LOST[predicate]
    before = judged(tiny, predicate, EIGENFUNCTIONS, **options)
    lose("lenet", TASKS)
    one = judged(tiny, predicate, EIGENFUNCTIONS, **options)
    assert one.status in ("not resolved", "fails") and "LeNet" in one.text, before
    assert "no seed finished" in one.text or "too few tasks finished" in one.text
    mlp = {name: value for name, value in before.numbers.items() if "MLP" in name}
    assert mlp and mlp.items() <= one.numbers.items()
    lose("mlp", TASKS)
    both = judged(tiny, predicate, EIGENFUNCTIONS, **options)
    assert "MLP no seed finished" in both.text or "not resolved" in both.status


@pytest.mark.parametrize("predicate", LOST)
def test_tasks_whose_networks_diverged_are_counted(predicate: str, tiny: Config) -> None:
    lose("lenet", [50])
    said = judged(tiny, predicate, EIGENFUNCTIONS, **LOST[predicate]).text
    assert re.search(r"LeNet[^,;]* \(\d+ of \d+ (tasks|trainings)\)|LeNet[^;]* too few", said), said


@pytest.mark.parametrize("at", [1, 6, 16])
def test_the_course_of_a_training_that_diverged_has_no_end(at: int, tiny: Config) -> None:
    before = judged(tiny, "alignment-grows", EIGENFUNCTIONS).numbers
    lose("lenet", [50], at=at)
    after = judged(tiny, "alignment-grows", EIGENFUNCTIONS).numbers
    assert after["LeNet (2 of 4 trainings)"] == pytest.approx(before["LeNet"])


def test_what_diverged_is_named_in_claims_about_other_tasks(tiny: Config) -> None:
    lose("lenet", [60], family="nads")
    falls = {"correlation": -0.1, "last": 0.5, "lowest": 900, "near": 0.2}
    nads = judged(tiny, "accuracy-falls-to-chance", {"family": "nads"}, **falls)
    assert nads.status == "not resolved"
    assert "LeNet too few tasks finished" in nads.text
    assert "LeNet, j = 60 no seed finished" in nads.text
    lose("lenet", [1000], family="binary")
    sizes = {"family": "binary", "models": ["mlp", "lenet"]}
    for predicate, options in (("network-wins", {"lowest": 50}), ("gap-by-architecture", {})):
        lost = judged(tiny, predicate, sizes, **options)
        assert lost.status in ("not resolved", "not run") and "no seed finished" in lost.text
    assert "LeNet (2 of 3 tasks)" in judged(tiny, "gap-grows", sizes).text
    lose("narrow", [5, 20], family="width")
    assert "MLP (1 of 3 tasks)" in judged(tiny, "closer-with-width", WIDTHS).text
    lose("narrow", [100], family="width")
    assert "MLP no seed finished" in judged(tiny, "closer-with-width", WIDTHS).text


def test_an_arm_whose_worst_seed_diverged_gains_nothing_on_the_other(tiny: Config) -> None:
    before = judged(tiny, "linear-wins", EIGENFUNCTIONS, share=1).numbers
    found = results(tiny, "claim", "linear-wins", {**EIGENFUNCTIONS, "models": ["lenet"]})

    # A hard seed, on which the network is always wrong and the linearization diverges.
    for arm, tasks, right in (("network", None, 0), ("linear", 0, 1)):
        path = found.files[f"eigenfunctions/lenet/2/{arm}.npz"]
        with np.load(path) as stored:
            kept = {name: stored[name] for name in stored.files}
        kept |= {"tasks": kept["tasks"][:tasks], "correct": kept["correct"][:tasks] * right}
        np.savez(path, **kept)
    after = judged(tiny, "linear-wins", EIGENFUNCTIONS, share=1).numbers
    assert after["LeNet (1 of 2 seeds finished)"] == pytest.approx(before["LeNet"], abs=1)
    assert after["MLP"] == before["MLP"]


def test_tasks_and_models_that_an_arm_lost_are_told_and_resolve_nothing(tiny: Config) -> None:
    def lose(model: str, kept: int) -> None:
        for seed in (1, 2):
            path = found.files[f"eigenfunctions/{model}/{seed}/linear.npz"]
            with np.load(path) as stored:
                left = {name: stored[name] for name in stored.files}
            left |= {name: left[name][:kept] for name in ("tasks", "correct")}
            np.savez(path, **left)

    found = results(tiny, "claim", "linear-wins", EIGENFUNCTIONS)
    with np.load(found.files["eigenfunctions/lenet/1/linear.npz"]) as stored:
        count = len(stored["tasks"])
    assert judged(tiny, "linear-wins", EIGENFUNCTIONS, share=1, lowest=1).status == "holds"
    lose("lenet", count - 1)
    some = judged(tiny, "linear-wins", EIGENFUNCTIONS, share=1, lowest=1)
    assert f"LeNet ({count - 1} of {count} tasks)" in some.numbers and "MLP" in some.numbers
    falls = judged(tiny, "accuracy-falls", EIGENFUNCTIONS)  # of five there is no correlation
    assert falls.status == "not resolved" and "LeNet too few tasks finished" in falls.text
    lose("lenet", 0)
    for predicate, options in (("linear-wins", {"share": 1, "lowest": 1}), ("accuracy-falls", {})):
        lost = judged(tiny, predicate, EIGENFUNCTIONS, **options)
        assert lost.status == "not resolved" and "LeNet no seed finished" in lost.text


def test_one_pair_of_arms_does_not_depend_on_another(tiny: Config) -> None:
    before = judged(tiny, "faster-on-trained", EIGENFUNCTIONS)
    found = results(tiny, "claim", "faster-on-trained", EIGENFUNCTIONS)
    for name, path in found.files.items():
        if name.endswith("/retrained.json"):
            record = json.loads(Path(path).read_text())
            for task in list(record["tasks"])[1:]:
                record["tasks"][task]["status"] = "diverged"
            Path(path).write_text(json.dumps(record))
    after = judged(tiny, "faster-on-trained", EIGENFUNCTIONS)
    number = {e.name: e.value for e in before.effects if e.threshold == 1}
    assert number and number == {e.name: e.value for e in after.effects if e.threshold == 1}


def test_architectures_are_compared_on_a_size_that_all_have(made: Config) -> None:
    verdict = judged(made, "gap-by-architecture", SIZES)
    assert verdict.text.startswith("With 50 training examples")
    assert {"from MLP to LeNet", "from LeNet to ResNet-18"} <= set(verdict.numbers)
    assert verdict.status == "not resolved"


def test_the_most_examples_are_those_of_each_model(made: Config) -> None:
    verdict = judged(made, "network-wins", SIZES, lowest=1000)
    assert {e.name for e in verdict.effects if e.threshold == 0} == {"MLP", "LeNet"}
    assert judged(made, "network-wins", SIZES, lowest=5000).status == "not run"


def test_widths_are_compared_within_an_architecture(made: Config) -> None:
    verdict = judged(made, "closer-with-width", WIDTHS)
    assert [e.name for e in verdict.effects if e.threshold == 0] == ["MLP"]
    lenet = {"family": "eigenfunctions", "models": ["lenet"]}
    assert judged(made, "closer-with-width", lenet).status == "not run"


def test_a_reference_on_other_data_is_not_compared(made: Config) -> None:
    other = {**LENET, "dataset": "images"}
    verdict = judged(made, "reference-shape", other, reference=REFERENCE)
    assert verdict.status == "not run"


def test_a_measurement_of_which_everything_diverged_is_not_one_of_too_few_tasks(
    tiny: Config,
) -> None:
    found = results(tiny, "claim", "reference-shape", LENET)
    for name, path in found.files.items():
        if name.endswith(".npz"):
            with np.load(path) as stored:
                none = {each: stored[each][:0] for each in ("tasks", "correct")}
                np.savez(path, **none, examples=stored["examples"])
    verdict = judged(tiny, "reference-shape", LENET, reference=REFERENCE)
    assert verdict.status == "not run" and "LeNet no seed finished" in verdict.text


def test_steps_that_are_never_reached_count_as_more(made: Config) -> None:
    verdict = judged(made, "more-steps", EIGENFUNCTIONS)
    assert verdict.status == "holds"
    assert verdict.text.startswith("Never reached in 16 of 48 trainings.")


def test_a_control_without_watched_tasks_is_not_run(made: Config) -> None:
    scale = made.studies["linearized"].scale
    alone = scale.families["eigenfunctions"].model_copy(update={"watch": ()})
    families = {**scale.families, "eigenfunctions": alone}
    config = with_study(made, scale=scale.model_copy(update={"families": families}))
    verdict = judged(config, "random-labels", EIGENFUNCTIONS)
    assert verdict.status == "not run"


def test_a_family_that_the_scale_lacks_leaves_a_claim_not_run(made: Config) -> None:
    assert judged(made, "gap-grows", {"family": "absent"}).status == "not run"


def test_written_verdicts_name_every_claim_and_count_the_failures(tiny: Config) -> None:
    declared = {
        name: Claim[Judged](title=title, where="W", predicate=predicate, options=options,
                            select=Judged.model_validate(select))
        for name, title, predicate, options, select in (
            ("A", "Holds", "spike", {"least": 2}, EIGENFUNCTIONS),
            ("B", "Fails", "heavy-tail", {"share": 0.99}, EIGENFUNCTIONS),
            ("C", "Missing", "gap-grows", {}, {"family": "absent"}),
        )
    }  # fmt: skip
    study = tiny.studies["linearized"].declared.model_copy(update={"claims": declared})
    job = steps(tiny)["claims"].job(with_study(tiny, declared=study))
    judge.claims(job.spec, job.inputs, job.outputs, Context())
    frame = pd.read_csv(job.outputs["csv"])
    assert list(frame["status"]) == ["holds", "fails", "not run"]
    assert json.loads(frame["effects"][0])[0]["value"] > 2
    for suffix in ("md", "html"):
        text = Path(job.outputs[suffix]).read_text()
        assert all(claim.title in text for claim in declared.values())
    text, failed = judge.verify(job.spec, frame)
    assert failed == 1
    assert "  1 hold\n  1 fail: B\n" in text and text.endswith("  1 not run")
