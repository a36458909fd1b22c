"""What is planned follows from the configuration; what does not fit together is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_trainings as made_up
import pytest

from firstorder.config import Config, load
from firstorder.errors import ConfigError, DataError
from firstorder.jobs import ledger
from firstorder.jobs import study as studies
from firstorder.publish import declared
from firstorder.studies.symmetrization import frames
from firstorder.studies.symmetrization.selection import select
from firstorder.studies.symmetrization.settings import NAME, Select

ROOT = Path(__file__).resolve().parents[3]
STUDY, SCALE = f"studies/{NAME}/study.yaml", f"studies/{NAME}/tiny.yaml"
CLAIM = {
    "title": "T", "where": "W", "predicate": "memorises",
    "select": {"cells": "symmetric", "losses": "comparison"},
}  # fmt: skip


@pytest.fixture
def tiny(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A copy of the made-up configuration alone: a plan reads no record."""
    shutil.copytree(tree / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    return made_up.load()


def refusal(file: str, changes: dict[str, Any]) -> str:
    """The one line with which a changed configuration is refused."""
    with pytest.raises(ConfigError) as refused:
        declared.check(made_up.edit(file, changes))
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("artefact", made_up.ARTEFACTS)
def test_every_artefact_opens_the_files_that_it_lists_and_no_others(
    artefact_of: Callable[[str], Any], artefact: str
) -> None:
    made = artefact_of(artefact)
    assert made.opened == made.listed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropp": 0.9}, "claims.P1.options.dropp: memorises has no such option; did you mean 'dr"),
        ({"drop": "abc"}, "claims.P1.options.drop: 'abc' is not allowed"),
        ({"rates": [0.4]}, "claims.P1.options.rates"),
        ({"loss": "cee"}, "claims.P1.options.loss: loss 'cee' is unknown; did you mean 'ce'?"),
    ],
)
def test_a_misspelt_option_is_refused(tiny: Config, options: dict[str, Any], message: str) -> None:
    assert message in refusal(STUDY, {"claims": {"P1": {**CLAIM, "options": options}}})


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        (STUDY, {"artefacts.norms.options": {"variants": "norm"}}, "variants 'norm' is unknown"),
        (STUDY, {"artefacts.pairs.select": {"cells": "symetric"}}, "group 'symetric' is unknown"),
        (STUDY, {"artefacts.pairs.select": {"losses": "al"}}, "group 'al' is unknown"),
        (SCALE, {"cells.symetric": []}, "cells: group 'symetric' is unknown; did you mean"),
        (SCALE, {"settings.images.recipe": "shrt"}, "recipe 'shrt' is unknown"),
    ],
)
def test_a_misspelt_name_is_refused(
    tiny: Config, file: str, changes: dict[str, Any], message: str
) -> None:
    text = refusal(file, changes)
    assert message in text and file in text


def test_all_unknown_names_of_a_scale_are_named_at_once(tiny: Config) -> None:
    cells = {"settings": ["image", "imags"], "noises": ["symmetric-0.4"]}
    text = refusal(SCALE, {"cells": {"symmetric": cells, "curves": cells}})
    assert all(f"cells.{group}.settings: setting 'image'" in text for group in ("symmetric",))
    assert "cells.curves.settings: setting 'imags'" in text


def test_a_group_that_a_scale_leaves_out_is_empty(tiny: Config) -> None:
    config = made_up.edit(SCALE, {"cells": {}})
    assert list(declared.artefacts(config)) == []
    (train,) = (step for step in studies.find(NAME).steps if step.name == "train")
    assert list(train.every(config)) == []


def test_only_what_is_read_is_run(tiny: Config) -> None:
    keys = {step.name: list(step.every(tiny)) for step in studies.find(NAME).steps}
    assert len(keys["evaluate"]) == 2 * len(made_up.COMPARISON)  # the table of test sets
    assert keys["tune"] == [("images", "ce-tuned"), ("images", "gce-tuned")]
    assert keys["corrupt"] == [("cifar10", f"symmetric-0.{rate}") for rate in (0, 2, 4, 8)]
    without = made_up.edit(STUDY, {"artefacts.test-sets.draw": "accuracy"})
    (evaluate,) = (step for step in studies.find(NAME).steps if step.name == "evaluate")
    assert list(evaluate.every(without)) == []


