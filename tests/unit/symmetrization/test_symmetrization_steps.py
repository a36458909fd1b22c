"""A result depends on all that decides it, and on nothing else."""

from __future__ import annotations

import itertools
import json
import logging
from pathlib import Path
from typing import Any

import made_up_trainings as made_up
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_trainings import CELL, SCALE, TUNING, content, job_of, perform, run

from firstorder.config import Config
from firstorder.errors import ConfigError, DataError
from firstorder.publish.registry import Results
from firstorder.studies.symmetrization import cost, frames
from firstorder.studies.symmetrization.labels import labelled, wrong_shares
from firstorder.studies.symmetrization.selection import select
from firstorder.studies.symmetrization.settings import Select
from firstorder.training import loop

NOISE = ("cifar10", "symmetric-0.4")
TUNED_CELL = {"tune": ("images", "ce-tuned"), "train": ("images", "symmetric-0.4", "ce-tuned")}


def trained(config: Config, **where: str) -> dict[str, bytes]:
    perform(config, "corrupt", *NOISE)
    return content(perform(config, "train", *CELL, **where))


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("datasets.yaml", {"cifar10.mean": [0.5], "cifar10.std": [0.1]}),
        ("recipes.yaml", {"short.mean": [0.5]}),
        ("recipes.yaml", {"short.lr": 0.05}),
        ("losses.yaml", {"ce.weight_decay": 0.1}),
        (
            SCALE,
            {"noises": {"symmetric-0.4": {"kind": "symmetric", "rate": 0.4, "sampler": "iid"}}},
        ),
    ],
)
def test_a_changed_protocol_trains_anew(small: Config, file: str, changes: dict[str, Any]) -> None:
    before = trained(small)
    config = made_up.edit(file, changes)
    after = trained(config)
    assert after["1/weights.safetensors"] != before["1/weights.safetensors"]
    assert after == trained(config, checkpoints="none before")


def test_a_noise_finds_no_field_of_its_dataset_that_its_job_does_not_declare() -> None:
    dataset = labelled({"title": "two", "classes": 2, "asymmetric": [[0, 1]]})
    assert (dataset.title, dataset.classes, dataset.asymmetric) == ("two", ("", ""), {0: 1})
    for undeclared in ("semantic_groups", "human", "mean"):
        with pytest.raises(AttributeError, match=undeclared):
            getattr(dataset, undeclared)


def test_a_file_of_noise_is_known_by_what_it_holds(small: Config, tmp_path: Path) -> None:
    def declared(path: Path) -> Config:
        return made_up.edit(SCALE, {"noises": {"own": {"kind": "matrix", "path": str(path)}}})

    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    other = 1 - np.eye(10)
    np.savetxt(here, 0.8 * np.eye(10) + 0.2 / 9 * other, delimiter=",")
    before = perform(declared(here), "corrupt", "cifar10", "own")
    config = declared(here.rename(there))
    job = perform(config, "corrupt", "cifar10", "own")
    assert job.digest == before.digest and content(job) == content(before)
    np.savetxt(there, 0.7 * np.eye(10) + 0.3 / 9 * other, delimiter=",")
    with pytest.raises(DataError, match=r"there\.csv: changed since it was planned; start again"):
        run(job)
    assert job_of(declared(there), "corrupt", "cifar10", "own").digest != before.digest


def test_what_decides_nothing_trains_nothing(
    small: Config, caplog: pytest.LogCaptureFixture
) -> None:
    before = trained(small)
    made_up.edit("datasets.yaml", {"cifar10.title": "Other words"})
    made_up.edit("losses.yaml", {"ce.label": "Cross-entropy", "ce.source": "a book"})
    config = made_up.edit("recipes.yaml", {"short.minutes": 99, "short.memory_mb": 9999})
    assert job_of(config, "train", *CELL).spec == job_of(small, "train", *CELL).spec
    with caplog.at_level(logging.INFO, "firstorder"):
        assert trained(config) == before
    assert caplog.text.count("was finished before") == 2


