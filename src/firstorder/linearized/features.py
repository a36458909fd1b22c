"""From a network and a batch to the per-layer factors of its Jacobian.

A forward pass and a backward pass for every output give the input of every layer and the gradient
of the network's outputs at the output of that layer, for all examples at once: the examples do
not meet, since batch norm is in evaluation mode. Parameters that no rule knows have the rows of
their Jacobian instead.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, vjp, vmap

from firstorder.linearized.eager import no_fused_attention
from firstorder.linearized.layer_rules import Call, Rule, rule_of
from firstorder.linearized.layers import Factor, Factors, Rows, concatenate
from firstorder.linearized.probe import KernelError, gradients_of
from firstorder.linearized.tangent import Outputs, frozen, heads, parameters_of, with_parameters

FeatureMap = Callable[[Tensor], Factors]
"""A batch (N, ...) to the factors of its Jacobian."""

CHUNK = 128
"""Examples in one forward and backward pass: the activations stay in the processor's cache."""

PART_BYTES = {"cpu": 2**26, "cuda": 2**32}
"""Largest factors of one pass: larger blocks of host memory are fetched anew every time."""

AGREEMENT = {torch.float64: 1e-6}
"""How near a layer's factors come to its gradient; looser in other precisions, where a ReLU at
zero may fall either way: factors of a wrong form are wrong by their own size."""

log = logging.getLogger(__name__)


def feature_map(
    module: nn.Module, probe: Tensor, chunk: int = CHUNK, outputs: Outputs = "scalar"
) -> FeatureMap:
    """The cheapest exact feature map of `module`.

    Layers have their own factors if these reproduce the gradients of autograd on the few examples
    of `probe`; all other parameters have rows of the Jacobian, which is logged once. Raises
    KernelError if the examples of a batch change each other's outputs.
    """
    names, size, count = _covered(module, probe, outputs)
    rest = [name for name in parameters_of(module) if name not in names]
    by_rows = jacobian_map(module, min(chunk, 32), outputs, rest) if rest else None
    if by_rows:
        _say_once(type(module).__name__, tuple(rest))
    if not names and by_rows:
        return by_rows
    fitting = PART_BYTES[probe.device.type] * len(probe) // max(1, size * count)
    by_layers = layer_map(module, min(chunk, max(8, fitting)), outputs, names)
    if not by_rows:
        return by_layers

    def both(x: Tensor) -> Factors:
        return Factors(len(x), by_layers(x).layers | by_rows(x).layers)

    return both


