"""The kernel as a PyTorch user would compute it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap

from firstorder.linearized.tangent import frozen, parameters_of


def contraction(module: nn.Module, x: Tensor, chunk: int = 128) -> Tensor:
    """J J^T from per-example gradients, as in the tutorial of torch.func."""
    network = frozen(module)
    gradient = vmap(
        grad(lambda theta, image: functional_call(network, theta, (image[None],))[0, 0]), (None, 0)
    )
    parameters = parameters_of(module)
    J = x.new_empty(len(x), sum(value.numel() for value in parameters.values()))
    for rows, part in zip(J.split(chunk), x.split(chunk), strict=True):
        torch.cat([g.flatten(1) for g in gradient(parameters, part).values()], 1, out=rows)
    return J @ J.T


def trace(module: nn.Module, x: Tensor, chunk: int = 32) -> Tensor:
    """The sum over the outputs of their kernels, from Jacobians, as in the same tutorial."""
    network = frozen(module)
    jacobian = vmap(
        jacrev(lambda theta, image: functional_call(network, theta, (image[None],))[0]), (None, 0)
    )
    parameters = parameters_of(module)
    parts = [jacobian(parameters, part) for part in x.split(chunk)]
    total = x.new_zeros(len(x), len(x))
    for name in parameters:
        rows = torch.cat([part[name] for part in parts]).flatten(1)
        total += rows @ rows.T
    return total


def nngeometry_gram(module: nn.Module, x: Tensor, chunk: int) -> Callable[[], Tensor]:
    """The full kernel (N, N, K, K) of NNGeometry. Raises ImportError without it."""
    from nngeometry.backend import (  # type: ignore[import-not-found, unused-ignore]
        TorchHooksJacobianBackend,
    )
    from nngeometry.object import FMatDense  # type: ignore[import-not-found, unused-ignore]
    from torch.utils.data import DataLoader, TensorDataset

    network = frozen(module).requires_grad_()

    def kernel() -> Tensor:
        loader = DataLoader(TensorDataset(x), batch_size=chunk)
        found = FMatDense(TorchHooksJacobianBackend(network), examples=loader).data
        return found.permute(1, 3, 0, 2).detach()

    return kernel


def backpack_contraction(module: nn.Module, x: Tensor, chunk: int = 128) -> Callable[[], Tensor]:
    """The same with the per-example gradients of BackPACK. Raises ImportError without it."""
    from backpack import backpack, extend  # type: ignore[import-not-found, unused-ignore]
    from backpack.extensions import BatchGrad  # type: ignore[import-not-found, unused-ignore]

    network = extend(frozen(module).requires_grad_())

    def kernel() -> Tensor:
        rows = []
        for part in x.split(chunk):
            network.zero_grad()
            with backpack(BatchGrad()):
                network(part).sum().backward()
            batches = [value.grad_batch.flatten(1) for value in network.parameters()]
            rows.append(torch.cat(batches, 1))
        J = torch.cat(rows)
        return J @ J.T

    return kernel
