"""The tuning protocol chooses one hyper-parameter after the other, by validation accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
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

    def reach(spec: Any, loss: Loss, *_: Any) -> np.ndarray:
        tried.append(loss)
        return np.arange(1000) < 1000 * accuracy(loss)

    monkeypatch.setattr(tuning, "validation", reach)
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
        return 1.0 - 0.1 * off - 20 * abs((loss["weight_decay"] or 0.0) - 0.001)

    found, tried = choose(config(edited, tmp_path), monkeypatch, "sce-tuned", accuracy)
    assert found["chosen"] == {"alpha": 1.0, "beta": 2.0, "weight_decay": 0.001}
    assert found["validation_accuracy"] == 1.0
    assert [len(stage["candidates"]) for stage in found["stages"]] == [2, 3, 4]
    values = [(loss["parameters"]["alpha"], loss["parameters"]["beta"]) for loss in tried[::3]]
    assert values[:5] == [(0.1, 0.5), (1.0, 0.5), (1.0, 0.5), (1.0, 2.0), (1.0, 3.0)]
    assert set(values[5:]) == {(1.0, 2.0)}
    decays = [loss["weight_decay"] for loss in tried[::3]]
    assert decays == [None] * 5 + [0.0, 0.0001, 0.001, 0.01]  # None: the recipe's


def test_a_tie_goes_to_what_is_published_and_l1_is_tuned_in_place_of_decay(
    edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = config(edited, tmp_path)
    found, tried = choose(known, monkeypatch, "anl-ce-tuned", lambda _: 0.5)
    assert found["chosen"] == {"l1": known.losses["anl-ce"].on("digits").l1}
    (stage,) = found["stages"]
    assert stage["tied"] == [0, 1, 2, 3]
    assert sorted({loss["l1"] for loss in tried})[stage["chosen"]] == found["chosen"]["l1"]
    assert {loss["weight_decay"] for loss in tried} == {0.0}


def test_one_validation_example_does_not_decide(
    edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accuracy(loss: Loss) -> float:
        return 0.501 if loss["weight_decay"] == 0.01 else 0.5

    found, _ = choose(config(edited, tmp_path), monkeypatch, "ce-tuned", accuracy)
    assert found["chosen"] == {"weight_decay": 0.0001}  # the recipe's


def test_every_loss_has_the_same_number_of_configurations_one_of_them_published(
    edited: Edited, tmp_path: Path
) -> None:
    known, count = config(edited, tmp_path), []
    for name in ("ce", "anl-ce", "unhinged", "sgce", "alpha_mae_mix"):
        (stage,) = job_of(known, "tune", "digits", f"{name}-budget").spec["stages"]
        published = known.losses[name].on("digits")
        first = stage["candidates"][stage["default"]]
        assert first["lr"] == known.recipes["digits"].lr
        assert first.get("score_norm", "none") == published.score_norm
        assert len({json.dumps(each) for each in stage["candidates"]}) == len(stage["candidates"])
        count.append(len(stage["candidates"]))
        assert len({each["lr"] for each in stage["candidates"]}) == 4
    assert set(count) == {8}


def test_under_an_equal_budget_rate_normalisation_and_parameter_are_chosen_together(
    edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = config(edited, tmp_path)
    (stage,) = job_of(known, "tune", "digits", "sgce-budget").spec["stages"]
    best = stage["candidates"][5]

    def accuracy(loss: Loss) -> float:
        own = {**loss["parameters"], **{n: loss[n] for n in ("lr", "weight_decay", "score_norm")}}
        return 0.9 if all(own[name] == value for name, value in best.items()) else 0.5

    found, tried = choose(known, monkeypatch, "sgce-budget", accuracy)
    assert found["chosen"] == best
    assert found["stages"][0]["wins"][5] == 1.0
    assert len(tried) == 3 * 8


def test_a_candidate_that_diverges_is_not_chosen() -> None:
    stage = {"candidates": [{"lr": 0.1}, {"lr": 1.0}], "default": 0}
    right, none = np.arange(100) < 60, np.zeros(0, bool)
    found = tuning.chosen_of(stage, [[right, none, right], [right & False] * 3], [1, 2, 3])
    assert found["chosen"] == 1
    found = tuning.chosen_of(stage, [[none] * 3, [none] * 3], [1, 2, 3])
    assert (found["chosen"], found["tied"], found["p"]) == (0, [], [0.0, 0.0])


def test_fewer_than_three_seeds_are_refused(edited: Edited, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tuning\.seeds"):
        edited_root = edited(f"studies/{NAME}/smoke.yaml", {"tuning.seeds": [1, 2]})
        configuration.load(edited_root, {"studies": [NAME]}, find)


def test_a_training_takes_what_was_chosen(
    edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = config(edited, tmp_path)
    choose(known, monkeypatch, "sce", lambda loss: float(loss["parameters"]["beta"]) / 4)
    job = job_of(known, "train", "digits", "symmetric-0.4", "sce")
    chosen = training.read_tuned(job.inputs["tuned"])["chosen"]
    loss = training.with_chosen(job.spec["loss"], chosen)
    assert loss["parameters"] == {"alpha": 0.1, "beta": 3.0}
    assert loss["weight_decay"] is None


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