def jacobian_map(
    module: nn.Module,
    chunk: int = 32,
    outputs: Outputs = "scalar",
    names: Collection[str] | None = None,
) -> FeatureMap:
    """Jacobian rows by a vectorised gradient: for any module; N K P numbers.

    `names` are the parameters to differentiate by (default: all). A module that torch cannot
    vectorise is differentiated example by example.
    """
    call, every = with_parameters(frozen(module)), parameters_of(module)
    varied = {name: value for name, value in every.items() if names is None or name in names}

    def f(theta: dict[str, Tensor], example: Tensor) -> Tensor:
        return heads(call(every | theta, example[None]), outputs)[0]

    def of_one(theta: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        if outputs == "scalar":
            return grad(lambda theta: f(theta, x)[0])(theta)
        values, pull, *_ = vjp(lambda theta: f(theta, x), theta)
        # One output after the other: torch is wrong for some layers if two axes are vectorised.
        parts = [pull(unit)[0] for unit in torch.eye(len(values)).to(values).unbind()]
        return {name: torch.stack([part[name] for part in parts]) for name in theta}

    gradient = vmap(of_one, in_dims=(None, 0))

    def one_by_one(x: Tensor) -> dict[str, Tensor]:
        found = [gradients_of(module, example[None], outputs) for example in x]
        return {
            name: torch.stack(
                [torch.stack([g.get(name, torch.zeros_like(v)) for g in each]) for each in found]
            )
            for name, v in varied.items()
        }

    def features(x: Tensor) -> Factors:
        try:
            with no_fused_attention():
                rows = gradient(varied, x)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            rows = one_by_one(x)
        layers: dict[str, Factor] = {
            name: Rows(value.detach().flatten(1), {name: varied[name].shape})
            for name, value in rows.items()
            if value.any()
        }
        return Factors(len(x), layers)

    return lambda x: concatenate(map(features, x.split(chunk)), len(x))


def layer_map(
    module: nn.Module,
    chunk: int = CHUNK,
    outputs: Outputs = "scalar",
    names: Collection[str] | None = None,
) -> FeatureMap:
    """Layer-wise factors by forward hooks, for the layers whose parameters are all in `names`.

    By default for every layer of a known kind, whether or not its factors are right.
    """
    network = frozen(module)
    rules = _rules(network, parameters_of(module) if names is None else names)
    copied: set[str] = set()

    def features(x: Tensor) -> Factors:
        values, calls = _forward(network, x, rules, copied)
        return _factors(network, rules, calls, [v.sum() for v in heads(values, outputs).T], len(x))

    return lambda x: concatenate(map(features, x.split(chunk)), len(x))


Known = dict[str, tuple[Rule, dict[str, str]]]
"""Path of a layer -> its rule, and its parameters by the names that it and the network use."""
Seen = list[tuple[str, Tensor, Tensor]]
"""Path, input and output of every call of a layer."""


def _rules(network: nn.Module, names: Collection[str]) -> Known:
    """The layers of known kinds that own their parameters alone, all of them in `names`."""
    name_of = {id(value): name for name, value in network.named_parameters()}
    known = {path: (rule_of(layer), layer) for path, layer in network.named_modules()}
    found: Known = {
        path: (rule, {n: name_of[id(v)] for n, v in layer._parameters.items() if v is not None})
        for path, (rule, layer) in known.items()
        if rule is not None
    }
    owners: dict[str, int] = defaultdict(int)
    for _, own in found.values():
        for name in own.values():
            owners[name] += 1
    return {
        path: (rule, own)
        for path, (rule, own) in found.items()
        if all(owners[name] == 1 and name in names for name in own.values())
    }


def _forward(network: nn.Module, x: Tensor, rules: Known, copied: set[str]) -> tuple[Tensor, Seen]:
    """What the network returns for `x`, and the calls of the layers with rules.

    A tensor that the network changes in place is no longer what entered or left a layer. Such
    layers are added to `copied`, whose calls have tensors of their own, for another pass.
    """
    calls: Seen = []
    versions: list[tuple[int, int]] = []

    def remember(path: str) -> Callable[..., Tensor]:
        def hook(
            _: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], out: Tensor
        ) -> Tensor:
            first = not out.requires_grad
            if first:
                out.requires_grad_()  # the graph begins here: no gradient for the images
            given = (inputs[0] if inputs else keywords["input"]).detach()
            given = given.clone() if path in copied else given
            calls.append((path, given, out))
            versions.append((given._version, out._version))
            # Where a graph begins, autograd allows no change in place.
            return out.clone() if first or path in copied else out

        return hook

    handles = [  # before hooks of the module itself, which may change what the layer gave
        network.get_submodule(path).register_forward_hook(
            remember(path), with_kwargs=True, prepend=True
        )
        for path in rules
    ]
    try:
        with torch.enable_grad(), no_fused_attention():
            values = network(x)
    finally:
        for handle in handles:
            handle.remove()
    changed = {
        path
        for (path, given, out), known in zip(calls, versions, strict=True)
        if (given._version, out._version) != known
    }
    if not changed:
        return values, calls
    copied |= changed
    return _forward(network, x, rules, copied)


def _factors(
    network: nn.Module, rules: Known, calls: Seen, totals: list[Tensor], count: int
) -> Factors:
    """The factors of all layers from the gradients of `totals`, one for every output.

    A layer whose inputs have another first axis than the examples is left out.
    """
    if not totals[0].requires_grad:  # no known layer was called
        return Factors(count, {})
    gradients = _gradients(totals, [output for _, _, output in calls])
    by_layer: dict[str, list[Call]] = defaultdict(list)
    left_out = set()
    for (path, inputs, output), values in zip(calls, gradients, strict=True):
        if values is None:
            continue
        if len(inputs) != count or len(output) != count:
            left_out.add(path)
            continue
        by_layer[path].append(Call(inputs, values))
    layers = {}
    for path, own in by_layer.items():
        if path not in left_out and any(_alive(call.gradients) for call in own):
            rule, names = rules[path]
            layers[path] = rule(network.get_submodule(path), names, own)
    return Factors(count, layers)