def test_a_new_seed_leaves_the_old_ones_as_they_were(
    small: Config, caplog: pytest.LogCaptureFixture
) -> None:
    before = trained(small)
    config = made_up.edit(SCALE, {"seeds": [1, 2, 3]})
    with caplog.at_level(logging.INFO, "firstorder"):
        after = trained(config)
    assert before.items() <= after.items()
    assert caplog.text.count("was finished before") == 2
    assert "3/weights.safetensors" in after


@pytest.mark.parametrize("changes", [{"validation": 0.4}, {"split_seed": 7}, {"train": 50}])
def test_a_changed_split_is_tuned_anew(small: Config, changes: dict[str, Any]) -> None:
    perform(small, "corrupt", "cifar10", "symmetric-0.8")
    before = content(perform(small, "tune", "images", "ce-tuned"))
    again = content(perform(small, "tune", "images", "ce-tuned"))
    assert again == before
    tuning = {**TUNING, **changes}
    config = made_up.edit(SCALE, {"tuning": tuning})
    job = perform(config, "tune", "images", "ce-tuned")
    record = json.loads(Path(job.outputs["chosen.json"]).read_text())
    assert record["spec"] == job.spec
    clean = perform(config, "tune", "images", "ce-tuned", checkpoints="none before")
    assert content(job) == content(clean) != before


def test_tuning_on_a_part_leaves_the_final_trainings_and_is_said(small: Config) -> None:
    whole = {step: job_of(small, step, *key) for step, key in TUNED_CELL.items()}
    assert whole["tune"].spec["recipe"]["train"] is None
    for recipe, expected in ((None, 50), (80, 50), (30, 30)):
        made_up.edit("recipes.yaml", {"short.train": recipe})
        config = made_up.edit(SCALE, {"tuning": {**TUNING, "train": 50}})
        jobs = {step: job_of(config, step, *key) for step, key in TUNED_CELL.items()}
        assert jobs["tune"].spec["recipe"]["train"] == expected
        assert jobs["train"].spec["recipe"]["train"] == recipe
        selected = select(config, Select(cells="curves", losses="tuned"), ("summary.json",))
        assert "tuned on at most 50 training images" in selected.data
        untuned = select(config, Select(cells="curves", losses="comparison"), ("summary.json",))
        assert "tuned" not in untuned.data


def test_another_tuning_that_chooses_the_same_trains_nothing(
    small: Config, caplog: pytest.LogCaptureFixture
) -> None:
    perform(small, "corrupt", "cifar10", "symmetric-0.8")
    perform(small, "corrupt", *NOISE)
    tuned = perform(small, "tune", *TUNED_CELL["tune"])
    before = content(perform(small, "train", *TUNED_CELL["train"]))
    path = Path(tuned.outputs["chosen.json"])
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "validation_accuracy": 0.0}))
    with caplog.at_level(logging.INFO, "firstorder"):
        assert content(perform(small, "train", *TUNED_CELL["train"])) == before
    assert caplog.text.count("was finished before") == 2
    path.write_text(json.dumps({**record, "chosen": {**record["chosen"], "weight_decay": 0.5}}))
    assert content(perform(small, "train", *TUNED_CELL["train"])) != before


def test_a_record_states_what_decided_it_and_which_examples_are_right(small: Config) -> None:
    trained(small)
    job = job_of(small, "train", *CELL)
    for seed in (1, 2):
        summary = json.loads(Path(job.outputs[f"{seed}/summary.json"]).read_text())
        assert summary["spec"]["seed"] == seed
        assert all(summary["spec"][name] == job.spec[name] for name in ("images", "loss", "recipe"))
    found = made_up.results(small, "correct.npz", cells="curves", losses="comparison")
    found = Results({**found.spec, "rows": found.spec["rows"][:1]}, found.files)
    for keys, right in frames.correctness(found):
        path = job.outputs[f"{keys['seed']}/summary.json"]
        summary = json.loads(Path(path).read_text())
        assert len(right) == 40
        assert right.mean() == summary["last"]["test_accuracy"]


