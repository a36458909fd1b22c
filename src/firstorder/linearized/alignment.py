"""How much of a kernel points at a target.

A(y) = y' K y / y' y = |sum_n y_n grad f(x_n)|^2 / |y|^2: the Rayleigh quotient of the Gram
matrix (no 1/N^2), which for a unit eigenvector is its eigenvalue. The trace of a network's kernel
grows by orders of magnitude in training, so compare A / trace, never A.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from firstorder.linearized.features import feature_map, squared_norms
from firstorder.linearized.gemm import full_precision
from firstorder.linearized.tangent import frozen, parameters_of, scalar


def rayleigh(kernel: Tensor, vectors: Tensor, columns: int = 256) -> Tensor:
    """A (k,) in float64 of the rows of `vectors` (k, N) in `kernel` (N, N)."""
    parts = []
    for part in vectors.split(columns):
        images = (part.to(kernel.dtype) @ kernel).double()
        own = part.double()
        parts.append((images * own).sum(1) / own.square().sum(1))
    return torch.cat(parts)


def from_gradients(module: nn.Module, x: Tensor, vector: Tensor, batch: int = 128) -> Tensor:
    """A () of one `vector` (N,): the gradient of sum_n y_n f(x_n), batch by batch."""
    network, trained = frozen(module), parameters_of(module)
    parameters = [v.requires_grad_() for n, v in network.named_parameters() if n in trained]
    with full_precision():
        for images, weights in zip(x.split(batch), vector.split(batch), strict=True):
            (scalar(network(images)) * weights).sum().backward()
    gradients = [value.grad.double() for value in parameters if value.grad is not None]
    norm = torch.stack([value.square().sum() for value in gradients]).sum()
    return norm / vector.double().square().sum()


def with_trace(
    module: nn.Module, x: Tensor, vector: Tensor, batch: int = 64
) -> tuple[float, float]:
    """A of one `vector` (N,) and the trace of the kernel, in one forward and backward pass."""
    trace, sums = 0.0, {name: torch.zeros_like(v) for name, v in parameters_of(module).items()}
    with full_precision():
        features = feature_map(module, x[:2])
        for images, weights in zip(x.split(batch), vector.split(batch), strict=True):
            factors = features(images)
            trace += float(squared_norms(factors, images).double().sum())
            for layer in factors.layers.values():
                for name, value in layer.transposed(weights[:, None].to(images.dtype)).items():
                    sums[name] += value[0]
    norm = sum(float(value.double().square().sum()) for value in sums.values())
    return norm / float(vector.double().square().sum()), trace


def energy(vectors: Tensor, target: Tensor) -> Tensor:
    """Cumulative energy C(K) = sum_{k <= K} (u_k . y)^2 / |y|^2, for K = 1, ..., k.

    `vectors` (k, N) are orthonormal rows by descending eigenvalue, `target` is (N,).
    """
    target = target.to(vectors.dtype)
    return (vectors @ target).square().cumsum(0) / target.square().sum()
