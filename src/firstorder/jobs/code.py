"""Code digests: which code a result depends on, to the definition.

Snakemake cannot see the modules behind a command line, so every rule carries a digest of the
code that its verb uses. The digest is of syntax trees, without docstrings, comments, layout and
annotations, and of exactly the top-level definitions that an entry reaches: editing one figure's
function reruns that figure, adding a loss reruns nothing.

Reach is found statically. From a definition it follows every name that it mentions, through the
imports of its module and of its own body, as long as they lead to this package. Definitions that
are registered by name (losses, models, tables, figures, claims) are found by their decorator,
`@register("name")`. Configuration and paths are left out: what they resolve to is in the rules'
parameters already.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from firstorder.errors import ConfigError

SOURCE = Path(__file__).resolve().parents[2]
PACKAGE = "firstorder"
UNCOUNTED = tuple(f"{PACKAGE}.{name}" for name in ("cli", "config", "errors", "jobs"))
"""Packages whose effect is in a job's spec, or in no result at all."""

Definition = tuple[str, str]
"""A module and the name of one of its top-level definitions."""


@dataclass(frozen=True)
class Module:
    """The top level of one module."""

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """Local name -> (module, attribute or None for the module itself)."""
    effects: list[ast.stmt] = field(default_factory=list)
    """Statements that run on import and define nothing."""


