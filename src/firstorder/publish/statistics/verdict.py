"""Effects with intervals, and the verdict on a claim about one effect or about several.

A claim says on which side of a threshold an effect lies. It *holds* where the whole 95 % interval
is on that side, *fails* where the whole interval is on the other side, is *not resolved* where
the interval contains the threshold or lacks the spread over seeds (of one seed), and is *not run*
where the effect could not be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf, isnan, nan
from typing import Literal

import numpy as np

from firstorder.publish.numerals import counted, number

Status = Literal["holds", "fails", "not resolved", "not run"]
HOLDS: Status = "holds"
FAILS: Status = "fails"
NOT_RESOLVED: Status = "not resolved"
NOT_RUN: Status = "not run"
Direction = Literal["above", "below", "within"]
"""Where a claim says that the effect is: above or below the threshold, or nearer to 0 than it."""
LEVEL = 0.025
"""One-sided level: what a 95 % interval leaves beyond one of its ends."""
NAMED = 3
"""Effects that share a note and are named; of more their number is given."""


@dataclass(frozen=True)
class Effect:
    """A measured number with its 95 % interval, and the threshold that a claim sets for it.

    Parameters
    ----------
    value, low, high : float
        Estimate and ends of the interval; NaN where nothing was measured.
    threshold : float
        In the unit of the value; NaN for a number that no claim is about.
    direction : {"above", "below", "within"}
        What is claimed: value > threshold, value < threshold or |value| < threshold.
    unit, name, note : str
        As printed; `note` says what limits the interval (one seed) or why there is none.
    seeds, examples : int
        Over how many, at least, the interval was made; 0 where it has no part in it.
    draws : array (B,), optional
        Resampled values. Effects from one bootstrap share their resamples draw by draw.
    fine : callable, optional
        Makes many more draws.
    """

    value: float
    low: float
    high: float
    threshold: float = nan
    direction: Direction = "above"
    unit: str = ""
    name: str = ""
    note: str = ""
    seeds: int = 0
    examples: int = 0
    draws: np.ndarray | None = field(default=None, repr=False, compare=False)
    fine: Callable[[], np.ndarray] | None = field(default=None, repr=False, compare=False)

    def against(self, threshold: float, direction: Direction = "above") -> Effect:
        """The same effect under another claim."""
        return replace(self, threshold=threshold, direction=direction)

    @property
    def measured(self) -> bool:
        """Whether there is a number to judge."""
        return not any(map(isnan, (self.value, self.low, self.high)))

    @property
    def resolvable(self) -> bool:
        """Whether the interval has all spreads that a claim about other seeds needs."""
        return self.seeds != 1

    @property
    def margin(self) -> float:
        """Distance from the threshold, positive on the side that is claimed."""
        if self.direction == "within":
            return self.threshold - abs(self.value)
        return (self.value - self.threshold) * (1 if self.direction == "above" else -1)

    @property
    def flip(self) -> float:
        """Share of the resamples that lie on the other side of the threshold than the value."""
        if self.draws is None:
            return 0.0 if self.low == self.high else nan
        return float((self.claimed(self.draws) != self.claimed(self.value)).mean())

    @property
    def p_holds(self) -> float:
        """One-sided p-value of the hypothesis that the claim is wrong: small where it holds."""
        wrong = [self._share(threshold, above) for threshold, above in self._sides()]
        return max(wrong)

    @property
    def p_fails(self) -> float:
        """One-sided p-value of the hypothesis that the claim is right: small where it fails."""
        right = [self._share(threshold, not above) for threshold, above in self._sides()]
        return min(right)

    def claimed(self, values: float | np.ndarray) -> np.ndarray:
        """Which values are on the side that is claimed."""
        inside = [
            np.greater(values, threshold) if above else np.less(values, threshold)
            for threshold, above in self._sides()
        ]
        return np.logical_and.reduce(inside)

    def _sides(self) -> list[tuple[float, bool]]:
        """Thresholds, and whether the value is claimed to be above."""
        if self.direction == "within":
            return [(self.threshold, False), (-self.threshold, True)]
        return [(self.threshold, self.direction == "above")]

    def _share(self, threshold: float, above: bool) -> float:
        """Share of the draws that are not above (below) `threshold`, never 0.

        Without draws 0 or 1 for a number that is exact, and 1 for one of unknown spread.
        """
        unknown = self.draws is None and self.low != self.high
        if not self.measured or not self.resolvable or unknown:
            return 1.0
        draws = np.array([self.value]) if self.draws is None else self.draws
        beyond = int((draws <= threshold if above else draws >= threshold).sum())
        return float(beyond) if self.draws is None else (beyond + 1) / (len(draws) + 1)

    def __str__(self) -> str:
        """`3.1 points [1.2, 5.0]`."""
        unit = f" {self.unit}" if self.unit else ""
        if not self.measured:
            return self.note or "not measured"
        if self.low == self.high or (np.isinf(self.low) and np.isinf(self.high)):
            return f"{number(self.value)}{unit}"
        return f"{number(self.value)}{unit} [{number(self.low)}, {number(self.high)}]"


def exact(
    value: float,
    threshold: float,
    direction: Direction = "above",
    *,
    unit: str = "",
    name: str = "",
) -> Effect:
    """An effect without uncertainty: an identity's error, a number of a search."""
    return Effect(value, value, value, threshold, direction, unit, name)


