"""Functions by name: a user's own, in any file below the project, and registered ones."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from firstorder.errors import UserError


def function(spec: str, what: str, refuse: type[UserError]) -> Callable[..., Any]:
    """The function that `file.py:function` or `package.module:function` names.

    `what` it is for begins the message of the error `refuse` when there is none.
    """
    source, _, attribute = spec.rpartition(":")
    if not source or not attribute.isidentifier():
        raise refuse(f"{what} {spec!r}: write file.py:function")
    module = _file(source, spec, what, refuse) if source.endswith(".py") else None
    if module is None:
        try:
            module = importlib.import_module(source)
        except ImportError as error:
            raise refuse(f"{what} {spec!r} cannot be imported: {_line(error)}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        close = get_close_matches(attribute, [name for name in vars(module) if name[0] != "_"], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise refuse(f"{what} {spec!r}: {source} has no function {attribute!r}{hint}")
    return found


def know_all(package: str) -> None:
    """Import every module of a package, so that what its files register is known."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")


def _file(source: str, spec: str, what: str, refuse: type[UserError]) -> ModuleType:
    """The module of a file. It may import the files beside it."""
    path = Path(source).expanduser()
    if not path.is_file():
        raise refuse(f"{what} {spec!r}: no such file (below {Path.cwd()})")
    declared = importlib.util.spec_from_file_location(path.stem, path)
    assert declared is not None and declared.loader is not None
    module = importlib.util.module_from_spec(declared)
    folder = str(path.parent.absolute())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        declared.loader.exec_module(module)
    except Exception as error:  # it is the user's program
        reason = f"{type(error).__name__}: {_line(error)}"
        raise refuse(f"{what} {spec!r}: {path} cannot be imported: {reason}") from error
    return module


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
