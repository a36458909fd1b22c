"""From what passes through a layer to the factors of its Jacobian.

A rule knows one kind of layer: given the inputs of all calls of the layer and the gradients of the
network's outputs at its outputs, it gives the rows of the Jacobian for the layer's parameters. A
layer that is called more than once has the positions of all its calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from firstorder.linearized.gemm import batched_gram
from firstorder.linearized.layers import Factor, Lookup, Outer, Patches, Rows

PATCH_NUMBERS = {"cpu": 2**20, "cuda": 2**28}
"""How many numbers of patches are copied at once: those of a CPU stay in its cache."""


@dataclass(frozen=True)
class Call:
    """One call of a layer on N examples, in a network with K outputs."""

    inputs: Tensor
    """(N, ...)"""
    gradients: Tensor
    """(N, K, ...): of every output of the network at the output of the layer."""


COMPUTED_BY = ("forward", "_conv_forward")
"""The methods of torch's layers that compute their outputs."""
Names = dict[str, str]
"""What a layer calls its parameters -> their names in the network."""
Rule = Callable[[Any, Names, Sequence[Call]], Factor]
"""A layer, the names of its parameters and its calls to its factor.

The layer has the attributes of its kind, which torch declares with looser types than it uses."""


def rule_of(layer: nn.Module) -> Rule | None:
    """The rule for `layer`; None for a layer of another kind or without parameters of its own.

    A layer whose class, or who itself, computes another function than its kind is of another kind.
    """
    own = {name for name, value in layer._parameters.items() if value is not None}
    if own not in ({"weight"}, {"weight", "bias"}) or getattr(layer, "running_mean", 0) is None:
        return None  # batch norm without running statistics mixes the examples of a batch
    for kind, rule in RULES.items():
        if isinstance(layer, kind):
            return rule if all(_inherited(layer, kind, m) for m in COMPUTED_BY) else None
    return None


def _inherited(layer: nn.Module, kind: type[nn.Module], method: str) -> bool:
    """Whether a method of `layer` is that of its kind."""
    own = getattr(getattr(layer, method, None), "__func__", None)
    return own is getattr(kind, method, None)


def dense(layer: Any, names: Names, calls: Sequence[Call]) -> Factor:
    """A matrix, applied once to every example or at many positions of it."""
    weight, bias = names["weight"], names.get("bias")
    if len(calls) == 1 and calls[0].inputs.dim() == 2:
        return Outer(calls[0].inputs, calls[0].gradients.flatten(1), weight, bias)
    patches = [call.inputs.unsqueeze(1).flatten(1, -2).mT for call in calls]
    gradients = [call.gradients.unsqueeze(2).flatten(2, -2).mT for call in calls]
    return _positions(weight, bias, layer.weight.shape, patches, gradients)


def convolution(layer: Any, names: Names, calls: Sequence[Call]) -> Factor:
    """A convolution of any dimension: the matrix of its filters, at every position."""
    shape = layer.weight.shape
    patches = [
        _patches(_padded(layer, call.inputs), layer.kernel_size, layer.stride, layer.dilation)
        for call in calls
    ]
    gradients = [call.gradients.flatten(3) for call in calls]
    if layer.groups == 1:
        return _positions(names["weight"], names.get("bias"), shape, patches, gradients)
    rows = []
    for p, g in zip(patches, gradients, strict=True):
        count, outputs, _, positions = g.shape
        g = g.unflatten(2, (layer.groups, -1)).transpose(1, 2).flatten(0, 1).flatten(1, 2)
        p = p.reshape(count * layer.groups, -1, positions)
        part = batched_gram(g, p).unflatten(0, (count, layer.groups)).unflatten(2, (outputs, -1))
        rows.append(part.transpose(1, 2).reshape(count, outputs, shape.numel()))
    return _with_bias(layer, names, rows, gradients)


def transposed_convolution(layer: Any, names: Names, calls: Sequence[Call]) -> Factor:
    """Its adjoint is the convolution, so inputs and gradients change places."""
    padding = [amount for p in reversed(layer.padding) for amount in (p, p)]
    rows = []
    for call in calls:
        count, outputs = call.gradients.shape[:2]
        padded = functional.pad(call.gradients.flatten(0, 1), padding)
        seen = _patches(padded, layer.kernel_size, layer.stride, layer.dilation)
        positions = call.inputs[0, 0].numel()
        seen = seen.reshape(count, outputs, layer.groups, -1, positions).transpose(1, 2)
        x = call.inputs.reshape(count * layer.groups, -1, positions)
        part = batched_gram(x, seen.reshape(count * layer.groups, -1, positions))
        part = part.unflatten(0, (count, layer.groups)).unflatten(3, (outputs, -1))
        rows.append(part.permute(0, 3, 1, 2, 4).reshape(count, outputs, layer.weight.numel()))
    return _with_bias(layer, names, rows, [call.gradients.flatten(3) for call in calls])


def batch_norm(layer: Any, names: Names, calls: Sequence[Call]) -> Factor:
    """In evaluation mode: a fixed affine map of every channel."""
    deviation = (layer.running_var + layer.eps).sqrt()

    def normal(x: Tensor) -> Tensor:
        axes = (None, slice(None), *[None] * (x.dim() - 2))
        return (x - layer.running_mean[axes]) / deviation[axes]

    return _scaled(names, [Call(normal(call.inputs), call.gradients) for call in calls])


def group_norm(layer: Any, names: Names, calls: Sequence[Call]) -> Factor:
    """Channels, scaled after normalisation within groups of an example."""
    normal = [functional.group_norm(c.inputs, layer.num_groups, eps=layer.eps) for c in calls]
    return _scaled(names, [Call(n, c.gradients) for n, c in zip(normal, calls, strict=True)])


