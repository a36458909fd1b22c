"""Is the noise that is drawn the noise that is declared?"""

from __future__ import annotations

import math

import numpy as np

from firstorder.config import Noise
from firstorder.data.samplers import CHANGED
from firstorder.errors import DataError

TOLERANCE = 0.01
"""By how much the realised rate may differ from the declared one."""
CANDIDATES = 10_000
"""Rates that are tried for the nearest that can be realised."""


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
    if abs(got - expected) <= TOLERANCE:
        return
    rate = noise.rate or expected
    mends = []
    if noise.rate and noise.sampler in CHANGED:
        units = others / noise.rate
        can = nearest(units, sizes, noise.rate, noise.sampler)
        mends.append(f"the nearest that can is {can:.4g}")
    by_remainder = CHANGED["remainder"](others * sizes[:, None])
    expected_so, got_so = _rates(others, sizes, by_remainder)
    better = "remainder` or `iid" if abs(got_so - expected_so) <= TOLERANCE else "iid"
    mends.append(f"take `sampler: {better}`")
    raise DataError(
        f"{what}: a rate of {rate:.4g} cannot be realised by classes of {sizes.min()} to "
        f"{sizes.max()} examples: it would be {got * rate / expected:.3f}; {'; or '.join(mends)}"
    )


def nearest(units: np.ndarray, sizes: np.ndarray, rate: float, sampler: str) -> float:
    """The rate nearest to `rate` that classes of `sizes` (K,) realise within TOLERANCE.

    `units` (K, K): what share of each class gets each other label at rate 1.
    """
    # Rates at which what the sampler rounds is whole: in four digits upwards, since `floor` of a
    # little less is one label less.
    rounded = units if sampler == "floor" else units.sum(1, keepdims=True)
    each = np.unique((rounded * sizes[:, None])[rounded > 0])
    found = {
        math.ceil(1e4 * count / most - 1e-9) / 1e4
        for most in each.tolist()
        if most
        for count in range(int(most) + 1)
    }
    for candidate in sorted(found, key=lambda each: (abs(each - rate), each))[:CANDIDATES]:
        others = units * candidate
        expected, got = _rates(others, sizes, CHANGED[sampler](others * sizes[:, None]))
        if abs(got - expected) <= TOLERANCE:
            return candidate
    return 0.0


def _rates(others: np.ndarray, sizes: np.ndarray, changed: np.ndarray) -> tuple[float, float]:
    """The declared and the realised share of wrong labels in the classes that have any."""
    wrong = others.sum(1)
    used = wrong > 0
    total = max(int(sizes[used].sum()), 1)
    return float((wrong * sizes)[used].sum() / total), float(changed[used].sum() / total)
