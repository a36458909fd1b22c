"""Tables, figures and claims by name: one decorated function each.

    @figure("learning-curves", reads=("history.csv",))
    def learning_curves(results: Results, *, metric: str = "test_accuracy") -> Drawing: ...

`reads` names the files of every selected result that the function opens; its keyword-only
parameters are the options that `config/studies` may give, checked against their annotations
before anything is planned (see `jobs.signature`, which reads the source: nothing is imported).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from firstorder.errors import DataError
from firstorder.jobs.job import Files, Spec

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Results:
    """What a table, figure or claim is made from."""

    spec: Spec
    """What the study resolved of the selection: rows, labels, groups."""
    files: Files
    """The files of the selection, by the study's names for them."""
    published: str | None = None
    """The file of published numbers."""

    def path(self, *parts: str | int) -> str:
        """The file with this name. Raises DataError when it is missing."""
        path = self.files["/".join(map(str, parts))]
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file; `snakemake {path}` makes it")
        return path


def _named(function: Function) -> Function:
    """The function itself: its name is read from the decorator, in the source."""
    return function


def table(name: str, *, reads: tuple[str, ...] = ()) -> Callable[[Function], Function]:
    """Register a function (results, *, options) -> Table."""
    return _named


def figure(name: str, *, reads: tuple[str, ...] = ()) -> Callable[[Function], Function]:
    """Register a function (results, *, options) -> Drawing."""
    return _named


def claim(
    name: str, *, reads: tuple[str, ...] = (), either: tuple[str, ...] = ()
) -> Callable[[Function], Function]:
    """Register a function (results, *, options) -> Verdict.

    `either`: options of which exactly one is given.
    """
    return _named


PUBLISHED = "published"
"""The name of the file of published numbers among the inputs of a table or figure."""


def call(spec: Spec, inputs: Files) -> Any:
    """What the function of a table, figure or claim returns for its selection and options."""
    module, _, name = spec["function"].rpartition(":")
    own = {key: path for key, path in inputs.items() if key != PUBLISHED}
    results = Results(spec["selected"], own, inputs.get(PUBLISHED))
    return getattr(import_module(module), name)(results, **spec["options"])
