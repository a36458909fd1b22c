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

JUDGED = (
    "A claim holds where its whole 95 % interval is on the claimed side of a threshold that was "
    "declared beforehand, fails where all of it is on the other side, and is not resolved in "
    "between, nor by one seed, whose interval is of the test examples alone."
)
"""What the verdicts mean."""
TERMS = (
    "“Of 7, 5 needed”: of seven measured effects at least five must hold. Whether so many hold, or "
    "too many fail, is tested with a correction for how many were looked at: a claim may be not "
    "resolved though single effects of it hold or fail. Margin: distance of the deciding one from "
    "its threshold, positive on the claimed side. Flips: share of bootstrap resamples of seeds and "
    "test examples in which the claim would come out otherwise."
)
"""What the numbers behind a verdict mean."""

__all__ = [
    "FAILS",
    "HOLDS",
    "JUDGED",
    "NOT_RESOLVED",
    "NOT_RUN",
    "TERMS",
    "Effect",
    "Verdict",
    "combine",
    "exact",
    "judge",
    "missing",
    "not_run",
    "share_needed",
]
