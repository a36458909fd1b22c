"""Recurrent classifiers of token sequences: embedding, one recurrent layer, linear readout.

A cell is one function `step(parameters, input, state) -> state` for training, `vmap` and
`jacrev` alike. Its weights of all gates are stacked: W (G n, E), U (G n, n), b (G n,), in the
order in which the cell's function unpacks them. W x + b, the *drive*, does not depend on the
state: training computes it for whole sequences at once.

torch.nn.GRU is another map: it applies the reset gate after the product with the state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from firstorder.errors import ConfigError

Parameters = dict[str, Tensor]
"""embedding (V, E), W (G n, E), U (G n, n), b (G n,), start (S,), readout (S,), bias ()."""

Weights = tuple[Tensor, ...]
"""U^T in the pieces (n, ...) that a cell multiplies by: cut once, outside of the loop over time."""

Update = Callable[[Weights, Tensor, Tensor], Tensor]
"""Weights, drive (B, G n) and state (B, S) -> next state (B, S)."""


def vanilla(weights: Weights, drive: Tensor, state: Tensor) -> Tensor:
    """h' = tanh(W x + U h + b)."""
    return torch.tanh(torch.addmm(drive, state, weights[0]))


def ugrnn(weights: Weights, drive: Tensor, state: Tensor) -> Tensor:
    """h' = u h + (1 - u) c; gates u (logistic) and c (tanh)."""
    u, c = torch.addmm(drive, state, weights[0]).chunk(2, 1)
    return torch.lerp(torch.tanh(c), state, torch.sigmoid(u))


def gru(weights: Weights, drive: Tensor, state: Tensor) -> Tensor:
    """h' = u h + (1 - u) c, c = tanh(W x + U (r h) + b); gates u and r (logistic)."""
    n = state.shape[1]
    of_gates, of_candidate = drive.split((2 * n, n), 1)
    u, r = torch.sigmoid(torch.addmm(of_gates, state, weights[0])).chunk(2, 1)
    c = torch.tanh(torch.addmm(of_candidate, r * state, weights[1]))
    return torch.lerp(c, state, u)


def lstm(weights: Weights, drive: Tensor, state: Tensor) -> Tensor:
    """c' = f c + i g, h' = o tanh(c'); the state is [h; c], gates f (bias + 1), i, o and tanh g."""
    h, c = state.chunk(2, 1)
    f, i, o, g = torch.addmm(drive, h, weights[0]).chunk(4, 1)
    c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.cat((torch.sigmoid(o) * torch.tanh(c), c), 1)


@dataclass(frozen=True)
class Cell:
    """A recurrent layer of n units."""

    update: Update
    products: tuple[int, ...]
    """How many blocks of n rows of U each product with the state takes."""
    vectors: int = 1
    """S / n: how many vectors of n numbers its state stacks."""
    gated: bool = True
    """Whether its first block is a gate that keeps the state, to which `gate_bias` is added."""

    @property
    def blocks(self) -> int:
        """G: how many blocks of n rows its weights stack."""
        return sum(self.products)

    def weights(self, parameters: Parameters) -> Weights:
        """U^T as `update` takes it."""
        U = parameters["U"]
        n = U.shape[1]
        return tuple(part.mT for part in U.split([n * blocks for blocks in self.products]))

    def step(self, parameters: Parameters, input: Tensor, state: Tensor) -> Tensor:
        """The next state (B, S) for `input` (B, E), embedded tokens."""
        drive = torch.addmm(parameters["b"], input, parameters["W"].mT)
        return self.update(self.weights(parameters), drive, state)

    def of(self, parameters: Parameters) -> Callable[[Tensor, Tensor], Tensor]:
        """The step function (state, input) -> state that `firstorder.dynamics` takes."""
        return lambda state, input: self.step(parameters, input, state)


CELLS = {
    "vanilla": Cell(vanilla, (1,), gated=False),
    "ugrnn": Cell(ugrnn, (2,)),
    "gru": Cell(gru, (2, 1)),
    "lstm": Cell(lstm, (4,), vectors=2),
}


def cell(name: str) -> Cell:
    """The cell called `name`; ConfigError with the known ones."""
    if name not in CELLS:
        raise ConfigError(f"cell {name!r} is unknown; allowed: {', '.join(CELLS)}")
    return CELLS[name]


def initialise(
    name: str,
    vocabulary: int,
    embedding: int,
    units: int,
    generator: torch.Generator,
    *,
    gate_bias: float = 0.0,
    embedding_norm: float | None = None,
) -> Parameters:
    """Fresh parameters of cell `name`, drawn on the CPU.

    W, U and the readout are normal with variance 1 / fan-in (E + n for W and U, whose products are
    summed). b and the initial state are 0, but `gate_bias` for the gate that keeps the state. The
    embedding has orthonormal columns; with `embedding_norm`, columns scaled so that its rows have
    this root mean square norm instead of sqrt(E / V), which leaves the words of a large vocabulary
    too small for a few thousand texts.
    """
    kind = cell(name)
    rows, state = kind.blocks * units, kind.vectors * units

    def normal(*shape: int, fan_in: int) -> Tensor:
        return torch.randn(shape, generator=generator) / math.sqrt(fan_in)

    table = torch.nn.init.orthogonal_(torch.empty(vocabulary, embedding), generator=generator)
    if embedding_norm is not None:
        table *= embedding_norm * math.sqrt(vocabulary / embedding)
    b = torch.zeros(rows)
    if kind.gated:
        b[:units] = gate_bias
    return {
        "embedding": table,
        "W": normal(rows, embedding, fan_in=embedding + units),
        "U": normal(rows, units, fan_in=embedding + units),
        "b": b,
        "start": torch.zeros(state),
        "readout": normal(state, fan_in=state),
        "bias": torch.zeros(()),
    }


def drives(parameters: Parameters, tokens: Tensor) -> Tensor:
    """W x + b (..., G n) for the embeddings x of `tokens` (...).

    By way of the whole vocabulary's drives where that is the smaller product.
    """
    table, W, b = (parameters[name] for name in ("embedding", "W", "b"))
    if tokens.numel() > len(table):
        return torch.nn.functional.embedding(tokens, torch.addmm(b, table, W.mT))
    flat = torch.nn.functional.embedding(tokens.reshape(-1), table)
    return torch.addmm(b, flat, W.mT).view(*tokens.shape, -1)


def states(name: str, parameters: Parameters, tokens: Tensor) -> Tensor:
    """The state (T, B, S) after each of `tokens` (T, B), from the initial state.

    After a sequence's end they go on with what fills it up: the caller leaves those out.
    """
    kind = cell(name)
    weights = kind.weights(parameters)
    state = parameters["start"].expand(tokens.shape[1], -1)
    visited = []
    for drive in drives(parameters, tokens).unbind(0):
        state = kind.update(weights, drive, state)
        visited.append(state)
    return torch.stack(visited)


def logits(parameters: Parameters, state: Tensor) -> Tensor:
    """readout . state + bias (...) of states (..., S)."""
    return state @ parameters["readout"] + parameters["bias"]


def last(visited: Tensor, lengths: Tensor) -> Tensor:
    """The state (B, S) after the last real token, of states (T, B, S) and lengths (B,) > 0."""
    return visited[lengths - 1, torch.arange(visited.shape[1], device=visited.device)]
