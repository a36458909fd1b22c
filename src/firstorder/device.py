"""The device a computation runs on: which one, how it is set up, what a record says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from firstorder import memory
from firstorder.errors import ConfigError


def choose(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device that the configuration asks for; `auto` takes a GPU where there is one."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError(
            "config.yaml: device: 'cuda' is not allowed: this machine has no CUDA device; "
            "set `auto` or `cpu`, or ask the scheduler for a GPU"
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")


@contextmanager
def deterministic_convolutions(device: torch.device) -> Iterator[None]:
    """Have cuDNN choose algorithms that give the same bits every time."""
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


def device_name(device: torch.device) -> str:
    """What a record calls the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''})"


def peak_memory(device: torch.device) -> int:
    """Bytes: of tensors on a GPU since the training began, or of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return memory.peak()


def wait(device: torch.device) -> None:
    """Wait for the device, so that the clock shows the time of the work that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
