"""Losses by name, and what a loss is.

A loss is written as one function from scores (B, K) to the matrix (B, K) of its values for
every label, with its parameters as keywords:

    @register("gce")
    def gce(scores: Tensor, *, q: Share = 0.7) -> Tensor:
        return (1 - p**q) / q

`build` binds the parameters and makes a `Loss`. A user's own function needs no decorator and no
change here: `build("package.module:function", ...)` or `build("folder/file.py:function", ...)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from typing import Any, get_type_hints

import torch
from torch import Tensor

from firstorder import own
from firstorder.bounds import refusal
from firstorder.errors import LossError

Scalar = bool | int | float | str

Values = Callable[..., Tensor]
"""Scores (B, K) and keyword parameters to values (B, K)."""
Batch = Callable[..., Tensor]
"""Loss, scores (B, K), labels (B,), a generator or None, and the loss's own keyword parameters
to the loss of the whole batch."""


@dataclass(frozen=True)
class Loss:
    """A loss with its parameters. Scores may be of any float type; values are float32 or wider."""

    name: str
    num_classes: int
    parameters: Mapping[str, Scalar]
    function: Callable[[Tensor], Tensor] = field(repr=False)
    """Scores (B, K) to values (B, K)."""
    batch: Batch | None = field(default=None, repr=False)
    """For a loss whose batch is more than a mean over examples (random draws, batch statistics)."""
    class_weights: Tensor | None = field(default=None, repr=False)
    """(K,): largest class size over class size, of the labels given to `fit`."""

    def values(self, scores: Tensor) -> Tensor:
        """The value of every example alone for every label, (B, K)."""
        if scores.shape[-1] != self.num_classes:
            raise LossError(
                f"loss {self.name!r}: scores of shape {tuple(scores.shape)} for "
                f"{self.num_classes} classes"
            )
        values = self.function(widen(scores))
        if values.shape != scores.shape:
            raise LossError(
                f"loss {self.name!r}: values of shape {tuple(values.shape)} for scores of shape "
                f"{tuple(scores.shape)}; a loss maps (B, {self.num_classes}) to the same shape"
            )
        return values

    def per_example(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The value of every example for its own label, (B,)."""
        return self.values(scores).gather(-1, labels.unsqueeze(-1)).squeeze(-1)

    def __call__(
        self, scores: Tensor, labels: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """The loss of a batch, differentiable: the mean over examples where nothing else is said.

        A loss that draws at random (nlnl) takes its expectation when no generator is given.
        """
        if self.batch is None:
            return self.per_example(scores, labels).mean()
        return self.batch(self, widen(scores), labels, generator, **self.parameters)

    def fit(self, labels: Tensor) -> Loss:
        """This loss with what it needs of all training labels (N,): the class weights of nlnl."""
        sizes = torch.bincount(labels, minlength=self.num_classes).clamp_min(1)
        weights = (sizes.max() / sizes).to(torch.get_default_dtype())
        return replace(self, class_weights=weights)


@dataclass(frozen=True)
class Entry:
    """What is registered under a name."""

    function: Values
    batch: Batch | None = None


_ENTRIES: dict[str, Entry] = {}


def widen(scores: Tensor) -> Tensor:
    """`scores` in float32, or in their own type where that is wider."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def register(name: str, *, batch: Batch | None = None) -> Callable[[Values], Values]:
    """Register a function from scores to values under `name`."""

    def decorate(function: Values) -> Values:
        known = _ENTRIES.get(name)
        if known is not None and _origin(known.function) != _origin(function):
            raise LossError(
                f"loss {name!r} is already {'.'.join(_origin(known.function))}; "
                f"register {'.'.join(_origin(function))} under another name"
            )
        _ENTRIES[name] = Entry(function, batch)
        return function

    return decorate


def _origin(function: Values) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def names() -> tuple[str, ...]:
    """All registered names, sorted."""
    own.know_all("firstorder.losses")
    return tuple(sorted(_ENTRIES))


def build(name: str, num_classes: int, **parameters: Scalar) -> Loss:
    """The loss called `name` for `num_classes` classes.

    `name` is a registered name, or a user's `package.module:function` or `file.py:function`.
    Raises LossError naming what is known for an unknown name, or an unknown, missing or
    impossible parameter.
    """
    entry = _entry(name)
    if num_classes < 2:
        raise LossError(f"loss {name!r}: num_classes = {num_classes}; at least 2 are needed")
    bound = {**defaults(entry.function), **parameters}
    _check(name, entry.function, bound)
    loss = Loss(name, num_classes, bound, partial(entry.function, **bound), entry.batch)
    if ":" in name:
        with own.watching(name.rpartition(":")[0], bound):
            _try(loss)
    return loss


def _try(loss: Loss) -> None:
    """Refuse a user's function that is no loss: tried on equal scores of two examples.

    In float32, as it is trained, and in float64, as its properties are measured.
    """
    name = f"loss {loss.name!r}"
    for dtype in (torch.float32, torch.float64):
        scores = torch.zeros(2, loss.num_classes, dtype=dtype, requires_grad=True)
        with torch.enable_grad(), own.running(f"{name} on scores of {dtype}", LossError):
            values = loss.function(scores)
        if not isinstance(values, Tensor) or not values.is_floating_point():
            kind = str(values.dtype) if isinstance(values, Tensor) else type(values).__name__
            raise LossError(f"{name}: returns {kind}, not values (B, K) of a float type")
        if not values.requires_grad:
            raise LossError(f"{name}: its values have no gradient in the scores")
        with own.running(f"the gradient of {name} on scores of {dtype}", LossError):
            torch.autograd.grad(values.sum(), scores)
        _ = loss.values(scores)


def defaults(function: Values) -> dict[str, Scalar]:
    """The parameters of a loss function that have a default, with it."""
    return {
        name: parameter.default
        for name, parameter in _parameters(function).items()
        if parameter.default is not inspect.Parameter.empty
    }


def _parameters(function: Values) -> dict[str, inspect.Parameter]:
    """All parameters but the scores that can be given by name."""
    try:
        _, *others = inspect.signature(function).parameters.items()
    except ValueError:
        raise LossError(f"{function!r}: a compiled function; name one that `def` makes") from None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: each for name, each in others if each.kind in named}


def _entry(name: str) -> Entry:
    if name in _ENTRIES:
        return _ENTRIES[name]
    if ":" not in name:
        if name in (known := names()):
            return _ENTRIES[name]
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise LossError(f"loss {name!r} is unknown; {hint}known: {', '.join(known)}")
    function = own.function(name, "loss", LossError)
    registered = [entry for entry in _ENTRIES.values() if entry.function is function]
    return registered[0] if registered else Entry(function)


def _check(name: str, function: Values, given: Mapping[str, Scalar]) -> None:
    """Refuse parameters that `function` does not take."""
    known = _parameters(function)
    allowed = f"allowed: {', '.join(known) or 'none'}"
    for key in given:
        if key not in known:
            raise LossError(f"loss {name!r}: parameter {key!r} is unknown; {allowed}")
    for key in known:
        if key not in given:
            raise LossError(f"loss {name!r}: parameter {key!r} is missing; {allowed}")
    hints = _hints(function)
    for key, value in given.items():
        reason = refusal(hints[key], value) if key in hints else None
        if reason:
            raise LossError(
                f"loss {name!r}: parameter {key} = {value!r} is not allowed: {reason}; {allowed}"
            )


def _hints(function: Values) -> dict[str, Any]:
    """Type hints of the parameters; none where a user's annotations cannot be resolved."""
    try:
        return get_type_hints(function, include_extras=True)
    except NameError:
        return {}
