"""Functions by name: a user's own, in any file below the project, and registered ones."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
        known = [name for name, value in vars(module).items() if name[0] != "_" and callable(value)]
        close = get_close_matches(attribute, known, n=1)
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
        raise refuse(f"{what} cannot be imported: {_reason(error)}") from error


def _place(error: BaseException) -> traceback.FrameSummary | None:
    """Where in a user's file an error comes from; None if no such file has a part in it."""
    places = traceback.extract_tb(error.__traceback__)
    own = [place for place in places if _is_own(place.filename)]
    return own[-1] if own else None


def _is_own(file: str) -> bool:
    """Whether a file is a user's: not of this package, of another one or of Python."""
    path = Path(file)
    return not (
        file.startswith("<")
        or {"site-packages", "dist-packages"} & {*path.parts}
        or any(path.is_relative_to(each) for each in NOT_OWN)
    )


def blaming(refuse: type[UserError]) -> AbstractContextManager[None]:
    """Raise `refuse`, in one line with the place, for what comes from a user's function.

    For where such functions are called at many places, and at any time. Other errors pass.
    """

    def told(reason: str, place: traceback.FrameSummary | None) -> str | None:
        return f"{place.filename}, line {place.lineno}: {reason}" if place else None

    return _refusing(refuse, told)


def running(what: str, refuse: type[UserError]) -> AbstractContextManager[None]:
    """Raise `refuse`, in one line with the place, for whatever a user's function raises."""

    def told(reason: str, place: traceback.FrameSummary | None) -> str:
        where = f" ({place.filename}, line {place.lineno})" if place else ""
        return f"{what} failed: {reason}{where}"

    return _refusing(refuse, told)


@contextmanager
def _refusing(
    refuse: type[UserError], told: Callable[[str, traceback.FrameSummary | None], str | None]
) -> Iterator[None]:
    """Raise `refuse` with what is `told` of an error and of its place, where anything is.

    Also where it would end this process, which might look like success. Errors of this package
    pass: they are one line already.
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        message = told(_reason(error), _place(error))
        if message is None:
            raise
        raise refuse(message) from error


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


NOT_OWN = (str(Path(__file__).parent), *sysconfig.get_paths().values())
"""Folders of this package, of other ones and of Python; there may be more `site-packages`."""


def know_all(package: str) -> None:
    """Import every module of a package, so that what its files register is known."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")


def _file(source: str, spec: str, what: str, refuse: type[UserError]) -> ModuleType:
    """The module of a file. It may import the files beside it."""
    path = Path(source).expanduser()
    if not path.is_file():
        raise refuse(f"{what} {spec!r}: no such file (below {Path.cwd()})")
    # Below a name that no other module has, and known by it: dataclasses look themselves up.
    name = path.absolute().with_suffix("").as_posix().strip("/").replace("/", ".")
    declared = importlib.util.spec_from_file_location(name, path)
    assert declared is not None and declared.loader is not None
    module = importlib.util.module_from_spec(declared)
    folder = path.parent.absolute()
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    sys.modules[name] = module
    with importing(f"{what} {spec!r}: {path}", refuse):
        _check_imports(path, folder)
        declared.loader.exec_module(module)
    return module


def _check_imports(path: Path, folder: Path) -> None:
    """ImportError where a file would get another module than the file beside it.

    Python knows one module of a name: the first that was imported, of the user's files or its own.
    """
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise ImportError(f"line {node.lineno}: import files beside it without the dot")
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
        for name in {name.partition(".")[0] for name in names}:
            beside = [folder / f"{name}.py", folder / name / "__init__.py"]
            found = [each for each in beside if each.is_file()]
            if not found:
                continue
            spec = getattr(sys.modules.get(name), "__spec__", None) or importlib.util.find_spec(
                name
            )
            origin = spec.origin if spec is not None else None
            if origin is None or Path(origin).resolve() not in [each.resolve() for each in found]:
                raise ImportError(f"`import {name}` finds {origin}, not {found[0]}; rename that")