@pytest.mark.parametrize(
    ("artefact", "file", "changes"),
    [
        ("accuracy-symmetric", STUDY, {"variants.q.values": [0.1, 0.3, 0.7]}),  # sgce is its 0.7
        ("fixed-tuned", "losses.yaml", {"gce.label": "Another"}),
    ],
    ids=["a member is exchanged", "a label is changed"],
)
def test_what_is_not_shown_of_a_family_redraws_nothing(
    tiny: Config, artefact: str, file: str, changes: dict[str, Any]
) -> None:
    config = made_up.edit(STUDY, {"losses.decay": ["ce", "ce-tuned"]})
    before = made_up.job(config, artefact).digest
    assert made_up.job(made_up.edit(file, changes), artefact).digest == before


def test_an_input_that_no_artefact_reads_is_named_with_what_makes_it(tiny: Config) -> None:
    (train,) = (step for step in studies.find(NAME).steps if step.name == "train")
    job = train.job(tiny, "images", "symmetric-0.9", "ce")
    labels = next(path for path in job.inputs.values() if "symmetric-0.9" in path)
    for path in job.inputs.values():
        if path != labels:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).touch()
    said = re.escape(f"{labels}: no such file; `snakemake {labels}` makes it")
    with pytest.raises(DataError, match=said):
        ledger.check("results/tiny", job, {})
    Path(labels).touch()
    ledger.check("results/tiny", job, {})


def test_a_tuned_loss_without_a_protocol_is_refused(tiny: Config) -> None:
    config = made_up.edit(SCALE, {"tuning": None})
    (tune,) = (step for step in studies.find(NAME).steps if step.name == "tune")
    with pytest.raises(ConfigError, match=r"`tuned`, but scale 'tiny' declares no tuning; add .*y"):
        tune.job(config, "images", "ce-tuned")


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ({"train": 10}, {"train": 9}, "tuning.train: 9 is not allowed: cifar10 has 10 classes"),
        ({"validation": 1e-3}, {"validation": 1e-4}, "tuning.validation: 0.0001 is not allowed"),
        ({"validation": 0.999}, {"validation": 0.9999}, "of 1000 examples of cifar10 it leaves"),
        (
            {"budget.configurations": 6},
            {"budget.configurations": 7},
            "tuning.budget.configurations: 7 is not allowed: ce-equal has 6; lower it",
        ),
    ],
)
def test_tuning_that_is_impossible_is_refused_when_planned(
    tiny: Config, good: dict[str, Any], bad: dict[str, Any], said: str
) -> None:
    (tune,) = (step for step in studies.find(NAME).steps if step.name == "tune")
    for changes, message in ((good, None), (bad, said)):
        config = made_up.edit(SCALE, {f"tuning.{key}": value for key, value in changes.items()})
        if message is None:
            tune.job(config, "images", "ce-equal")
            continue
        with pytest.raises(ConfigError, match=message):
            tune.job(config, "images", "ce-equal")


def test_the_first_of_a_budget_is_what_the_loss_declares(tiny: Config) -> None:
    (tune,) = (step for step in studies.find(NAME).steps if step.name == "tune")
    config = made_up.edit("losses.yaml", {"ce.lr": 0.02, "ce.weight_decay": 0.003})
    (stage,) = tune.job(config, "images", "ce-equal").spec["stages"]
    assert stage["default"] == 0
    assert stage["candidates"][0] == {"lr": 0.02, "weight_decay": 0.003}
    assert {each["lr"] for each in stage["candidates"]} <= {0.006, 0.02, 0.06}


