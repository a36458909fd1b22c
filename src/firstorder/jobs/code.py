"""Code digests: which code a result depends on, to the definition.

Snakemake cannot see the modules behind a command line, so every rule carries a digest of the
code that its verb uses. The digest is of syntax trees, without docstrings, comments, layout and
annotations, and of exactly the top-level definitions that an entry reaches: editing one figure's
function reruns that figure, adding a loss reruns nothing.

Reach is found statically. From a definition it follows every name that it mentions, through the
imports of its module and of its own body, as long as they lead to this package; of other packages
it counts which name an import binds. Definitions that are registered by name (losses, models,
tables, figures, claims) are found by their decorator, `@register("name")`: a job names those that
its spec asks for, and a text in the code that is such a name asks for it where the code builds by
name. Configuration and paths are left out: what they resolve to is in the rules' parameters
already.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from firstorder import files, own
from firstorder.errors import ConfigError

SOURCE = Path(__file__).resolve().parents[2]
PACKAGE = "firstorder"
UNCOUNTED = tuple(f"{PACKAGE}.{name}" for name in ("cli", "config", "errors", "jobs"))
"""Packages whose effect is in a job's spec, or in no result at all."""

BUILT_BY_NAME = (f"{PACKAGE}.losses", f"{PACKAGE}.models")
"""Packages whose `registry.build` finds what `@register("name")` registers in them."""

BY_OTHER_MEANS = {
    "*", "globals", "locals", "vars", "eval", "exec", "modules", "import_module", "__import__",
    "__subclasses__", "__init_subclass__", "__getattr__", "__globals__", "f_globals", "metaclass",
}  # fmt: skip
"""Names that stand in a file where its definitions may be found otherwise than by theirs."""

Definition = tuple[str, str]
"""A module and the name of one of its top-level definitions."""


@dataclass(frozen=True)
class Module:
    """The top level of one module, without what decides nothing (see `_Bare`)."""

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """Local name -> (module, attribute or None for the module itself)."""
    foreign: dict[str, str] = field(default_factory=dict)
    """The same of other packages, as the dotted name that is bound."""
    effects: list[ast.stmt] = field(default_factory=list)
    """Statements that run on import and define nothing."""


@cache
def code(*entries: str) -> str:
    """Digest (12 hexadecimal digits) of all code that `entries` reach.

    An entry is `module:definition` of this package or of the user's `file.py`,
    `package:folder`, all files of a folder in it, or `:path`, a file. What a user's file imports
    of theirs counts as a whole, as does a module of somebody else; both with what they use of this
    package. Raises ConfigError for an entry that does not exist.
    """
    found: set[Definition] = set()
    texts: list[str] = []
    for entry in entries:
        module, _, name = entry.rpartition(":")
        if entry.startswith(":"):
            texts.append(_sha256(entry[1:]))
            continue
        if _resolve((module, name)):
            found |= reach((module, name))
        elif is_ours(module):
            texts += _data(entry, SOURCE.joinpath(*module.split("."), name))
        if not is_ours(module):
            texts += _foreign(entry)
            found.update(*map(reach, _used(entry)))
    texts += [text for definition in sorted(found) for text in _dump(definition)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def is_ours(entry: str) -> bool:
    """Whether a module, or an entry of one, is of this package, and not the user's."""
    return entry.startswith(f"{PACKAGE}.")


@cache
def reach(start: Definition) -> frozenset[Definition]:
    """All definitions of this package that `start` leads to, itself included."""
    found: set[Definition] = set()
    waiting = [start]
    while waiting:
        new = _led_to(waiting.pop()) - found
        found |= new
        waiting.extend(each for definition in new for each in _asked_by_name(definition))
    return frozenset(found)


@cache
def _led_to(start: Definition) -> frozenset[Definition]:
    """The same as far as names are mentioned."""
    found: set[Definition] = set()
    waiting = [start]
    while waiting:
        definition = _resolve(waiting.pop())
        if definition is not None and definition not in found:
            found.add(definition)
            waiting.extend(itertools.chain.from_iterable(_mentioned(definition).values()))
    return frozenset(found)


@cache
def _asked_by_name(definition: Definition) -> tuple[Definition, ...]:
    """What a definition may build by a name that stands in it."""
    return _built_by_name(_led_to(definition), _statements(definition))


def _built_by_name(
    led_to: Collection[Definition], statements: tuple[ast.AST, ...]
) -> tuple[Definition, ...]:
    """What statements that lead to some definitions may build by a name that stands in them."""
    return tuple(
        (module, name)
        for package in BUILT_BY_NAME
        if (f"{package}.registry", "build") in led_to
        for text in _texts(statements)
        for module, _, name in (entry.partition(":") for entry in registered(package, text))
    )


def _data(entry: str, folder: Path) -> Iterator[str]:
    """The files of a folder as texts: relative name and SHA-256."""
    if not folder.is_dir():
        raise ConfigError(f"{entry}: no such code")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield f"{path.relative_to(folder).as_posix()} {files.sha256(path)}"


def definition(entry: str) -> ast.FunctionDef | ast.ClassDef | None:
    """The function or class at an entry `module:name` or `file.py:name`; None when absent."""
    module, _, name = entry.rpartition(":")
    path = _path(module)
    if path is None:
        return None
    for statement in own.parse(path).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.name == name:
            return statement
    return None


def assigned(module: str, name: str) -> tuple[str, ast.expr] | None:
    """What a module, or one of this package that it imports from, assigns to `name`, and where."""
    found = _resolve((module, name)) if _file(module) is not None else None
    if found is None:
        path = _path(module)
        statements = own.parse(path).body if path is not None else []
        home = module
    else:
        home, name = found
        statements = _module(home).definitions[name]
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                return home, value
    return None


def imported(module: str, name: str) -> str | None:
    """The module of this package from which another one imports a name."""
    found = _module(module).imports.get(name) if _file(module) is not None else None
    return found[0] if found else None


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
        for statement in own.parse(path).body:
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
    module, body = Module(), _bare(path).body
    if name.endswith(".py") and not _is_plain(name, body):
        module.effects.extend(body)
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                module.definitions.setdefault(statement.name, []).append(statement)
            case ast.Assign(targets=targets):
                parts = [part for target in targets for part in ast.walk(target)]
                for part in parts:
                    if isinstance(part, ast.Name):
                        module.definitions.setdefault(part.id, []).append(statement)
                on_another = any(isinstance(part, ast.Attribute | ast.Subscript) for part in parts)
                if on_another or (name.endswith(".py") and _calls_its_own(statement, body)):
                    module.effects.append(statement)  # perhaps on another name
            case ast.Import() | ast.ImportFrom():
                module.imports.update(_imports(statement))
                module.foreign.update(_foreign_imports(statement))
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[]):
                pass
            case _:
                module.effects.append(statement)
    return module


