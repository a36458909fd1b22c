"""The verdict on a claim: one of four, with effects (see `publish.statistics.verdict`)."""

from __future__ import annotations

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
    "missing",
    "not_run",
    "share_needed",
]
