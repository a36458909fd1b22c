"""A run that was interrupted anywhere ends with the bits of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from firstorder import models, streams
from firstorder.config import Recipe
from firstorder.losses import normalisation
from firstorder.training import loop
from firstorder.training.checkpoint import Checkpoint
from firstorder.training.data import Data
from firstorder.training.result import Result
from firstorder.training.saver import Saver

pytestmark = pytest.mark.usefixtures("one_thread")

EPOCHS, STEPS = 4, 5
RECIPE = Recipe(
    model="cnn4",
    epochs=EPOCHS,
    batch=32,
    lr=0.05,
    weight_decay=1e-3,
    clip=1.0,
    augment={"crop": 1, "flip": 0.5},
)


class InterruptedRunError(Exception):
    """Stands in for the end of the process."""


class Loss:
    """Cross-entropy that draws from its stream, and does something at one training step."""

    batch = "draws"

    def __init__(self, at: int = -1, event: Any = None) -> None:
        self.at, self.event, self.calls = at, event, 0

    def __call__(
        self, scores: Tensor, labels: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        value = functional.cross_entropy(scores, labels)
        if generator is None:
            return value
        self.calls += 1
        if self.calls == self.at:
            self.event()
        return value * (1 + 0.1 * torch.rand((), generator=generator))


def interrupt() -> None:
    raise InterruptedRunError


def data() -> Data:
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (180, 1, 8, 8), generator=generator).to(torch.uint8)
    labels = torch.randint(0, 10, (180,), generator=generator)
    clean = torch.where(torch.arange(180) < 30, (labels + 1) % 10, labels)
    return Data(images[:150], labels[:150], clean[:150], images[150:], clean[150:])


def run(loss: Loss, checkpoint: Checkpoint | None = None, **options: Any) -> tuple[Result, Any]:
    network = models.build("cnn4", 10, (1, 8, 8), generator=streams.torch_stream(3, "init"))
    module = nn.Sequential(network, nn.Dropout(0.2))
    normaliser = normalisation.build("bn", 10)
    result = loop.train(
        module, data(), RECIPE, loss, 3, normaliser=normaliser, checkpoint=checkpoint, **options
    )
    return result, [*module.state_dict().values(), *normaliser.state_dict().values()]


def extra(epoch: int, module: nn.Module, row: dict[str, Any]) -> dict[str, float]:
    weight = next(iter(module.parameters()))
    return {"weight": weight.detach().double().sum().item()}


@pytest.fixture(scope="module")
def undisturbed() -> tuple[Result, Any]:
    torch.set_num_threads(1)
    return run(Loss(), on_epoch=extra, record_start=True)


def same(one: tuple[Result, Any], two: tuple[Result, Any]) -> bool:
    values = ("status", "history", "final", "best", "first_below", "steps")
    return all(getattr(one[0], v) == getattr(two[0], v) for v in values) and all(
        torch.equal(a, b) for a, b in zip(one[1], two[1], strict=True)
    )


@pytest.mark.parametrize("kill", [1, 2, STEPS, STEPS + 1, 13, EPOCHS * STEPS])
@pytest.mark.parametrize("every", [1, 3])
def test_a_run_killed_at_any_step_resumes_to_the_same_bits(
    kill: int,
    every: int,
    tmp_path: Path,
    undisturbed: tuple[Result, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Saver, "due", lambda self: self.training.position.steps % every == 0)
    checkpoint = Checkpoint(tmp_path / "c.safetensors", "spec")
    with pytest.raises(InterruptedRunError):
        run(Loss(kill, interrupt), checkpoint, on_epoch=extra, record_start=True)
    loss = Loss()
    assert same(run(loss, checkpoint, on_epoch=extra, record_start=True), undisturbed)
    assert loss.calls == EPOCHS * STEPS - (kill - 1) // every * every


def test_a_run_killed_between_epochs_and_twice_over_resumes_to_the_same_bits(
    tmp_path: Path, undisturbed: tuple[Result, Any]
) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors", "spec", seconds=0)

    def failing(at: int) -> Any:
        def on_epoch(epoch: int, module: nn.Module, row: dict[str, Any]) -> dict[str, float]:
            if epoch == at:
                raise InterruptedRunError
            return extra(epoch, module, row)

        return on_epoch

    for epoch in (1, 3, EPOCHS):
        with pytest.raises(InterruptedRunError):
            run(Loss(), checkpoint, on_epoch=failing(epoch), record_start=True)
    assert same(run(Loss(), checkpoint, on_epoch=extra, record_start=True), undisturbed)


def test_a_finished_checkpoint_gives_the_result_again(
    tmp_path: Path, undisturbed: tuple[Result, Any]
) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors", "spec", seconds=0)
    run(Loss(), checkpoint, on_epoch=extra, record_start=True)
    loss = Loss()
    assert same(run(loss, checkpoint, on_epoch=extra, record_start=True), undisturbed)
    assert loss.calls == 0


def test_a_checkpoint_of_another_seed_is_not_used(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors", "spec", seconds=0)
    run(Loss(), checkpoint)
    loss, module = Loss(), models.build("cnn4", 10, (1, 8, 8))
    loop.train(module, data(), RECIPE, loss, 4, checkpoint=checkpoint)
    assert loss.calls == EPOCHS * STEPS


def test_an_interrupt_waits_for_the_checkpoint_and_then_has_its_effect(
    tmp_path: Path, undisturbed: tuple[Result, Any]
) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors", "spec", seconds=1e9)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(Loss(8, lambda: os.kill(os.getpid(), signal.SIGINT)), checkpoint)
    assert signal.getsignal(signal.SIGINT) is handler
    loss = Loss()
    run(loss, checkpoint)
    assert loss.calls == EPOCHS * STEPS - 8


class Counting(nn.Module):
    """Weighs its scores by the steps made, which are in buffers that `state_dict` leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.register_buffer("steps", torch.zeros(()), persistent=False)
        self.register_buffer("last", None, persistent=False)
        self.register_buffer("spread", torch.ones(1).expand(10), persistent=False)
        self.also = nn.Identity()
        self.also.register_buffer("steps", self.steps, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
            self.last = self.steps.clone()
        last = 0 if self.last is None else self.last
        return self.linear(images.flatten(1)) * (1 + self.also.steps + last) / 10 * self.spread


def test_buffers_that_are_not_persistent_are_resumed(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c.safetensors", "spec", seconds=0)

    def run(loss: Loss, checkpoint: Checkpoint | None = None) -> tuple[Result, Any]:
        torch.manual_seed(0)
        module = Counting()
        result = loop.train(module, data(), RECIPE, loss, 3, checkpoint=checkpoint)
        return result, [*module.parameters(), *module.buffers()]

    with pytest.raises(InterruptedRunError):
        run(Loss(13, interrupt), checkpoint)
    assert same(run(Loss(), checkpoint), run(Loss()))


PROGRAM = """
import os, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
import test_training_resume as resume
torch.set_num_threads(1)
step, number, seconds = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
checkpoint = resume.Checkpoint(Path(sys.argv[2]), "spec", seconds)
loss = resume.Loss(step, lambda: os.kill(os.getpid(), number))
resume.run(loss, checkpoint, on_epoch=resume.extra, record_start=True)
"""


def test_a_process_ended_by_sigterm_and_then_by_sigkill_resumes_to_the_same_bits(
    tmp_path: Path, undisturbed: tuple[Result, Any]
) -> None:
    path = tmp_path / "c.safetensors"
    for step, number, seconds in ((7, signal.SIGTERM, 1e9), (6, signal.SIGKILL, 0)):
        arguments = [Path(__file__).parent, path, step, int(number), seconds]
        process = subprocess.run([sys.executable, "-c", PROGRAM, *map(str, arguments)])
        assert process.returncode == -number
    loss = Loss()
    checkpoint = Checkpoint(path, "spec")
    assert same(run(loss, checkpoint, on_epoch=extra, record_start=True), undisturbed)
    assert loss.calls == EPOCHS * STEPS - 7 - 5
