"""Learning rates as closed forms of the position, so that a resumed run needs no state."""

from __future__ import annotations

import math
from typing import Protocol

PEAK = 0.4
"""One-cycle: share of the run at which the rate peaks (the released code of arXiv:2106.06770)."""
DIVISOR = 1e8
"""One-cycle: the peak over the first rate, and over the last."""
THRESHOLDS = (0.1, 0.01)
"""The first step whose batch loss lies below each is recorded."""


class Schedule(Protocol):
    """What a learning rate depends on; a recipe of the configuration is one."""

    @property
    def epochs(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def schedule(self) -> str: ...
    @property
    def schedule_unit(self) -> str: ...
    @property
    def milestones(self) -> tuple[int, ...]: ...
    @property
    def gamma(self) -> float: ...


def learning_rate(recipe: Schedule, epoch: int, step: int, steps_per_epoch: int) -> float:
    """The rate at `step` (from 0) of `epoch` (from 1).

    The position t of T is counted in epochs or in steps, as `recipe.schedule_unit` says; with
    epochs, epoch e uses t = e - 1, as peers do who step their scheduler after every epoch.
    """
    if recipe.schedule_unit == "epoch":
        return rate(recipe, epoch - 1, recipe.epochs)
    return rate(recipe, (epoch - 1) * steps_per_epoch + step, recipe.epochs * steps_per_epoch)


def rate(recipe: Schedule, t: int, total: int) -> float:
    """The rate at position `t` of `total`."""
    if recipe.schedule == "cosine":
        return recipe.lr * (1 + math.cos(math.pi * t / total)) / 2
    if recipe.schedule == "linear":
        return recipe.lr * (1 - t / total)
    if recipe.schedule == "step":
        return recipe.lr * recipe.gamma ** sum(t >= milestone for milestone in recipe.milestones)
    if recipe.schedule == "exponential":
        return recipe.lr * recipe.gamma**t
    if recipe.schedule == "one-cycle":
        return _one_cycle(recipe.lr, t, total)
    return recipe.lr


def _one_cycle(peak: float, t: int, total: int) -> float:
    """Cosine from peak/DIVISOR up to the peak and down again (torch's OneCycleLR)."""
    top, last = PEAK * total - 1, total - 1
    low = peak / DIVISOR
    if t <= top:
        return _anneal(low, peak, t / top if top > 0 else 1.0)
    return _anneal(peak, low, (t - top) / (last - top) if last > top else 1.0)


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
