"""What is shipped loads; variants, overrides and noises mean what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT, Project, load

from firstorder import config
from firstorder.config import values
from firstorder.errors import CodeChangedError, ConfigError
from firstorder.jobs import plan, study
from firstorder.losses import registry
from firstorder.studies.symmetrization import grid, variants
from firstorder.studies.symmetrization.settings import Select

SCALES = ("smoke", "small", "paper")


@pytest.mark.parametrize("scale", SCALES)
def test_every_shipped_scale_is_planned_and_no_two_jobs_write_one_file(scale: str) -> None:
    made = plan.make(ROOT / "config", {"scale": scale})
    assert made.config.settings.scale == scale
    jobs = made.jobs()
    assert {step for step, *_ in jobs} >= {"train", "fit", "table", "figure", "claims", "paper"}
    outputs = [path for job in jobs.values() for path in job.outputs.values()]
    assert len(outputs) == len(set(outputs))


@pytest.mark.parametrize("scale", SCALES)
def test_every_input_of_a_job_is_an_output_of_another_or_of_the_project(scale: str) -> None:
    made = plan.make(ROOT / "config", {"scale": scale})
    read = {path for job in made.jobs().values() for path in job.inputs.values()}
    outside = {str(path) for path in read - set(made.makers())}
    own = [*(ROOT / "config" / "published").glob("*.csv"), *(ROOT / "paper").iterdir()]
    assert outside <= (
        {str(path) for path in own}
        | {f"paper/{path.name}" for path in own}
        | {"CITATION.cff", "Snakefile"}
    )


@pytest.mark.parametrize("scale", SCALES)
def test_a_shipped_configuration_is_the_same_after_its_plan_was_frozen(scale: str) -> None:
    loaded = load(ROOT / "config", {"scale": scale})
    assert config.of_plain(config.plain(loaded), study.find) == loaded


@pytest.mark.parametrize("scale", SCALES)
def test_every_cell_resolves_and_has_a_folder_of_its_own(scale: str) -> None:
    loaded = load(ROOT / "config", {"scale": scale})
    names = list(grid.cells_read(loaded)["summary.json"])
    assert names and len(set(names)) == len(names)
    for setting, noise, loss in names:
        cell = grid.cell(loaded, setting, noise, loss)
        assert cell.loss.function
        assert not cell.loss.datasets, "what a dataset changes is merged in"


@pytest.mark.parametrize(
    "change", [{"spec": {"power": 2.0}}, {"inputs": {}}, {"code": ("toy.steps:dark",)}], ids=str
)
def test_a_job_that_is_made_otherwise_than_it_was_planned_is_refused(
    toy: Project, change: dict[str, Any]
) -> None:
    made = plan.make("config", {})
    job = made.job("measure", "digits")
    other = replace(job, **change)
    assert made.context(other).code, "by hand nothing was planned before"
    frozen = plan.read(plan.freeze(made).path)
    assert frozen.context(job).code
    with pytest.raises(CodeChangedError, match="measure/digits was planned with other values"):
        frozen.context(other)


@pytest.mark.parametrize("above", [0, 1, 2, 3])
def test_what_is_in_the_place_of_a_result_or_of_its_folder_is_said_before_anything_is_planned(
    toy: Project, above: int
) -> None:
    made = plan.make("config", {})
    place = Path(made.job("measure", "digits").outputs["mean"])
    if above:
        place = place.parents[above - 1]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    else:
        place.mkdir(parents=True)
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(place))}: a .*; move it away$"):
        plan.freeze(made)


def test_the_command_line_overrides_config_yaml(edited: Any) -> None:
    root = edited("config.yaml", {"device": "cpu", "checkpoint_seconds": 60})
    loaded = load(root, {"device": "cuda"})
    assert loaded.settings.device == "cuda"
    assert loaded.settings.checkpoint_seconds == 60


def test_a_scale_may_be_added_as_an_entry_and_a_file_of_every_study(edited: Any) -> None:
    root = edited("scales.yaml", {"mine": {"data": "mine", "hardware": "any"}})
    with pytest.raises(ConfigError, match=r"symmetrization/mine\.yaml: no such file: .* leave"):
        load(root, {"scale": "mine"})
    for folder in (root / "studies").iterdir():
        (folder / "mine.yaml").write_text((folder / "smoke.yaml").read_text())
    assert load(root, {"scale": "mine"}).settings.scale == "mine"


def test_a_group_that_a_scale_leaves_out_is_empty_and_what_draws_on_it_is_not_run(
    edited: Any,
) -> None:
    root = edited("studies/symmetrization/smoke.yaml", {"cells": {}})
    made = plan.make(root, {"studies": ["symmetrization"]})
    assert not [job for job in made.jobs().values() if job.step == "train"]
    claims = made.job("claims").spec["claims"]
    assert {claim["available"] for claim in claims} == {False, True}, "definitions are still judged"


@pytest.mark.parametrize("spelling", ["./results", "results/", "results/.", "{here}/results/"])
def test_one_folder_is_one_path_however_it_is_spelled(
    edited: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"results": spelling.format(here=tmp_path), "resources": "resources//"}
    settings = load(edited(), given).settings
    assert (settings.results, settings.resources) == ("results", "resources")


def test_a_folder_elsewhere_keeps_its_path(edited: Any) -> None:
    assert load(edited(), {"results": "/somewhere/./else/"}).settings.results == "/somewhere/else"
    assert load(edited(), {"results": "../beside"}).settings.results == "../beside"


def test_scientific_notation_without_a_dot_is_a_number(edited: Any) -> None:
    root = edited()
    with (root / "losses.yaml").open("a") as stream:
        stream.write("\nmine: { label: Mine, function: gce, parameters: { q: 1e-3 }, l1: 5e-7 }\n")
    loss = load(root).losses["mine"]
    assert loss.parameters["q"] == 0.001
    assert loss.l1 == 5e-7


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("symmetric-0.4", config.Noise(kind="symmetric", rate=0.4)),
        ("symmetric-0.0", config.Noise(kind="symmetric", rate=0.0)),
        ("asymmetric-0.25", config.Noise(kind="asymmetric", rate=0.25)),
        ("pairflip-0.45", config.Noise(kind="pairflip", rate=0.45)),
        ("instance-0.2", config.Noise(kind="instance", rate=0.2)),
        ("human-worst", config.Noise(kind="human", annotation="worst")),
        ("human-random-1", config.Noise(kind="human", annotation="random-1")),
    ],
)
def test_a_slug_names_a_noise(slug: str, expected: config.Noise) -> None:
    assert config.Noise.parse(slug) == expected


@pytest.mark.parametrize(
    "slug",
    [
        *("symmetric", "symmetric-", "symmetric--0.1", "symmetric-1.5", "symmetric-nan"),
        *("swap-0.1", "asymmetric-0_1"),
    ],
)
def test_a_bad_slug_is_refused_with_the_right_spelling(slug: str) -> None:
    with pytest.raises(ConfigError, match=f"noise '{slug}': write KIND-RATE"):
        config.Noise.parse(slug)


VARIANTS = {
    "losses": ["gce", "ce"],
    "vary": "score_norm",
    "values": ["none", "l2"],
    "slug": "{loss}-of-{value}",
    "label": "{label} ({value})",
}


def test_variants_become_losses_with_names_of_their_own(edited: Any) -> None:
    loaded = load(edited("studies/symmetrization/study.yaml", {"variants.norms": VARIANTS}))
    group = variants.group(loaded, "norms")
    # Neither loss normalises its scores, so the variant `none` of each is the loss itself.
    assert group == ("gce", "gce-of-l2", "ce", "ce-of-l2")
    assert variants.named(loaded, "gce-of-none") == "gce"
    assert "gce-of-none" not in variants.losses(loaded)
    varied = variants.losses(loaded)["gce-of-l2"]
    assert varied.score_norm == "l2"
    assert varied.parameters == loaded.losses["gce"].parameters
    assert varied.label == f"{loaded.losses['gce'].label} (Euclidean norm)"


def test_a_group_may_hold_groups_and_families_and_no_loss_twice(edited: Any) -> None:
    edited("studies/symmetrization/study.yaml", {"variants.norms": VARIANTS})
    root = edited(
        "studies/symmetrization/study.yaml",
        {"losses.some": ["ce", "mae"], "losses.more": ["some", "norms", "sgce"]},
    )
    members = variants.group(load(root), "more")
    assert members == ("ce", "mae", "gce", "gce-of-l2", "ce-of-l2", "sgce")
    with pytest.raises(ConfigError, match="a group cannot hold itself"):
        load(edited("studies/symmetrization/study.yaml", {"losses.some": ["more"]}))


def test_the_smoke_scale_trains_every_registered_loss() -> None:
    made = plan.make(ROOT / "config", {"scale": "smoke"})
    jobs = [job for job in made.jobs().values() if job.step == "train"]
    trained = {job.spec["loss"]["function"] for job in jobs}
    assert trained >= set(registry.names())


def test_cells_may_be_a_list_of_products(edited: Any) -> None:
    cells = [
        {"settings": ["digits"], "noises": ["symmetric-0.2"], "note": "one"},
        {"settings": ["digits"], "noises": ["symmetric-0.6"], "note": "two"},
    ]
    loaded = load(edited("studies/symmetrization/smoke.yaml", {"cells.instance": cells}))
    select = Select(cells="instance", losses="comparison")
    found = {noise for _, noise, _ in grid.selected_cells(loaded, select)}
    assert found == {"symmetric-0.2", "symmetric-0.6"}


def test_a_varied_parameter_outlives_what_a_dataset_changes(edited: Any) -> None:
    powers = {
        **VARIANTS,
        "losses": ["gce"],
        "vary": "parameter",
        "parameter": "q",
        "values": [0.2],
    }
    root = edited("studies/symmetrization/study.yaml", {"variants.powers": powers})
    edited("losses.yaml", {"gce.datasets": {"digits": {"parameters": {"q": 0.9}, "l1": 0.5}}})
    loss = variants.losses(load(root))["gce-of-0.2"].on("digits")
    assert loss.parameters["q"] == 0.2
    assert loss.l1 == 0.5


def test_a_dataset_changes_only_what_it_says(edited: Any) -> None:
    root = edited("losses.yaml", {"gce.datasets": {"digits": {"weight_decay": 0.01}}})
    loss = load(root).losses["gce"]
    assert loss.on("digits").weight_decay == 0.01
    assert loss.on("digits").parameters == loss.parameters
    assert loss.on("mnist").weight_decay == loss.weight_decay


def test_a_plan_is_made_without_torch_pandas_and_snakemake(project: Path) -> None:
    code = (
        "import sys; from firstorder.jobs import plan; plan.make('config', {}).jobs(); "
        "print(sorted({'torch', 'torchvision', 'pandas', 'numpy', 'matplotlib', 'snakemake'}"
        " & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "[]"


def test_nothing_is_made_in_a_folder_of_the_project() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("no git repository")
    folders = {line.partition("/")[0] for line in listed.stdout.splitlines() if "/" in line}
    assert folders <= {*values.OWN}