def missing(note: str, name: str = "") -> Effect:
    """The effect of what was not run; `note` says what is lacking."""
    return Effect(nan, nan, nan, name=name, note=note)


@dataclass(frozen=True)
class Verdict:
    """What is said of a claim.

    `margin` is the distance from the threshold in the effect's unit, positive on the claimed side;
    `flip` the bootstrap probability that the point verdict is another one; `p_fails` the p-value of
    the hypothesis that the claim is right, where there is one.
    """

    status: Status
    text: str
    effects: tuple[Effect, ...] = ()
    margin: float = nan
    flip: float = nan
    p_fails: float = nan

    @property
    def numbers(self) -> dict[str, float]:
        """The values of the effects, by name."""
        return {effect.name: effect.value for effect in self.effects}


def not_run(why: str) -> Verdict:
    """The verdict where a scale has no data for a claim; `why` says what is missing."""
    return Verdict(NOT_RUN, why)


def judge(effect: Effect, text: str = "") -> Verdict:
    """The verdict on one effect; `text` is a sentence that comes before the numbers."""
    if not effect.measured:
        return Verdict(NOT_RUN, effect.note or "Not measured at this scale.", (effect,))
    if isnan(effect.threshold):
        raise ValueError(f"effect {effect.name!r} has no threshold; give one with `against`")
    status = _status(effect)
    said = " ".join(part for part in (text, _claimed(effect), effect.note) if part)
    return Verdict(status, said, (effect,), effect.margin, effect.flip, effect.p_fails)


def _claimed(effect: Effect) -> str:
    """`3.1 points [1.2, 5.0], claimed > 0: margin 3.1, flips in 0.4 % of resamples.`."""
    return f"{effect}, claimed {_claim(effect)}: {_sureness(effect.margin, effect.flip, [effect])}."


def _status(effect: Effect) -> Status:
    if not effect.resolvable:
        return NOT_RESOLVED
    if effect.direction == "within":
        limit = effect.threshold
        if -limit < effect.low and effect.high < limit:
            return HOLDS
        return FAILS if effect.low > limit or effect.high < -limit else NOT_RESOLVED
    above, below = effect.low > effect.threshold, effect.high < effect.threshold
    holds, fails = (above, below) if effect.direction == "above" else (below, above)
    return HOLDS if holds else FAILS if fails else NOT_RESOLVED


