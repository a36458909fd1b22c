"""Functions by name: a user's own, in any file below the project, and registered ones."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import pkgutil
import sys
import sysconfig
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from difflib import get_close_matches
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from firstorder.errors import ConfigError, UserError


def function(spec: str, what: str, refuse: type[UserError]) -> Callable[..., Any]:
    """The function that `file.py:function` or `package.module:function` names.

    `what` it is for begins the message of the error `refuse` when there is none.
    """
    source, _, attribute = spec.rpartition(":")
    if not source or not attribute.isidentifier():
        raise refuse(f"{what} {spec!r}: write file.py:function")
    _find_in(Path.cwd())
    if source.endswith(".py"):
        module = _file(source, spec, what, refuse)
    else:
        with importing(f"{what} {spec!r}", refuse), watching(source):
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
        or any(_holds_packages(each) for each in path.parents if str(each) in sys.path)
    )


@cache
def _holds_packages(folder: Path) -> bool:
    """Whether packages are installed in a folder: `pip install --target`."""
    return any(folder.glob("*.dist-info"))


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
def watching(module: str, values: object = (), below: Path | None = None) -> Iterator[None]:
    """Refuse that a user's function reads or imports a file of theirs that nothing watches.

    Watched are `sources` of its module, the files that these name (`data`) and that `values` name,
    which it is given, and what lies below a folder. Looked at are files of the project, and those
    beside that folder. Raises UserError.
    """
    _hear_of_opened_files()
    # Before anything runs: it may change where Python finds modules.
    known = (*sources(module), *data(module), *given(module, values))
    opened: dict[str, None] = {}
    before = {*sys.modules}
    _opened.append(opened)
    try:
        yield
    finally:
        _opened.pop()
    _check_imports(module, before)
    here, allowed = Path.cwd(), None if below is None else Path(os.path.abspath(below))
    watched = {path.resolve() for path in known}
    for name in opened:
        path = Path(os.path.abspath(name))
        beside = allowed is not None and path.parent == allowed.parent
        if (
            (beside or path.is_relative_to(here))
            and path.is_file()
            and path.suffix not in (".py", ".pyc")
            and "__pycache__" not in path.parts
            and not (allowed and path.is_relative_to(allowed))
            and not (allowed and path.resolve().is_relative_to(allowed.resolve()))
            and path.resolve() not in watched
            and _is_own(str(path))
        ):
            outside = f": it lies outside of {below}; move it there, or" if below else ";"
            raise UserError(
                f"{module} reads {path}, of which no change would be seen{outside} write its path "
                f"as one text in {module}, from the project's folder or from that of {module}"
            )


_opened: list[dict[str, None]] = []
"""What is opened for reading by each function that is looked at now."""


@cache
def _hear_of_opened_files() -> None:
    def hear(event: str, given: tuple[Any, ...]) -> None:
        if event == "open" and _opened and isinstance(given[0], str | os.PathLike):
            mode = given[1] if isinstance(given[1], str) else "r"
            if not set(mode) & set("wax+"):
                _opened[-1][os.fsdecode(given[0])] = None

    sys.addaudithook(hear)


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
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())


PACKAGE = Path(__file__).parent
NOT_OWN = (str(PACKAGE), *(v for k, v in sysconfig.get_paths().items() if k != "data"))
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
    _find_in(folder)
    sys.modules[name] = module
    with importing(f"{what} {spec!r}: {path}", refuse):
        _check_names(path, folder)
        with watching(source):
            declared.loader.exec_module(module)
    return module


ADDED: set[str] = set()
"""Folders in which Python finds modules because a user's file lies there."""


