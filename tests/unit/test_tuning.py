"""The tuning protocol chooses one hyper-parameter after the other, by validation accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firstorder import config as configuration
from firstorder import plan
from firstorder.config import Config, Loss
from firstorder.errors import ConfigError
from firstorder.studies import symmetrization
from firstorder.studies.data import paths

Edited = Callable[..., Path]


def config(edited: Edited, tmp_path: Path) -> Config:
    root = edited(
        "losses.yaml",
        {
            "sce.choices": {"alpha": [0.1, 1.0], "beta": [0.5, 2.0, 3.0]},
            "sce.datasets.digits": {"parameters": {"alpha": "tuned", "beta": "tuned"}},
        },
    )
    return configuration.load(root, {"results": str(tmp_path / "results"), "device": "cpu"})


def choose(
    config: Config, monkeypatch: pytest.MonkeyPatch, loss: str, accuracy: Callable[[Loss], float]
) -> tuple[dict[str, Any], list[Loss]]:
    """What tuning chooses, and the losses tried, if trainings reached `accuracy`."""
    tried: list[Loss] = []

    def reach(trainings: symmetrization.Trainings, seed: int, inputs: list[str]) -> float:
        tried.append(trainings.loss)
        return accuracy(trainings.loss)

    monkeypatch.setattr(symmetrization, "_validation_accuracy", reach)
    monkeypatch.setattr(symmetrization, "record", lambda *_: {})
    symmetrization.tune(config, configuration.tuning_cell(config, "digits", loss))
    return json.loads(Path(paths(config).tuned("digits", loss)).read_text()), tried


def test_parameters_come_first_and_the_penalty_with_what_was_chosen(
    edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accuracy(loss: Loss) -> float:
        near = {"alpha": 1.0, "beta": 2.0}
        off = sum(abs(float(loss.parameters[name]) - value) for name, value in near.items())
        return 1.0 - 0.1 * off - abs((loss.weight_decay or 0.0) - 0.001)

    found, tried = choose(config(edited, tmp_path), monkeypatch, "sce-tuned", accuracy)
    assert found["chosen"] == {"alpha": 1.0, "beta": 2.0, "weight_decay": 0.001}
    assert found["validation_accuracy"] == 1.0
    values = [(loss.parameters["alpha"], loss.parameters["beta"]) for loss in tried]
    assert values[:5] == [(0.1, 0.5), (1.0, 0.5), (1.0, 0.5), (1.0, 2.0), (1.0, 3.0)]
    assert set(values[5:]) == {(1.0, 2.0)}
    decays = [loss.weight_decay for loss in tried]
    assert decays == [None] * 5 + [0.0, 0.0001, 0.001, 0.01]  # None: the recipe's


def test_a_tie_goes_to_the_first_and_a_penalty_of_l1_is_tuned_in_place_of_decay(
    edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, tried = choose(config(edited, tmp_path), monkeypatch, "anl-ce-tuned", lambda _: 0.5)
    assert list(found["chosen"]) == ["l1"]
    assert found["chosen"]["l1"] == min(loss.l1 for loss in tried)
    assert {loss.weight_decay for loss in tried} == {0.0}


def test_a_training_takes_what_was_chosen(
    edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = config(edited, tmp_path)
    choose(known, monkeypatch, "sce", lambda loss: float(loss.parameters["beta"]))
    cell = configuration.cell(known, "digits", "symmetric-0.4", "sce")
    trainings = symmetrization.Trainings(known, cell, "")
    assert trainings.loss.parameters == {"alpha": 0.1, "beta": 3.0}
    assert trainings.loss.weight_decay is None
    assert paths(known).tuned("digits", "sce") in trainings.inputs(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sgce.parameters": {"q": "tuned"}}, "sgce.parameters.q: `tuned` is not allowed here"),
        ({"sgce.choices": {}}, "sgce.choices.q: missing: cifar10 has it `tuned`"),
        ({"sgce.choices": {"q": []}}, "sgce.choices.q"),
        ({"sgce.choices": {"q": [0.1], "p": [0.1]}}, "sgce.choices.p: unknown parameter of sgce"),
    ],
)
def test_what_cannot_be_tuned_is_refused(edited: Edited, change: Any, message: str) -> None:
    root = edited("losses.yaml", change)
    with pytest.raises(ConfigError) as refused:
        plan.check_functions(configuration.load(root))
    assert message in str(refused.value) and "\n" not in str(refused.value)
