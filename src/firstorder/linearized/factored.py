"""Products with the Jacobian of a network, from its per-layer factors.

For the linearization the parameters never move, so the factors are computed once: then J delta
gives its outputs and J^T r its gradient, for any optimiser, at a twentieth of the cost of a
forward and backward pass, and K v = J J^T v gives matrix-free spectra.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from firstorder.linearized.features import feature_map
from firstorder.linearized.gemm import full_precision
from firstorder.linearized.layers import Factors
from firstorder.linearized.tangent import Parameters, parameters_of


@dataclass(frozen=True)
class Jacobian:
    """J (N, P) of a scalar-output network on N examples, block of examples by block."""

    blocks: tuple[Factors, ...]
    zero: Parameters
    """A zero for every parameter: their names, shapes, precision and device."""

    def __len__(self) -> int:
        return sum(block.count for block in self.blocks)


def factor(module: nn.Module, x: Tensor, block: int = 512) -> Jacobian:
    """The factored Jacobian of `module` on `x` (N, ...)."""
    with full_precision():
        features = feature_map(module, x[:2])
        blocks = tuple(features(part) for part in x.split(block))
    zero = {name: torch.zeros_like(value) for name, value in parameters_of(module).items()}
    return Jacobian(blocks, zero)


def product(jacobian: Jacobian, delta: Parameters) -> Tensor:
    """J delta (N, T) for tensors (T, *shape) by parameter name."""
    columns = len(next(iter(delta.values())))
    example = next(iter(jacobian.zero.values()))
    out = example.new_zeros(len(jacobian), columns)
    start = 0
    for block in jacobian.blocks:
        part = out[start : start + block.count]
        for layer in block.layers.values():
            part += layer.product(delta)
        start += block.count
    return out


def transposed(jacobian: Jacobian, r: Tensor) -> Parameters:
    """J^T r for r (N, T): tensors (T, *shape) by parameter name."""
    columns = r.shape[1]
    out = {name: zero.new_zeros(columns, *zero.shape) for name, zero in jacobian.zero.items()}
    start = 0
    for block in jacobian.blocks:
        part = r[start : start + block.count]
        for layer in block.layers.values():
            for name, value in layer.transposed(part).items():
                out[name] += value
        start += block.count
    return out
