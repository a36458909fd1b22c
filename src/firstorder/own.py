"""Functions by name: a user's own, in any file below the project, and registered ones."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        with importing(f"{what} {spec!r}", refuse):
            module = importlib.import_module(source)
    found = getattr(module, attribute, None)
    if not callable(found):
        close = get_close_matches(attribute, [name for name in vars(module) if name[0] != "_"], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise refuse(f"{what} {spec!r}: {source} has no function {attribute!r}{hint}")
    return found


@contextmanager
def importing(what: str, refuse: type[UserError]) -> Iterator[None]:
    """Raise `refuse`, in one line, for whatever a user's program raises while it is imported.

    Also where it would end this process, which might look like success.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise refuse(f"{what} cannot be imported: {reason}") from error


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
    with importing(f"{what} {spec!r}: {path}", refuse):
        declared.loader.exec_module(module)
    return module