def _find_in(folder: Path) -> None:
    """Let Python find modules in a folder, after all others."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        ADDED.add(str(folder))


def _check_names(path: Path, folder: Path) -> None:
    """ImportError where a file would get another module than the file beside it.

    Python knows one module of a name: the first that was imported, of the user's files or its own.
    """
    for level, dotted, line in imported(path):
        if level:
            raise ImportError(f"line {line}: import files beside it without the dot")
        name = dotted.partition(".")[0]
        beside = [folder / f"{name}.py", folder / name / "__init__.py"]
        found = [each for each in beside if each.is_file()]
        if not found:
            continue
        spec = getattr(sys.modules.get(name), "__spec__", None) or importlib.util.find_spec(name)
        origin = spec.origin if spec is not None else None
        if origin is None or Path(origin).resolve() not in [each.resolve() for each in found]:
            raise ImportError(f"`import {name}` finds {origin}, not {found[0]}; rename that")


def _check_imports(source: str, before: Collection[str]) -> None:
    """UserError where a file or module got a user's file that is not of its `sources`.

    Found by a path or a name that was made up, or as the first of two of one name: what depends on
    it would be stale. `before`: the names of the modules that were there.
    """
    files, new = sources(source), {*sys.modules} - {*before}
    heads = {
        dotted.partition(".")[0]
        for path in files
        for level, dotted, _ in imported(path)
        if not level
    }
    watched = {path.resolve() for path in files}
    for name in sorted(new | heads):
        file = _users_file(name)
        if file is not None and Path(file).resolve() not in watched:
            for each in filter(_users_file, new):  # the next who asks is told again
                sys.modules.pop(each)
            raise UserError(
                f"imports {file} in a way that hides its changes, or as one of two of that name; "
                f"place it beside, under a name of its own, and write `import {name}`"
            )


def _users_file(module: str) -> str | None:
    """The user's file that an imported module is; None if it is another's."""
    file = getattr(sys.modules.get(module), "__dict__", {}).get("__file__")
    theirs = (
        isinstance(file, str)
        and module.partition(".")[0] not in sys.stdlib_module_names
        and file.endswith(".py")
        # Packages that make modules give them names of files that are not there.
        and os.path.isabs(file)
        and os.path.isfile(file)
        and _is_own(file)
    )
    return file if theirs else None


@cache
def sources(module: str) -> tuple[Path, ...]:
    """A file or module of the user, and the files of the user's that it imports, itself first.

    Installed packages are not followed: their versions are recorded beside a result.
    """
    start = module_file(module)
    if start is None:
        raise ConfigError(f"{module}: no such file or module")
    start = start.absolute()
    root, waiting = start.parent, [start]
    if not module.endswith(".py"):  # it is found from where its outermost package lies
        parts = module.split(".")
        root = start.parents[len(parts) - (start.name != "__init__.py")]
        waiting += _run_by_import(root, parts)
    found: dict[Path, None] = {}
    asked: set[tuple[Path, str]] = set()
    while waiting:
        file = waiting.pop(0)
        if file in found:
            continue
        found[file] = None
        if file.name == "__init__.py" and _loads_by_name(file):
            waiting += sorted(file.parent.rglob("*.py"))
        for level, name, _ in imported(file):
            parts = name.split(".") if name else []
            beside = file.parents[level - 1 : level] if level else (file.parent, root, Path.cwd())
            for folder in (*beside, *(() if level else _installed_in_place(parts[0]))):
                if (folder, name) not in asked:
                    asked.add((folder, name))
                    waiting += _run_by_import(folder, parts)
    return tuple(found)


@cache
def data(module: str) -> tuple[Path, ...]:
    """The files that `sources` of a module name in a text: from here, or from beside them."""
    known = sources(module)
    named = set[Path]().union(*(_named(_paths(file), (Path.cwd(), file.parent)) for file in known))
    return tuple(sorted(named - {*known}))


def given(module: str, values: object) -> tuple[Path, ...]:
    """The files that the texts among `values`, given to a function of a module, name."""
    start = module_file(module)
    folders = (Path(), *([start.parent] if start else ()))
    return tuple(sorted(_named(texts(values), folders)))


def texts(values: object) -> Iterator[str]:
    """All texts of nested lists and mappings."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, str):
        yield values
    elif isinstance(values, list | tuple):
        for each in values:
            yield from texts(each)


def _named(names: Iterable[str], folders: Collection[Path]) -> set[Path]:
    """The files in some folders that may be read and are named, among any other texts."""
    # Of `~name` the system is asked, which refuses some texts.
    known = {os.path.expanduser(each) if each.startswith("~/") else each for each in names}
    paths = {folder / name for name in known for folder in folders}
    return {path for path in paths if os.path.isfile(path) and os.access(path, os.R_OK)}


