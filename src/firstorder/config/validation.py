"""YAML files into typed values, with one line for whatever is wrong.

The line names the file, the key, the value and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from firstorder.errors import ConfigError, DataError
from firstorder.files import read_regular

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader  # type: ignore[assignment]

SLUG = re.compile(r"[a-z0-9][a-z0-9._+-]*")
"""A name that is also a folder: lower case, digits, `.`, `_`, `+` and `-`."""

CLAIM = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
"""A claim's name; a letter first, for a table of names alone is not to be read as numbers."""

Model = TypeVar("Model", bound=BaseModel)
Value = TypeVar("Value")


class TrapError(yaml.MarkedYAMLError):
    """YAML, but not what whoever wrote it will have meant."""


class Loader(SafeLoader):
    """YAML without its traps: keys twice, the key `no`, `1e-3` as text, `010` as 8, `1:30` as 90.

    `0x10`, `0b1` and `1_000` stay: they mean what they look like. What only looks like a number or
    a date (`0x_`, `2020-99-99`) is an error with its line.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if problem := _misread(node):
            raise TrapError(problem=problem, problem_mark=node.start_mark)
        try:
            found = super().construct_object(node, deep)
            str(found if isinstance(found, int) else "")  # too many digits to be shown
            return found
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(
                problem=f"{str(node.value)[:40]!r} is not a value of type {kind}; quote a text",
                problem_mark=node.start_mark,
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a key must be a text or a number", problem_mark=key.start_mark
                )
            if key.tag == "tag:yaml.org,2002:bool":
                raise TrapError(
                    problem=f"key {key.value!r} is read as true or false by YAML 1.1: quote it",
                    problem_mark=key.start_mark,
                )
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise TrapError(
                    problem=f"key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _misread(node: yaml.Node) -> str | None:
    """What is wrong with a number of YAML 1.1 that nobody else reads so."""
    if node.tag not in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        return None
    if octal := re.fullmatch(r"([-+]?)0[0-7_]+", node.value):
        number = octal[1] + (node.value.lstrip("-+0_") or "0")
        return f"{node.value!r} is read as an octal number by YAML 1.1: write {number}"
    if ":" in node.value:
        return (
            f"{node.value!r} is read as a number to the base 60 by YAML 1.1: write a decimal "
            "number, or quote a text"
        )
    return None


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read(path: Path) -> dict[Any, Any]:
    """The mapping that a YAML file holds."""
    try:
        loaded = parse(read_regular(path, LARGEST).decode(), path)
    except DataError as error:
        hint = "" if path.exists() else "; run from the project's folder"
        raise ConfigError(f"{error}{hint}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected `key: value` lines")
    return loaded


LARGEST = 2**24
"""Bytes of a file."""
DEEPEST = 50
"""Brackets and braces open at once: libyaml's nodes are made by recursion, in C."""
MOST = 10**6
"""Values that a text may stand for: a few lines of references to references make any number."""


def parse(text: str, where: str | Path) -> Any:
    """A value written in YAML. Raises ConfigError that begins with `where`."""
    try:
        _check_size(text, where)
        return yaml.load(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        twice = error.problem == "second occurrence"  # then the context says of what
        reason = str(error.context).partition(";")[0] if twice else error.problem
        what = "" if isinstance(error, TrapError) else "not YAML: "
        raise ConfigError(f"{where}: line {line}: {what}{reason}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    except UnicodeEncodeError:  # bytes of the command line that are no text
        raise ConfigError(f"{where}: {text!r} is not text; write it in UTF-8") from None


def _check_size(text: str, where: str | Path) -> None:
    """Refuse what nests too deep or stands for too many values, before anything is made of it."""
    sizes: dict[str | None, int] = {}
    opened: list[tuple[str | None, int]] = []
    """Anchor of each open collection, and the values before it."""
    count = 0
    for event in yaml.parse(text, Loader=SafeLoader):
        problem = None
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, count))
            problem = f"nested deeper than {DEEPEST}" if len(opened) > DEEPEST else None
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            count += 1
            sizes[anchor] = count - before
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in opened):
                problem = f"*{event.anchor} stands within what it refers to"
            count += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
        if count > MOST:
            problem = f"its references stand for more than {MOST} values"
        if problem is not None:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise ConfigError(f"{where}: line {line}: {problem}")


def check(model: type[Model], value: Any, where: str | Path, entry: str = "") -> Model:
    """`value` as a `model`; errors name the file `where` and the `entry` of it."""
    try:
        found = model.model_validate(value)
        # As it is written: `"3"` and `true` are no numbers.
        model.model_validate(_tuples(value), strict=True)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(model, value, error, entry)}") from None
    return found


