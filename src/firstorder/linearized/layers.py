"""Per-layer factors of the Jacobian of a scalar-output network.

Row n of the Jacobian, restricted to one layer, is an outer product of what enters the layer and
of the gradient at its output. Keeping the two factors instead of their product is what makes the
kernel and all products with the Jacobian cheap (LeNet: 17 kB an example instead of 544 kB).

| form    | layer             | kernel block, per pair of examples         | memory an example |
|---------|-------------------|--------------------------------------------|-------------------|
| Outer   | dense             | I + O                                      | I + O             |
| Patches | convolution, deep | T^2 (I + O)                                | T (I + O)         |
| Rows    | convolution, batch norm, anything else | P (its parameters)    | P                 |

with I inputs (of a patch), O outputs, T positions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from firstorder.linearized.gemm import gram
from firstorder.linearized.tangent import Parameters

PATCH_ELEMENTS = 1 << 24
"""Largest temporary of a patch-form block."""


class Factor(Protocol):
    """The rows of the Jacobian of N examples for the parameters of one layer."""

    def __len__(self) -> int: ...

    def gram(self, other: Self) -> Tensor:
        """J_1 J_2^T (N, M)."""

    def squared_norms(self) -> Tensor:
        """The diagonal of J J^T (N,)."""

    def product(self, delta: Parameters) -> Tensor:
        """J delta (N, T) for tensors (T, *shape) by parameter name."""

    def transposed(self, r: Tensor) -> Parameters:
        """J^T r for r (N, T): tensors (T, *shape) by parameter name."""


@dataclass(frozen=True)
class Factors:
    """The Jacobian of `count` examples; a layer that is missing has a zero Jacobian."""

    count: int
    layers: dict[str, Factor]

    @property
    def bytes(self) -> int:
        """Memory of all tensors."""
        values = [v for factor in self.layers.values() for v in _tensors(factor).values()]
        return sum(value.numel() * value.element_size() for value in values)


@dataclass(frozen=True)
class Rows:
    """Jacobian rows as they are: (N, P), the flattened parameters one after the other."""

    rows: Tensor
    shapes: dict[str, torch.Size]

    def __len__(self) -> int:
        return len(self.rows)

    def gram(self, other: Rows) -> Tensor:
        return gram(self.rows, other.rows)

    def squared_norms(self) -> Tensor:
        return self.rows.square().sum(1)

    def product(self, delta: Parameters) -> Tensor:
        flat = torch.cat([_flatten(delta[name], shape) for name, shape in self.shapes.items()], 1)
        return gram(self.rows, flat)

    def transposed(self, r: Tensor) -> Parameters:
        parts = (r.T @ self.rows).split([shape.numel() for shape in self.shapes.values()], 1)
        return {
            name: part.reshape(len(part), *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


@dataclass(frozen=True)
class Outer:
    """Dense layer: row n is gradients_n (O) times inputs_n (I)."""

    inputs: Tensor
    gradients: Tensor
    weight: str
    bias: str | None

    def __len__(self) -> int:
        return len(self.inputs)

    def gram(self, other: Outer) -> Tensor:
        inputs = gram(self.inputs, other.inputs)
        if self.bias:
            inputs += 1
        return inputs.mul_(gram(self.gradients, other.gradients))

    def squared_norms(self) -> Tensor:
        inputs = self.inputs.square().sum(1) + bool(self.bias)
        return inputs * self.gradients.square().sum(1)

    def product(self, delta: Parameters) -> Tensor:
        out = torch.einsum("ni,toi,no->nt", self.inputs, delta[self.weight], self.gradients)
        return out + self.gradients @ delta[self.bias].T if self.bias else out

    def transposed(self, r: Tensor) -> Parameters:
        scaled = r.T[:, :, None] * self.gradients  # (T, N, O)
        out = {self.weight: scaled.mT @ self.inputs}
        if self.bias:
            out[self.bias] = scaled.sum(1)
        return out


@dataclass(frozen=True)
class Patches:
    """Convolution: row n is the sum over positions t of gradients_nt (O) times inputs_nt (I)."""

    inputs: Tensor
    """(N, T, I)"""
    gradients: Tensor
    """(N, T, O)"""
    weight: str
    bias: str | None
    shape: torch.Size
    """Of the weight: (O, channels, height, width)."""

    def __len__(self) -> int:
        return len(self.inputs)

    def gram(self, other: Patches) -> Tensor:
        count, positions = self.inputs.shape[:2]
        step = max(1, PATCH_ELEMENTS // (positions * positions * len(other)))
        return torch.cat([self._part(i, i + step, other) for i in range(0, count, step)])

    def _part(self, start: int, stop: int, other: Patches) -> Tensor:
        inputs, positions = self.inputs[start:stop], self.inputs.shape[1]
        gradients = self.gradients[start:stop]
        pairs = gram(inputs.flatten(0, 1), other.inputs.flatten(0, 1))
        if self.bias:
            pairs += 1
        pairs *= gram(gradients.flatten(0, 1), other.gradients.flatten(0, 1))
        pairs = pairs.reshape(len(inputs), positions, len(other), positions)
        return pairs.sum(3).sum(1)  # one axis at a time: twice as fast as both together

    def squared_norms(self) -> Tensor:
        inputs = self.inputs @ self.inputs.mT + bool(self.bias)
        return (inputs * (self.gradients @ self.gradients.mT)).sum((1, 2))

    def product(self, delta: Parameters) -> Tensor:
        weight = delta[self.weight].flatten(2)
        out = torch.einsum("npi,toi,npo->nt", self.inputs, weight, self.gradients)
        return out + self.gradients.sum(1) @ delta[self.bias].T if self.bias else out

    def transposed(self, r: Tensor) -> Parameters:
        gradients = self.gradients.flatten(0, 1)
        weights = r.T.repeat_interleave(self.inputs.shape[1], 1)
        scaled = weights[:, :, None] * gradients  # (T, N * positions, O)
        out = {self.weight: (scaled.mT @ self.inputs.flatten(0, 1)).reshape(-1, *self.shape)}
        if self.bias:
            out[self.bias] = scaled.sum(1)
        return out


def _flatten(delta: Tensor, shape: torch.Size) -> Tensor:
    return delta.reshape(-1, shape.numel())


def concatenate(parts: Iterable[Factors], count: int) -> Factors:
    """The factors of all `count` examples of `parts`; a layer dead in one part is zero there.

    Every part is copied to its place as it comes, so that only one is alive at a time.
    """
    joined: dict[str, Factor] = {}
    start = 0
    for part in parts:
        if part.count == count:
            return part
        stop = start + part.count
        for name in (name for name in part.layers if name not in joined):
            joined[name] = _reserved(part.layers[name], count)
            for value in _tensors(joined[name]).values():
                value[:start] = 0
        for name, whole in joined.items():
            own = _tensors(part.layers[name]) if name in part.layers else {}
            for key, value in _tensors(whole).items():
                value[start:stop] = own.get(key, 0)
        start = stop
    return Factors(count, joined)


def _reserved(factor: Factor, count: int) -> Factor:
    """Room for a factor of `count` examples, its values undefined."""
    room = {
        key: value.new_empty(count, *value.shape[1:]) for key, value in _tensors(factor).items()
    }
    return replace(factor, **room)  # type: ignore[type-var]


def _tensors(factor: Factor) -> dict[str, Tensor]:
    values = {field.name: getattr(factor, field.name) for field in fields(factor)}  # type: ignore[arg-type]
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}