def _paths(file: Path) -> Iterator[str]:
    """The texts in a file that may be paths, also put together: `here / "a" / "b.csv"`."""
    for node in ast.walk(parse(file)):
        constants = [each.value for each in _parts(node) if isinstance(each, ast.Constant)]
        texts = [each for each in constants if isinstance(each, str)]
        yield from texts
        yield "/".join(texts)
        if isinstance(node, ast.JoinedStr):  # f"{here}/a.csv"
            yield from (each.lstrip("/") for each in texts)


def _parts(node: ast.AST) -> list[ast.expr]:
    """What a path is put together from."""
    match node:
        case ast.BinOp(left=left, right=right):
            return [*_parts(left), right]
        case ast.Call(args=args):
            return args
        case ast.JoinedStr(values=values):
            return values
        case ast.expr():
            return [node]
    return []


@cache
def _loads_by_name(package: Path) -> bool:
    """Whether an `__init__.py` imports the modules beside it otherwise than by `import`."""
    return bool(names(parse(package)) & {"import_module", "__import__", "__getattr__", "__path__"})


@cache
def _installed_in_place(name: str) -> tuple[Path, ...]:
    """The folders of the user's in which Python finds a module: PYTHONPATH, editable packages."""
    if name in sys.stdlib_module_names or (found := _spec(name)) is None:
        return ()
    places = [*(found.submodule_search_locations or []), found.has_location and found.origin]
    folders = (Path(each).parent for each in places if each and _is_own(each))
    return tuple(folder for folder in folders if str(folder) not in ADDED)


def _run_by_import(folder: Path, parts: list[str]) -> list[Path]:
    """The user's files that run where `parts`, the names of a module, are imported from a folder.

    Of the packages around it not those of studies: they make jobs, which hold what comes of it.
    """
    place = folder.joinpath(*parts)
    around = [package / "__init__.py" for package in place.parents[: max(len(parts) - 1, 0)]]
    paths = [
        *([place.with_suffix(".py")] if parts else []),
        place / "__init__.py",
        *(path for path in around if path.is_file() and not _declares_study(path)),
    ]
    return [path for path in paths if path.is_file() and not path.is_relative_to(PACKAGE)]


@cache
def _declares_study(path: Path) -> bool:
    return "STUDY" in names(parse(path))


@cache
def imported(path: Path) -> tuple[tuple[int, str, int], ...]:
    """Every module that a file may import, with the dots before its name, and the line."""
    found: list[tuple[int, str, int]] = []
    for node in ast.walk(parse(path)):
        match node:
            case ast.Import(names=names):
                found += ((0, each.name, node.lineno) for each in names)
            case ast.ImportFrom(module=source, names=names, level=level):
                start = f"{source}." if source else ""
                found.append((level, source or "", node.lineno))
                found += ((level, f"{start}{each.name}", node.lineno) for each in names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ) if name[:1] not in ("", "."):
                found.append((0, name, node.lineno))
    return tuple(found)


def names(*trees: ast.AST) -> set[str]:
    """The names in syntax trees: of variables, attributes, definitions, imports and arguments."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    kinds = ("id", "attr", "name", "arg")
    return {getattr(node, kind) for node in nodes for kind in kinds if hasattr(node, kind)}


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file. Raises ConfigError naming file and line where it has none."""
    return read(path)


def read(path: Path) -> ast.Module:
    """The same, for who changes it."""
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""  # none of null bytes
        raise ConfigError(f"{path}: {line}not Python: {error.msg}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not Python: {error}") from None


def module_file(module: str) -> Path | None:
    """The file of a module, or of `file.py` itself; None if there is none."""
    if module.endswith(".py"):
        file = Path(module).expanduser()
        return file if file.is_file() else None
    _find_in(Path.cwd())
    # Not by its whole name: that would import the packages around it.
    name, *inner = module.split(".")
    spec = _spec(name)
    for part in inner:
        if spec is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations or [])
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
