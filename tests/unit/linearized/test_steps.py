"""The steps of the study, end to end on a few small images."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from firstorder.errors import DataError
from firstorder.linearized import mapped, network
from firstorder.studies.linearized import linear, networks
from firstorder.studies.linearized.settings import Network
from firstorder.studies.linearized.steps import rotation
from firstorder.training import checkpoint

from .small import TEST, TRAIN, Run, configuration, function, with_study


def test_kernel_and_spectrum_hold_what_their_readers_expect(finished: Run) -> None:
    kernel, outputs = np.load(finished.start("kernel.npy")), np.load(finished.start("outputs.npy"))
    assert kernel.shape == (TRAIN + TEST, TRAIN + TEST) and kernel.dtype == np.float32
    assert outputs.shape == (TRAIN + TEST,) and outputs.dtype == np.float32
    with np.load(finished.start("spectrum.npz")) as spectrum:
        values, vectors = spectrum["eigenvalues"], spectrum["eigenvectors"]
        assert values.shape == (12,) and vectors.shape == (12, TRAIN + TEST)
        assert np.allclose(vectors @ kernel @ vectors.T, np.diag(values), atol=1e-4 * values[0])
        assert spectrum["trace"] == pytest.approx(kernel.trace(dtype=np.float64))
        assert spectrum["n_train"] == TRAIN


def test_only_the_kernel_of_the_network_has_its_alignments_as_eigenvalues(
    finished: Run, tmp_path: Path
) -> None:
    frame = pd.read_csv(finished.start("gradients.csv"))
    assert list(frame) == ["k", "eigenvalue", "alignment"]
    assert list(frame["k"]) == [1, 2, 5, 10]
    with np.load(finished.start("spectrum.npz")) as spectrum:
        assert np.array_equal(frame["eigenvalue"], spectrum["eigenvalues"][frame["k"] - 1])
    assert np.allclose(frame["alignment"], frame["eigenvalue"], rtol=1e-5)
    wrong = Run(configuration(tmp_path))
    wrong.prepare()
    wrong("compute_kernel", "mlp", "tiny", "1")
    kernel = np.load(wrong.start("kernel.npy"))
    np.save(wrong.start("kernel.npy"), np.float32(1.01) * kernel)
    wrong("decompose", "mlp", "tiny", "1")
    frame = pd.read_csv(wrong.start("gradients.csv"))
    assert np.allclose(1.01 * frame["alignment"], frame["eigenvalue"], rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "arm", "tasks"),
    [
        ("eigenfunctions", "linear", [2, 3]),
        ("eigenfunctions", "linear0", [2, 3]),
        ("eigenfunctions", "network", [2, 3]),
        ("eigenfunctions", "random", [3]),
        ("eigenfunctions", "retrained", [2, 3]),
        ("eigenfunctions", "retrained-scaled", [2, 3]),
        ("eigenfunctions", "linear0-scaled", [2, 3]),
        ("eigenfunctions", "converged", [2, 3]),
        ("inductive", "ridge", [2, 3]),
        ("inductive", "network", [2, 3]),
        ("binary", "linear", [10, 48]),
        ("binary", "linear0", [10, 48]),
        ("binary", "network", [10, 48]),
        ("binary", "retrained", [48]),
        ("binary", "converged0", [10, 48]),
        ("binary", "retrained-converged", [48]),
        ("nads", "network", [1, 20]),
        ("nads", "linear", [1, 20]),
    ],
)
def test_every_arm_has_its_epochs_and_its_record(
    finished: Run, family: str, arm: str, tasks: list[int]
) -> None:
    model = "mlp-gelu" if family == "nads" else "mlp"
    frame = pd.read_csv(finished.file(f"{arm}.csv", family, model))
    assert list(frame) == [
        "task", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "distance",
    ]  # fmt: skip
    solved = arm == "ridge" or "converged" in arm
    epochs = [0] if solved else [0, 1, 2, 3, 4]
    assert [list(part["epoch"]) for _, part in frame.groupby("task")] == [epochs] * len(tasks)
    record = json.loads(finished.file(f"{arm}.json", family, model).read_text())
    assert sorted(int(task) for task in record["tasks"]) == tasks
    reached = set() if solved else {"steps_to_0.1", "steps_to_0.01"}
    assert set(record["tasks"][str(tasks[0])]) == reached | {
        "status", "majority_train", "majority_test", "alignment", "relative_alignment", "steps",
        "seconds",
    }  # fmt: skip
    with np.load(finished.file(f"{arm}.npz", family, model)) as stored:
        examples = int(stored["examples"])
        assert list(stored["tasks"]) == tasks and examples == (20 if family == "nads" else TEST)
        right = np.unpackbits(stored["correct"], axis=1, count=examples)
    last = frame.groupby("task").tail(1)["test_accuracy"]
    assert np.allclose(right.mean(1), last)
    assert {"spec", "device", "versions", "commit", "code", "inputs", "peak_memory_bytes"} <= set(
        record
    )


def test_a_solved_model_fits_what_the_recipe_has_not_the_time_for(finished: Run) -> None:
    trained, solved = (
        pd.read_csv(finished.file(f"{arm}.csv", "binary")).groupby("task").tail(1)
        for arm in ("linear", "converged")
    )
    assert (solved["train_accuracy"] == 1).all()
    assert (solved["train_loss"].to_numpy() < 0.01 * trained["train_loss"].to_numpy()).all()


def test_sizes_of_a_family_take_the_same_steps(finished: Run) -> None:
    frame = pd.read_csv(finished.file("network.csv", "steps"))
    assert dict(frame.groupby("task")["epoch"].max()) == {10: 6, 48: 2}  # of 1 and of 3 steps
    record = json.loads(finished.file("network.json", "steps").read_text())["tasks"]
    assert {task: fields["steps"] for task, fields in record.items()} == {"10": 6, "48": 6}


def test_inductive_eigenfunctions_know_the_training_examples_only(finished: Run) -> None:
    with np.load(finished.start("inductive.npz")) as stored:
        values, functions = stored["eigenvalues"], stored["eigenvectors"]
    kernel = np.load(finished.start("kernel.npy")).astype(np.float64)
    own = functions[:, :TRAIN]
    assert functions.shape == (3, TRAIN + TEST)
    assert np.allclose(own @ own.T, np.eye(3), atol=1e-5)
    assert np.allclose(kernel[:TRAIN, :TRAIN] @ own.T, own.T * values, atol=1e-3 * values[0])
    assert np.allclose(kernel[:, :TRAIN] @ own.T / values, functions.T, atol=1e-3)


def test_the_scale_of_a_kernel_is_no_advantage_at_equal_trace(finished: Run) -> None:
    raw, scaled, start = (
        pd.read_csv(finished.file(f"{arm}.csv")).query("epoch == 1")["distance"].to_numpy()
        for arm in ("retrained", "retrained-scaled", "linear0")
    )
    # The first steps of a training with a larger kernel go as much farther.
    assert (scaled < raw).all() and np.allclose(scaled / start, 1, atol=0.9)


def test_network_and_linearization_start_from_the_same_function(finished: Run) -> None:
    network, linear = (
        pd.read_csv(finished.file(f"{arm}.csv")).query("epoch == 0").reset_index(drop=True)
        for arm in ("network", "linear")
    )
    pd.testing.assert_frame_equal(network, linear, rtol=1e-5)
    without = pd.read_csv(finished.file("linear0.csv")).query("epoch == 0")
    assert np.allclose(without["train_loss"], np.log(2))


def test_alignments_begin_with_the_eigenvalues_on_all_examples(finished: Run) -> None:
    frame = pd.read_csv(finished.file("alignment.csv"))
    assert list(frame) == ["task", "k", "part", "initial", "trained"]
    assert len(frame) == 2 * 3 * 12
    with np.load(finished.start("spectrum.npz")) as spectrum:
        for _, part in frame[frame["part"] == "all"].groupby("task"):
            assert np.allclose(part["initial"], spectrum["eigenvalues"], rtol=1e-3)


def test_the_watched_kernel_starts_as_the_initial_one(finished: Run) -> None:
    evolution = pd.read_csv(finished.file("evolution.csv"))
    kernel = np.load(finished.start("kernel.npy")).astype(np.float64)
    first = evolution.query("epoch == 0 and part == 'train'").iloc[0]
    assert first["trace"] == pytest.approx(kernel[:TRAIN, :TRAIN].trace(), rel=1e-4)
    record = json.loads(finished.file("network.json").read_text())["tasks"]["3"]
    assert first["alignment"] == pytest.approx(record["alignment"], rel=1e-4)
    assert first["relative"] == pytest.approx(record["relative_alignment"], rel=1e-4)
    assert sorted(set(evolution["epoch"])) == [0, 1, 2, 3, 4]
    energy = pd.read_csv(finished.file("energy.csv"))
    assert set(energy["moment"]) == {"init", "mid", "end"}
    last = energy[energy["components"] == 20]
    assert np.allclose(last["energy"], 1, atol=1e-6)


def test_directions_are_orthonormal_by_every_definition(finished: Run) -> None:
    with np.load(finished.file("nads.npz", "nads", "mlp-gelu")) as arrays:
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
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = Run(configuration(tmp_path))
    again.prepare()
    again.until_networks("mlp", "eigenfunctions")
    follow = network.Watch.__call__

    def killing(watch: network.Watch, epoch: int, module: torch.nn.Module) -> network.Row:
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return follow(watch, epoch, module)

    with monkeypatch.context() as patch, terminated_as_an_exception():
        patch.setattr(network.Watch, "__call__", killing)
        with pytest.raises(SystemExit):
            again("fit", "mlp", "tiny", "1", "eigenfunctions")
    assert not again.file("network.csv").exists()
    trained: list[int] = []
    train = network.train

    def counting(*arguments: Any, **options: Any) -> Any:
        trained.append(1)
        return train(*arguments, **options)

    monkeypatch.setattr(network, "train", counting)
    again("fit", "mlp", "tiny", "1", "eigenfunctions")
    assert len(trained) == 2  # task 3, from its checkpoint, and the control; task 2 was kept
    for name in ("network.csv", "random.csv", "evolution.csv", "energy.csv"):
        assert again.file(name).read_text() == finished.file(name).read_text()
    one, other = (load_file(run.file("networks.safetensors")) for run in (finished, again))
    assert set(one) == set(other) and {name.split(".")[0] for name in one} == {"2", "3"}
    assert all(torch.equal(one[name], other[name]) for name in one)


def kills(run: Callable[[], None], part: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a run is killed, at each checkpoint of a part, before it ends."""
    save = checkpoint.save

    def killing(kept: checkpoint.Checkpoint, *given: Any) -> None:
        save(kept, *given)
        if kept.path.stem.endswith(f"-{part}"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", killing)
        for killed in range(100):
            try:
                run()
                return killed
            except KeyboardInterrupt:
                continue
    raise AssertionError("it does not go on from its checkpoint")


def test_a_killed_solution_goes_on_and_leaves_no_checkpoint(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step of the larger training set, which comes after a smaller one."""
    again = Run(configuration(tmp_path))
    again.prepare()
    again("compute_kernel", "mlp", "tiny", "1")
    job = again.job("linearize", "mlp", "tiny", "1", "binary")
    context = replace(again.context(job), checkpoint_seconds=0.0)
    run = partial(function("linearize"), job.spec, job.inputs, job.outputs, context)
    assert kills(run, str(TRAIN), monkeypatch) > 5
    for arm in ("converged", "converged0", "ridge"):
        for name in (f"{arm}.csv", f"{arm}.npz"):
            one, other = (run.file(name, "binary").read_bytes() for run in (finished, again))
            assert one == other
    assert not list(context.checkpoints.glob("*.safetensors"))


def test_a_killed_solution_on_a_trained_kernel_goes_on_and_leaves_nothing(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = finished.job("rotate", "mlp", "tiny", "1", "eigenfunctions")
    kept, outputs = tmp_path / "kept", {name: str(tmp_path / name) for name in job.outputs}
    context = replace(finished.context(job), checkpoints=kept, checkpoint_seconds=0.0)
    run = partial(function("rotate"), job.spec, job.inputs, outputs, context)
    assert kills(run, str(TRAIN), monkeypatch) > 5
    for name in job.outputs:
        if not name.endswith(".json"):
            assert (tmp_path / name).read_bytes() == finished.file(name).read_bytes()
    assert [each.name for each in kept.iterdir()] == ["finished"]


def test_a_finished_family_is_written_again_without_training(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = finished.file("network.csv", "binary").read_text()
    finished.file("networks.safetensors", "binary").unlink()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(network, "train", refuse)
    finished("fit", "mlp", "tiny", "1", "binary")
    assert finished.file("network.csv", "binary").read_text() == before
    assert finished.file("networks.safetensors", "binary").exists()


def test_linear_models_are_found_once_for_a_kernel(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another recipe trains anew, and solves nothing anew."""
    run, key = Run(configuration(tmp_path)), ("linearize", "mlp", "tiny", "1", "eigenfunctions")
    run.prepare()
    run.until_networks("mlp", "eigenfunctions")
    called: list[str] = []
    for name in ("solve", "train"):
        original = getattr(linear, name)

        def noted(*given: Any, original: Any = original, name: str = name, **named: Any) -> Any:
            called.append(name)
            return original(*given, **named)

        monkeypatch.setattr(linear, name, noted)
    arms = ("linear", "linear0", "converged", "converged0", "ridge")
    for arm in arms:
        run.file(f"{arm}.csv").unlink()
    run(*key)
    assert called == []
    for arm in arms:
        assert run.file(f"{arm}.csv").read_text() == finished.file(f"{arm}.csv").read_text()
    Run(configuration(tmp_path, epochs=1))(*key)
    assert called == ["train"]
    rows = [len(pd.read_csv(each.file("linear.csv"))) for each in (run, finished)]
    assert rows[0] < rows[1]
    gram = np.load(run.start("kernel.npy"))
    np.save(run.start("kernel.npy"), np.float32(2.0) * gram)
    run(*key)
    assert called[1:] == ["train", "solve", "solve"]


def test_the_memory_of_a_family_is_that_of_its_largest_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(configuration(tmp_path, epochs=1))
    run.prepare()
    run.until_networks("mlp", "binary")
    train, peaks = network.train, iter([2**60, 1])

    def measured(*given: Any, **named: Any) -> Any:
        return replace(train(*given, **named), peak_memory_bytes=next(peaks))

    monkeypatch.setattr(network, "train", measured)
    run("fit", "mlp", "tiny", "1", "binary")
    assert json.loads(run.file("network.json", "binary").read_text())["peak_memory_bytes"] == 2**60


NETWORK = """
import torch
from torch import nn


class Features(nn.Module):
    def __init__(self, num_classes, shape):
        super().__init__()
        self.drawn = torch.randn(64, 8)
        self.register_buffer("shift", torch.randn(8), persistent=False)
        self.linear = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.linear((x.flatten(1) @ self.drawn).cos() + self.shift)
"""


def test_a_network_is_read_with_all_that_it_drew(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(NETWORK)
    spec = {"model": f"{tmp_path}/own.py:Features", "model_parameters": {}, "shape": [1, 8, 8]}
    module = networks.draw({**spec, "seed": 3})
    module.shift.fill_(2)
    path = str(tmp_path / "weights.safetensors")
    networks.write_state(path, networks.state_of(module))
    images = torch.ones(2, 1, 8, 8)
    assert torch.equal(networks.load({**spec, "seed": 3}, path)(images), module(images))


def test_a_kernel_is_checked_without_a_copy_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "BLOCK_BYTES", 2**23)
    status, kernel = Path("/proc/self/status"), torch.ones(8000, 8000)
    assert not rotation.usable(torch.zeros(3, 3))  # what is loaded once
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    except OSError as error:
        pytest.skip(f"needs Linux that measures a process's peak of memory: {error}")
    lines = dict(line.split(":") for line in status.read_text().splitlines())
    assert rotation.usable(kernel)
    peak = dict(line.split(":") for line in status.read_text().splitlines())["VmHWM"]
    assert int(peak.split()[0]) - int(lines["VmRSS"].split()[0]) < kernel.nbytes / 2**10 / 2
    kernel[7999, 7] = float("nan")
    assert not rotation.usable(kernel)


def test_a_diverged_network_is_a_result(tmp_path: Path) -> None:
    run = Run(configuration(tmp_path, lr=1e20))
    run.prepare()
    run("compute_kernel", "mlp", "tiny", "1")
    for step in ("linearize", "fit", "rotate"):
        run(step, "mlp", "tiny", "1", "binary")
    record = json.loads(run.file("network.json", "binary").read_text())
    assert record["tasks"]["48"]["status"] == "diverged"
    assert json.loads(run.file("retrained.json", "binary").read_text())["tasks"]["48"][
        "status"
    ] in ("diverged", "finished")
    last = pd.read_csv(run.file("network.csv", "binary")).groupby("task").tail(1)
    assert last["test_accuracy"].isna().all() and last["epoch"].gt(0).all()
    with np.load(run.file("network.npz", "binary")) as stored:
        assert not stored["tasks"].size


def test_networks_with_batch_norm_are_retrained_with_initial_statistics(tmp_path: Path) -> None:
    config = configuration(tmp_path, epochs=2)
    small = Network(
        label="Small", model="resnet18", model_parameters={"init": "lecun", "width": 0.0625}
    )
    study = config.studies["linearized"].declared.model_copy(update={"models": {"resnet": small}})
    run = Run(with_study(config, declared=study))
    run.prepare()
    run.until_networks("resnet", "eigenfunctions")
    run("fit", "resnet", "tiny", "1", "eigenfunctions")
    run("rotate", "resnet", "tiny", "1", "eigenfunctions")
    retrained = pd.read_csv(run.file("retrained.csv", model="resnet"))
    assert retrained["train_loss"].iloc[-1] < np.log(2)
    weights = load_file(run.file("networks.safetensors", model="resnet"))
    assert weights["2.bn.running_mean"].any()


def test_a_family_without_watched_tasks_has_the_same_files_with_headers_only(
    finished: Run,
) -> None:
    for name in ("random.csv", "evolution.csv", "energy.csv", "alignment.csv"):
        own, empty = (
            pd.read_csv(finished.file(name, each)) for each in ("eigenfunctions", "binary")
        )
        assert len(own) and empty.empty
        assert list(own) == list(empty)
    assert json.loads(finished.file("random.json", "binary").read_text())["tasks"] == {}


@pytest.mark.parametrize(
    "key",
    [
        ("compute_kernel", "mlp", "tiny", "1"),
        ("decompose", "mlp", "tiny", "1"),
        *((step, "mlp", "tiny", "1", family) for step in ("linearize", "fit", "rotate")
          for family in ("eigenfunctions", "binary")),
        ("find_directions", "mlp-gelu", "1", "nads"),
    ],
)  # fmt: skip
def test_a_step_writes_what_its_job_declares(finished: Run, key: tuple[str, ...]) -> None:
    job = finished.job(*key)
    assert all(Path(path).is_file() for path in job.outputs.values())
    assert json.loads(json.dumps(job.spec)) == job.spec


def test_missing_and_damaged_inputs_are_named(tmp_path: Path) -> None:
    empty = Run(configuration(tmp_path))
    with pytest.raises(DataError, match=r"kernel\.npy: no such file"):
        empty("decompose", "mlp", "tiny", "1")
    path = empty.start("kernel.npy")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"kernel\.npy: damaged"):
        empty("decompose", "mlp", "tiny", "1")
