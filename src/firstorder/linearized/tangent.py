"""The linearization of a scalar-output network in its parameters.

f_lin(x; delta) = f_0(x) + <delta, grad_theta f_0(x)>. Batch norm is in evaluation mode: a fixed
affine map whose scale and shift are parameters and whose running statistics are not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from firstorder.linearized.gemm import full_precision

Parameters = dict[str, Tensor]
"""Tensors by the parameter names of a module."""


def frozen(module: nn.Module) -> nn.Module:
    """A copy of `module` in evaluation mode, without trainable parameters or in-place layers."""
    copied = copy.deepcopy(module).eval().requires_grad_(False)
    for layer in copied.modules():
        if hasattr(layer, "inplace"):
            layer.inplace = False  # type: ignore[assignment]
    return copied


def parameters_of(module: nn.Module) -> Parameters:
    """The parameters of `module`, detached, by name."""
    return {name: value.detach() for name, value in module.named_parameters()}


def scalar(outputs: Tensor) -> Tensor:
    """The outputs (N,) of a network that returns (N, 1) or (N,).

    Raises ValueError for a network with several outputs.
    """
    if outputs.dim() == 2 and outputs.shape[1] == 1:
        return outputs[:, 0]
    if outputs.dim() != 1:
        raise ValueError(f"the network needs one output per example, not {tuple(outputs.shape)}")
    return outputs


def function(module: nn.Module) -> Callable[[Parameters, Tensor], Tensor]:
    """The map (theta, x (N, ...)) -> f_theta(x) (N,) of `module` in evaluation mode."""
    network = frozen(module)

    def f(parameters: Parameters, x: Tensor) -> Tensor:
        return scalar(functional_call(network, parameters, (x,)))

    return f


def outputs(module: nn.Module, x: Tensor, batch: int = 128) -> Tensor:
    """f(x) (N,) in evaluation mode, in batches, on the device of `x`, in full precision."""
    network = frozen(module)
    with torch.no_grad(), full_precision():
        return torch.cat([scalar(network(part)) for part in x.split(batch)])


def linearize(
    module: nn.Module, parameters0: Parameters | None = None, *, offset: bool = True
) -> Callable[[Parameters, Tensor], Tensor]:
    """The linearized network (delta, x (N, ...)) -> f_lin (N,) around `parameters0`.

    `parameters0` defaults to the module's own parameters; `offset=False` drops f_0, which leaves
    the differential <delta, grad f_0>. One forward-mode pass a call, in full precision: about
    three forward passes.
    """
    f = function(module)
    start = parameters_of(module) if parameters0 is None else parameters0

    def f_lin(delta: Parameters, x: Tensor) -> Tensor:
        with full_precision():
            pair = jvp(lambda parameters: f(parameters, x), (start,), (delta,))
        return pair[0] + pair[1] if offset else pair[1]

    return f_lin
