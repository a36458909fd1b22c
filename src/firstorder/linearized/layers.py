"""Per-layer factors of the Jacobian of a network.

Row n of the Jacobian, restricted to one layer, is an outer product of what enters the layer and
of the gradient at its output. Keeping the two factors instead of their product is what makes the
kernel and all products with the Jacobian cheap (LeNet: 17 kB an example instead of 544 kB).

| form    | layer                       | trace, a pair | full, a pair    | memory      |
|---------|-----------------------------|---------------|-----------------|-------------|
| Outer   | dense                       | I + K O       | I + K^2 O       | I + K O     |
| Patches | the same at T positions     | T^2 (I + K O) | T^2 (I + K^2 O) | T (I + K O) |
| Lookup  | embedding of T tokens       | T^2 (1 + K O) | T^2 (1 + K^2 O) | T K O       |
| Rows    | convolution, norm, the rest | K P           | K^2 P           | K P         |

with I inputs (of a patch), O outputs of the layer, T positions, K outputs of the network, numbers
and products for one example or pair. The K gradients of an example lie side by side, so that the
trace form is the Gram matrix of what is stored. Products with vectors are for K = 1.
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
        """J_1 J_2^T (N, M), summed over equal outputs."""

    def gram_of_outputs(self, other: Self, outputs: int) -> Tensor:
        """J_1 J_2^T (N K, M K) for all pairs of the K `outputs`."""

    def squared_norms(self) -> Tensor:
        """The diagonal of `gram` (N,)."""

    def own_gram(self, outputs: int) -> Tensor:
        """J_n J_n^T (N, K, K) of every example with itself."""

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
    """Jacobian rows as they are: (N, K P), the flattened parameters one after the other."""

    rows: Tensor
    shapes: dict[str, torch.Size]

    def __len__(self) -> int:
        return len(self.rows)

    def gram(self, other: Rows) -> Tensor:
        return gram(self.rows, other.rows)

    def gram_of_outputs(self, other: Rows, outputs: int) -> Tensor:
        return gram(_apart(self.rows, outputs), _apart(other.rows, outputs))

    def squared_norms(self) -> Tensor:
        return self.rows.square().sum(1)

    def own_gram(self, outputs: int) -> Tensor:
        rows = self.rows.unflatten(1, (outputs, -1))
        return rows @ rows.mT

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
    """(N, I)"""
    gradients: Tensor
    """(N, K O)"""
    weight: str
    bias: str | None

    def __len__(self) -> int:
        return len(self.inputs)

    def gram(self, other: Outer) -> Tensor:
        inputs = gram(self.inputs, other.inputs)
        if self.bias:
            inputs += 1
        return inputs.mul_(gram(self.gradients, other.gradients))

    def gram_of_outputs(self, other: Outer, outputs: int) -> Tensor:
        inputs = gram(self.inputs, other.inputs)
        if self.bias:
            inputs += 1
        pairs = gram(_apart(self.gradients, outputs), _apart(other.gradients, outputs))
        view = pairs.view(len(self), outputs, len(other), outputs)
        view.mul_(inputs[:, None, :, None])
        return pairs

    def squared_norms(self) -> Tensor:
        inputs = self.inputs.square().sum(1) + bool(self.bias)
        return inputs * self.gradients.square().sum(1)

    def own_gram(self, outputs: int) -> Tensor:
        gradients = self.gradients.unflatten(1, (outputs, -1))
        inputs = self.inputs.square().sum(1) + bool(self.bias)
        return inputs[:, None, None] * (gradients @ gradients.mT)

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
    """Convolution: row n is the sum over positions t of gradients_nt (O) times inputs_nt (I).

    The positions are those of all calls of the layer: of a layer that is called at every step of
    a recurrent network, the steps.
    """

    inputs: Tensor
    """(N, T, I)"""
    gradients: Tensor
    """(N, T, K O)"""
    weight: str
    bias: str | None
    shape: torch.Size
    """Of the weight: (O, channels, height, width)."""

    def __len__(self) -> int:
        return len(self.inputs)

    def gram(self, other: Self) -> Tensor:
        count, positions = self.inputs.shape[:2]
        step = max(1, PATCH_ELEMENTS // (positions * positions * len(other)))
        return torch.cat([self._part(i, i + step, other) for i in range(0, count, step)])

    def _part(self, start: int, stop: int, other: Self) -> Tensor:
        pairs, positions = self._pairs(start, stop, other), self.inputs.shape[1]
        gradients = self.gradients[start:stop]
        pairs *= gram(gradients.flatten(0, 1), other.gradients.flatten(0, 1))
        pairs = pairs.reshape(len(gradients), positions, len(other), positions)
        return pairs.sum(3).sum(1)  # one axis at a time: twice as fast as both together

    def gram_of_outputs(self, other: Self, outputs: int) -> Tensor:
        count, positions = self.inputs.shape[:2]
        step = max(1, PATCH_ELEMENTS // ((positions * outputs) ** 2 * len(other)))
        parts = range(0, count, step)
        return torch.cat([self._part_of_outputs(i, i + step, other, outputs) for i in parts])

    def _part_of_outputs(self, start: int, stop: int, other: Self, outputs: int) -> Tensor:
        pairs, positions = self._pairs(start, stop, other), self.inputs.shape[1]
        own, others = (
            _apart(g.flatten(0, 1), outputs) for g in (self.gradients[start:stop], other.gradients)
        )
        shape = (-1, positions, outputs, len(other), positions, outputs)
        product = gram(own, others).view(shape)
        product *= pairs.view(-1, positions, 1, len(other), positions, 1)
        return product.sum(4).sum(1).flatten(2).flatten(0, 1)

    def _pairs(self, start: int, stop: int, other: Self) -> Tensor:
        """Products of the inputs (n T, M T) of the examples from start to stop."""
        pairs = gram(self.inputs[start:stop].flatten(0, 1), other.inputs.flatten(0, 1))
        if self.bias:
            pairs += 1
        return pairs

    def _own_pairs(self) -> Tensor:
        """Products of the inputs (N, T, T) of every example with itself."""
        return self.inputs @ self.inputs.mT + bool(self.bias)

    def squared_norms(self) -> Tensor:
        return (self._own_pairs() * (self.gradients @ self.gradients.mT)).sum((1, 2))

    def own_gram(self, outputs: int) -> Tensor:
        gradients = self.gradients.unflatten(2, (outputs, -1))
        weighted = (self._own_pairs() @ self.gradients).unflatten(2, (outputs, -1))
        return torch.einsum("ntko,ntlo->nkl", gradients, weighted)

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


@dataclass(frozen=True)
class Lookup(Patches):
    """Embedding: `inputs` (N, T) are rows of the table, of which two match or do not."""

    def _pairs(self, start: int, stop: int, other: Self) -> Tensor:
        own = self.inputs[start:stop].flatten()
        return (own[:, None] == other.inputs.flatten()).to(self.gradients.dtype)

    def _own_pairs(self) -> Tensor:
        return (self.inputs[:, :, None] == self.inputs[:, None]).to(self.gradients.dtype)

    def product(self, delta: Parameters) -> Tensor:
        parts = [(table[self.inputs] * self.gradients).sum((1, 2)) for table in delta[self.weight]]
        return torch.stack(parts, 1)

    def transposed(self, r: Tensor) -> Parameters:
        out = self.gradients.new_zeros(r.shape[1], *self.shape)
        for table, weights in zip(out, r.T, strict=True):
            scaled = weights[:, None, None] * self.gradients
            table.index_add_(0, self.inputs.flatten(), scaled.flatten(0, 1))
        return {self.weight: out}


def _apart(values: Tensor, outputs: int) -> Tensor:
    """(n, K m), the outputs side by side, to (n K, m), one below the other."""
    return values.reshape(len(values) * outputs, -1)


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