@pytest.mark.parametrize(
    ("tuned", "count", "first"),
    [
        (["lr"], 3, {"lr": 0.1}),
        (["score_norm"], 3, {"score_norm": "none"}),
        (["lr", "weight_decay"], 6, {"lr": 0.1, "weight_decay": 0.0}),
        (["lr", "score_norm"], 9, {"lr": 0.1, "score_norm": "none"}),
    ],
)
def test_a_budget_varies_what_is_tuned_and_nothing_else(
    tiny: Config, tuned: list[str], count: int, first: dict[str, Any]
) -> None:
    (tune,) = (step for step in studies.find(NAME).steps if step.name == "tune")
    made_up.edit(SCALE, {"tuning.budget.configurations": count})
    config = made_up.edit("losses.yaml", {f"ce.{name}": "tuned" for name in tuned})
    (stage,) = tune.job(config, "images", "ce").spec["stages"]
    assert stage["candidates"][0] == first
    assert all(each.keys() == set(tuned) for each in stage["candidates"])
    assert len({str(each) for each in stage["candidates"]}) == count


def test_a_tuned_loss_has_no_parameter_called_as_what_is_tuned(tiny: Config) -> None:
    (tune,) = (step for step in studies.find(NAME).steps if step.name == "tune")
    config = made_up.edit("losses.yaml", {"ce.parameters": {"lr": 2.0}, "ce.weight_decay": "tuned"})
    with pytest.raises(ConfigError, match=r"losses\.yaml: ce\.parameters\.lr: a loss that is"):
        tune.job(config, "images", "ce")


def test_tuning_on_more_than_there_is_is_on_all(tiny: Config) -> None:
    (tune,) = (step for step in studies.find(NAME).steps if step.name == "tune")
    on_all = tune.job(tiny, "images", "ce-tuned").digest
    config = made_up.edit(SCALE, {"tuning.train": 1001})
    assert tune.job(config, "images", "ce-tuned").digest == on_all


@pytest.mark.parametrize(
    ("batch", "train", "message"),
    [
        (1001, None, "short.batch: 1001 is not allowed with drop_last: cifar10 has 1000 examples"),
        (200, 199, "drop_last: cifar10 has 199 examples; choose a smaller batch"),
        (701, None, None),
    ],
)
def test_a_batch_larger_than_the_data_is_refused_when_planned(
    tiny: Config, batch: int, train: int | None, message: str | None
) -> None:
    (tune,) = (step for step in studies.find(NAME).steps if step.name == "tune")
    changes = {"short.batch": batch, "short.train": train, "short.drop_last": True}
    if message is not None:
        assert message in refusal("recipes.yaml", changes)
        return
    config = made_up.edit("recipes.yaml", changes)
    declared.check(config)
    with pytest.raises(ConfigError, match="the tuning part of cifar10 has 700 examples"):
        tune.job(config, "images", "ce-tuned")


@pytest.mark.parametrize(
    ("vary", "values", "message"),
    [
        ("weight_decay", ["abc"], "variants.made.values: weight_decay"),
        ("weight_decay", [-0.01], "variants.made.values: weight_decay"),
        ("score_norm", ["tuned"], "variants.made.values: `tuned` is not allowed"),
        ("score_norm", ["l3"], "variants.made.values: score_norm"),
        ("q", [0.5, "high"], "variants.made.values.q: 'high' is not allowed"),
        ("q", [0.5, "tuned"], "variants.made.values: `tuned` is not allowed"),
        ("qq", [0.5], "variants.made.values.qq: sgce has no such option; did you mean 'q'"),
    ],
)
def test_a_variant_has_values_that_can_be_varied(
    tiny: Config, vary: str, values: list[Any], message: str
) -> None:
    parameter = {} if "_" in vary else {"parameter": vary}
    variants = {
        "losses": ["sgce"], "vary": "parameter" if parameter else vary, **parameter,
        "values": values, "slug": "made-{value}", "label": "{label}, {value}",
    }  # fmt: skip
    assert message in refusal(STUDY, {"variants.made": variants})


def test_a_tuned_loss_has_one_penalty(tiny: Config) -> None:
    (tune,) = (step for step in studies.find(NAME).steps if step.name == "tune")
    for name in ("ce-equal", "ce-tuned"):
        config = made_up.edit("losses.yaml", {"ce.l1": 1e-5, "ce.weight_decay": 0.0})
        assert tune.job(config, "images", name).spec["stages"][0]["default"] is not None
        config = made_up.edit("losses.yaml", {"ce.l1": 1e-5, "ce.weight_decay": 0.01})
        with pytest.raises(ConfigError, match="one penalty; give the loss `weight_decay: 0`"):
            tune.job(config, "images", name)


