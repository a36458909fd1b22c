"""Optimiser, clipping, checkpoints and start-up cost, each against torch's own or its contract."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from firstorder.config import Recipe
from firstorder.errors import ConfigError
from firstorder.files import discard
from firstorder.training import sgd
from firstorder.training.checkpoint import Checkpoint, load, save
from firstorder.training.data import batch_sizes


def tensors(seed: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=dtype) for s in [(7, 5), (5,), (3, 2, 4)]]


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_sgd_is_that_of_torch(momentum: float, nesterov: bool, weight_decay: float) -> None:
    ours, theirs = tensors(0), [nn.Parameter(p) for p in tensors(0)]
    options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
    optimiser = sgd.SGD(ours, **options)
    reference = torch.optim.SGD(theirs, lr=1.0, **options)
    for step in range(5):
        gradients = tensors(step + 1)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.clone()
        reference.param_groups[0]["lr"] = 0.1 / (step + 1)
        reference.step()
        optimiser.step(gradients, 0.1 / (step + 1))
        for own, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(own, other.detach(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("bound", [0.1, 5.0, 1e3])
def test_clipping_is_that_of_torch(bound: float) -> None:
    gradients = tensors(3)
    parameters = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    reference = nn.utils.clip_grad_norm_(parameters, bound)
    norm = sgd.norm(gradients)
    clipped = sgd.clip(gradients, norm, bound)
    torch.testing.assert_close(norm, reference)
    for own, parameter in zip(clipped, parameters, strict=True):
        torch.testing.assert_close(own, parameter.grad)


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate({"model": "mlp", "epochs": 3, "lr": 0.1, "batch": 32} | changes)


def test_a_last_batch_of_one_is_left_out() -> None:
    assert batch_sizes(70, recipe()) == [32, 32, 6]
    assert batch_sizes(65, recipe()) == [32, 32]
    assert batch_sizes(70, recipe(drop_last=True)) == [32, 32]
    assert batch_sizes(3, recipe(batch=1)) == [1, 1, 1]


def test_a_batch_larger_than_the_data_is_refused_when_the_last_is_dropped() -> None:
    with pytest.raises(ConfigError, match=r"batch 32 .* 20 examples"):
        batch_sizes(20, recipe(drop_last=True))


@pytest.fixture
def stored(tmp_path: Path) -> Checkpoint:
    checkpoint = Checkpoint(tmp_path / "run.safetensors", "spec-1")
    parts = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3), "c": torch.empty(0)}
    save(checkpoint, parts, {"epoch": 4, "loss": 0.1, "none": None})
    return checkpoint


def test_a_checkpoint_gives_back_what_was_saved(stored: Checkpoint) -> None:
    loaded = load(stored)
    assert loaded is not None
    parts, state = loaded
    assert state == {"epoch": 4, "loss": 0.1, "none": None}
    assert torch.equal(parts["a"], torch.arange(6.0).view(2, 3))
    assert parts["b"].shape == () and parts["b"] == 3
    discard(stored.path)
    assert load(stored) is None
    discard(stored.path)


@pytest.mark.parametrize("damage", ["truncated", "altered", "emptied", "another spec"])
def test_a_bad_checkpoint_is_ignored_with_one_line(
    stored: Checkpoint, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    content = stored.path.read_bytes()
    wanted = stored
    if damage == "truncated":
        stored.path.write_bytes(content[:-5])
    elif damage == "altered":
        stored.path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif damage == "emptied":
        stored.path.write_bytes(b"")
    else:
        wanted = Checkpoint(stored.path, "spec-2")
    with caplog.at_level(logging.WARNING, "firstorder"):
        assert load(wanted) is None
    assert len(caplog.messages) == 1
    assert "\n" not in caplog.messages[0] and str(stored.path) in caplog.messages[0]


def test_a_training_imports_neither_the_compiler_nor_torchvision_nor_pandas() -> None:
    program = """
import sys
import torch
import firstorder.training.loop as loop
from firstorder import models
from firstorder.config import Recipe
x, y = torch.zeros(8, 1, 8, 8, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64)
recipe = Recipe(model="cnn4", epochs=1, lr=0.1)
loop.train(models.build("cnn4", 2, (1, 8, 8)), loop.Data(x, y, y, x, y), recipe,
           torch.nn.functional.cross_entropy, 1)
print([name for name in ("torch._dynamo", "torchvision", "pandas") if name in sys.modules])
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
