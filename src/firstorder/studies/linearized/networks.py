"""Networks of a spec, their weights, and the examples of a support."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstorder import files, streams
from firstorder.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor, nn

State = dict[str, "Tensor"]
"""The tensors of a network, by name."""


@dataclass(frozen=True)
class Examples:
    """The examples of a support: first the training ones, then the test ones."""

    images: Tensor
    """(N, C, H, W) float32, standardised."""
    classes: Tensor
    """(N,) int64; -1 where the dataset has no labels."""


def examples(path: str, spec: Mapping[str, Any]) -> Examples:
    """The `train` and `test` examples of a support in the prepared dataset `path`."""
    import torch

    from firstorder.data import support

    return Examples(torch.cat(support.images(path, spec)), classes(path, spec))


def classes(path: str, spec: Mapping[str, Any]) -> Tensor:
    """The classes (N,) of the examples of a support, without their pixels."""
    import torch

    from firstorder.data import support

    return torch.cat(support.labels(path, spec))


def draw(spec: Mapping[str, Any], stream: str = "init") -> nn.Module:
    """The network of a spec, with weights drawn from `stream` of its seed."""
    from firstorder import models

    return models.build(
        spec["model"],
        1,
        tuple(spec["shape"]),
        generator=streams.torch_stream(spec["seed"], stream),
        **spec["model_parameters"],
    )


def load(spec: Mapping[str, Any], path: str) -> nn.Module:
    """The network of a spec, with the weights of a file. DataError when that is damaged."""
    return of_state(spec, read_state(path), path)


def of_state(spec: Mapping[str, Any], state: State, path: str) -> nn.Module:
    """The network of a spec, with weights that were read from `path`.

    Drawn as it was at first: it may have drawn more than its weights.
    """
    from firstorder.models.state import load_state

    module = draw(spec)
    try:
        load_state(module, state)
    except RuntimeError as error:
        raise files.damaged(path, error) from None
    return module


def state_of(module: nn.Module) -> State:
    """The tensors of a network, on the CPU."""
    from firstorder.models import state
    from firstorder.training.checkpoint import apart

    return apart(state.state_of(module))


def write_state(path: str, state: State) -> None:
    """Write tensors atomically."""
    from safetensors.torch import save

    files.write_bytes(path, save(state))


def read_state(path: str) -> State:
    """The tensors of a file. Raises DataError when it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise files.missing(path) from None
    except SafetensorError as error:
        raise files.damaged(path, error) from None


def joined(states: Mapping[int, State]) -> State:
    """The networks of several tasks as one set of tensors, called `TASK.NAME`."""
    return {
        f"{task}.{name}": value for task, state in states.items() for name, value in state.items()
    }


def of_task(state: State, task: int, path: str) -> State:
    """The network of one task of `joined`. Raises DataError when it is not there."""
    start = f"{task}."
    own = {
        name.removeprefix(start): value for name, value in state.items() if name.startswith(start)
    }
    if not own:
        raise DataError(f"{path}: no network of task {task}; delete it and run again")
    return own