def _gradients(totals: list[Tensor], at: list[Tensor]) -> list[Tensor | None]:
    """The gradients (N, K, ...) of K totals at every tensor (N, ...) of `at`; None where unused.

    The gradients of an output are copied to their places before those of the next are made.
    """
    found: list[Tensor | None] = [None] * len(at)
    for k, total in enumerate(totals):
        more = k + 1 < len(totals)
        own = torch.autograd.grad(total, at, allow_unused=True, retain_graph=more)
        if len(totals) == 1:
            return [None if gradient is None else gradient.unsqueeze(1) for gradient in own]
        for position, gradient in enumerate(own):
            place = found[position]
            if place is None and gradient is not None:
                shape = (len(gradient), len(totals), *gradient.shape[1:])
                place = found[position] = gradient.new_empty(shape)
                place[:, :k] = 0
            if place is not None:
                place[:, k] = 0 if gradient is None else gradient
    return found


def _alive(gradients: Tensor) -> bool:
    """Whether any is not zero; the first example mostly tells, and reading all takes long."""
    return bool(gradients[:1].any()) or bool(gradients.any())


def squared_norms(factors: Factors, x: Tensor) -> Tensor:
    """|grad_theta f(x_n)|^2 (N,), summed over the outputs: the diagonal of the kernel."""
    found = [factor.squared_norms() for factor in factors.layers.values()]
    zero = x.new_zeros(len(x), dtype=found[0].dtype if found else None)
    return sum(found, zero)


def _covered(module: nn.Module, x: Tensor, outputs: Outputs) -> tuple[set[str], int, int]:
    """The parameters whose layers have right factors, the bytes of these for one output of `x`,
    and the number of outputs.

    Judged by the gradient of one combination of the outputs: a rule that is right for it is right
    for each. A backward pass for every example, and one for all.
    """
    network = frozen(module)
    rules = _rules(network, parameters_of(module))
    with torch.no_grad(), no_fused_attention():
        alone = torch.cat([heads(network(example[None]), outputs) for example in x])
    weights = _weights(alone)
    try:
        values, calls = _forward(network, x, rules, set())
        values = heads(values, outputs)
        factors = _factors(network, rules, calls, [(values @ weights).sum()], len(x))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # the hooks are in the way of something that the network does
        return set(), 0, alone.shape[1]
    scale = 1e-3 * _largest(alone)
    if not torch.allclose(values.detach(), alone, rtol=1e-3, atol=scale, equal_nan=True):
        raise KernelError(
            f"{type(module).__name__} gives an example another output in a batch than alone, so it "
            "has no kernel: batch norm needs running statistics (track_running_stats=True)"
        )
    exact = [_combined(module, example[None], outputs, weights) for example in x]
    right: set[str] = set()
    for path, (_, names) in rules.items():
        factor = factors.layers.get(path)
        own = factor.transposed(torch.eye(len(x)).to(alone)) if factor is not None else {}
        if all(_agrees(own.get(name), [e.get(name) for e in exact]) for name in names.values()):
            right.update(names.values())
    kept = {p: f for p, f in factors.layers.items() if set(rules[p][1].values()) <= right}
    return right, Factors(len(x), kept).bytes, alone.shape[1]


def _largest(values: Tensor) -> float:
    """The largest magnitude of what is finite: a network that diverged has a kernel, of NaN."""
    return float(values.abs().nan_to_num(0, 0, 0).max())


def _weights(outputs: Tensor) -> Tensor:
    """One weight for every output, none of them alike; 1 for one output."""
    count = outputs.shape[1]
    return 1 + torch.arange(count).to(outputs) / max(1, count)


def _combined(
    module: nn.Module, example: Tensor, outputs: Outputs, weights: Tensor
) -> dict[str, Tensor]:
    """The gradient of a weighted sum of the outputs at one example, by parameter name."""
    network = frozen(module).requires_grad_()
    names, parameters = zip(*network.named_parameters(), strict=True)
    with torch.enable_grad(), no_fused_attention():
        total = (heads(network(example), outputs) @ weights).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    return {n: g for n, g in zip(names, gradients, strict=True) if g is not None}


def _agrees(own: Tensor | None, exact: list[Tensor | None]) -> bool:
    """Whether rows (n, ...) are the gradients of n examples; what is missing is zero."""
    for position, gradient in enumerate(exact):
        row = None if own is None else own[position]
        if row is None or gradient is None:
            present = row if gradient is None else gradient
            if present is not None and bool(present.any()):
                return False
            continue
        tolerance = AGREEMENT.get(row.dtype, 1e-2) * _largest(gradient)
        if not torch.allclose(row, gradient, rtol=0, atol=tolerance, equal_nan=True):
            return False
    return True


@cache
def _say_once(network: str, names: tuple[str, ...]) -> None:
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    log.warning("%s: rows of the Jacobian, not factors of layers, for %s", network, shown)
