"""Which results a selection leads to, and which jobs make them."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Any

import pytest

from firstorder.config import Config, ConfigError, load
from firstorder.jobs import code
from firstorder.jobs import study as studies
from firstorder.publish import declared
from firstorder.publish.registry import Results
from firstorder.studies.linearized import STUDY, frames, grid
from firstorder.studies.linearized.settings import Judged, Select

from .made_up import results
from .small import ROOT, with_study


def select(config: Config, *reads: str, **chosen: Any) -> Any:
    return STUDY.select(config, Select.model_validate(chosen), reads)


def without(config: Config, name: str) -> Config:
    """A configuration whose scale lacks a family."""
    scale = config.studies["linearized"].scale
    families = {key: each for key, each in scale.families.items() if key != name}
    return with_study(config, scale=scale.model_copy(update={"families": families}))


def test_a_model_is_taken_from_the_first_family_of_a_kind(made: Config) -> None:
    chosen = {"family": "eigenfunctions", "also": ["architectures", "binary"]}
    runs = frames.runs(results(made, "figure", "binary-size", chosen), "network")
    found = dict.fromkeys(zip(runs["family"], runs["model"], strict=True))
    assert list(found) == [
        ("eigenfunctions", "mlp"),
        ("eigenfunctions", "lenet"),
        ("architectures", "residual"),
        ("binary", "mlp"),
        ("binary", "lenet"),
    ]


def test_files_of_all_selected_runs_are_read_baselines_among_them(made: Config) -> None:
    found = select(made, "network.csv", "spectrum.npz", family="eigenfunctions",
                   baselines=["architectures-binary"])  # fmt: skip
    assert len(found.files) == 2 * (2 * 2 + 1)
    root = "results/tiny/linearized"
    assert found.files["eigenfunctions/mlp/2/network.csv"] == (
        f"{root}/mlp/photos/seed2/runs/eigenfunctions/network.csv"
    )
    assert found.files["architectures-binary/residual/1/spectrum.npz"] == (
        f"{root}/residual/few/seed1/spectrum.npz"
    )
    assert found.seeds == (1, 2)
    assert found.data == (
        "Made-up photos (300 training and 100 test examples); "
        "Made-up images (80 training and 40 test examples)"
    )


def test_directions_have_files_of_their_own(made: Config) -> None:
    found = select(made, "network.csv", "nads.npz", family="nads", models=["lenet"])
    assert found.files["nads/lenet/1/nads.npz"] == (
        "results/tiny/linearized/lenet/gaussian/seed1/nads/nads.npz"
    )
    assert found.data == "synthetic Gaussian inputs (400 training and 400 test examples)"
    with pytest.raises(ConfigError, match=r"family 'nads' of kind nads has no alignment\.csv"):
        select(made, "alignment.csv", family="nads")


def test_an_artefact_without_its_family_is_absent(made: Config) -> None:
    names = {name for _, name, _ in declared.artefacts(without(made, "width"))}
    assert "models" not in names  # though `eigenfunctions`, which it also takes, is there
    assert {name for _, name, _ in declared.artefacts(made)} - names == {"models"}


def test_a_figure_of_watched_tasks_is_absent_where_none_is_watched(made: Config) -> None:
    scale = made.studies["linearized"].scale
    families = {
        name: family.model_copy(update={"watch": ()}) for name, family in scale.families.items()
    }
    unwatched = with_study(made, scale=scale.model_copy(update={"families": families}))
    watched = {name for _, name, _ in declared.artefacts(made)}
    gone = watched - {name for _, name, _ in declared.artefacts(unwatched)}
    assert gone == {"kernel-evolution"}


def test_a_family_that_the_scale_lacks_is_not_available(made: Config) -> None:
    assert select(made, "network.csv", family="nads").available
    found = select(without(made, "nads"), "network.csv", family="nads")
    assert not found.available and not found.files


def test_a_claim_is_judged_on_whatever_is_there_of_its_families(made: Config) -> None:
    chosen = Judged(family="nads", also=("eigenfunctions",))
    found = STUDY.select(without(made, "nads"), chosen, ("network.csv",))
    assert found.available and {name.split("/")[0] for name in found.files} == {"eigenfunctions"}
    assert not STUDY.select(made, Judged(family="absent"), ()).available


def test_any_family_on_a_dataset_will_do_where_a_dataset_is_asked_for(made: Config) -> None:
    chosen: dict[str, Any] = {"family": "absent", "also": ["eigenfunctions"], "dataset": "photos"}
    assert select(made, **chosen).available
    assert not select(made, **{**chosen, "dataset": "images"}).available
    assert not select(made, **{**chosen, "dataset": None}).available


def test_jobs_are_those_that_lead_to_what_is_read(made: Config) -> None:
    keys = {step.name: set(step.every(made)) for step in STUDY.steps}
    assert ("mlp", "digits", "1") in keys["compute_kernel"]
    assert ("mlp", "digits", "1") not in keys["decompose"]  # labelled images need no spectrum
    assert ("residual", "few", "1", "architectures") in keys["fit"]
    assert ("residual", "few", "1", "architectures") not in keys["rotate"]
    assert ("mlp", "photos", "2", "eigenfunctions") in keys["rotate"]
    assert keys["find_directions"] == {(m, s, "nads") for m in ("lenet", "mlp") for s in "12"}


def test_kernels_and_weights_take_their_place_on_disk(made: Config) -> None:
    known = {step.name: step for step in STUDY.steps}
    disk = {
        name: known[name].job(made, "mlp", "digits", "1", *rest).demand.disk_megabytes
        for name, rest in (("compute_kernel", ()), ("decompose", ()), ("fit", ("binary",)),
                           ("linearize", ("binary",)))
    }  # fmt: skip
    assert disk["compute_kernel"] >= 4 * 1200**2 / 2**20  # float32
    assert disk["decompose"] >= 8 * 1000 * 1200 / 2**20  # float64
    assert disk["fit"] > disk["linearize"]  # the weights of three networks


@pytest.mark.parametrize("scale", ["smoke", "small", "cifar", "paper"])
def test_every_input_of_a_job_is_the_output_of_another(scale: str) -> None:
    config = load(ROOT / "config", {"scale": scale, "studies": ["linearized"]}, studies.find)
    jobs = [step.job(config, *key) for step in STUDY.steps for key in step.every(config)]
    made = [path for job in jobs for path in job.outputs.values()]
    assert len(set(made)) == len(made)
    datasets = {path for job in jobs for name, path in job.inputs.items() if name == "dataset"}
    assert {path for job in jobs for path in job.inputs.values()} - datasets <= set(made)
    study = config.studies["linearized"].declared
    drawn = [(each.kind, each.draw, each.select) for each in study.artefacts.values()]
    judged = [("claim", each.predicate, each.select) for each in study.claims.values()]
    for kind, name, chosen in (*drawn, *judged):
        _, selected = declared.resolve(config, "linearized", kind, name, chosen)
        assert set(selected.files.values()) <= set(made)


@pytest.mark.parametrize("step", STUDY.steps, ids=lambda step: step.name)
def test_outputs_have_the_same_names_for_every_key(made: Config, step: Any) -> None:
    pattern = step.outputs(made, *(f"{{{key}}}" for key in step.keys))
    assert tuple(pattern) == grid.FILES[step.name]
    for key in step.every(made):
        values = dict(zip(step.keys, key, strict=True))
        expected = {name: path.format(**values) for name, path in pattern.items()}
        assert step.job(made, *key).outputs == expected


@pytest.mark.parametrize(
    ("step", "key", "message"),
    [
        ("compute_kernel", ("mpl", "photos", "1"), "model 'mpl' is unknown"),
        ("compute_kernel", ("mlp", "photo", "1"), "support 'photo' is unknown"),
        ("compute_kernel", ("mlp", "photos", "one"), "seed 'one' is not allowed"),
        ("fit", ("mlp", "photos", "1", "binary"), "lives on 'digits', not on 'photos'"),
        ("fit", ("mlp", "photos", "1", "binry"), "family 'binry' is unknown"),
        ("find_directions", ("mlp", "1", "binary"), "lives on 'digits', not on 'gaussian'"),
    ],
)
def test_a_key_that_does_not_exist_is_refused(
    made: Config, step: str, key: tuple[str, ...], message: str
) -> None:
    known = {each.name: each for each in STUDY.steps}
    with pytest.raises(ConfigError, match=message):
        known[step].job(made, *key)


@pytest.mark.parametrize(
    "registered",
    code.registry("firstorder.studies.linearized"),
    ids=lambda each: f"{each.decorator} {each.name}",
)
def test_a_function_opens_the_files_that_it_says_it_reads(
    made: Config, registered: code.Registered
) -> None:
    """Each of them, and no other: every file that is opened has been asked for by name."""
    reads = registered.keywords.get("reads")
    said = set(ast.literal_eval(reads)) if reads else set()
    family = "nads" if "nads.npz" in said else "eigenfunctions"
    chosen: dict[str, Any] = {"family": family} if said else {}
    if registered.name == "model-comparison":
        chosen = {"family": "width", "also": ["eigenfunctions"]}
    asked: set[str] = set()
    _, selected = declared.resolve(
        made, "linearized", registered.decorator, registered.name, Select.model_validate(chosen)
    )

    class Noting(dict):
        def __getitem__(self, key: str) -> str:
            asked.add(key.rpartition("/")[2])
            return super().__getitem__(key)

    from importlib import import_module

    module, _, name = registered.entry.rpartition(":")
    options = {
        "reference-table": [{"reference": [[2, 0.9, 0.9, 0.9]]}],
        "reference-shape": [{"reference": [[2, 0.9, 0.9, 0.9]]}],
    }.get(registered.name, [{}])
    for given in options:
        files = Noting(selected.files)
        getattr(import_module(module), name)(Results(selected.spec, files), **given)
    assert asked == said


def test_the_grid_is_known_without_pandas_or_torch() -> None:
    heavy = "{'torch', 'pandas', 'matplotlib', 'numpy', 'scipy'}"
    source = (
        f"import sys, firstorder.studies.linearized; sys.exit(bool({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0
