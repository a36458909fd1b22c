"""Differences between trained losses with 95 % intervals, and how verdicts tell of them.

A cell is (setting, noise, loss). Its last accuracy is resampled over seeds and test examples, as
in `publish.statistics.bootstrap`; every other column of `frames.runs` over seeds alone. A
training that diverged is right on no test example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any, Final

import numpy as np
import pandas as pd

from firstorder.publish.registry import Results
from firstorder.publish.statistics import bootstrap
from firstorder.publish.statistics.bootstrap import Cell, Resampled, resample
from firstorder.publish.statistics.verdict import LEVEL, Status, missing
from firstorder.publish.verdict import FAILS, HOLDS, NOT_RESOLVED, NOT_RUN, Effect, Verdict
from firstorder.studies.symmetrization import frames

LAST: Final = "last_accuracy"
Key = tuple[str, str, str]
"""Setting, noise, loss."""


@dataclass(frozen=True, eq=False)
class Measured:
    """The selected runs of some cells, and joint draws of their means."""

    runs: pd.DataFrame
    drawn: Resampled

    @property
    def places(self) -> list[tuple[str, str]]:
        """The (setting, noise) pairs, in the order of the configuration."""
        return list(dict.fromkeys(zip(self.runs["setting"], self.runs["noise"], strict=True)))

    def losses(self, setting: str, noise: str) -> list[str]:
        """The losses that were run there."""
        at = self.runs[(self.runs["setting"] == setting) & (self.runs["noise"] == noise)]
        return list(dict.fromkeys(at["loss"]))

    def mean(self, place: tuple[str, str], loss: str) -> float:
        """The mean of a cell; 0 where nothing was measured."""
        return float(self.drawn.means.get((*place, loss), (0.0,))[0])

    def above(self, place: tuple[str, str], loss: str, reference: str, **claimed: Any) -> Effect:
        """Points by which a loss ends above a reference; `claimed` as of `bootstrap.effect`.

        Not measured where one of them was not run or has no number.
        """
        name = named(self.runs, place, loss, reference)
        pair = (*place, loss), (*place, reference)
        if not set(pair) <= set(self.drawn.means):
            return missing(f"A value is missing: {name}.", name)
        return bootstrap.effect(
            self.drawn, bootstrap.difference(*pair), scale=100, unit="points", name=name, **claimed
        )


def named(runs: pd.DataFrame, place: tuple[str, str], *losses: str) -> str:
    """A cell, or a difference of two, as printed: `SGCE − CE, digits, 40 % symmetric noise`."""
    labels = dict(zip(runs["loss"], runs["label"], strict=True))
    at = runs[(runs["setting"] == place[0]) & (runs["noise"] == place[1])].iloc[0]
    noise = frames.with_kind(at["noise_label"], at["kind"])
    return f"{' − '.join(labels[loss] for loss in losses)}, {at['heading']}, {noise}"


def measure(results: Results, runs: pd.DataFrame, value: str = LAST) -> Measured:
    """Draws of the mean of `value` in every cell of `runs`, which are rows of `frames.runs`."""
    # Where everything diverged there are no bits, and the accuracies before that are no stand-in.
    return Measured(runs, resample(bits(results, runs) if value == LAST else numbers(runs, value)))


def bits(results: Results, runs: pd.DataFrame) -> dict[Key, Cell]:
    """Correctness (seeds, test examples) of the cells of `runs`; none where it was not read."""
    if not any(name.endswith("correct.npz") for name in results.files):
        return {}
    wanted = {key: dict(_seeds(part)) for key, part in _cells(runs)}
    found: dict[Key, dict[int, np.ndarray]] = {}
    data: dict[Key, str] = {}
    for keys, right in frames.correctness(results):
        key = (keys["setting"], keys["noise"], keys["loss"])
        if key in wanted and keys["seed"] in wanted[key]:
            found.setdefault(key, {})[keys["seed"]] = right
            data[key] = keys["dataset"]
    sizes: dict[str, int] = {}
    for key, part in found.items():
        sizes[data[key]] = max(sizes.get(data[key], 0), *map(len, part.values()))
    return {
        key: Cell(
            np.array([_full(right, sizes[data[key]]) for right in part.values()]),
            tuple(part),
            data[key],
        )
        for key, part in found.items()
        if sizes[data[key]]
    }


def _full(right: np.ndarray, size: int) -> np.ndarray:
    return right if len(right) == size else np.zeros(size, bool)


def numbers(runs: pd.DataFrame, value: str) -> dict[Key, Cell]:
    """One number of `value` per seed in the cells of `runs`; cells with a gap are left out."""
    found = {}
    for key, part in _cells(runs):
        column = part[value].to_numpy(float)
        if len(column) and not np.isnan(column).any():
            found[key] = Cell(column, tuple(part["seed"]))
    return found


def _cells(runs: pd.DataFrame) -> list[tuple[Key, pd.DataFrame]]:
    grouped = runs.groupby(["setting", "noise", "loss"], sort=False)
    return [((str(a), str(b), str(c)), part) for (a, b, c), part in grouped]


def _seeds(part: pd.DataFrame) -> list[tuple[int, None]]:
    return [(int(seed), None) for seed in part["seed"]]


def per_cell(runs: pd.DataFrame, value: str, what: str, **claimed: Any) -> list[Effect]:
    """The mean of a column over seeds in every cell of `runs`, as an effect each: of `what`.

    A cell in which only some trainings have a number is not measured; one in which none has, of
    trainings that finished, is left out. `claimed` as of `bootstrap.effect`.
    """
    drawn, found = resample(numbers(runs, value)), []
    for key, part in _cells(runs):
        name = f"{what}, {named(runs, key[:2], key[2])}"
        if key in drawn.means:
            found.append(bootstrap.effect(drawn, bootstrap.average(key), name=name, **claimed))
        elif part[value].notna().any() or (part["status"] == "diverged").any():
            found.append(missing(f"A value is missing: {name}.", name))
    return found


def diverged(runs: pd.DataFrame, counted: str = "they count as right nowhere") -> str:
    """A sentence on the trainings that diverged, and how they count; empty where none did."""
    failed = runs[runs["status"] == "diverged"]
    if failed.empty:
        return ""
    names = ", ".join(dict.fromkeys(failed["label"]))
    count = len(failed)
    return f"{count} of {len(runs)} trainings diverged ({names}); {counted}."


def told(verdict: Verdict, *sentences: str) -> Verdict:
    """The verdict with further sentences."""
    text = " ".join(part for part in (verdict.text, *sentences) if part)
    return replace(verdict, text=text)


def both(*verdicts: Verdict) -> Verdict:
    """One verdict on statements of which all must hold; texts and effects one after the other.

    It fails where one fails, at a level that is corrected for their number.
    """
    found = [verdict.status for verdict in verdicts]
    fails = [v.p_fails for v in verdicts if v.status == FAILS]
    if fails and len(verdicts) * np.nan_to_num(fails).min() > LEVEL:
        found = [NOT_RESOLVED if status == FAILS else status for status in found]
    order: tuple[Status, ...] = (FAILS, NOT_RUN, NOT_RESOLVED)
    status = next((each for each in order if each in found), HOLDS)
    effects = tuple(effect for verdict in verdicts for effect in verdict.effects)
    margins = [verdict.margin for verdict in verdicts if verdict.status != NOT_RUN]
    flips = [verdict.flip for verdict in verdicts if verdict.status != NOT_RUN]
    return Verdict(
        status,
        " ".join(verdict.text for verdict in verdicts if verdict.text),
        effects,
        min(margins, default=nan),
        max(flips, default=nan),
    )


def values(effects: Sequence[Effect]) -> np.ndarray:
    """The values of the effects that are measured, for a range in a text."""
    return np.array([effect.value for effect in effects if effect.measured])