@cache
def code(*entries: str) -> str:
    """Digest (12 hexadecimal digits) of all code that `entries` reach.

    An entry is `module:definition` of this package, or a path `file.py:definition` or a
    module of somebody else, which counts as a whole.
    """
    found: set[Definition] = set()
    texts: list[str] = []
    for entry in entries:
        module, _, name = entry.rpartition(":")
        if module.startswith(f"{PACKAGE}."):
            found |= reach((module, name))
        else:
            texts.append(_foreign(module))
    texts += [text for definition in sorted(found) for text in _dump(definition)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


@cache
def reach(start: Definition) -> frozenset[Definition]:
    """All definitions of this package that `start` leads to, itself included."""
    found: set[Definition] = set()
    waiting = [start]
    while waiting:
        definition = _resolve(waiting.pop())
        if definition is None or definition in found:
            continue
        found.add(definition)
        waiting.extend(_mentioned(definition))
    return frozenset(found)


def definition(entry: str) -> ast.FunctionDef | ast.ClassDef | None:
    """The function or class at an entry `module:name` or `file.py:name`; None when absent."""
    module, _, name = entry.rpartition(":")
    path = _path(module)
    if path is None:
        return None
    for statement in _parse(path).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.name == name:
            return statement
    return None


def assigned(module: str, name: str) -> tuple[str, ast.expr] | None:
    """What a module, or one of this package that it imports from, assigns to `name`, and where."""
    found = _resolve((module, name)) if _file(module) is not None else None
    if found is None:
        path = _path(module)
        statements = _parse(path).body if path is not None else []
        home = module
    else:
        home, name = found
        statements = _module(home).definitions[name]
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                return home, value
    return None


def file_of(entry: str) -> Path | None:
    """The file that an entry lies in."""
    return _path(entry.rpartition(":")[0])


@dataclass(frozen=True)
class Registered:
    """A definition with a decorator `@decorator("name", ...)`."""

    decorator: str
    name: str
    entry: str
    keywords: dict[str, ast.expr]
    """Keyword arguments of the decorator, as they are written."""


@cache
def registry(package: str) -> tuple[Registered, ...]:
    """Everything below `package` that a decorator registers by name, found without importing."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return ()
    origin = Path(spec.origin)
    paths = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
    found = []
    for path in paths:
        inner = path.relative_to(origin.parent).with_suffix("").parts
        parts = inner[:-1] if inner and inner[-1] == "__init__" else inner
        module = ".".join((package, *parts)) if spec.submodule_search_locations else package
        for statement in _parse(path).body:
            for each in getattr(statement, "decorator_list", []):
                match each:
                    case ast.Call(args=[ast.Constant(value=str(name)), *_], func=function):
                        called = ast.unparse(function).rpartition(".")[2]
                        entry = f"{module}:{statement.name}"  # type: ignore[attr-defined]
                        given = {k.arg: k.value for k in each.keywords if k.arg}
                        found.append(Registered(called, name, entry, given))
    return tuple(found)


def registered(package: str, name: str, *decorators: str) -> tuple[str, ...]:
    """The entries of what `package` registers as `name`, by one of `decorators` if given."""
    return tuple(
        each.entry
        for each in registry(package)
        if each.name == name and (not decorators or each.decorator in decorators)
    )


@cache
def _module(name: str) -> Module:
    path = _file(name)
    assert path is not None, name
    module = Module()
    for statement in _parse(path).body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                module.definitions.setdefault(statement.name, []).append(statement)
            case ast.Assign(targets=targets):
                for target in targets:
                    for part in ast.walk(target):
                        if isinstance(part, ast.Name):
                            module.definitions.setdefault(part.id, []).append(statement)
            case ast.AnnAssign(target=ast.Name(id=target_name)):
                module.definitions.setdefault(target_name, []).append(statement)
            case ast.Import() | ast.ImportFrom():
                module.imports.update(_imports(statement))
            case ast.Expr(value=ast.Constant()):
                pass
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                pass
            case _:
                module.effects.append(statement)
    return module


def _file(module: str) -> Path | None:
    path = SOURCE.joinpath(*module.split("."))
    if (path / "__init__.py").is_file():
        return path / "__init__.py"
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


def _imports(statement: ast.stmt) -> dict[str, tuple[str, str | None]]:
    """Local names bound by an import of this package."""
    names: dict[str, tuple[str, str | None]] = {}
    match statement:
        case ast.Import(names=aliases):
            for alias in aliases:
                if alias.name.split(".")[0] == PACKAGE:
                    names[alias.asname or PACKAGE] = (alias.name if alias.asname else PACKAGE, None)
        case ast.ImportFrom(module=str(source), names=aliases, level=0):
            if source.split(".")[0] == PACKAGE:
                for alias in aliases:
                    inner = f"{source}.{alias.name}"
                    target = (inner, None) if _file(inner) else (source, alias.name)
                    names[alias.asname or alias.name] = target
    return names


def _resolve(definition: Definition) -> Definition | None:
    """Follow re-exports to where a name is defined; None when it is not ours or not counted."""
    module, name = definition
    while not _uncounted(module) and _file(module) is not None:
        parsed = _module(module)
        if name in parsed.definitions:
            return module, name
        if name not in parsed.imports:
            return None
        module, attribute = parsed.imports[name]
        if attribute is None:
            return None
        name = attribute
    return None


def _uncounted(module: str) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in UNCOUNTED)


@cache
def _mentioned(definition: Definition) -> list[Definition]:
    """Definitions that one definition, and what its module runs on import, mention."""
    name = definition[0]
    module = _module(name)
    statements = [*module.definitions[definition[1]], *module.effects]
    scope = dict(module.imports)
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                scope.update(_imports(node))
    mentioned: list[Definition] = []
    for statement in statements:
        for chain in _chains(_bare(statement)):
            mentioned.extend(_targets(name, module, scope, chain))
    return mentioned


def _targets(
    name: str, module: Module, scope: dict[str, tuple[str, str | None]], chain: list[str]
) -> list[Definition]:
    """What a dotted name leads to: `head.attribute...` in module `name`."""
    head, *attributes = chain
    if head not in scope:
        return [(name, head)] if head in module.definitions else []
    source, attribute = scope[head]
    if attribute is not None:
        return [(source, attribute)]
    while attributes and _file(f"{source}.{attributes[0]}") is not None:
        source = f"{source}.{attributes.pop(0)}"
    if attributes:
        return [(source, attributes[0])]
    # A module used as a value: all that it defines.
    return [] if _uncounted(source) else [(source, each) for each in _module(source).definitions]


def _chains(node: ast.AST) -> list[list[str]]:
    """All names and dotted names below `node`, each as its parts."""
    chains = []
    waiting = [node]
    while waiting:
        current = waiting.pop()
        parts: list[str] = []
        inner = current
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            chains.append([inner.id, *parts])
        elif isinstance(current, ast.Attribute):
            waiting.append(inner)
        else:
            waiting.extend(ast.iter_child_nodes(current))
    return chains


@cache
def _dump(definition: Definition) -> list[str]:
    """A definition as text, with what its module runs on import."""
    module = _module(definition[0])
    statements = [*module.definitions[definition[1]], *module.effects]
    return [f"{definition[0]}:{definition[1]}", *(_text(_bare(each)) for each in statements)]


def _text(value: object) -> str:
    """A syntax tree as text that is the same for every version of Python.

    Versions differ in which empty fields they have; none of them is written.
    """
    if isinstance(value, ast.AST):
        fields = (
            f"{name}={_text(each)}"
            for name, each in ast.iter_fields(value)
            if each is not None and each != []
        )
        return f"{type(value).__name__}({','.join(fields)})"
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return repr(value)


@cache
def _foreign(module: str) -> str:
    """The syntax trees of a file or module outside this package and of the files it imports."""
    trees = (_Bare().visit(copy.deepcopy(_parse(path))) for path in _local_files(module))
    return "\n".join(map(_text, trees))


@cache
def _local_files(module: str) -> tuple[Path, ...]:
    """A file or module of the user, and the files of the user's that it imports, itself first.

    Installed packages are not followed: their versions are recorded beside a result.
    """
    start = _path(module)
    if start is None:
        raise ConfigError(f"{module}: no such file or module")
    found: dict[Path, None] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop(0)
        if path in found:
            continue
        found[path] = None
        for name in _imported(path):
            for folder in (path.parent, Path.cwd()):
                place = folder.joinpath(*name.split("."))
                for candidate in (place.with_suffix(".py"), place / "__init__.py"):
                    if candidate.is_file() and not candidate.is_relative_to(SOURCE / PACKAGE):
                        waiting.append(candidate)
    return tuple(found)


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(_parse(path)):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names)
            case ast.ImportFrom(module=source, names=names):
                if source:
                    yield source
                start = f"{source}." if source else ""
                yield from (f"{start}{each.name}" for each in names)


@cache
def _parse(path: Path) -> ast.Module:
    """The syntax tree of a file. Raises ConfigError naming file and line where it has none."""
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise ConfigError(f"{path}: line {error.lineno}: not Python: {error.msg}") from None
    except ValueError as error:  # null bytes
        raise ConfigError(f"{path}: not Python: {error}") from None


def _path(module: str) -> Path | None:
    """The file of a module of ours or another's, or of `file.py` itself."""
    if module.endswith(".py"):
        return Path(module) if Path(module).is_file() else None
    own = _file(module)
    if own is not None:
        return own
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


class _Bare(ast.NodeTransformer):
    """Drops docstrings, and annotations of functions: neither changes what is computed."""

    def _undocumented(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = getattr(node, "body", [])
        kept = [
            statement
            for statement in body
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        ]
        node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
        return node

    visit_Module = visit_ClassDef = _undocumented  # noqa: N815

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._undocumented(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Python 3.12 ends some f-strings with an empty text."""
        self.generic_visit(node)
        node.values = [
            each
            for each in node.values
            if not (isinstance(each, ast.Constant) and each.value == "")
        ]
        return node


@cache
def _bare(statement: ast.stmt) -> ast.AST:
    return _Bare().visit(copy.deepcopy(statement))
