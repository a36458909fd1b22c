"""Kinds of values that the configuration is made of."""

from __future__ import annotations

import os.path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from firstorder.config.validation import SLUG

Scalar = bool | int | float | str
Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


def unwritable(name: str) -> str | None:
    """Why Snakemake could not hand the name of a file to a command; None when it could.

    Every other character reaches the command quoted.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "write it on one line, without control characters"
    if "{" in name or "}" in name:
        return "write it without braces, which are wildcards to Snakemake"
    if name.startswith(("-", "~")):
        return "begin with a letter, a digit, '.', '_' or '/'"
    return None


def _folder(name: str) -> str:
    reason = unwritable(name) if name.strip("/ ") else "name a folder"
    if reason is not None:
        raise ValueError(reason)
    # One spelling of a folder: Snakemake compares paths as text.
    path = os.path.normpath(name)
    inside = os.path.relpath(path) if os.path.isabs(path) else path
    return path if inside.startswith("..") else inside


Folder = Annotated[str, AfterValidator(_folder)]
"""A folder, from the project's or absolute."""
Slug = Annotated[str, Field(pattern=f"^{SLUG.pattern}$")]
"""A name that is also a folder: lower case, digits, `.`, `_`, `+` and `-`."""
Item = TypeVar("Item")
Some = Annotated[tuple[Item, ...], Field(min_length=1)]
"""A list with at least one item."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """A value that refuses unknown keys and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