def combine(
    effects: Sequence[Effect], need: Literal["all", "most", "any"] | int = "all", text: str = ""
) -> Verdict:
    """One verdict on several effects, of which at least `need` must hold.

    "most" is more than half. The partial conjunction test of Benjamini and Heller (2008) keeps
    the level for any dependence between the effects: with m effects, k needed and p sorted,
    "fewer than k hold" is rejected at (m - k + 1) p_(k). For k = m no correction is paid, for
    k = 1 it is Holm's first step. That the claim fails is tested in the same way, by m - k + 1
    effects that fail. An effect that was not measured counts as neither.
    """
    if any(effect.measured and isnan(effect.threshold) for effect in effects):
        raise ValueError("an effect has no threshold; give one with `against`")
    if not any(effect.measured for effect in effects):
        return not_run(effects[0].note if effects else "No effect was measured at this scale.")
    count = needed(len(effects), need)
    holds = _partial(effects, lambda effect: effect.p_holds, count)
    fails = _partial(effects, lambda effect: effect.p_fails, len(effects) - count + 1)
    status: Status = "holds" if holds <= LEVEL else "fails" if fails <= LEVEL else "not resolved"
    margins = [effect.margin if effect.measured else -inf for effect in effects]
    margin, flip = sorted(margins, reverse=True)[count - 1], _joint_flip(effects, count)
    each = [_status(effect) for effect in effects if effect.measured]
    tally = ", ".join(counted(each.count(s), s) for s in (HOLDS, FAILS, NOT_RESOLVED) if s in each)
    lacking = len(effects) - len(each)
    tally += f", {lacking} not run" if lacking else ""
    numbers = f"Of {len(effects)}, {count} needed: {tally}; {_sureness(margin, flip, effects)}."
    if len(effects) == 1 and effects[0].draws is not None:
        numbers = _claimed(effects[0])
    said = " ".join(part for part in (text, numbers, *_notes(effects)) if part)
    return Verdict(status, said, tuple(effects), margin, flip, fails)


def _notes(effects: Sequence[Effect]) -> list[str]:
    """What limits the intervals, each note once, and of which effects where some lack it."""
    known = [effect for effect in effects if effect.measured]
    said = []
    for note in dict.fromkeys(effect.note for effect in known if effect.note):
        names = [effect.name for effect in known if effect.note == note]
        if len(names) == len(known):
            said.append(note)
            continue
        few = len(names) <= NAMED and all(names)
        those = ", ".join(names) if few else f"{len(names)} of {len(known)}"
        said.append(f"{those}: {note[0].lower()}{note[1:]}")
    return said


def needed(effects: int, need: str | int) -> int:
    """How many of `effects` must hold."""
    counts = {"all": effects, "most": effects // 2 + 1, "any": 1}
    count = counts[need] if isinstance(need, str) else need
    if not 1 <= count <= effects:
        raise ValueError(f"{count} of {effects} effects needed; between 1 and {effects} can be")
    return count


def share_needed(effects: int, share: float) -> int:
    """The smallest number of effects that is at least `share` of them, for `combine`."""
    return max(1, ceil(share * effects - 1e-9))


def _partial(effects: Sequence[Effect], of: Callable[[Effect], float], count: int) -> float:
    """p-value of "fewer than `count` of these are true", `of` being that of one.

    Where no draw of the effects that decide is beyond the threshold, and only their number keeps
    the p-value above the level, more are drawn.
    """
    p, factor = sorted(map(of, effects)), len(effects) - count + 1
    least = [1 / (len(e.draws) + 1) for e in effects if e.draws is not None and e.fine is not None]
    if factor * p[count - 1] > LEVEL and p[count - 1] <= max(least, default=0.0):
        more = [replace(e, draws=e.fine(), fine=None) if e.fine else e for e in effects]
        return _partial(more, of, count)
    return min(1.0, factor * p[count - 1])


def _joint_flip(effects: Sequence[Effect], count: int) -> float:
    """Share of resamples in which another number of effects than needed is on its side."""
    known = [effect for effect in effects if effect.measured]
    if any(effect.draws is None and effect.low != effect.high for effect in known):
        return nan
    lengths = [len(effect.draws) for effect in known if effect.draws is not None]
    if not lengths:
        return 0.0
    shape = min(lengths)
    sides = [
        np.broadcast_to(
            effect.claimed(effect.value if effect.draws is None else effect.draws[:shape]), shape
        )
        for effect in known
    ]
    drawn = np.sum(sides, axis=0) >= count
    found = sum(bool(effect.claimed(effect.value)) for effect in known) >= count
    return float((drawn != found).mean())


def _claim(effect: Effect) -> str:
    sign = {"above": "> ", "below": "< ", "within": "within ±"}[effect.direction]
    return f"{sign}{number(effect.threshold)}"


def _sureness(margin: float, flip: float, of: Sequence[Effect]) -> str:
    """`margin 1.1, flips in 0.4 % of resamples`; nothing is resampled of effects that are exact."""
    said = f"margin {number(margin)}"
    if isnan(flip) or all(effect.draws is None for effect in of):
        return said
    return f"{said}, flips in {100 * flip:.1f} % of resamples"
