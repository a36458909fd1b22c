"""Kinds of values that the configuration is made of."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from firstorder.validation import SLUG

Scalar = bool | int | float | str
Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
FAMILIES = {
    "eigenfunctions": "eigenfunctions",
    "architectures": "eigenfunctions",
    "width": "eigenfunctions",
    "photos": "eigenfunctions",
    "binary": "binary",
    "architectures-binary": "binary",
    "nads": "nads",
}
"""The families of tasks of the linearized study, each with the kind of its tasks."""


def _family(name: str) -> str:
    if name not in FAMILIES:
        *others, last = (f"'{known}'" for known in FAMILIES)
        raise ValueError(f"choose from {', '.join(others)} or {last}")
    return name


FamilyName = Annotated[
    str, AfterValidator(_family), WithJsonSchema({"type": "string", "enum": list(FAMILIES)})
]


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
    return name.rstrip("/")


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

    model_config = ConfigDict(extra="forbid", frozen=True)