def _tuples(value: Any) -> Any:
    """A value with tuples for lists, which a strict model wants."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def check_entries(model: type[Model], path: Path) -> dict[str, Model]:
    """A file of named entries, each a `model`."""
    entries = read(path)
    for name in entries:
        if not isinstance(name, str) or not SLUG.fullmatch(name) or len(name) > 100:
            raise ConfigError(f"{path}: {name!r} is not allowed as a name: {RULE}")
    return {name: check(model, entry, path, name) for name, entry in entries.items()}


RULE = "use lower-case letters, digits, '.', '_', '+' and '-', a letter or digit first"
RULES = {SLUG: RULE, CLAIM: "use letters, digits, '.', '_' and '-', a letter first"}


def explain(model: type[BaseModel], value: Any, error: ValidationError, entry: str = "") -> str:
    """The most telling error, as `key: what is wrong`."""
    errors = error.errors(include_url=False)
    # A misspelt key is often a missing one as well: the misspelling tells more.
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    parts = _key(value, first["loc"], first["type"])
    key = ".".join(map(str, [entry, *parts] if entry else parts))
    start = f"{key}: " if key else ""
    if first["type"] == "extra_forbidden":
        return f"{start}unknown key; {choose(str(parts[-1]), _allowed(model, parts[:-1]))}"
    if first["type"] == "missing":
        return f"{start}missing"
    if first["type"] == "value_error" and isinstance(first["input"], dict):
        return f"{start}{message(first['msg'])}"
    # The branches of a union fail one by one, under the same key.
    branches = [each for each in errors if _key(value, each["loc"], each["type"]) == parts]
    messages = list(dict.fromkeys(message(each["msg"]) for each in branches))
    allowed = " or ".join(messages).replace(" or should be ", " or ")
    given = repr(first["input"])
    shown = given if len(given) <= 60 else f"{given[:57]}..."
    # YAML reads `0` as a number, `no` as false and 2020-01-01 as a date.
    text = all(each["type"] == "string_type" for each in branches)
    hint = "; quote it" if text and not isinstance(first["input"], dict | list | None) else ""
    return f"{start}{shown} is not allowed: {allowed}{hint}"


def _key(value: Any, location: tuple[int | str, ...], kind: str) -> list[int | str]:
    """The parts of an error's location that the file itself has."""
    parts: list[int | str] = []
    for part in location:
        inside = isinstance(value, dict) and part in value
        if isinstance(value, list | tuple) and isinstance(part, int):
            inside = part < len(value)
        if inside:
            parts.append(part)
            value = value[part]
        elif kind == "missing" and part == location[-1]:
            parts.append(part)
    return parts


def message(text: str) -> str:
    """What pydantic says, in words of YAML. What our own checks say stays: it may begin a name."""
    if text.startswith("Value error, "):
        return text.removeprefix("Value error, ")
    text = text.removeprefix("Input ")
    if few := re.search(r"should have at least (\d+) items? after validation", text):
        return f"give at least {'one' if few[1] == '1' else few[1]}"
    if text.startswith("should be a valid tuple"):
        return "should be a list such as [a, b]"
    if "match pattern" in text:
        text = next((rule for each, rule in RULES.items() if f"^{each.pattern}$" in text), text)
    if text.startswith("should be a valid dictionary"):
        return "expected `key: value` lines"
    return text[0].lower() + text[1:]


def _allowed(model: type[BaseModel], parts: list[int | str]) -> list[str]:
    """The keys that may stand at `parts` below a `model`."""
    models = [model]
    for part in parts:
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        # Names of entries and positions in lists are no fields: their model stays the same.
        models = [inner for field in fields for inner in _models(field.annotation)] or models
    return [name for each in models for name in each.model_fields]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


MANY, FEW = 40, 12
"""Of more than so many names a message shows these few, the nearest first."""


def choose(given: str, known: list[str]) -> str:
    """What is allowed where `given` is not, with a guess at what was meant."""
    close = get_close_matches(given, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    shown = known if len(known) <= MANY else get_close_matches(given, known, n=FEW, cutoff=0.0)
    more = f" and {len(known) - len(shown)} more" if len(shown) < len(known) else ""
    return f"{hint}allowed: {', '.join(shown) or 'none'}{more}"


def check_printed(printed: Iterable[tuple[str, str, str]], where: str | Path) -> None:
    """Refuse two of a kind that would be printed as one, at `where`.

    Of each: its kind (such as `losses`), its text as printed, and its name.
    """
    names: dict[tuple[str, str], str] = {}
    for kind, text, name in printed:
        other = names.setdefault((kind, text), name)
        if other != name:
            raise ConfigError(
                f"{where}: {kind} {other!r} and {name!r} are both printed as {text!r}; "
                "give one another name or leave it out"
            )


def lookup(known: dict[str, Value], name: str, what: str, where: str | Path = "") -> Value:
    """`known[name]`, or a ConfigError that says what is known."""
    if name not in known:
        place = f"{where}: " if where else ""
        raise ConfigError(f"{place}{what} {name!r} is unknown; {choose(name, sorted(known))}")
    return known[name]