def test_seeds_are_those_of_what_is_read(tiny: Config) -> None:
    config = made_up.edit(SCALE, {"tuning.seeds": [7, 8, 9]})
    cells = {"cells": "curves", "losses": "decay"}
    for reads, expected in (
        (("summary.json", "tuning.json"), (1, 2, 3)), (("labels.npz",), (1, 2, 3)),
        (("tuning.json",), (7, 8, 9)), (("cost.json",), ()), ((), ()),
    ):  # fmt: skip
        found = select(config, Select(**cells), reads)
        assert (found.seeds, tuple(found.spec["seeds"])) == (expected, expected)
    untuned = Select(cells="curves", losses="comparison")
    assert select(config, untuned, ("tuning.json",)).seeds == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"select": {"cells": "symmetric"}}, "claims.P1.select: memorises needs `losses`"),
        ({"select": {"losses": "comparison"}}, "claims.P1.select: memorises needs `cells`"),
        ({"predicate": "decomposes", "select": {}}, "decomposes needs `losses`"),
        ({"predicate": "decomposes"}, "decomposes reads no results: leave `cells` out"),
        ({"predicate": "smooth"}, "smooth reads no results: leave `cells` out"),
    ],
)
def test_a_selection_is_what_the_function_reads(
    tiny: Config, changes: dict[str, Any], said: str
) -> None:
    assert said in refusal(STUDY, {"claims": {"P1": {**CLAIM, **changes}}})


@pytest.mark.parametrize(
    ("predicate", "options", "said"),
    [
        ("order", {"value": "wrong_fited"}, "value: 'wrong_fited' is not allowed"),
        ("order", {"share": 2.0}, "share: 2.0 is not allowed"),
        ("gain", {"share": 3.0, "variants": "tuned"}, "share: 3.0 is not allowed"),
        ("scores-explode", {"factor": -1.0}, "factor: -1.0 is not allowed"),
        ("noise-identity", {"rate": 2.0}, "rate: 2.0 is not allowed"),
        ("same-first-steps", {"scale": 0.0}, "scale: 0.0 is not allowed"),
    ],
)
def test_an_option_is_a_number_that_can_be_meant(
    tiny: Config, predicate: str, options: dict[str, Any], said: str
) -> None:
    select = {"noise-identity": {"losses": "comparison"}, "same-first-steps": {}}
    given = {**CLAIM, "predicate": predicate, "options": options}
    given["select"] = select.get(predicate, CLAIM["select"])
    assert said in refusal(STUDY, {"claims": {"P1": given}})


GAIN = {"rates": [0.4], "gap": 0.1}
COMPETITIVE = {"losses": ["sgce"], "baselines": ["ce"]}


@pytest.mark.parametrize(
    ("predicate", "options", "said"),
    [
        ("smooth", {"qs": []}, "qs: [] is not allowed: give at least one"),
        ("smooth", {"alphas": [1.0, 1.0]}, "1.0 stands there twice"),
        ("reuse", {"rates": [0.6, 0.2]}, "give the least first, then the most"),
        ("reuse", {"classes": [100, 10]}, "give the least first, then the most"),
        ("reuse", {"classes": [-3, 0]}, "classes: [-3, 0] is not allowed"),
        ("order", {"rate": 0.4, "tiers": [["ce"]]}, "give at least 3"),
        ("order", {"rate": 0.4, "tiers": [["ce"], [], ["mae"]]}, "give at least one"),
        (
            "order",
            {"rate": 0.4, "tiers": [["ce"], ["mae"], ["sgce", "ce"]]},
            "'ce' stands there tw",
        ),
        ("close", {"losses": ["ce"]}, "give at least 2"),
        ("gain", GAIN, "gain needs either pairs or variants"),
        ("gain", {**GAIN, "pairs": [["ce", "sgce"]], "variants": "tuned"}, "gain needs either"),
        ("gain", {**GAIN, "pairs": [["ce", "ce"]]}, "'ce' stands there twice"),
        ("competitive", {**COMPETITIVE, "losses": []}, "give at least one"),
        ("competitive", {**COMPETITIVE, "baselines": ["ce", "sgce"]}, "'sgce' stands there twice"),
        ("underfits", {"loss": "ce"}, "'ce' stands there twice"),
    ],
)
def test_options_that_can_say_nothing_are_refused(
    tiny: Config, predicate: str, options: dict[str, Any], said: str
) -> None:
    select = {} if predicate == "smooth" else CLAIM["select"]
    given = {**CLAIM, "predicate": predicate, "options": options, "select": select}
    assert said in refusal(STUDY, {"claims": {"P1": given}})


