"""The verbs of the linearized study, end to end on a few small images."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from firstorder.config import Config, Family, Support, load
from firstorder.data.prepared import Split, write_prepared
from firstorder.errors import ConfigError, DataError
from firstorder.linearized import network
from firstorder.studies import linearized
from firstorder.studies.data import paths

ROOT = Path(__file__).parents[2]
TRAIN, TEST = 48, 24


def configuration(folder: Path, epochs: int = 4) -> Config:
    """The smoke scale on 8 x 8 digits of noise, with every family."""
    config = load(ROOT / "config", {"scale": "smoke", "results": str(folder), "device": "cpu"})
    update = {"epochs": epochs, "batch": 16, "evaluate_every": 1}
    recipe = config.recipes["tangent-short"].model_copy(update=update)
    common: dict[str, Any] = {"models": ("mlp", "lenet"), "seeds": (1,), "recipe": "short"}
    families = {
        "eigenfunctions": Family(
            support="tiny", tasks=(2, 3), watch=(3,), watch_points=20, **common
        ),
        "binary": Family(support="tiny", tasks=(10, 48), **common),
        "nads": Family(
            tasks=(1, 20),
            options={"size": 5, "train": 40, "test": 20, "samples": 2, "networks": 5},
            **common | {"models": ("mlp-gelu",)},
        ),
    }
    scale = config.scale.linearized.model_copy(
        update={
            "supports": {"tiny": Support(dataset="digits", train=TRAIN, test=TEST)},
            "families": families,
            "eigenvectors": 12,
        }
    )
    return config.model_copy(
        update={
            "scale": config.scale.model_copy(update={"linearized": scale}),
            "recipes": config.recipes | {"short": recipe},
        }
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A finished run of the whole study for one model and seed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("study")
    config = configuration(folder)
    prepare(config)
    run_until_networks(config, "mlp", "eigenfunctions")
    linearized.networks(config, "mlp", 1, "eigenfunctions")
    linearized.rotation(config, "mlp", 1, "eigenfunctions")
    for verb in (linearized.tangent, linearized.networks, linearized.rotation):
        verb(config, "mlp", 1, "binary")
    linearized.nads(config, "mlp-gelu", 1)
    return config


def prepare(config: Config) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 10
    images = generator.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    classes = config.datasets["digits"].classes
    split = Split(images, labels)
    path = paths(config).dataset("digits")
    write_prepared(path, "digits", classes, {"train": split, "test": split})


def run_until_networks(config: Config, model: str, family: str) -> None:
    linearized.kernel(config, model, "tiny", 1)
    linearized.spectrum(config, model, "tiny", 1)
    linearized.tangent(config, model, 1, family)


def file(config: Config, name: str, family: str = "eigenfunctions", model: str = "mlp") -> Path:
    support = "gaussian" if family == "nads" else "tiny"
    return Path(paths(config).tangent_run(model, support, 1, family, name))


def start(config: Config, name: str) -> Path:
    return Path(paths(config).tangent("mlp", "tiny", 1, name))


def test_kernel_and_spectrum_hold_what_their_readers_expect(config: Config) -> None:
    kernel, outputs = np.load(start(config, "kernel.npy")), np.load(start(config, "outputs.npy"))
    assert kernel.shape == (TRAIN + TEST, TRAIN + TEST) and kernel.dtype == np.float32
    assert outputs.shape == (TRAIN + TEST,) and outputs.dtype == np.float32
    with np.load(start(config, "spectrum.npz")) as spectrum:
        values, vectors = spectrum["eigenvalues"], spectrum["eigenvectors"]
        assert values.shape == (12,) and vectors.shape == (12, TRAIN + TEST)
        assert np.allclose(vectors @ kernel @ vectors.T, np.diag(values), atol=1e-4 * values[0])
        assert spectrum["trace"] == pytest.approx(kernel.trace(dtype=np.float64))
        assert spectrum["n_train"] == TRAIN


def test_only_the_kernel_of_the_network_has_its_alignments_as_eigenvalues(
    config: Config, tmp_path: Path
) -> None:
    frame = pd.read_csv(start(config, "gradients.csv"))
    assert list(frame) == ["k", "eigenvalue", "alignment"]
    assert list(frame["k"]) == [1, 2, 5, 10]
    with np.load(start(config, "spectrum.npz")) as spectrum:
        assert np.array_equal(frame["eigenvalue"], spectrum["eigenvalues"][frame["k"] - 1])
    assert np.allclose(frame["alignment"], frame["eigenvalue"], rtol=1e-5)
    wrong = configuration(tmp_path)
    prepare(wrong)
    linearized.kernel(wrong, "mlp", "tiny", 1)
    kernel = np.load(start(wrong, "kernel.npy"))
    np.save(start(wrong, "kernel.npy"), np.float32(1.01) * kernel)
    linearized.spectrum(wrong, "mlp", "tiny", 1)
    frame = pd.read_csv(start(wrong, "gradients.csv"))
    assert np.allclose(1.01 * frame["alignment"], frame["eigenvalue"], rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "arm", "tasks"),
    [
        ("eigenfunctions", "linear", [2, 3]),
        ("eigenfunctions", "linear0", [2, 3]),
        ("eigenfunctions", "network", [2, 3]),
        ("eigenfunctions", "random", [3]),
        ("eigenfunctions", "retrained", [2, 3]),
        ("binary", "linear", [10, 48]),
        ("binary", "linear0", [10, 48]),
        ("binary", "network", [10, 48]),
        ("binary", "retrained", [48]),
        ("nads", "network", [1, 20]),
        ("nads", "linear", [1, 20]),
    ],
)
def test_every_arm_has_its_epochs_and_its_record(
    config: Config, family: str, arm: str, tasks: list[int]
) -> None:
    model = "mlp-gelu" if family == "nads" else "mlp"
    frame = pd.read_csv(file(config, f"{arm}.csv", family, model))
    assert list(frame) == [
        "task", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "distance",
    ]  # fmt: skip
    assert [list(part["epoch"]) for _, part in frame.groupby("task")] == [[0, 1, 2, 3, 4]] * len(
        tasks
    )
    record = json.loads(file(config, f"{arm}.json", family, model).read_text())
    assert sorted(int(task) for task in record["tasks"]) == tasks
    assert set(record["tasks"][str(tasks[0])]) == {
        "status", "steps_to_0.1", "steps_to_0.01", "majority_train", "majority_test",
        "alignment", "relative_alignment", "seconds",
    }  # fmt: skip
    assert {"spec", "device", "versions", "commit", "code", "inputs", "peak_memory_bytes"} <= set(
        record
    )


def test_network_and_linearization_start_from_the_same_function(config: Config) -> None:
    network, linear = (
        pd.read_csv(file(config, f"{arm}.csv")).query("epoch == 0").reset_index(drop=True)
        for arm in ("network", "linear")
    )
    pd.testing.assert_frame_equal(network, linear, rtol=1e-5)
    without = pd.read_csv(file(config, "linear0.csv")).query("epoch == 0")
    assert np.allclose(without["train_loss"], np.log(2))


def test_alignments_begin_with_the_eigenvalues_on_all_examples(config: Config) -> None:
    frame = pd.read_csv(file(config, "alignment.csv"))
    assert list(frame) == ["task", "k", "part", "initial", "trained"]
    assert len(frame) == 2 * 3 * 12
    with np.load(start(config, "spectrum.npz")) as spectrum:
        for _, part in frame[frame["part"] == "all"].groupby("task"):
            assert np.allclose(part["initial"], spectrum["eigenvalues"], rtol=1e-3)


def test_the_watched_kernel_starts_as_the_initial_one(config: Config) -> None:
    evolution = pd.read_csv(file(config, "evolution.csv"))
    kernel = np.load(start(config, "kernel.npy")).astype(np.float64)
    first = evolution.query("epoch == 0 and part == 'train'").iloc[0]
    assert first["trace"] == pytest.approx(kernel[:TRAIN, :TRAIN].trace(), rel=1e-4)
    record = json.loads(file(config, "network.json").read_text())["tasks"]["3"]
    assert first["alignment"] == pytest.approx(record["alignment"], rel=1e-4)
    assert first["relative"] == pytest.approx(record["relative_alignment"], rel=1e-4)
    assert sorted(set(evolution["epoch"])) == [0, 1, 2, 3, 4]
    energy = pd.read_csv(file(config, "energy.csv"))
    assert set(energy["moment"]) == {"init", "mid", "end"}
    last = energy[energy["components"] == 20]
    assert np.allclose(last["energy"], 1, atol=1e-6)


def test_directions_are_orthonormal_by_every_definition(config: Config) -> None:
    path = paths(config).tangent("mlp-gelu", "gaussian", 1, "nads.npz")
    with np.load(path) as arrays:
        for prefix in ("", "expectation_", "gradient_"):
            V = arrays[f"{prefix}directions"]
            assert np.allclose(V @ V.T, np.eye(25), atol=1e-8)
        assert str(arrays["definition"]) == "zero"
        assert (np.diff(arrays["singular_values"]) <= 0).all()


@contextmanager
def terminated_as_an_exception() -> Iterator[None]:
    def handler(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def test_killed_trainings_resume_and_end_with_the_same_bits(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = configuration(tmp_path)
    prepare(again)
    run_until_networks(again, "mlp", "eigenfunctions")
    follow = network.Watch.__call__

    def killing(watch: network.Watch, epoch: int, module: torch.nn.Module) -> network.Row:
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return follow(watch, epoch, module)

    with monkeypatch.context() as patch, terminated_as_an_exception():
        patch.setattr(network.Watch, "__call__", killing)
        with pytest.raises(SystemExit):
            linearized.networks(again, "mlp", 1, "eigenfunctions")
    assert not file(again, "network.csv").exists()
    trained: list[int] = []
    train = network.train

    def counting(*arguments: Any, **options: Any) -> Any:
        trained.append(1)
        return train(*arguments, **options)

    monkeypatch.setattr(network, "train", counting)
    linearized.networks(again, "mlp", 1, "eigenfunctions")
    assert len(trained) == 2  # task 3, from its checkpoint, and the control; task 2 was kept
    for name in ("network.csv", "random.csv", "evolution.csv", "energy.csv"):
        assert file(again, name).read_text() == file(config, name).read_text()
    one, other = (load_file(file(c, "network-3.safetensors")) for c in (config, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_finished_family_is_written_again_without_training(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file(config, "network.csv", "binary").read_text()
    file(config, "network-10.safetensors", "binary").unlink()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(network, "train", refuse)
    linearized.networks(config, "mlp", 1, "binary")
    assert file(config, "network.csv", "binary").read_text() == before
    assert file(config, "network-10.safetensors", "binary").exists()


def test_the_memory_of_a_family_is_that_of_its_largest_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration(tmp_path, epochs=1)
    prepare(config)
    run_until_networks(config, "mlp", "binary")
    train, peaks = network.train, iter([2**60, 1])

    def measured(*given: Any, **named: Any) -> Any:
        return replace(train(*given, **named), peak_memory_bytes=next(peaks))

    monkeypatch.setattr(network, "train", measured)
    linearized.networks(config, "mlp", 1, "binary")
    assert (
        json.loads(file(config, "network.json", "binary").read_text())["peak_memory_bytes"] == 2**60
    )


def test_a_diverged_network_is_a_result(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    recipes = config.recipes | {"short": config.recipes["short"].model_copy(update={"lr": 1e20})}
    config = config.model_copy(update={"recipes": recipes})
    prepare(config)
    linearized.kernel(config, "mlp", "tiny", 1)
    for verb in (linearized.tangent, linearized.networks, linearized.rotation):
        verb(config, "mlp", 1, "binary")
    record = json.loads(file(config, "network.json", "binary").read_text())
    assert record["tasks"]["48"]["status"] == "diverged"
    assert json.loads(file(config, "retrained.json", "binary").read_text())["tasks"]["48"][
        "status"
    ] in ("diverged", "finished")


def test_networks_with_batch_norm_are_retrained_with_initial_statistics(tmp_path: Path) -> None:
    config = configuration(tmp_path, epochs=2)
    study = config.studies.linearized
    small = study.models["resnet18"].model_copy(
        update={"model_parameters": {"init": "lecun", "width": 0.0625}}
    )
    study = study.model_copy(update={"models": {"resnet": small}})
    config = config.model_copy(
        update={"studies": config.studies.model_copy(update={"linearized": study})}
    )
    prepare(config)
    run_until_networks(config, "resnet", "eigenfunctions")
    linearized.networks(config, "resnet", 1, "eigenfunctions")
    linearized.rotation(config, "resnet", 1, "eigenfunctions")
    retrained = pd.read_csv(file(config, "retrained.csv", model="resnet"))
    assert retrained["train_loss"].iloc[-1] < np.log(2)
    weights = load_file(file(config, "network-2.safetensors", model="resnet"))
    assert weights["bn.running_mean"].any()


def test_missing_and_damaged_inputs_are_named(config: Config, tmp_path: Path) -> None:
    empty = configuration(tmp_path)
    with pytest.raises(DataError, match=r"kernel\.npy: no such file"):
        linearized.spectrum(empty, "mlp", "tiny", 1)
    path = Path(paths(empty).tangent("mlp", "tiny", 1, "kernel.npy"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"kernel\.npy: damaged"):
        linearized.spectrum(empty, "mlp", "tiny", 1)
    with pytest.raises(ConfigError, match="model 'mpl' is unknown"):
        linearized.kernel(config, "mpl", "tiny", 1)
    many = config.scale.linearized.families["eigenfunctions"].model_copy(update={"tasks": (13,)})
    scale = config.scale.linearized.model_copy(
        update={"families": {**config.scale.linearized.families, "eigenfunctions": many}}
    )
    config = config.model_copy(
        update={"scale": config.scale.model_copy(update={"linearized": scale})}
    )
    with pytest.raises(ConfigError, match="12 eigenvectors are kept"):
        linearized.tangent(config, "mlp", 1, "eigenfunctions")
