"""Which entries of a table cannot be told from the best of their column."""

from __future__ import annotations

import pandas as pd

from firstorder.publish.registry import Results
from firstorder.publish.statistics.bootstrap import resample
from firstorder.publish.statistics.paired import equals_of_the_best
from firstorder.publish.table import mark_best
from firstorder.studies.symmetrization import effects
from firstorder.studies.symmetrization.effects import LAST

EQUALS = (
    "Bold: cannot be told from the best of its column (paired bootstrap over seeds and test "
    "examples, Holm's method over the losses, 5 %)."
)
BY_SEED = (
    "Bold: cannot be told from the best of its column (paired bootstrap over seeds, Holm's method "
    "over the losses, 5 %)."
)
BEST = "Bold: the best of its column; fewer than three seeds cannot say what equals it."
MIN_SEEDS = 3
"""With two the test has one degree of freedom: among nine losses it takes 102 standard errors."""


def mark_equals(
    frame: pd.DataFrame, results: Results, runs: pd.DataFrame, value: str = LAST
) -> tuple[pd.DataFrame, str]:
    """Set `best` where an entry equals the best of its section and column; a note on it.

    `frame` has columns section, column, setting, noise, loss and eligible, which is taken away;
    `value` is the column of `runs` that is printed.
    """
    if runs["seed"].nunique() < MIN_SEEDS:
        return mark_best(frame), BEST
    known = effects.bits(results, runs) if value == LAST else {}
    note = EQUALS if known else BY_SEED
    cells = known or effects.numbers(runs, value)
    drawn = resample(cells)
    best: set[int] = set()
    shown = frame[frame["eligible"].astype(bool) & frame["mean"].notna()]
    for _, part in shown.groupby(["section", "column"], sort=False):
        keys = list(zip(part["setting"], part["noise"], part["loss"], strict=True))
        present = [key for key in keys if key in cells]
        if present:
            equal = set(equals_of_the_best(drawn, present).equals)
            best |= {place for place, key in zip(part.index, keys, strict=True) if key in equal}
    return frame.assign(best=frame.index.isin(best)).drop(columns="eligible"), note
