"""Kinds of values that the configuration is made of."""

from __future__ import annotations

import json
import os.path
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from firstorder.config.validation import CLAIM, SLUG
from firstorder.files import in_the_way

Scalar = bool | int | float | str
Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1, le=10**12)]
Threads = Annotated[int, Field(ge=1, le=1024)]
"""OpenMP ends the process where it is asked for more than the system gives."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _means(values: tuple[float, ...]) -> tuple[float, ...]:
    if not all(0 <= value <= 1 for value in values):
        raise ValueError("write means of pixel values scaled to [0, 1]; perhaps divide by 255")
    return values


def _deviations(values: tuple[float, ...]) -> tuple[float, ...]:
    if not values or not all(0 < value <= 1 for value in values):
        raise ValueError("must be positive, of pixels scaled to [0, 1]; perhaps divide by 255")
    return values


Means = Annotated[tuple[float, ...], AfterValidator(_means)]
"""Of the pixels of each channel, scaled to [0, 1]."""
Deviations = Annotated[tuple[float, ...], AfterValidator(_deviations)]
"""Standard deviations of the pixels of each channel, scaled to [0, 1]."""


def unwritable(name: str) -> str | None:
    """Why Snakemake could not hand the name of a file to a command; None when it could.

    Every other character reaches the command quoted.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "write it on one line, without control characters"
    if "{" in name or "}" in name:
        return "write it without braces, which are wildcards to Snakemake"
    if name.startswith("~"):
        return "write the whole path of the home folder in place of ~"
    if name.startswith("-"):
        return "begin with a letter, a digit, '.', '_' or '/'"
    return unnameable(name)


def unnameable(name: str) -> str | None:
    """Why no file can have a name; None when one can."""
    try:
        parts = name.encode().split(b"/")
    except UnicodeEncodeError:
        return "write it in UTF-8"
    if b"\0" in name.encode():
        return "write it without NUL"
    if max(map(len, parts)) > LONGEST or len(name) > 4 * LONGEST:
        return f"choose a shorter name: at most {LONGEST} bytes between slashes"
    return None


LONGEST = 200
"""Bytes of a file's name, with room for suffixes and temporary names in the system's 255."""


def _place(name: str) -> str:
    reason = unnameable(name)
    if reason is None:
        try:
            Path(name).expanduser()
        except RuntimeError:
            reason = "there is no such user's home folder"
    if reason is not None:
        raise ValueError(reason)
    return name


Gibibytes = Annotated[float, Field(gt=0, le=2**20)]
"""Memory, up to a pebibyte."""
Place = Annotated[str, AfterValidator(_place)]
"""A file or folder of the user's, or `file.py:function`; `~` is the home folder."""


def _folder(name: str) -> str:
    reason = unwritable(name) if name.strip("/ ") else "name a folder"
    if reason is not None:
        raise ValueError(reason)
    # One spelling of a folder: Snakemake compares paths as text.
    path = os.path.normpath(name)
    if taken := in_the_way(path):
        place, what = taken
        raise ValueError(f"{place} is {what}; name a folder")
    inside = os.path.relpath(path)
    return path if inside.startswith("..") else inside


Folder = Annotated[str, AfterValidator(_folder)]
"""A folder, from the project's or absolute."""
OWN = (
    ".", ".ci", ".git", ".snakemake", ".venv", "config", "docs", "envs", "paper", "profiles", "src",
    "tests", "workflow",
)  # fmt: skip
"""What a project is made of."""


def _apart(name: str) -> str:
    if name.partition("/")[0] in OWN:
        raise ValueError("the project's own files lie there; name another folder")
    return name


Apart = Annotated[Folder, AfterValidator(_apart)]
"""A folder for what is made: deleting it deletes no source."""
Slug = Annotated[str, Field(pattern=f"^{SLUG.pattern}$", max_length=LONGEST // 2)]
"""A name that is also a folder: lower case, digits, `.`, `_`, `+` and `-`."""
ClaimId = Annotated[str, Field(pattern=f"^{CLAIM.pattern}$", max_length=LONGEST // 2)]
Item = TypeVar("Item")


def _distinct(items: tuple[Item, ...]) -> tuple[Item, ...]:
    # `1.0` is `1`, but `true` is not.
    told = [(isinstance(each, bool), each) for each in items]
    twice = next((each for kind, each in told if told.count((kind, each)) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} stands there twice; name each once")
    return items


Distinct = Annotated[tuple[Item, ...], AfterValidator(_distinct)]
"""A list of which no two items are the same."""
Some = Annotated[tuple[Item, ...], Field(min_length=1), AfterValidator(_distinct)]
"""The same with at least one item."""
Two = Annotated[tuple[Item, Item], AfterValidator(_distinct)]
"""Two items that are not the same."""


def _ascending(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    if pair[0] > pair[1]:
        raise ValueError("give the least first, then the most")
    return pair


Range = Annotated[tuple[Item, Item], AfterValidator(_ascending)]
"""The least and the most of numbers."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _day(text: str) -> str:
    try:
        if text and date.fromisoformat(text).isoformat() != text:
            raise ValueError
    except ValueError:
        raise ValueError("write a date as YYYY-MM-DD") from None
    return text


Day = Annotated[str, AfterValidator(_day)]
"""A date, or nothing."""


class Strict(BaseModel):
    """A value that refuses unknown keys and never changes."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),  # before pydantic 2.10 it warns of names such as `model`
    )


def unread(declared: BaseModel, beside: str, *names: str) -> None:
    """Refuse another value than the default where nothing reads it: it would change nothing.

    The default may stand there, for it is how to take back what an alias of YAML brings along.
    Raises ValueError that says what it stands `beside`.
    """
    for name in names:
        value, default = getattr(declared, name), type(declared).model_fields[name].default
        if value != default:
            told, plain = (json.dumps(each) for each in (value, default))
            raise ValueError(
                f"{name}: {told} changes nothing beside {beside}; leave it out, or write {plain}"
            )
