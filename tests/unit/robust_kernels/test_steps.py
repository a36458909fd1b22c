"""The study end to end on a few made-up images: every step, table, figure and claim."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from firstorder.config import Config, ConfigError
from firstorder.data.noise import realised_matrix
from firstorder.jobs.context import Context
from firstorder.jobs.study import steps
from firstorder.publish import judge
from firstorder.publish.registry import Results
from firstorder.studies.robust_kernels import examples, figures, noise, rotation
from firstorder.studies.robust_kernels.rotation import Margin
from firstorder.studies.robust_kernels.settings import NAME

from .made_up import configuration, perform, write_images


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A finished run of all steps."""
    torch.set_num_threads(1)
    config = configuration(tmp_path_factory.mktemp("study"))
    write_images(config)
    for step in ("compute_scalar_kernel", "classify_under_noise", "follow_paths"):
        perform(config, step, "tiny", "1")
    for loss in ("ce", "mae"):
        perform(config, "follow_rotation", "tiny", loss)
    return config


def outputs(config: Config, step: str, *key: str) -> dict[str, str]:
    return dict(steps(config)[step].outputs(config, *key))


def test_the_kernel_is_centred(finished: Config) -> None:
    made = outputs(finished, "compute_scalar_kernel", "tiny", "1")
    kernel, test = np.load(made["kernel.npy"]), np.load(made["test.npy"])
    assert kernel.shape == (60, 60) and test.shape == (30, 60)
    assert np.abs(kernel.sum(1)).max() < 1e-3 * kernel.trace()
    assert np.abs(test.sum(1)).max() < 1e-3 * kernel.trace()


def test_the_exact_statements_are_exact(finished: Config) -> None:
    made = outputs(finished, "classify_under_noise", "tiny", "1")
    made |= outputs(finished, "follow_paths", "tiny", "1")
    noise = json.loads(Path(made["noise.json"]).read_text())["statements"]
    exact = json.loads(Path(made["exact.json"]).read_text())["statements"]
    assert noise["identity_error"] < 1e-12 and noise["ridge_cosine"] > 0.99999
    assert exact["error"] < 1e-12 and exact["changed"] == 0 and exact["steps"] == 5
    first = pd.read_csv(made["first_step.csv"]).set_index("loss")
    assert list(first.index[first["breaks_ties"]]) == ["ce_eps+mae"]
    assert first.loc[~first["breaks_ties"], "error"].max() < 1e-12


def test_without_noise_the_prediction_is_the_accuracy(finished: Config) -> None:
    made = outputs(finished, "classify_under_noise", "tiny", "1")
    measured = pd.read_csv(made["accuracy.csv"]).query("classifier == 'mean' and rate == 0")
    predicted = pd.read_csv(made["predicted.csv"]).query("rate == 0")
    assert set(measured["accuracy"]) == set(predicted["accuracy"])


def test_ridge_is_fitted_for_the_first_draws_only(finished: Config) -> None:
    made = pd.read_csv(outputs(finished, "classify_under_noise", "tiny", "1")["accuracy.csv"])
    assert set(made.loc[made["classifier"] == "best", "draw"]) == {1}
    assert set(made.loc[made["rate"] == 0.4, "draw"]) == {1, 2, 3}


def test_a_kernel_is_measured_in_the_epochs_asked_for(finished: Config) -> None:
    made = pd.read_csv(outputs(finished, "follow_rotation", "tiny", "ce")["rotation.csv"])
    rho = made.dropna(subset=["rho"])
    assert list(rho["epoch"]) == [0, 2, 0, 2] and list(rho["seed"]) == [1, 1, 2, 2]
    np.testing.assert_allclose(rho["rho"], rho["clean_alignment"] / rho["noise_alignment"])


def test_a_kernel_of_dead_units_has_no_rho_and_ends_no_job() -> None:
    from firstorder import models

    module = models.build("mlp", 2, (1, 2, 2), generator=torch.Generator().manual_seed(1), hidden=5)
    clean = torch.arange(6) % 2
    given = clean.clone()
    given[0] = 1 - given[0]
    images = torch.rand(6, 1, 2, 2)
    assert None not in rotation._alignments(module, images, clean, given, 1.0).values()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 1:
                parameter.fill_(-1e4)
    found = rotation._alignments(module, images, clean, given, 1.0)
    assert found == {"clean_alignment": 0, "noise_alignment": 0, "rho": None}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(float("nan"))
    found = rotation._alignments(module, images, clean, given, 1.0)
    assert set(found.values()) == {None}


