"""How weights are drawn: the papers' initialisers, from an explicit generator.

`kaiming`      the code of arXiv:2605.20347's peers: convolutions kaiming-uniform (fan-in, ReLU),
               linear layers xavier-uniform, biases torch's default U(-1/sqrt(fan_in), ...).
`lecun`        flax's default: normal with variance 1/fan_in, truncated at two
               underlying standard deviations; biases 0.
`torchvision`  ResNet-50: convolutions kaiming-normal (fan-out, ReLU), linear layers torch's
               default.
`torch`        CIFAR-N: what torch draws by default, U(-1/sqrt(fan_in), ...) everywhere.

Normalisation layers start as the identity in all four.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from firstorder.errors import ConfigError

TRUNCATED = 0.87962566103423978
"""Standard deviation of a standard normal truncated at +-2."""

Layer = nn.Linear | nn.Conv2d
Norm = nn.BatchNorm1d | nn.BatchNorm2d


def initialise(module: nn.Module, init: str, generator: torch.Generator) -> None:
    """Draw the weights of linear, 2-D convolutional and normalisation layers of `module` again, in
    the order of `module.modules()`. Those of other layers stay.

    `generator` is a CPU generator; the global one is not touched, and weights do not depend on
    the device of the module. Raises ConfigError for an unknown `init`.
    """
    if init not in INITIALISERS:
        raise ConfigError(f"init {init!r} is unknown; allowed: {', '.join(sorted(INITIALISERS))}")
    draw = INITIALISERS[init]
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, Layer):
                weight = torch.empty(layer.weight.shape)
                bias = None if layer.bias is None else torch.empty(layer.bias.shape)
                draw(layer, weight, bias, generator)
                layer.weight.copy_(weight)
                if layer.bias is not None and bias is not None:
                    layer.bias.copy_(bias)
            elif isinstance(layer, Norm):
                layer.reset_parameters()


def fan_in(layer: Layer) -> int:
    """How many inputs one output of the layer sums."""
    return layer.weight[0].numel()


def lecun(layer: Layer, weight: Tensor, bias: Tensor | None, generator: torch.Generator) -> None:
    """Truncated normal of variance 1/fan_in; bias 0."""
    truncated_normal(weight, math.sqrt(1 / fan_in(layer)) / TRUNCATED, generator)
    if bias is not None:
        bias.zero_()


def truncated_normal(weight: Tensor, deviation: float, generator: torch.Generator) -> None:
    """Fill `weight` with normal numbers, drawn again where they are beyond two deviations.

    Written out because torch's own changed its method: 2.11 and 2.15 draw different numbers from
    one seed. These are the latter's.
    """
    bound = float(weight.new_tensor(2 * deviation))  # as the weights' precision has it
    weight.normal_(0, deviation, generator=generator)
    while bool((beyond := weight.abs() > bound).any()):
        again = torch.empty_like(weight).normal_(0, deviation, generator=generator)
        weight.copy_(again.where(beyond, weight))


def kaiming(layer: Layer, weight: Tensor, bias: Tensor | None, generator: torch.Generator) -> None:
    """Uniform: bound sqrt(6/fan_in) for convolutions, sqrt(6/(fan_in + fan_out)) for linear."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)
    else:
        nn.init.xavier_uniform_(weight, generator=generator)
    default_bias(layer, bias, generator)


def torchvision(
    layer: Layer, weight: Tensor, bias: Tensor | None, generator: torch.Generator
) -> None:
    """Convolutions normal of variance 2/fan_out; linear layers U(-1/sqrt(fan_in), ...)."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu", generator=generator)
    else:
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
    default_bias(layer, bias, generator)


def default(layer: Layer, weight: Tensor, bias: Tensor | None, generator: torch.Generator) -> None:
    """torch's default for convolutions and linear layers."""
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
    default_bias(layer, bias, generator)


def default_bias(layer: Layer, bias: Tensor | None, generator: torch.Generator) -> None:
    """torch's default: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    if bias is not None:
        bound = 1 / math.sqrt(fan_in(layer))
        bias.uniform_(-bound, bound, generator=generator)


INITIALISERS: dict[str, Callable[[Layer, Tensor, Tensor | None, torch.Generator], None]] = {
    "kaiming": kaiming,
    "lecun": lecun,
    "torch": default,
    "torchvision": torchvision,
}
