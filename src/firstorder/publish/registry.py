"""Functions that are declared by name in config/studies: tables, figures and claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from firstorder.errors import ConfigError

Function = TypeVar("Function", bound=Callable[..., Any])

REGISTRY: dict[str, Callable[..., Any]] = {}


def register(name: str) -> Callable[[Function], Function]:
    """Make a function known as `name`; names are unique over tables, figures and claims."""

    def keep(function: Function) -> Function:
        assert name not in REGISTRY, name
        REGISTRY[name] = function
        return function

    return keep


def lookup(name: str, where: str) -> Callable[..., Any]:
    """The function registered as `name`; ConfigError naming `where` when there is none."""
    if name not in REGISTRY:
        raise ConfigError(f"{where}: {name!r} is unknown; known: {', '.join(sorted(REGISTRY))}")
    return REGISTRY[name]
