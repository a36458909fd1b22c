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
import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
PACKAGE = "firstorder"
UNCOUNTED = tuple(
    f"{PACKAGE}.{name}" for name in ("cli", "config", "digest", "errors", "paths", "plan")
)
"""Modules whose effect is in the parameters of the rules or in no result at all."""

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


def registered(package: str, name: str) -> tuple[str, ...]:
    """The entries of the definitions under `package` that are registered as `name`.

    Raises KeyError when none is.
    """
    return registry(package)[name]


def keywords(entry: str) -> tuple[str, ...]:
    """The keyword-only parameters of the function at `entry`."""
    module, _, name = entry.rpartition(":")
    function = _module(module).definitions[name][0]
    assert isinstance(function, ast.FunctionDef), entry
    return tuple(argument.arg for argument in function.args.kwonlyargs)


@cache
def registry(package: str) -> dict[str, tuple[str, ...]]:
    """Everything under `package` that is registered by name: name -> entries."""
    folder = SOURCE.joinpath(*package.split("."))
    entries: dict[str, tuple[str, ...]] = {}
    paths = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    for path in paths:
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for defined, statements in _module(module).definitions.items():
            for statement in statements:
                for decorator in getattr(statement, "decorator_list", []):
                    match decorator:
                        case ast.Call(args=[ast.Constant(value=str(name)), *_]):
                            entry = f"{module}:{defined}"
                            entries[name] = (*entries.get(name, ()), entry)
    return entries


@cache
def _module(name: str) -> Module:
    path = _file(name)
    assert path is not None, name
    module = Module()
    for statement in ast.parse(path.read_bytes()).body:
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
    return module in UNCOUNTED or module.startswith(f"{PACKAGE}.config.")


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
    return [f"{definition[0]}:{definition[1]}", *(ast.dump(_bare(each)) for each in statements)]


@cache
def _foreign(module: str) -> str:
    """The syntax tree of a file or module outside this package, as text."""
    path: Path | None = Path(module)
    if not module.endswith(".py"):
        path = _foreign_file(module)
    if path is None or not path.is_file():
        raise FileNotFoundError(module)
    return ast.dump(_Bare().visit(ast.parse(path.read_bytes())))


def _foreign_file(module: str) -> Path | None:
    from importlib.util import find_spec

    spec = find_spec(module)
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


@cache
def _bare(statement: ast.stmt) -> ast.AST:
    copy = ast.parse(ast.unparse(statement))
    return _Bare().visit(copy.body[0])