def test_columns_of_a_table_have_different_headings(tiny: Config) -> None:
    options = {"variants": "tuned", "fixed": "tuned decay"}
    said = refusal(STUDY, {"artefacts.fixed-tuned.options": options})
    assert "artefacts.fixed-tuned.options: 'tuned decay' stands there twice; name each once" in said


@pytest.mark.parametrize("metric", ["best_acuracy", "status", "seconds"])
def test_a_table_of_accuracies_shows_accuracies(tiny: Config, metric: str) -> None:
    changes = {"artefacts.accuracy-symmetric.options": {"metric": metric}}
    assert f"options.metric: '{metric}' is not allowed" in refusal(STUDY, changes)


def test_planning_needs_neither_torch_nor_pandas() -> None:
    heavy = "{'torch', 'pandas', 'matplotlib', 'numpy', 'scipy'}"
    code = f"import sys, firstorder.studies.{NAME}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_every_declared_claim_and_artefact_has_its_function_and_inputs(scale: str) -> None:
    config = load(ROOT / "config", {"scale": scale, "studies": [NAME]}, studies.find)
    declared.check(config)
    own = config.studies[NAME].declared
    wanted = [(each.kind, each.draw, each.select) for each in own.artefacts.values()]
    wanted += [("claim", each.predicate, each.select) for each in own.claims.values()]
    for kind, name, selection in wanted:
        source, selected = declared.resolve(config, NAME, kind, name, selection)
        tuned = any(row["tuned"] for row in selected.spec["rows"])
        reads = set(source.reads) - {"definitions"} - (set() if tuned else {"tuning.json"})
        assert bool(selected.files) == bool(reads and selected.available)


def test_runs_are_one_row_per_cell_and_seed_in_the_order_of_the_configuration(made: Config) -> None:
    found = made_up.results(made, "summary.json", cells="symmetric", losses="comparison")
    runs = frames.runs(found)
    assert len(runs) == 4 * len(made_up.COMPARISON) * 3
    assert list(dict.fromkeys(runs["loss"])) == made_up.COMPARISON
    assert runs["last_accuracy"].between(0, 1).all()
    assert runs[runs["rate"] == 0]["wrong_fitted"].isna().all()
    assert runs[runs["rate"] > 0]["wrong_fitted"].notna().all()


def test_a_diverged_run_is_kept_and_says_so(made: Config) -> None:
    runs = frames.runs(made_up.results(made, "summary.json", cells="curves", losses="norms"))
    diverged = runs[runs["status"] == "diverged"]
    assert set(diverged["loss"]) == {"unhinged-none"}
    assert len(diverged) == 2


def test_an_option_that_is_typed_as_a_loss_names_one_that_there_is(tiny: Config) -> None:
    claim = {
        "title": "Competitive",
        "where": "made up",
        "by": "project",
        "since": "2026-11-26",
        "predicate": "competitive",
        "select": {"cells": "symmetric", "losses": "comparison"},
        "options": {"losses": ["sgce"], "baselines": ["ce", "gcee"]},
    }
    with pytest.raises(ConfigError, match=r"options\.baselines: loss 'gcee' is unknown; did you"):
        made_up.edit("studies/symmetrization/study.yaml", {"claims": {"C": claim}})
