"""What a parameter of a loss or a network, or an option of a claim, may be: said in its type."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

COMPARISONS = {
    "gt": (operator.gt, "greater than"),
    "ge": (operator.ge, "greater than or equal to"),
    "lt": (operator.lt, "less than"),
    "le": (operator.le, "less than or equal to"),
}
KINDS = {float: "number", int: "integer", str: "string", bool: "boolean"}


@dataclass(frozen=True)
class Bound:
    """Limits of a number, in the names of annotated-types, whose limits are understood too."""

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    finite: bool = False


AboveOne = Annotated[float, Bound(gt=1, finite=True)]
Positive = Annotated[float, Bound(gt=0, finite=True)]
Weight = Annotated[float, Bound(ge=0, finite=True)]
Share = Annotated[float, Bound(ge=0, le=1)]
Exponent = Annotated[float, Bound(gt=0, le=1)]
Probability = Annotated[float, Bound(gt=0, lt=1)]
Correlation = Annotated[float, Bound(ge=-1, le=1)]
Difference = Annotated[float, Bound(ge=-1, le=1)]
"""Of two shares."""
Points = Annotated[float, Bound(ge=-100, le=100)]
"""Of two percentages."""
Copies = Annotated[int, Bound(ge=1)]
Index = Annotated[int, Bound(ge=1)]
Classes = Annotated[int, Bound(ge=2)]


def refusal(hint: Any, value: object) -> str | None:
    """Why `value` is not what `hint` allows; None if it is. Hints of other forms allow all."""
    if get_origin(hint) is Annotated:
        inner, *limits = get_args(hint)
        reason = refusal(inner, value)
        return reason or next((r for each in limits for r in _outside(each, value)), None)
    if get_origin(hint) is Literal:
        return None if value in get_args(hint) else f"should be {_listed(get_args(hint))}"
    if hint is NoneType:
        return None if value is None else "should be absent"
    if get_origin(hint) in (Union, UnionType):
        reasons = [refusal(each, value) for each in get_args(hint)]
        return None if None in reasons else reasons[0]
    if hint in KINDS and not _is_a(hint, value):
        return f"should be a valid {KINDS[hint]}"
    return None


def _is_a(kind: Any, value: object) -> bool:
    """Whether a value is of a kind: integers are numbers, true and false are neither."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _outside(limits: Any, value: Any) -> Iterator[str]:
    """The limits that a number breaks; NaN breaks all."""
    for inner in getattr(limits, "metadata", ()):  # of a pydantic field
        yield from _outside(inner, value)
    for name, (holds, words) in COMPARISONS.items():
        limit = getattr(limits, name, None)
        if limit is not None and not holds(value, limit):
            yield f"should be {words} {limit}"
    if getattr(limits, "finite", False) and not math.isfinite(value):
        yield "should be a finite number"


def _listed(values: tuple[Any, ...]) -> str:
    *first, last = (repr(value) for value in values)
    return f"{', '.join(first)} or {last}" if first else last
