"""A trained network as the analysis sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from firstorder import streams
from firstorder.data.text.documents import Documents
from firstorder.errors import DataError
from firstorder.models import recurrent
from firstorder.training import trajectories


@dataclass(frozen=True)
class Network:
    """A cell with its parameters."""

    cell: str
    parameters: recurrent.Parameters


def read(cell: str, path: str, device: torch.device) -> Network:
    """The network whose parameters `path` holds; DataError where it does not."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        parameters = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: not saved parameters ({error}); delete it") from None
    return Network(cell, {name: value.to(device) for name, value in parameters.items()})


def doubled(network: Network) -> Network:
    """The same network in float64."""
    parameters = {name: value.double() for name, value in network.parameters.items()}
    return Network(network.cell, parameters)


def step(network: Network, state: Tensor, input: Tensor) -> Tensor:
    """The next states (B, S) of `state` (B, S) with `input` (B, E)."""
    return recurrent.cell(network.cell).step(network.parameters, input, state)


def embedded(network: Network, tokens: np.ndarray) -> Tensor:
    """The inputs (..., E) of `tokens` (...)."""
    table = network.parameters["embedding"]
    return table[torch.from_numpy(np.asarray(tokens, np.int64)).to(table.device)]


def nothing(network: Network) -> Tensor:
    """The input (E,) of no word: zeros."""
    table = network.parameters["embedding"]
    return table.new_zeros(table.shape[1])


def analysed(documents: Documents, count: int) -> Documents:
    """The first `count` of a fixed shuffle of the documents, the same for every network."""
    order = streams.numpy_stream(0, "analysed").permutation(len(documents))
    return documents.take(order[:count])


def visited(network: Network, documents: Documents) -> Tensor:
    """The state (L, S) after every token of `documents`."""
    return trajectories.visited(network.cell, network.parameters, documents)


def some(states: Tensor, count: int, seed: int, name: str) -> Tensor:
    """Positions of `count` of the states, or of all, drawn without replacement."""
    order = streams.numpy_stream(seed, name).permutation(len(states))[:count]
    return torch.from_numpy(order).to(states.device)
