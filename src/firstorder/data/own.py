"""A user's own function, named `file.py:function`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from firstorder.errors import DataError


def function(spec: str, what: str) -> Callable[..., Any]:
    """The function that `spec` names; `what` it is for begins the message of a DataError."""
    source, _, attribute = spec.rpartition(":")
    path = Path(source).expanduser()
    if path.suffix != ".py" or not attribute.isidentifier():
        raise DataError(f"{what} {spec}: write file.py:function")
    if not path.is_file():
        raise DataError(f"{what} {spec}: no such file (below {Path.cwd()})")
    declared = importlib.util.spec_from_file_location(path.stem, path)
    assert declared is not None and declared.loader is not None
    module = importlib.util.module_from_spec(declared)
    try:
        declared.loader.exec_module(module)
    except Exception as error:  # it is the user's program
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{what} {spec}: {path} cannot be imported: {reason}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        close = get_close_matches(attribute, [name for name in vars(module) if name[0] != "_"], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise DataError(f"{what} {spec}: {path} has no function {attribute!r}{hint}")
    return found
