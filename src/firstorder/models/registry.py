"""Models by name.

A builder takes `(num_classes, shape)` and keyword parameters, and returns a module whose
weights are yet to be drawn. Adding a model is one decorated builder in a module of this package. A
user's own needs no decorator and no change here: its name is `file.py:function`;
`torchvision:NAME` is a network of torchvision.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from firstorder import own
from firstorder.errors import ConfigError
from firstorder.models.initialisers import initialise
from firstorder.models.layers import show_black

Shape = tuple[int, int, int]
"""Channels, height, width of an image."""

TORCHVISION = "torchvision:"
AS_BUILT = "as-built"
"""The initialisation of a user's own network, unless `init` says another: its own."""

_BUILDERS: dict[str, Callable[..., nn.Module]] = {}
_INITIALISERS: dict[str, str] = {}


def register(
    name: str, init: str = "kaiming"
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Make a builder known as `name`; its weights are drawn by `init` unless a caller says."""

    def add(builder: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        _BUILDERS[name] = builder
        _INITIALISERS[name] = init
        return builder

    return add


def names() -> tuple[str, ...]:
    """All model names, sorted."""
    own.know_all("firstorder.models")
    return tuple(sorted(_BUILDERS))


def parameters_of(name: str) -> tuple[str, ...]:
    """What the configuration may set for model `name`, besides `init`."""
    others = list(inspect.signature(_builder(name)).parameters.values())[2:]
    return tuple(p.name for p in others if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))


def build(
    name: str,
    num_classes: int,
    shape: Shape,
    *,
    generator: torch.Generator | None = None,
    **parameters: Any,
) -> nn.Module:
    """Build model `name` for images of `shape` (C, H, W), with scores (B, num_classes).

    `parameters` are those of the model's builder, plus `init` (see `initialise`). The weights
    depend on `generator` (on the CPU) alone; without one they are drawn from a fixed stream. Who
    loads weights gives that of their training, too: a network may draw more than its weights.
    Raises ConfigError for an unknown name or parameter, in one line with what is allowed.
    """
    builder = _builder(name)
    allowed = parameters_of(name)
    init = parameters.pop("init", _INITIALISERS.get(name, AS_BUILT))
    for key in parameters:
        if key not in allowed:
            raise ConfigError(
                f"model {name!r}: parameter {key!r} is unknown; "
                f"allowed: {', '.join(sorted((*allowed, 'init')))}"
            )
    if "padding" in allowed and ":" not in name:
        # flax, in which arXiv:2106.06770 was written, pads strided convolutions otherwise.
        parameters.setdefault("padding", "same" if init == "lecun" else "torch")
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):  # constructors draw weights
        if init == AS_BUILT or ":" in name:  # of layers that `initialise` does not know, too
            torch.manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))
        with own.running(f"model {name!r}", ConfigError), _watching(name, parameters):
            module = builder(num_classes, shape, **parameters)
            if ":" in name:  # on a second one: of the first nothing changes
                second = builder(num_classes, shape, **parameters)
                _try(name, second, num_classes, shape)
                if {*module.parameters()} & {*second.parameters()}:
                    raise ConfigError(
                        f"model {name!r}: returns weights that it has returned before; build new "
                        "layers in every call"
                    )
                _fill(module, shape)
    if init != AS_BUILT:
        initialise(module, init, generator)
    return module


def _watching(name: str, parameters: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Refuse that a user's network reads what nothing watches."""
    if ":" not in name or name.startswith(TORCHVISION):
        return nullcontext()
    return own.watching(name.rpartition(":")[0], parameters)


def _try(name: str, module: object, num_classes: int, shape: Shape) -> None:
    """Refuse what is no network: tried are one step and the evaluation of one image, all black."""
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model {name!r}: returns {type(module).__name__}, not a torch.nn.Module")
    for key, value in module.state_dict().items():
        if not isinstance(value, Tensor):  # of get_extra_state
            raise ConfigError(
                f"model {name!r}: {key} of its state is {type(value).__name__}, not a tensor; keep "
                "it as a buffer"
            )
    known = {*dict(module.named_parameters())}
    scores = _scores(name, module.train(), num_classes, torch.zeros(2, *shape))
    made = sorted({*dict(module.named_parameters())} - known)
    if made:  # the file of a trained network would hold more than a new one has
        raise ConfigError(f"model {name!r}: makes {made[0]} in forward; make it in __init__")
    trained = [each for each in module.parameters() if each.requires_grad]
    if not trained:
        raise ConfigError(f"model {name!r}: has no weights to train")
    with own.running(f"model {name!r}", ConfigError):
        torch.autograd.grad(scores.sum(), trained, allow_unused=True)
    _scores(name, module.eval(), num_classes, torch.zeros(1, *shape))


def _scores(name: str, module: nn.Module, num_classes: int, images: Tensor) -> Tensor:
    """What a network gives for images (B, C, H, W), if that is scores (B, num_classes)."""
    how = f"model {name!r} in {'training' if module.training else 'evaluation'}"
    given = f"images {tuple(images.shape)}"
    with torch.enable_grad(), own.running(f"{how} on {given}", ConfigError):
        scores = module(images)
    if images._version:  # the next evaluation would see what this one left
        raise ConfigError(
            f"model {name!r}: changes its images in place; write x = x - m instead of x -= m"
        )
    right = (len(images), num_classes)
    if not isinstance(scores, Tensor) or scores.shape != right:
        found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ConfigError(f"{how}: gives {found} for {given}, not scores {right}")
    return scores


def _fill(module: nn.Module, shape: Shape) -> None:
    """Give lazy layers, which take their sizes from what they see first, their weights."""
    if not any(is_lazy(parameter) for parameter in module.parameters()):
        return
    show_black(module, shape)


def _builder(name: str) -> Callable[..., nn.Module]:
    if name.startswith(TORCHVISION):
        return of_torchvision(name.removeprefix(TORCHVISION))
    if ":" in name:
        return own.function(name, "model", ConfigError)
    if name not in _BUILDERS and name not in names():
        raise ConfigError(f"model {name!r} is unknown; allowed: {', '.join(names())}")
    return _BUILDERS[name]


def of_torchvision(name: str) -> Callable[..., nn.Module]:
    """The builder of a network of torchvision, without trained weights. Three channels only."""
    from torchvision import models

    def build(num_classes: int, shape: Shape) -> nn.Module:
        if shape[0] != 3:
            raise ConfigError(f"model {TORCHVISION}{name}: takes 3 channels, not {shape[0]}")
        return models.get_model(name, weights=None, num_classes=num_classes)

    return build
