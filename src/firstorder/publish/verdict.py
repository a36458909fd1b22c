"""The verdict on a claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

HOLDS, FAILS, NOT_RUN = "holds", "fails", "not run at this scale"
Status = Literal["holds", "fails", "not run at this scale"]


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, how large the effect is, and one sentence with the numbers."""

    status: Status
    text: str
    effects: Mapping[str, float] = field(default_factory=dict)


def judged(holds: bool, text: str, **effects: float) -> Verdict:
    """A verdict on measured effects."""
    return Verdict("holds" if holds else "fails", text, effects)


def not_run(why: str) -> Verdict:
    """The verdict where the scale has no data for a claim; `why` says what is missing."""
    return Verdict("not run at this scale", why)