def test_a_record_states_the_noise_that_it_was_trained_on(small: Config) -> None:
    trained(small)
    job = job_of(small, "train", *CELL)
    for seed in (1, 2):
        with np.load(job.inputs[f"{seed}/labels.npz"]) as drawn:
            wrong, matrix = drawn["flipped"].mean(), drawn["realised"]
        summary = json.loads(Path(job.outputs[f"{seed}/summary.json"]).read_text())
        assert summary["wrong_labels"] == pytest.approx(wrong)
        assert summary["realised_rate"] == pytest.approx(1 - matrix.diagonal().mean())


def test_the_realised_rate_is_of_the_classes_that_have_wrong_labels() -> None:
    clean = np.repeat([0, 1], 10)
    assert wrong_shares(clean, clean) == {"wrong_labels": 0.0, "realised_rate": None}
    labels = np.where(np.arange(20) < 4, 1, clean)
    assert wrong_shares(labels, clean) == {"wrong_labels": 0.2, "realised_rate": 0.4}


def test_correctness_is_that_of_the_weights_in_the_order_of_the_test_set(small: Config) -> None:
    import torch

    from firstorder import models
    from firstorder.data.images import standardise
    from firstorder.data.prepared import read_prepared

    trained(small)
    job = job_of(small, "train", *CELL)
    network = models.build("mlp", 10, (1, 8, 8))
    state = load_file(job.outputs["1/weights.safetensors"])
    network.load_state_dict({k.removeprefix("network."): v for k, v in state.items()})
    prepared = read_prepared(job.inputs["dataset"])
    with torch.inference_mode():
        images = torch.from_numpy(prepared.test_images)
        scores = network.eval()(standardise(images, [0.3], [0.3]))
    with np.load(job.outputs["1/correct.npz"]) as stored:
        right = np.unpackbits(stored["correct"], count=int(stored["count"])).astype(bool)
    assert (right == (scores.argmax(1).numpy() == prepared.test_labels)).all()
    assert 0 < right.mean() < 1


def test_a_diverged_training_has_no_correct_examples(small: Config) -> None:
    config = made_up.edit("recipes.yaml", {"short.lr": 1e30})
    trained(config)
    job = job_of(config, "train", *CELL)
    summary = json.loads(Path(job.outputs["1/summary.json"]).read_text())
    assert summary["status"] == "diverged"
    with np.load(job.outputs["1/correct.npz"]) as stored:
        assert int(stored["count"]) == 0


def accuracies(config: Config) -> list[tuple[float, float]]:
    """Of every seed the test accuracy after training, and that of the evaluation."""
    trained(config)
    after = job_of(config, "train", *CELL).outputs
    tests = perform(config, "evaluate", *CELL).outputs
    return [
        (
            json.loads(Path(after[f"{seed}/summary.json"]).read_text())["last"]["test_accuracy"],
            json.loads(Path(tests[f"{seed}/tests.json"]).read_text())["accuracies"][
                "last_accuracy"
            ],
        )
        for seed in (1, 2)
    ]


def test_evaluation_agrees_with_the_training(small: Config) -> None:
    assert all(one == other for one, other in accuracies(small))


NETWORK = """
import random

import torch
from torch import nn


class Features(nn.Module):
    def __init__(self, num_classes, shape):
        super().__init__()
        self.drawn = {DRAWN}
        self.register_buffer("sign", torch.ones(()), persistent=False)
        self.linear = nn.Linear(512, num_classes)

    def forward(self, x):
        if self.training:
            self.sign.fill_(-1)
        return self.linear((x.flatten(1) @ self.drawn).cos()) * self.sign
"""


