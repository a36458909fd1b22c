"""Rates that noise may declare. Planning reads this, so it does without numpy."""

from __future__ import annotations

from statistics import NormalDist

from firstorder.errors import DataError

TOLERANCE = 0.01
"""By how much the realised rate may differ from the declared one."""
SPREAD = 0.1
"""Standard deviation of the flip probability of instance-dependent noise."""


def check_instance_rate(rate: float, what: str) -> None:
    """Refuse a rate that the cut of instance-dependent noise moves by more than TOLERANCE."""
    if rate == 0 or abs(_cut_mean(rate) - rate) <= TOLERANCE:
        return
    can = [each / 1000 for each in range(1, 1000)]
    can = [each for each in can if abs(_cut_mean(each) - each) <= TOLERANCE]
    raise DataError(
        f"{what}: a rate of {rate:g} cannot be realised: its rates are normal with standard "
        f"deviation {SPREAD} about it, cut at 0 and 1, and their mean is {_cut_mean(rate):.3f}; "
        f"the nearest that can is {min(can, key=lambda each: abs(each - rate)):g}"
    )


def _cut_mean(rate: float) -> float:
    """Mean of Normal(rate, SPREAD^2) truncated to [0, 1]."""
    normal = NormalDist(rate, SPREAD)
    slope = normal.pdf(1.0) - normal.pdf(0.0)
    return rate - SPREAD**2 * slope / (normal.cdf(1.0) - normal.cdf(0.0))
