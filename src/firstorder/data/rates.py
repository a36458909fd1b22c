"""Is the noise that is drawn the noise that is declared?"""

from __future__ import annotations

import math

import numpy as np

from firstorder.config import Noise
from firstorder.data.declarable import TOLERANCE
from firstorder.data.samplers import CHANGED
from firstorder.errors import DataError

CANDIDATES = 2_000
"""Declared rates that are tried for the nearest that can be realised."""


def check_rate(
    matrix: np.ndarray, sizes: np.ndarray, changed: np.ndarray, noise: Noise, what: str
) -> None:
    """Refuse `noise` that changes other than the declared share of labels, beyond TOLERANCE.

    Parameters
    ----------
    matrix : (K, K)
        The transition matrix.
    sizes, changed : (K,)
        Examples of each class, and how many of its labels the sampler changes.
    noise
        Its rate and sampler; noise of a user's own matrix has the rate of its file.
    what
        The noise in the DataError, which says what can be realised.
    """
    others = matrix * (1 - np.eye(len(matrix)))
    expected, got = _rates(others, sizes, changed)
    if _accepted(expected, got):
        return
    rate = noise.rate or expected
    mends = []
    if noise.rate and noise.sampler in CHANGED:
        units = others / noise.rate
        can = nearest(units, sizes, noise.rate, noise.sampler)
        mends.append(f"the nearest that can is {can:.4g}")
    by_remainder = CHANGED["remainder"](others * sizes[:, None])
    expected_so, got_so = _rates(others, sizes, by_remainder)
    better = "remainder` or `iid" if _accepted(expected_so, got_so) else "iid"
    mends.append(f"take `sampler: {better}`")
    raise DataError(
        f"{what}: a rate of {rate:.4g} cannot be realised by classes of {sizes.min()} to "
        f"{sizes.max()} examples: it would be {got * rate / expected:.3f}; {'; or '.join(mends)}"
    )


def nearest(units: np.ndarray, sizes: np.ndarray, rate: float, sampler: str) -> float:
    """The rate nearest to `rate` that classes of `sizes` (K,) realise, in four digits.

    `units` (K, K): what share of each class gets each other label at rate 1.
    """
    # Rates at which a count is whole, or rounded to another: between them nothing changes.
    rounded = units if sampler == "floor" else units.sum(1, keepdims=True)
    each = np.unique((rounded * sizes[:, None])[rounded > 0])
    steps = {
        min(1.0, _up((count + half) / most))
        for most in each.tolist()
        if most
        for count in range(int(most) + 1)
        for half in (0.0, 0.5)
    }

    def realised(declared: float) -> tuple[float, float]:
        others = units * declared
        return _rates(others, sizes, CHANGED[sampler](others * sizes[:, None]))

    near = sorted(steps, key=lambda each: (abs(each - rate), each))[:CANDIDATES]
    found = {end(realised(each)[1]) for each in near for end in (_up, _down)}
    can = [each for each in found if _accepted(*realised(each))]
    return min(can, key=lambda each: (abs(each - rate), each), default=0.0)


def _up(rate: float) -> float:
    """In four digits, upwards: `floor` of a little less is one label less."""
    return math.ceil(1e4 * rate - 1e-9) / 1e4


def _down(rate: float) -> float:
    return math.floor(1e4 * rate + 1e-9) / 1e4


def _accepted(expected: float, got: float) -> bool:
    return abs(got - expected) <= TOLERANCE + 1e-9  # half a label of 50 is 0.01


def _rates(others: np.ndarray, sizes: np.ndarray, changed: np.ndarray) -> tuple[float, float]:
    """The declared and the realised share of wrong labels in the classes that have any."""
    wrong = others.sum(1)
    used = wrong > 0
    total = max(int(sizes[used].sum()), 1)
    return float((wrong * sizes)[used].sum() / total), float(changed[used].sum() / total)
