"""What a study publishes and claims, each declared once in `config/studies/NAME/study.yaml`.

Which results an artefact needs (`select`) is the study's own to say: its model is the parameter.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field

from firstorder.config.values import Day, Slug, Strict

Selection = TypeVar("Selection", bound=Strict)


class Latex(Strict):
    """How the LaTeX form of a table prints its numbers."""

    digits: Annotated[int, Field(ge=0, le=10)] | None = None
    """Decimals; those of the other forms where it is absent."""
    std: bool = True
    """Whether standard deviations are printed."""


class Artefact(Strict, Generic[Selection]):
    """A table or figure, declared once; targets, inputs and captions follow from it."""

    kind: Literal["table", "figure"]
    title: str
    caption: str
    where: str
    """Its place in the paper that is rebuilt, or `beyond the paper`."""
    draw: str
    """Name of the function that makes it, registered by `@table` or `@figure`."""
    select: Selection
    options: dict[str, Any] = {}
    """Keyword-only parameters of that function."""
    latex: Latex = Latex()
    published: Slug | None = None
    """Name of the file of `config/published/` with the published numbers."""


class Claim(Strict, Generic[Selection]):
    """A qualitative statement, as a predicate over results."""

    title: str
    where: str
    by: Literal["paper", "peer", "project"] = "project"
    """Who says it: the paper, other work suggests it, or this project expects it."""
    since: Day = ""
    """Date of its first declaration, YYYY-MM-DD."""
    history: tuple[str, ...] = ()
    """What was changed since, each with its date."""
    predicate: str
    """Name of the function that judges it, registered by `@claim`."""
    select: Selection
    options: dict[str, Any] = {}
    """Keyword-only parameters of that function."""
