"""Options of functions that the configuration names, checked from their source.

Losses, networks, drawing functions and predicates take their options as keyword-only parameters
with annotations. The workflow checks what `config/` gives them before anything is planned,
without importing a module that would import torch or matplotlib.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from firstorder import config
from firstorder.config.validation import choose, message
from firstorder.errors import ConfigError
from firstorder.jobs import code


def _bound(**limits: Any) -> Any:
    """`firstorder.bounds.Bound` for pydantic: losses do not import it."""
    limits.pop("finite", None)  # nothing from a file may be infinite
    return Field(**limits)


TYPES = {
    "bool": bool, "int": int, "float": float, "str": str, "None": None,
    "list": list, "tuple": tuple, "dict": dict, "Any": Any,
    "Literal": Literal, "Sequence": Sequence, "Mapping": Mapping,
    "Annotated": Annotated, "Field": Field, "Bound": _bound,
}  # fmt: skip
"""What an annotation of an option may be made of."""


@cache
def options(entry: str) -> dict[str, TypeAdapter[Any] | None]:
    """What may be given by name to the function (or class) at an entry; None: of any type."""
    if code.definition(entry) is None:
        module, _, name = entry.rpartition(":")
        raise ConfigError(f"{module} defines no function {name!r}")
    function = _called(entry)
    if function is None:
        return {}
    arguments = _arguments(function)
    module = entry.rpartition(":")[0]
    return {
        argument.arg: _type(module, argument.annotation, default) for argument, default in arguments
    }


def _called(entry: str) -> ast.FunctionDef | None:
    """What is called: the function at an entry, or the `__init__` of its class.

    Of a class that has none it is that of the first one in the same file that it derives from.
    """
    found = code.definition(entry)
    if not isinstance(found, ast.ClassDef):
        return found
    own = (each for each in found.body if isinstance(each, ast.FunctionDef))
    module = entry.rpartition(":")[0]
    bases = (f"{module}:{base.id}" for base in found.bases if isinstance(base, ast.Name))
    above = (base for base in bases if _line(base) < found.lineno)
    inherited = (_called(base) for base in above)
    return next((each for each in (*own, *inherited) if each and each.name == "__init__"), None)


def _line(entry: str) -> float:
    found = code.definition(entry)
    return found.lineno if found is not None else math.inf


def _arguments(function: ast.FunctionDef) -> list[tuple[ast.arg, ast.expr | None]]:
    """The parameters that may be given by name: keyword-only ones, and those with a default."""
    given = function.args
    without = len(given.posonlyargs) + len(given.args) - len(given.defaults)
    positional = zip([*given.posonlyargs, *given.args][without:], given.defaults, strict=True)
    plain = [each for each in positional if each[0] not in given.posonlyargs]
    return [*plain, *zip(given.kwonlyargs, given.kw_defaults, strict=True)]


def mentioning(entry: str, name: str) -> tuple[str, ...]:
    """The options of a function whose annotation mentions `name`, such as `LossName`."""
    function = code.definition(entry)
    arguments = _arguments(function) if isinstance(function, ast.FunctionDef) else []
    return tuple(
        argument.arg
        for argument, _ in arguments
        if argument.annotation is not None
        and any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(argument.annotation))
    )


def default(entry: str, option: str) -> Any:
    """The default of an option, where it is written out; else None."""
    function = _called(entry)
    given = {each.arg: value for each, value in _arguments(function)} if function else {}
    try:
        return ast.literal_eval(given[option] or ast.Constant(None))
    except (KeyError, ValueError):  # of another name
        return None


def required(entry: str) -> list[str]:
    """What must be given by name: parameters without a default."""
    function = _called(entry)
    if function is None:
        return []
    return [argument.arg for argument, default in _arguments(function) if default is None]


def check(
    entry: str,
    given: Mapping[str, Any],
    where: str,
    *,
    complete: bool = True,
    besides: Sequence[str] = (),
) -> None:
    """Refuse options that a function does not take, or not with such a value.

    `where` begins the message, as `file: key`; `complete`: all without a default must be given;
    `besides`: may be given, and are for another to check.
    """
    known = options(entry)
    name = entry.rpartition(":")[2]
    for key, value in given.items():
        if key in besides:
            continue
        if key not in known:
            allowed = choose(key, sorted({*known, *besides}))
            raise ConfigError(f"{where}.{key}: {name} has no such option; {allowed}")
        adapter = known[key]
        if adapter is None:
            continue
        try:
            adapter.validate_python(value)
            # As it is written, also in lists: `"3"` and `true` are no numbers.
            adapter.validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            reason = message(error.errors(include_url=False)[0]["msg"])
            raise ConfigError(f"{where}.{key}: {value!r} is not allowed: {reason}") from None
    missing = [key for key in required(entry) if key not in given] if complete else []
    if missing:
        raise ConfigError(f"{where}: {name} needs {', '.join(missing)}")


def check_positional(entry: str, taken: Sequence[str], where: str) -> None:
    """Refuse a function that cannot be called with as many values as are `taken`, by position."""
    function = _called(entry)
    if function is None:
        return
    given = function.args
    known = [each.arg for each in (*given.posonlyargs, *given.args)]
    if isinstance(code.definition(entry), ast.ClassDef):
        known = known[1:]  # without self
    needed = len(known) - len(given.defaults)
    if needed > len(taken) or (len(known) < len(taken) and given.vararg is None):
        raise ConfigError(
            f"{where}: must take ({', '.join(taken)}), not ({', '.join(known[:needed])}); "
            "other parameters come after *, or have defaults"
        )


def _type(
    module: str, annotation: ast.expr | None, default: ast.expr | None
) -> TypeAdapter[Any] | None:
    """The type of an option: its annotation, else that of a number or text that is its default."""
    if annotation is None:
        if isinstance(default, ast.Constant) and isinstance(
            default.value, bool | int | float | str
        ):
            kind: Any = float if type(default.value) is int else type(default.value)
            return TypeAdapter(kind, config=FINITE)
        return None
    try:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        kind = eval(ast.unparse(annotation), {"__builtins__": {}}, _Names(module))
        adapter = TypeAdapter(kind, config=FINITE)
        # A type that is not understood may be found out only by who asks for its schema.
        _ = adapter.core_schema["type"]
    except Exception:  # not ours to judge: the function itself will
        return None
    return adapter


class _Names(dict[str, Any]):
    """Names that an annotation may use: `TYPES`, and what its module or a module it imports from
    assigns in terms of them, such as `Share = Annotated[float, Field(ge=0, le=1)]`; those of
    `config` are taken as they are."""

    def __init__(self, module: str) -> None:
        super().__init__(TYPES)
        self.module = module

    def __missing__(self, name: str) -> Any:
        if code.imported(self.module, name) == config.__name__:
            return getattr(config, name)
        value = code.assigned(self.module, name)
        if value is None:
            raise NameError(name)
        home, expression = value
        self[name] = eval(ast.unparse(expression), {"__builtins__": {}}, _Names(home))
        return self[name]


FINITE = ConfigDict(allow_inf_nan=False)
