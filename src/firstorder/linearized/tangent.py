"""The linearization of a network in its parameters.

f_lin(x; delta) = f_0(x) + <delta, grad_theta f_0(x)>. Batch norm is in evaluation mode: a fixed
affine map whose scale and shift are parameters and whose running statistics are not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from firstorder.linearized.eager import no_fused_attention, take_apart
from firstorder.linearized.gemm import full_precision
from firstorder.linearized.recurrent import TangentError, refuse_fused

Outputs = Literal["scalar", "trace", "full"]
"""What becomes of the K outputs of a network: there is one, they are summed over, or all kept."""
Parameters = dict[str, Tensor]
"""Tensors by the parameter names of a module."""


def frozen(module: nn.Module) -> nn.Module:
    """A copy of `module` in evaluation mode, without trainable parameters or in-place layers.

    Attention and recurrent cells are taken apart into dense layers. Raises TangentError for
    recurrent layers that torch runs over a sequence in one piece, complex parameters, and modules
    that cannot be copied: compiled ones, and weights that a hook makes.
    """
    refuse_fused(module)
    for name, value in module.named_parameters():
        if value.is_complex():
            raise TangentError(f"{name} is complex; write it as its real and imaginary parts")
    try:
        copied = copy.deepcopy(module).eval().requires_grad_(False)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise TangentError(f"{type(module).__name__} cannot be copied: {reason}") from error
    take_apart(copied)
    for layer in copied.modules():
        if vars(layer).get("inplace") is True:
            layer.inplace = False  # type: ignore[assignment]
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
            layer.sparse = False
    return copied


def parameters_of(module: nn.Module) -> Parameters:
    """The parameters of `module` that are trained, detached, by name.

    Those that require a gradient; all of a module of which none does, which is only looked at.
    """
    named = dict(module.named_parameters())
    trained = {name: value for name, value in named.items() if value.requires_grad} or named
    return {name: value.detach() for name, value in trained.items()}


def scalar(outputs: Tensor) -> Tensor:
    """The outputs (N,) of a network that returns (N, 1) or (N,).

    Raises ValueError for a network with several outputs.
    """
    if outputs.dim() == 2 and outputs.shape[1] == 1:
        return outputs[:, 0]
    if outputs.dim() != 1:
        raise ValueError(
            f"the network needs one output per example, not {tuple(outputs.shape)}; kernels of "
            'several outputs: outputs="trace" or "full"'
        )
    return outputs


def heads(values: Tensor, outputs: Outputs) -> Tensor:
    """The outputs (N, K) of a network; K = 1 for "scalar".

    Raises ValueError for outputs of another shape than (N, K) or (N,).
    """
    if outputs == "scalar" or values.dim() == 1:
        return scalar(values)[:, None]
    if values.dim() != 2:
        raise ValueError(f"the network's outputs must be (N, K), not {tuple(values.shape)}")
    return values


def with_parameters(network: nn.Module) -> Callable[[Parameters, Tensor], Tensor]:
    """The map (parameters by name, x) to what `network` returns with these as its own.

    Every place of a parameter is named, once: torch's own search for shared ones leaves others in
    the network where layers are shared, too.
    """
    name_of = {id(value): name for name, value in network.named_parameters()}
    places = {
        f"{path}.{own}".lstrip("."): name_of[id(value)]
        for path, layer in network.named_modules()
        for own, value in layer._parameters.items()
        if value is not None
    }

    def call(parameters: Parameters, x: Tensor) -> Tensor:
        placed = {place: parameters[name] for place, name in places.items() if name in parameters}
        returned: Tensor = functional_call(network, placed, (x,), tie_weights=False)
        return returned

    return call


def function(
    module: nn.Module, outputs: Outputs = "scalar"
) -> Callable[[Parameters, Tensor], Tensor]:
    """The map (theta, x (N, ...)) -> f_theta(x) of `module` in evaluation mode.

    f is (N,) for "scalar", else (N, K).
    """
    call = with_parameters(frozen(module))

    def f(parameters: Parameters, x: Tensor) -> Tensor:
        with no_fused_attention():
            values = call(parameters, x)
        return scalar(values) if outputs == "scalar" else heads(values, outputs)

    return f


def outputs(module: nn.Module, x: Tensor, batch: int = 128) -> Tensor:
    """f(x) (N,) in evaluation mode, in batches, on the device of `x`, in full precision."""
    network = frozen(module)
    with torch.no_grad(), full_precision():
        return torch.cat([scalar(network(part)) for part in x.split(batch)])


def linearize(
    module: nn.Module,
    parameters0: Parameters | None = None,
    *,
    offset: bool = True,
    outputs: Outputs = "scalar",
) -> Callable[[Parameters, Tensor], Tensor]:
    """The linearized network (delta, x (N, ...)) -> f_lin around `parameters0`.

    f_lin is (N,) for outputs "scalar", else (N, K). `parameters0` defaults to the module's own
    parameters; `offset=False` drops f_0, which leaves the differential <delta, grad f_0>. One
    forward-mode pass a call, in full precision: about three forward passes.
    """
    f = function(module, outputs)
    start = parameters_of(module) if parameters0 is None else parameters0

    def f_lin(delta: Parameters, x: Tensor) -> Tensor:
        with full_precision():
            pair = jvp(lambda parameters: f(parameters, x), (start,), (delta,))
        return pair[0] + pair[1] if offset else pair[1]

    return f_lin
