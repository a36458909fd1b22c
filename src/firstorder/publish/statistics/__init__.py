"""How sure a published number is: intervals, verdicts, paired tests, choices.

numpy and scipy only, and matplotlib for a diagram. Nothing here knows a study, a configuration or a
path.

    cells = {"sgce": Cell(bits, seeds=(1, 2, 3)), "gce": Cell(other, seeds=(1, 2, 3))}
    drawn = resample(cells)
    gain = effect(drawn, difference("sgce", "gce"), threshold=2, scale=100, unit="points")
    judge(gain)  # holds, fails, not resolved or not run
"""

from __future__ import annotations

from firstorder.publish.statistics.bootstrap import (
    FINE,
    MIN_INDICES,
    Cell,
    Resampled,
    average,
    difference,
    effect,
    geometric,
    rank_correlation,
    resample,
)
from firstorder.publish.statistics.paired import (
    Equals,
    PairedTest,
    Ranking,
    cells_needed,
    equals_of_the_best,
    holm,
    mcnemar,
    ranking,
    sign_flips,
    two_sided,
)
from firstorder.publish.statistics.selection import Choice, choose
from firstorder.publish.statistics.verdict import (
    FAILS,
    HOLDS,
    NOT_RESOLVED,
    NOT_RUN,
    Direction,
    Effect,
    Status,
    Verdict,
    combine,
    exact,
    judge,
    not_run,
)

__all__ = [
    "FAILS",
    "FINE",
    "HOLDS",
    "MIN_INDICES",
    "NOT_RESOLVED",
    "NOT_RUN",
    "Cell",
    "Choice",
    "Direction",
    "Effect",
    "Equals",
    "PairedTest",
    "Ranking",
    "Resampled",
    "Status",
    "Verdict",
    "average",
    "cells_needed",
    "choose",
    "combine",
    "difference",
    "effect",
    "equals_of_the_best",
    "exact",
    "geometric",
    "holm",
    "judge",
    "mcnemar",
    "not_run",
    "rank_correlation",
    "ranking",
    "resample",
    "sign_flips",
    "two_sided",
]