def test_points_without_a_wrong_label_are_refused_before_the_training(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    write_images(config)
    (network,) = config.studies[NAME].scale.networks.values()
    alone = configuration(
        tmp_path, networks={"tiny": network.model_copy(update={"points": 1, "rate": 0.05})}
    )
    with pytest.raises(ConfigError, match="none of the first 1 training examples"):
        perform(alone, "follow_rotation", "tiny", "ce")


def test_kernels_of_two_seeds_have_other_noise(tmp_path: Path) -> None:
    clean = torch.arange(500) % 10
    spec = {"classes": 10, "draws": 3}
    drawn = [
        noise._given(clean, {**spec, "seed": seed}, 0.4, "iid", draw).tolist()
        for seed in (1, 2)
        for draw in (1, 2, 3)
    ]
    assert len({tuple(each) for each in drawn}) == 6
    assert drawn[0] == examples.noisy(clean, 0.4, 10, "iid", 1).tolist()


def test_all_losses_start_from_one_network_and_one_noise(finished: Config) -> None:
    starts = [
        pd.read_csv(outputs(finished, "follow_rotation", "tiny", loss)["rotation.csv"])
        .query("epoch == 0")["rho"]
        .tolist()
        for loss in ("ce", "mae")
    ]
    assert starts[0] == starts[1]


def test_a_finished_training_is_not_made_again(
    finished: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firstorder.training import loop

    monkeypatch.setattr(loop, "train", lambda *_, **__: pytest.fail("trained again"))
    before = Path(outputs(finished, "follow_rotation", "tiny", "ce")["rotation.csv"]).read_text()
    job = perform(finished, "follow_rotation", "tiny", "ce")
    assert Path(job.outputs["rotation.csv"]).read_text() == before


@pytest.mark.parametrize(
    ("kind", "artefact"),
    [
        ("figure", "accuracy-under-noise"),
        ("figure", "paths"),
        ("figure", "rotation"),
        ("table", "exact-statements"),
        ("table", "accuracy"),
    ],
)
def test_every_artefact_is_drawn(finished: Config, kind: str, artefact: str) -> None:
    from importlib import import_module

    step = steps(finished)[kind]
    job = step.job(finished, NAME, artefact)
    module, _, name = step.run.rpartition(":")
    getattr(import_module(module), name)(job.spec, job.inputs, job.outputs, Context())
    assert all(Path(path).stat().st_size for path in job.outputs.values())


def test_losses_whose_paths_coincide_are_all_seen(finished: Config) -> None:
    job = steps(finished)["figure"].job(finished, NAME, "paths")
    results = Results(job.spec["selected"], job.inputs)
    for panel in figures.paths(results).figure.axes:
        first = [line.get_markevery()[0] for line in panel.lines]
        assert len(set(first)) == len(first) == len(results.spec["losses"])


def test_every_claim_is_judged(finished: Config) -> None:
    job = steps(finished)["claims"].job(finished)
    frame = judge.judge(job.spec, job.inputs).set_index("claim")
    assert list(frame.index) == [f"R{number}" for number in range(1, 8)]
    assert set(frame.loc[["R1", "R2", "R5"], "status"]) == {"holds"}


def test_symmetric_noise_has_its_rate_for_every_sampler() -> None:
    clean = torch.arange(4000) % 10
    for sampler, within in (("remainder", 1e-3), ("iid", 0.05)):
        given = examples.noisy(clean, 0.4, 10, sampler, 1)
        realised = realised_matrix(clean.numpy(), given.numpy(), 10)
        assert abs(np.diag(realised) - 0.6).max() < within


def test_the_margin_has_the_kernel_of_the_difference_of_the_scores() -> None:
    from firstorder import models
    from firstorder.linearized.kernel import ntk

    module = models.build("mlp", 2, (1, 2, 2), generator=torch.Generator().manual_seed(1), hidden=5)
    module, x = module.double(), torch.randn(4, 1, 2, 2, dtype=torch.float64)
    rows = []
    for one in x:
        scores = module(one[None])
        gradients = torch.autograd.grad(scores[0, 1] - scores[0, 0], list(module.parameters()))
        rows.append(torch.cat([g.flatten() for g in gradients]))
    jacobian = torch.stack(rows)
    kernel = ntk(Margin(module), x, dtype=torch.float64)
    torch.testing.assert_close(kernel, jacobian @ jacobian.T)
