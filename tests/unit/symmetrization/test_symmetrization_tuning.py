"""The tuning protocol chooses one hyper-parameter after the other, by validation accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from small_trainings import job_of

from firstorder import config as configuration
from firstorder.config import Config
from firstorder.errors import ConfigError
from firstorder.jobs import functions
from firstorder.jobs.context import Context
from firstorder.jobs.study import find
from firstorder.studies.symmetrization import training, tuning
from firstorder.studies.symmetrization.settings import NAME

Edited = Callable[..., Path]
Loss = Mapping[str, Any]


def config(edited: Edited, tmp_path: Path) -> Config:
    root = edited(
        "losses.yaml",
        {
            "sce.choices": {"alpha": [0.1, 1.0], "beta": [0.5, 2.0, 3.0]},
            "sce.datasets.digits": {"parameters": {"alpha": "tuned", "beta": "tuned"}},
        },
    )
    overrides = {"results": str(tmp_path / "results"), "device": "cpu", "studies": [NAME]}
    return configuration.load(root, overrides, find)


def choose(
    config: Config, monkeypatch: pytest.MonkeyPatch, loss: str, accuracy: Callable[[Loss], float]
) -> tuple[dict[str, Any], list[Loss]]:
    """What tuning chooses, and the losses tried, if trainings reached `accuracy`."""
    tried: list[Loss] = []

    def reach(spec: Any, loss: Loss, *_: Any) -> float:
        tried.append(loss)
        return accuracy(loss)

    monkeypatch.setattr(tuning, "validation_accuracy", reach)
    job = job_of(config, "tune", "digits", loss)
    for path in job.inputs.values():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    checkpoints = Path(config.settings.results, "checkpoints")
    tuning.tune(job.spec, job.inputs, job.outputs, Context(checkpoints=checkpoints))
    return json.loads(Path(job.outputs["chosen.json"]).read_text()), tried


def test_parameters_come_first_and_the_penalty_with_what_was_chosen(
    edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accuracy(loss: Loss) -> float:
        near = {"alpha": 1.0, "beta": 2.0}
        off = sum(abs(float(loss["parameters"][name]) - value) for name, value in near.items())
        return 1.0 - 0.1 * off - abs((loss["weight_decay"] or 0.0) - 0.001)

    found, tried = choose(config(edited, tmp_path), monkeypatch, "sce-tuned", accuracy)
    assert found["chosen"] == {"alpha": 1.0, "beta": 2.0, "weight_decay": 0.001}
    assert found["validation_accuracy"] == 1.0
    values = [(loss["parameters"]["alpha"], loss["parameters"]["beta"]) for loss in tried]
    assert values[:5] == [(0.1, 0.5), (1.0, 0.5), (1.0, 0.5), (1.0, 2.0), (1.0, 3.0)]
    assert set(values[5:]) == {(1.0, 2.0)}
    decays = [loss["weight_decay"] for loss in tried]
    assert decays == [None] * 5 + [0.0, 0.0001, 0.001, 0.01]  # None: the recipe's


def test_a_tie_goes_to_the_first_and_a_penalty_of_l1_is_tuned_in_place_of_decay(
    edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, tried = choose(config(edited, tmp_path), monkeypatch, "anl-ce-tuned", lambda _: 0.5)
    assert list(found["chosen"]) == ["l1"]
    assert found["chosen"]["l1"] == min(loss["l1"] for loss in tried)
    assert {loss["weight_decay"] for loss in tried} == {0.0}


def test_a_training_takes_what_was_chosen(
    edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = config(edited, tmp_path)
    choose(known, monkeypatch, "sce", lambda loss: float(loss["parameters"]["beta"]))
    job = job_of(known, "train", "digits", "symmetric-0.4", "sce")
    chosen = training.read_tuned(job.inputs["tuned"])["chosen"]
    loss = training.with_chosen(job.spec["loss"], chosen)
    assert loss["parameters"] == {"alpha": 0.1, "beta": 3.0}
    assert loss["weight_decay"] is None
    assert training.inputs_of(job.inputs, 1)["tuned"] == job.inputs["tuned"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sgce.parameters": {"q": "tuned"}}, "sgce.parameters.q: `tuned` is not allowed here"),
        ({"sgce.choices": {}}, "sgce.choices.q: missing: cifar10 has it `tuned`"),
        ({"sgce.choices": {"q": []}}, "sgce.choices.q"),
        ({"sgce.choices": {"q": [0.1], "p": [0.1]}}, "sgce.choices.p: sgce has no such option"),
    ],
)
def test_what_cannot_be_tuned_is_refused(edited: Edited, change: Any, message: str) -> None:
    root = edited("losses.yaml", change)
    with pytest.raises(ConfigError) as refused:
        functions.check_losses_and_recipes(configuration.load(root, {"studies": [NAME]}, find))
    assert message in str(refused.value) and "\n" not in str(refused.value)