def with_features(folder: Path, drawn: str) -> Config:
    """The small project with a network that keeps random features outside its weights."""
    (folder / "features.py").write_text(NETWORK.replace("{DRAWN}", drawn))
    changes = {"short.model": "features.py:Features", "short.model_parameters": {}}
    return made_up.edit("recipes.yaml", changes | {"short.epochs": 20, "short.lr": 0.01})


def test_what_a_network_draws_besides_its_weights_is_evaluated(
    small: Config, tmp_path: Path
) -> None:
    found = accuracies(with_features(tmp_path, "torch.randn(64, 512) / 4"))
    assert all(one == other > 0.3 for one, other in found)


def test_another_network_than_was_trained_is_not_evaluated(small: Config, tmp_path: Path) -> None:
    drawn = "torch.tensor([[random.gauss(0, 1) for _ in range(512)] for _ in range(64)]) / 4"
    with pytest.raises(DataError, match=r"correct\.npz: .* features\.py:Features keeps state else"):
        accuracies(with_features(tmp_path, drawn))


def test_a_network_is_built_for_the_crops_that_it_sees(small: Config) -> None:
    made_up.edit("recipes.yaml", {"short.augment": {"resized-crop": 6}})
    config = made_up.load()
    trained(config)
    state = load_file(job_of(config, "train", *CELL).outputs["1/weights.safetensors"])
    assert state["network.1.weight"].shape[1] == 6 * 6
    perform(config, "evaluate", *CELL)


def test_the_cost_of_losses_is_measured_by_turns(
    small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    step = loop.Training.step

    def noted(training: loop.Training, *given: Any, **named: Any) -> None:
        before = [weight.clone() for weight in training.parameters]
        step(training, *given, **named)
        assert all(map(torch.equal, before, training.parameters))
        steps.append(id(training))

    monkeypatch.setattr(loop.Training, "step", noted)
    job = perform(small, "time_losses", "images")
    seconds = json.loads(Path(job.outputs["cost.json"]).read_text())["seconds_per_step"]
    assert sorted(seconds) == sorted(made_up.COMPARISON)
    assert {len(rounds) for rounds in seconds.values()} == {cost.ROUNDS}
    assert all(0 < each < 1 for rounds in seconds.values() for each in rounds)
    turns = [each for each, _ in itertools.groupby(steps)]
    assert len(set(turns)) == len(made_up.COMPARISON)
    assert turns == turns[: len(set(turns))] * (cost.ROUNDS + 1)
    assert len(steps) == len(turns) * cost.STEPS


def test_the_cost_of_losses_that_nobody_shows_is_no_job(small: Config) -> None:
    with pytest.raises(ConfigError, match="no table or figure shows the cost"):
        made_up.edit(SCALE, {"settings.other": {"dataset": "cifar10", "recipe": "short"}})
        job_of(made_up.load(), "time_losses", "other")


def test_labels_of_other_data_are_refused(small: Config) -> None:
    trained(small)
    path = job_of(small, "train", *CELL).inputs["1/labels.npz"]
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **{**arrays, "clean": arrays["clean"][::-1]})
    with pytest.raises(DataError, match="drawn for other labels"):
        perform(small, "train", *CELL)


@pytest.mark.parametrize("noise", ["asymmetric-0.5", "instance-0.4", "pairflip-0.2"])
def test_every_noise_is_drawn_from_its_spec_as_from_the_dataset(small: Config, noise: str) -> None:
    from firstorder.config import Noise
    from firstorder.data.noise import corrupt
    from firstorder.data.prepared import read_prepared

    job = perform(small, "corrupt", "cifar10", noise)
    prepared = read_prepared(job.inputs["dataset"])
    declared = small.datasets["cifar10"]
    expected = corrupt(
        prepared.train_labels, Noise.parse(noise), declared, 2, images=prepared.train_images
    )
    with np.load(job.outputs["2/labels.npz"]) as stored:
        assert (stored["labels"] == expected.labels).all()
        assert stored["flipped"].any()
