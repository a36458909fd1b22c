"""Recurrent layers as steps of a cell.

`nn.RNN`, `nn.GRU` and `nn.LSTM` run over a sequence in one fused call, which has no derivative
example by example. The same layer as a loop over its cell has one, and a kernel that is right
under the sharing of weights over time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from firstorder.errors import UserError

State = Tensor | tuple[Tensor, Tensor]
"""h, or h and c of a long short-term memory."""

CELLS = {nn.RNN: nn.RNNCell, nn.GRU: nn.GRUCell, nn.LSTM: nn.LSTMCell}


class TangentError(UserError, TypeError):
    """A module whose tangent torch cannot give."""


def refuse_fused(module: nn.Module) -> None:
    """Raise TangentError for a recurrent layer in one piece."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.RNNBase):
            kind = type(layer).__name__
            raise TangentError(
                f"layer '{name}' is an nn.{kind}, which torch runs over the sequence in one piece; "
                "write it as steps of its cell: firstorder.linearized.recurrent.as_steps(layer)"
            )


def as_steps(layer: nn.RNNBase) -> Steps:
    """The same function as an nn.RNN, nn.GRU or nn.LSTM, on copies of its weights.

    Raises TangentError for projections (`proj_size`).
    """
    if layer.proj_size:
        raise TangentError(f"nn.{type(layer).__name__} with proj_size has no cell in torch")
    return Steps(layer)


class Steps(nn.Module):
    """A recurrent layer as a loop over cells, one for every layer and direction.

    Takes (N, T, I) if `batch_first`, else (T, N, I), and returns outputs of the same layout and
    the last state, as torch's layer does. In evaluation mode there is no dropout between layers.
    """

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.batch_first, self.directions = layer.batch_first, 1 + layer.bidirectional
        self.dropout = layer.dropout
        kind = next(cell for base, cell in CELLS.items() if isinstance(layer, base))
        options = {"nonlinearity": layer.nonlinearity} if isinstance(layer, nn.RNN) else {}
        self.cells = nn.ModuleList()
        for depth in range(layer.num_layers):
            for end in ("", "_reverse")[: self.directions]:
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if layer.bias else 2]
                own = {n: getattr(layer, f"{n}_l{depth}{end}").detach().clone() for n in names}
                width = own["weight_ih"].shape[1]
                cell = kind(width, layer.hidden_size, layer.bias, **options)
                cell.load_state_dict(own)
                self.cells.append(cell.to(own["weight_ih"]))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        steps = x.unbind(1 if self.batch_first else 0)
        last = []
        for depth in range(0, len(self.cells), self.directions):
            runs = []
            for direction in range(self.directions):
                own = _part(state, depth + direction)
                order = steps[::-1] if direction else steps
                hidden, end = _run(self.cells[depth + direction], order, own)
                runs.append(hidden[::-1] if direction else hidden)
                last.append(end)
            steps = tuple(torch.cat(values, -1) for values in zip(*runs, strict=True))
            if self.dropout and depth + self.directions < len(self.cells):
                steps = nn.functional.dropout(
                    torch.stack(steps), self.dropout, self.training
                ).unbind(0)
        out = torch.stack(steps, 1 if self.batch_first else 0)
        h = torch.stack([end[0] if isinstance(end, tuple) else end for end in last])
        c = [end[1] for end in last if isinstance(end, tuple)]
        return out, (h, torch.stack(c)) if c else h


def _run(
    cell: nn.Module, steps: Sequence[Tensor], state: State | None
) -> tuple[tuple[Tensor, ...], State]:
    """Hidden states of all steps, and the last state."""
    hidden = []
    for x in steps:
        state = cell(x, state)
        hidden.append(state[0] if isinstance(state, tuple) else state)
    assert state is not None, "a sequence has at least one step"
    return tuple(hidden), state


def _part(state: State | None, index: int) -> State | None:
    """The state of one cell; None where a sequence begins with zeros."""
    if isinstance(state, tuple):
        return state[0][index], state[1][index]
    return None if state is None else state[index]