def _is_plain(name: str, body: list[ast.stmt]) -> bool:
    """Whether what a user's file defines is found by its name, and in that file alone."""
    decorated = any(getattr(statement, "decorator_list", ()) for statement in body)
    start, *others = own.sources(name)
    parts = {
        part for each in others for _, dotted, _ in own.imported(each) for part in dotted.split(".")
    }
    itself = {
        dotted.rpartition(".")[2]
        for _, dotted, _ in own.imported(start)
        if dotted.partition(".")[0] != PACKAGE
    }
    return not (decorated or own.names(*body) & BY_OTHER_MEANS or start.stem in parts | itself)


def _calls_its_own(statement: ast.Assign, body: list[ast.stmt]) -> bool:
    """Whether an assignment calls what its file defines, which may change other values there."""
    defined = {each.name for each in body if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    return any(
        isinstance(node, ast.Call) and not defined.isdisjoint(own.names(node.func))
        for node in ast.walk(statement.value)
    )


def _file(module: str) -> Path | None:
    if module.endswith(".py"):
        return own.module_file(module)
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
        case ast.ImportFrom(module=str(source), names=[ast.alias(name="*")], level=0):
            if source.split(".")[0] == PACKAGE and _file(source) is not None:
                module = _module(source)
                names = module.imports | {each: (source, each) for each in module.definitions}
        case ast.ImportFrom(module=str(source), names=aliases, level=0):
            if source.split(".")[0] == PACKAGE:
                for alias in aliases:
                    inner = f"{source}.{alias.name}"
                    target = (inner, None) if _file(inner) else (source, alias.name)
                    names[alias.asname or alias.name] = target
    return names


def _foreign_imports(statement: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Local names bound by an import of another package, and the dotted names of what they are."""
    start = f"{statement.module}." if isinstance(statement, ast.ImportFrom) else ""
    bound = {}
    for alias in statement.names:
        whole = start + alias.name
        if whole.partition(".")[0] != PACKAGE:
            # `import a.b` binds `a`.
            known = whole if start or alias.asname else whole.partition(".")[0]
            bound[alias.asname or alias.name.partition(".")[0]] = known
    return bound


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
def _statements(definition: Definition) -> tuple[ast.AST, ...]:
    """A definition, and what its module runs on import."""
    module = _module(definition[0])
    return (*module.definitions[definition[1]], *module.effects)


@cache
def _texts(statements: tuple[ast.AST, ...]) -> frozenset[str]:
    """All texts in statements."""
    nodes = (node for each in statements for node in ast.walk(each))
    constants = (node.value for node in nodes if isinstance(node, ast.Constant))
    return frozenset(each for each in constants if isinstance(each, str))


@cache
def _mentioned(definition: Definition) -> dict[str, list[Definition]]:
    """The dotted names in a definition that lead to definitions of this package, with those."""
    name = definition[0]
    return _leading(_statements(definition), name, _module(name))


def _leading(
    statements: tuple[ast.AST, ...], name: str, module: Module
) -> dict[str, list[Definition]]:
    """The same for statements of `module`, which is called `name`."""
    scope = module.imports | _scope(statements)
    found = {".".join(parts): _targets(name, module, scope, parts) for parts in _chains(statements)}
    return {dotted: targets for dotted, targets in found.items() if targets}


def _scope(statements: tuple[ast.AST, ...]) -> dict[str, tuple[str, str | None]]:
    """The local names that imports of this package bind anywhere in statements."""
    return {
        name: target
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name, target in _imports(node).items()
    }


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


@cache
def _chains(nodes: tuple[ast.AST, ...]) -> list[list[str]]:
    """All names and dotted names below `nodes`, each as its parts."""
    chains = []
    waiting = list(nodes)
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
    """A definition as text, with what its module runs on import and what its names stand for."""
    statements = _statements(definition)
    foreign = _module(definition[0]).foreign
    heads = {chain[0] for chain in _chains(statements)}
    ours = (
        f"{name} is {_name(found)}"
        for name, targets in sorted(_mentioned(definition).items())
        for target in targets
        if (found := _resolve(target)) is not None
    )
    return [
        _name(definition),
        *map(_text, statements),
        *(f"{name} is {foreign[name]}" for name in sorted(heads & foreign.keys())),
        *ours,
    ]


def _name(definition: Definition) -> str:
    """A definition's name; of a user's file without where it lies, which may be elsewhere."""
    module, name = definition
    return name if module.endswith(".py") else f"{module}:{name}"


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


def _whole(entry: str) -> tuple[Path, ...]:
    """The user's files behind an entry that count as a whole: of its own only what it reaches."""
    module, _, name = entry.rpartition(":")
    return own.sources(module)[1 if _resolve((module, name)) else 0 :]


@cache
def _foreign(entry: str) -> tuple[str, ...]:
    """The user's files behind an entry as texts, and the files that they name."""
    module = entry.rpartition(":")[0]
    trees = (_text(_bare(path)) for path in _whole(entry))
    return (*trees, *map(_sha256, own.data(module)))


_sha256 = cache(files.sha256)


@cache
def _used(entry: str) -> tuple[Definition, ...]:
    """What these files use of this package, also of what one of them imports from another."""
    module, _, name = entry.rpartition(":")
    reached = reach((module, name)) if _resolve((module, name)) else ()
    own_part = [each for found in reached if found[0] == module for each in _statements(found)]
    others = (own.parse(path) for path in _whole(entry))
    trees: tuple[ast.AST, ...] = (*own_part, *others)
    handed_on = _scope((*(own.parse(path) for path in own.sources(module)),))
    used = [
        target
        for tree in trees
        for scope in [handed_on | _scope((tree,))]
        for chain in _chains((tree,))
        for start in range(len(chain))  # `helper.losses.ce` may be `losses.ce` of this package
        for target in _targets("", Module(), scope, chain[start:])
    ]
    led_to = {definition for target in used for definition in _led_to(target)}
    return (*used, *_built_by_name(led_to, trees))


@cache
def _bare(path: Path) -> ast.Module:
    """The same without what decides nothing."""
    tree: ast.Module = _Bare().visit(own.read(path))
    return tree


def _path(module: str) -> Path | None:
    """The file of a module of ours or another's, or of `file.py` itself."""
    return _file(module) or own.module_file(module)


class _Bare(ast.NodeTransformer):
    """Drops docstrings, and annotations outside classes: neither changes what is computed."""

    def __init__(self) -> None:
        self.fields: set[int] = set()

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

    visit_Module = _undocumented  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        self.fields |= {id(each) for each in fields}
        return self._undocumented(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._undocumented(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """The annotation of a field makes it one; any other is a comment."""
        self.generic_visit(node)
        if id(node) in self.fields:
            return node
        return ast.Assign([node.target], node.value) if node.value else None

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
