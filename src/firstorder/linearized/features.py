"""From a network and a batch to the per-layer factors of its Jacobian.

One forward and one backward pass give the input of every layer and the gradient of the network's
output at the output of that layer, for all examples at once: the examples do not meet, since
batch norm is in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.nn import functional

from firstorder.linearized.gemm import batched_gram
from firstorder.linearized.layers import Factor, Factors, Outer, Patches, Rows, concatenate
from firstorder.linearized.tangent import frozen, function, parameters_of, scalar

FeatureMap = Callable[[Tensor], Factors]
"""A batch (N, ...) to the factors of its Jacobian."""

CHUNK = 128
"""Examples in one forward and backward pass: the activations stay in the processor's cache."""

PATCH_NUMBERS = {"cpu": 2**20, "cuda": 2**28}
"""How many numbers of patches are copied at once: those of a CPU stay in its cache as well."""

PART_BYTES = {"cpu": 2**26, "cuda": 2**32}
"""Largest factors of one pass: larger blocks of host memory are fetched anew every time."""


def feature_map(module: nn.Module, probe: Tensor, chunk: int = CHUNK) -> FeatureMap:
    """The cheapest exact feature map of `module`.

    The layer-wise factors if they reproduce the squared gradient norms of autograd on the few
    examples of `probe`, which they do when every parameter belongs to a dense, convolution or
    batch norm layer that is called once; else the Jacobian itself.
    """
    if _supported(module):
        factors, exact = layer_map(module)(probe), _norms_by_autograd(module, probe)
        own = squared_norms(factors, probe)
        if torch.allclose(own, exact, rtol=1e-3, atol=1e-12 * float(exact.max())):
            fitting = PART_BYTES[probe.device.type] * len(probe) // max(1, factors.bytes)
            return layer_map(module, min(chunk, max(8, fitting)))
    return jacobian_map(module, min(chunk, 32))


def jacobian_map(module: nn.Module, chunk: int = 32) -> FeatureMap:
    """Jacobian rows by a vectorised gradient: for any module; N P numbers."""
    f, parameters = function(module), parameters_of(module)
    gradient = vmap(grad(lambda theta, x: f(theta, x[None])[0]), in_dims=(None, 0))

    def features(x: Tensor) -> Factors:
        rows = gradient(parameters, x)
        layers: dict[str, Factor] = {
            name: Rows(value.detach().flatten(1), {name: parameters[name].shape})
            for name, value in rows.items()
            if value.any()
        }
        return Factors(len(x), layers)

    return lambda x: concatenate(map(features, x.split(chunk)), len(x))