def layer_norm(layer: Any, names: Names, calls: Sequence[Call]) -> Factor:
    """The last axes, scaled after normalisation over them."""
    shape = list(layer.weight.shape)
    moved = []
    for call in calls:
        if isinstance(layer, nn.LayerNorm):
            normal = functional.layer_norm(call.inputs, shape, eps=layer.eps)
        else:
            normal = functional.rms_norm(call.inputs, shape, eps=layer.eps)
        # As channels before positions, the layout of the other norms.
        values, gradients = normal.flatten(-len(shape)), call.gradients.flatten(-len(shape))
        moved.append(Call(values.unsqueeze(1).flatten(1, -2).mT, _channels_first(gradients)))
    factor = _scaled(names, moved)
    return Rows(factor.rows, {name: torch.Size(shape) for name in factor.shapes})


def _channels_first(gradients: Tensor) -> Tensor:
    return gradients.unsqueeze(2).flatten(2, -2).mT


def embedding(layer: Any, names: Names, calls: Sequence[Call]) -> Factor:
    """Rows of a table, found by integers; the padding row has no gradient."""
    gradients = []
    for call in calls:
        values = call.gradients.unsqueeze(2).flatten(2, -2)
        if layer.padding_idx is not None:
            kept = (call.inputs != layer.padding_idx).reshape(len(values), 1, -1, 1)
            values = values * kept
        gradients.append(values.transpose(1, 2).flatten(2))
    inputs = torch.cat([call.inputs.reshape(len(call.inputs), -1) for call in calls], 1)
    return Lookup(inputs, torch.cat(gradients, 1), names["weight"], None, layer.weight.shape)


def _positions(
    weight: str,
    bias: str | None,
    shape: torch.Size,
    patches: Sequence[Tensor],
    gradients: Sequence[Tensor],
) -> Factor:
    """A layer applied at T positions, in the form whose kernel costs fewer operations.

    Of every call the `gradients` (N, K, O, T), and `patches` (N, I, T) or a view of it with more
    axes. A kernel entry costs K I O products with the per-example gradient and T^2 (I + K O) with
    the patches.
    """
    count, outputs, channels = gradients[0].shape[:3]
    positions = sum(g.shape[3] for g in gradients)
    width, all_channels = shape[1:].numel(), outputs * channels
    if width * all_channels > positions**2 * (width + all_channels):
        p = torch.cat([part.reshape(count, width, -1).mT for part in patches], 1)
        g = torch.cat([part.flatten(1, 2).mT for part in gradients], 1)
        return Patches(p.contiguous(), g.contiguous(), weight, bias, shape)
    weights, shapes = channels * width, {weight: shape}
    if bias:
        shapes[bias] = torch.Size([channels])
    size = weights + (channels if bias else 0)
    rows = gradients[0].new_empty(count, outputs, size)
    for call, (p, g) in enumerate(zip(patches, gradients, strict=True)):
        step = max(1, PATCH_NUMBERS[g.device.type] // (width * g.shape[3]))
        parts = zip(rows.split(step), g.flatten(1, 2).split(step), p.split(step), strict=True)
        for own, some, seen in parts:
            product = batched_gram(some, seen.reshape(len(seen), width, -1))
            values = product.view(len(own), outputs, weights)
            own[:, :, :weights] = values if call == 0 else own[:, :, :weights] + values
        if bias:
            sums = g.sum(3)
            rows[:, :, weights:] = sums if call == 0 else rows[:, :, weights:] + sums
    return Rows(rows.flatten(1), shapes)


def _with_bias(
    layer: Any, names: Names, rows: Sequence[Tensor], gradients: Sequence[Tensor]
) -> Rows:
    """Rows of the weight (N, K, P) of every call, and those of a bias on the channels."""
    total, shapes = sum(rows[1:], rows[0]), {names["weight"]: layer.weight.shape}
    if "bias" in names:
        sums = [g.sum(3) for g in gradients]
        total = torch.cat([total, sum(sums[1:], sums[0])], 2)
        shapes[names["bias"]] = sums[0].shape[2:]
    return Rows(total.flatten(1), shapes)


def _scaled(names: Names, calls: Sequence[Call]) -> Rows:
    """A scale and a shift for every channel: of normalised inputs (N, C, ...)."""
    scales, shifts = [], []
    for call in calls:
        axes = tuple(range(3, call.gradients.dim()))
        product = call.gradients * call.inputs.unsqueeze(1)
        scales.append(product.sum(axes) if axes else product)
        shifts.append(call.gradients.sum(axes) if axes else call.gradients)
    parts = {"weight": sum(scales[1:], scales[0]), "bias": sum(shifts[1:], shifts[0])}
    rows = torch.cat([parts[own] for own in names], 2)
    return Rows(rows.flatten(1), {name: parts[own].shape[2:] for own, name in names.items()})


def _padded(layer: Any, x: Tensor) -> Tensor:
    """As torch pads: for every axis, the last first, before and after."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(x, layer._reversed_padding_repeated_twice, mode)


def _patches(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """What a filter sees at every position: a view (N, C, h, w, H, W) of padded images."""
    axes = len(kernel)
    for axis, (size, step, gap) in enumerate(zip(kernel, stride, dilation, strict=True), 2):
        x = x.unfold(axis, gap * (size - 1) + 1, step)[..., ::gap]
    inner, outer = range(2 + axes, 2 + 2 * axes), range(2, 2 + axes)
    return x.permute(0, 1, *inner, *outer)  # copied, it is read along the rows of the images


RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: dense,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), convolution),
    **dict.fromkeys(
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), transposed_convolution
    ),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), batch_norm),
    nn.GroupNorm: group_norm,
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm), layer_norm),
    nn.Embedding: embedding,
}
