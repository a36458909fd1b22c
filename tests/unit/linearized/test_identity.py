"""What decides a result is in a job's spec, and trainings are kept by all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from firstorder.config import Config
from firstorder.linearized import network
from firstorder.studies.linearized import training

from .small import Run, configuration, function, with_dataset, with_study

JOBS = {
    "compute_kernel": ("mlp", "tiny", "1"),
    "decompose": ("mlp", "tiny", "1"),
    "linearize": ("mlp", "tiny", "1", "eigenfunctions"),
    "fit": ("mlp", "tiny", "1", "eigenfunctions"),
    "rotate": ("mlp", "tiny", "1", "eigenfunctions"),
    "find_directions": ("mlp-gelu", "1", "nads"),
}
PIXELS = {"compute_kernel", "decompose", "fit", "rotate"}
TRAINED = {"linearize", "fit", "rotate", "find_directions"}


def test_networks_are_trained_again_when_images_are_standardised_otherwise(
    tmp_path: Path,
) -> None:
    first = Run(configuration(tmp_path / "one", epochs=2))
    other = with_dataset(first.config, mean=(0.5,), std=(0.1,))
    again = replace(first, config=other)
    clean = Run(with_dataset(configuration(tmp_path / "two", epochs=2), mean=(0.5,), std=(0.1,)))
    for run in (first, again, clean):
        run.prepare()
        run.until_networks("mlp", "binary")
        run("fit", "mlp", "tiny", "1", "binary")
        if run is first:
            before = load_file(first.file("networks.safetensors", "binary"))
    after, expected = (
        load_file(run.file("networks.safetensors", "binary")) for run in (again, clean)
    )
    assert all(torch.equal(after[name], expected[name]) for name in expected)
    assert any(not torch.equal(after[name], before[name]) for name in before)
    assert again.file("network.csv", "binary").read_text() == (
        clean.file("network.csv", "binary").read_text()
    )


@pytest.mark.parametrize("change", ["recipe", "support", "code", "task"])
def test_a_network_is_kept_by_all_that_decides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    run = Run(configuration(tmp_path, epochs=1))
    run.prepare()
    run.until_networks("mlp", "binary")
    trained: list[int] = []
    train = network.train

    def counting(*given: Any, **named: Any) -> Any:
        trained.append(len(given[1]))
        return train(*given, **named)

    monkeypatch.setattr(network, "train", counting)
    run("fit", "mlp", "tiny", "1", "binary")
    run("fit", "mlp", "tiny", "1", "binary")
    assert trained == [10, 48]
    scale = run.config.studies["linearized"].scale
    if change == "recipe":
        recipe = run.config.recipes["short"].model_copy(update={"momentum": 0.5})
        other = replace(run, config=replace(run.config, recipes={"short": recipe}))
    elif change == "support":
        support = scale.supports["tiny"].model_copy(update={"test": 12})
        changed = scale.model_copy(update={"supports": {"tiny": support}})
        other = replace(run, config=with_study(run.config, scale=changed))
        other.until_networks("mlp", "binary")
    elif change == "code":
        other = replace(run, code="other code")
    else:
        binary = scale.families["binary"].model_copy(update={"tasks": (10, 30, 48)})
        changed = scale.model_copy(update={"families": {**scale.families, "binary": binary}})
        other = replace(run, config=with_study(run.config, scale=changed))
    trained.clear()
    other("fit", "mlp", "tiny", "1", "binary")
    assert trained == ([30] if change == "task" else [10, 48])


def test_jobs_that_share_a_training_do_not_take_its_files_from_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(configuration(tmp_path, epochs=1))
    run.prepare()
    run.until_networks("mlp", "binary")
    run("fit", "mlp", "tiny", "1", "binary")
    before = run.file("network.csv", "binary").read_text()
    read = training.read_state
    waiting = [lambda: run("fit", "mlp", "tiny", "1", "binary")]

    def meanwhile(path: str) -> Any:
        if waiting:
            waiting.pop()()
        return read(path)

    monkeypatch.setattr(training, "read_state", meanwhile)
    run("fit", "mlp", "tiny", "1", "binary")
    assert not waiting and run.file("network.csv", "binary").read_text() == before


def _mean(config: Config) -> Config:
    return with_dataset(config, mean=(0.9,))


def _shape(config: Config) -> Config:
    return with_dataset(config, shape=(1, 9, 9))


def _epochs(config: Config) -> Config:
    recipe = config.recipes["short"].model_copy(update={"epochs": 9})
    return replace(config, recipes=config.recipes | {"short": recipe})


def _hidden(config: Config) -> Config:
    study = config.studies["linearized"].declared
    models = {
        name: each.model_copy(update={"model_parameters": {"hidden": 7}})
        for name, each in study.models.items()
    }
    return with_study(config, declared=study.model_copy(update={"models": models}))


def _words(config: Config) -> Config:
    """Another label, title, source and demand."""
    study = config.studies["linearized"].declared
    models = {
        name: each.model_copy(update={"label": "Another"}) for name, each in study.models.items()
    }
    scale = config.studies["linearized"].scale.model_copy(update={"kernel_minutes": 99})
    recipe = config.recipes["short"].model_copy(
        update={"minutes": 99, "memory_mb": 9999, "source": "another"}
    )
    config = replace(config, recipes=config.recipes | {"short": recipe})
    config = with_dataset(config, title="Another", source="another")
    return with_study(
        config, declared=study.model_copy(update={"models": models, "title": ""}), scale=scale
    )


def _blocks(config: Config) -> Config:
    """Blocks of another size, on which the last digits of a kernel depend."""
    scale = config.studies["linearized"].scale.model_copy(update={"memory_gib": 9.0})
    return with_study(config, scale=scale)


def _of_networks(config: Config) -> Config:
    """A recipe that trains networks otherwise, and linear models as before."""
    recipe = config.recipes["short"].model_copy(update={"threads": 2, "precision": "bfloat16"})
    return replace(config, recipes=config.recipes | {"short": recipe})


@pytest.mark.parametrize(
    ("change", "decided"),
    [
        (_mean, PIXELS),
        (_shape, PIXELS),
        (_epochs, TRAINED),
        (_hidden, set(JOBS) - {"linearize"}),
        (_of_networks, {"fit", "find_directions"}),
        (_words, set()),
        (_blocks, {"compute_kernel", "fit", "rotate", "find_directions"}),
    ],
)
def test_a_spec_holds_what_the_step_reads_and_nothing_else(
    tmp_path: Path, change: Callable[[Config], Config], decided: set[str]
) -> None:
    config = configuration(tmp_path)
    one, other = Run(config), Run(change(config))
    assert {
        step for step, key in JOBS.items() if one.job(step, *key).spec != other.job(step, *key).spec
    } == decided


@pytest.mark.parametrize("step", JOBS)
def test_a_step_reads_all_of_its_spec_and_nothing_besides(
    finished: Run, tmp_path: Path, step: str
) -> None:
    """A step that is run on a spec that notes what is read of it."""
    job = finished.job(step, *JOBS[step])
    outputs = {name: str(tmp_path / name) for name in job.outputs}
    read: set[str] = set()
    context = replace(finished.context(job), checkpoints=tmp_path / "checkpoints")
    function(step)(Noting(job.spec, read), job.inputs, outputs, context)
    assert read == set(job.spec)


class Noting(dict):
    """A spec that notes which of its values are asked for by name."""

    def __init__(self, values: Any, read: set[str]) -> None:
        super().__init__(values)
        self.read = read

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def test_the_record_of_an_arm_states_the_spec_that_made_it(finished: Run) -> None:
    job = finished.job("fit", "mlp", "tiny", "1", "eigenfunctions")
    record = json.loads(finished.file("network.json").read_text())
    assert record["spec"] == {**job.spec, "arm": "network"}
    assert record["code"] == finished.code
    assert len(record["inputs"]) == len(job.inputs)