def layer_map(module: nn.Module, chunk: int = CHUNK) -> FeatureMap:
    """Layer-wise factors by forward hooks: for dense, convolution and batch norm layers."""
    network = frozen(module)
    known = {name: _factor(layer) for name, layer in network.named_modules()}
    layers = {name: factor for name, factor in known.items() if factor is not None}

    def features(x: Tensor) -> Factors:
        calls: list[tuple[str, Tensor, Tensor]] = []

        def remember(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
            def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
                if not output.requires_grad:
                    output.requires_grad_()  # the graph begins here: no gradient for the images
                calls.append((name, inputs[0].detach(), output))

            return hook

        handles = [
            network.get_submodule(name).register_forward_hook(remember(name)) for name in layers
        ]
        try:
            with torch.enable_grad():
                total = scalar(network(x)).sum()
        finally:
            for handle in handles:
                handle.remove()
        if not total.requires_grad:  # no known layer was called
            return Factors(len(x), {})
        gradients = torch.autograd.grad(total, [call[2] for call in calls], allow_unused=True)
        factors = {
            name: layers[name](name, network.get_submodule(name), inputs, gradient)
            for (name, inputs, _), gradient in zip(calls, gradients, strict=True)
            if gradient is not None and gradient.any()
        }
        return Factors(len(x), factors)

    return lambda x: concatenate(map(features, x.split(chunk)), len(x))


def squared_norms(factors: Factors, x: Tensor) -> Tensor:
    """|grad_theta f(x_n)|^2 (N,): the diagonal of the kernel."""
    zero = x.new_zeros(len(x))
    return sum((factor.squared_norms() for factor in factors.layers.values()), zero)


def _norms_by_autograd(module: nn.Module, x: Tensor) -> Tensor:
    network = frozen(module).requires_grad_()
    parameters = list(network.parameters())
    norms = []
    for image in x:
        with torch.enable_grad():
            value = scalar(network(image[None])).sum()
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        norms.append(sum((g.square().sum() for g in gradients if g is not None), x.new_zeros(())))
    return torch.stack(norms)


def _supported(module: nn.Module) -> bool:
    """Whether every parameter belongs to exactly one layer whose factors are known."""
    named = list(module.named_parameters(remove_duplicate=False))
    shared = len(named) != len({id(value) for _, value in named})
    owners = (m for m in module.modules() if next(m.parameters(recurse=False), None) is not None)
    return not shared and all(_factor(owner) for owner in owners)


def _factor(layer: nn.Module) -> Callable[..., Factor] | None:
    """How to make the factors of `layer`, if it is of a known kind."""
    if isinstance(layer, nn.Linear):
        return _dense
    if isinstance(layer, nn.Conv2d):
        plain = (
            layer.groups == 1
            and layer.dilation == (1, 1)
            and layer.padding_mode == "zeros"
            and (layer.padding != "same" or all(k % 2 for k in layer.kernel_size))
        )
        return _convolution if plain else None
    if isinstance(layer, nn.BatchNorm2d):
        return _normalisation if layer.affine and layer.track_running_stats else None
    return None


def _dense(name: str, layer: nn.Linear, x: Tensor, gradient: Tensor) -> Factor:
    bias = f"{name}.bias" if layer.bias is not None else None
    if x.dim() == 2:
        return Outer(x, gradient, f"{name}.weight", bias)
    patches, gradient = x.flatten(1, -2).mT, gradient.flatten(1, -2).mT
    return _positions(f"{name}.weight", bias, layer.weight.shape, patches, gradient)


def _convolution(name: str, layer: nn.Conv2d, x: Tensor, gradient: Tensor) -> Factor:
    bias = f"{name}.bias" if layer.bias is not None else None
    shape = layer.weight.shape
    return _positions(f"{name}.weight", bias, shape, _patches(layer, x), gradient.flatten(2))


def _positions(
    weight: str, bias: str | None, shape: torch.Size, patches: Tensor, gradient: Tensor
) -> Factor:
    """A layer applied at T positions, in the form whose kernel costs fewer operations.

    `gradient` (N, O, T), and `patches` (N, I, T) or a view of it with more axes. A kernel entry
    costs I O products with the per-example gradient and T^2 (I + O) with the patches.
    """
    outputs, positions = gradient.shape[1:]
    width = shape[1:].numel()
    if width * outputs > positions**2 * (width + outputs):
        patches = patches.reshape(len(patches), width, positions)
        return Patches(patches.mT.contiguous(), gradient.mT.contiguous(), weight, bias, shape)
    weights, shapes = outputs * width, {weight: shape}
    if bias:
        shapes[bias] = torch.Size([outputs])
    rows = gradient.new_empty(len(gradient), weights + (outputs if bias else 0))
    step = max(1, PATCH_NUMBERS[gradient.device.type] // (width * positions))
    parts = zip(rows.split(step), gradient.split(step), patches.split(step), strict=True)
    for own, g, p in parts:
        own[:, :weights] = batched_gram(g, p.reshape(len(p), width, positions)).flatten(1)
    if bias:
        rows[:, weights:] = gradient.sum(2)
    return Rows(rows, shapes)


def _patches(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """What the filter sees at every position: a view (N, C, h, w, H, W) of the padded images."""
    height, width = layer.kernel_size
    if layer.padding == "same":
        pad = (height // 2, width // 2)
    elif layer.padding == "valid":
        pad = (0, 0)
    else:
        pad = layer.padding  # type: ignore[assignment]
    x = functional.pad(x, (pad[1], pad[1], pad[0], pad[0]))
    views = x.unfold(2, height, layer.stride[0]).unfold(3, width, layer.stride[1])
    return views.permute(0, 1, 4, 5, 2, 3)  # copied, it is read along the rows of the images


def _normalisation(name: str, layer: nn.BatchNorm2d, x: Tensor, gradient: Tensor) -> Factor:
    axes = (None, slice(None), None, None)
    assert layer.running_mean is not None and layer.running_var is not None
    deviation = (layer.running_var + layer.eps).sqrt()
    normal = (x - layer.running_mean[axes]) / deviation[axes]
    rows = torch.cat([(gradient * normal).sum((2, 3)), gradient.sum((2, 3))], 1)
    shape = layer.weight.shape
    return Rows(rows, {f"{name}.weight": shape, f"{name}.bias": shape})
