"""Specs that note what is read of them.

A read is noted by the place of a value: the keys that lead to it, `*` for positions in lists.
Models that a step makes of a part of its spec are followed: their fields are reads of that part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from firstorder.config import Strict
from firstorder.jobs.context import Context

Place = tuple[str, ...]


def leaves(value: Any, place: Place = ()) -> Iterator[Place]:
    """The places of all values of a spec that hold no others."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from leaves(each, (*place, str(key)))
    elif isinstance(value, list | tuple) and value:
        for each in value:
            yield from leaves(each, (*place, "*"))
    else:
        yield place


def traced(value: Any, log: set[Place], place: Place = ()) -> Any:
    """A value that adds to `log` the places that are read."""
    if isinstance(value, dict):
        return TracedDict(value, log, place)
    if isinstance(value, list | tuple):
        return TracedList(value, log, place)
    log.add(place)
    return value


class TracedDict(dict[str, Any]):
    """A dictionary that notes its reads; overridden `__iter__` sends copies through here too."""

    def __init__(self, value: dict[str, Any], log: set[Place], place: Place) -> None:
        super().__init__(value)
        self.log, self.place = log, place
        if not value:
            log.add(place)

    def __getitem__(self, key: str) -> Any:
        return traced(super().__getitem__(key), self.log, (*self.place, str(key)))

    def get(self, key: str, default: Any = None) -> Any:
        if key in self:
            return self[key]
        return default

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def keys(self) -> Any:
        return list(super().keys())

    def items(self) -> Any:
        return [(key, self[key]) for key in self.keys()]

    def values(self) -> Any:
        return [self[key] for key in self.keys()]


class TracedList(list[Any]):
    """A list that notes its reads."""

    def __init__(self, value: list[Any] | tuple[Any, ...], log: set[Place], place: Place) -> None:
        super().__init__(value)
        self.log, self.place = log, place
        if not value:
            log.add(place)

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        if isinstance(index, slice):
            return TracedList(found, self.log, self.place)
        return traced(found, self.log, (*self.place, "*"))

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))


def plain(value: Any) -> Any:
    """The same value without notes, read without noting."""
    if isinstance(value, dict):
        return {key: plain(dict.__getitem__(value, key)) for key in dict.keys(value)}
    if isinstance(value, list):
        return [plain(list.__getitem__(value, index)) for index in range(len(value))]
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return value


@contextmanager
def followed() -> Iterator[None]:
    """Follow models that are made of traced values; an identity reads all and uses nothing."""
    validate, dump = Strict.model_validate.__func__, Strict.model_dump  # type: ignore[attr-defined]
    identity, get = Context.identity, Strict.__getattribute__
    sources: dict[int, tuple[Strict, TracedDict]] = {}

    def model_validate(cls: type[Strict], value: Any, **options: Any) -> Any:
        model = validate(cls, plain(value), **options)
        if isinstance(value, TracedDict):
            sources[id(model)] = model, value  # kept, so that the number stays its own
        elif isinstance(value, dict):
            for each in value.values():
                if isinstance(each, TracedDict | TracedList):
                    _all(each)
        return model

    def read(self: Strict, name: str) -> Any:
        known = sources.get(id(self))
        if known and name in known[1]:
            _all(traced(dict.__getitem__(known[1], name), known[1].log, (*known[1].place, name)))
        return get(self, name)

    def model_dump(self: Strict, **options: Any) -> Any:
        known = sources.get(id(self))
        if known:
            _all(known[1])
        return dump(self, **options)

    Strict.model_validate = classmethod(model_validate)  # type: ignore[assignment]
    Strict.__getattribute__ = read  # type: ignore[method-assign]
    Strict.model_dump = model_dump  # type: ignore[method-assign]
    Context.identity = lambda self, spec, inputs, *entries: identity(  # type: ignore[method-assign]
        self,
        plain(dict(dict.items(spec))),  # type: ignore[arg-type]
        inputs,
        *entries,
    )
    try:
        yield
    finally:
        del Strict.model_validate, Strict.__getattribute__, Strict.model_dump
        Context.identity = identity  # type: ignore[method-assign]


def _all(value: Any) -> None:
    """Note everything in a value."""
    if isinstance(value, TracedDict):
        for each in value.values():
            _all(each)
    elif isinstance(value, TracedList):
        for each in value:
            _all(each)
