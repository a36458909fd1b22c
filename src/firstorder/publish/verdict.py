"""The verdict on a claim: one of four, with effects (see `publish.statistics.verdict`)."""

from __future__ import annotations

from math import nan

from firstorder.publish.statistics.verdict import (
    FAILS,
    HOLDS,
    NOT_RESOLVED,
    NOT_RUN,
    Effect,
    Verdict,
    combine,
    exact,
    judge,
    missing,
    not_run,
    share_needed,
)

__all__ = [
    "FAILS",
    "HOLDS",
    "NOT_RESOLVED",
    "NOT_RUN",
    "Effect",
    "Verdict",
    "combine",
    "exact",
    "judge",
    "judged",
    "missing",
    "not_run",
    "share_needed",
]


def judged(holds: bool, text: str, **effects: float) -> Verdict:
    """A verdict on numbers whose uncertainty is not measured."""
    measured = tuple(exact(value, nan, name=name) for name, value in effects.items())
    return Verdict(HOLDS if holds else FAILS, text, measured)
