"""Is the noise that is drawn the noise that is declared?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from firstorder.config import Noise
from firstorder.data.declarable import TOLERANCE
from firstorder.data.samplers import CHANGED
from firstorder.errors import DataError


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
        can = nearest(units, sizes, noise.rate, noise.sampler, noise.highest(len(matrix)))
        mends += [f"the nearest that can is {can:.4g}"] if can else []
    by_remainder = CHANGED["remainder"](others * sizes[:, None])
    expected_so, got_so = _rates(others, sizes, by_remainder)
    better = "remainder` or `iid" if _accepted(expected_so, got_so) else "iid"
    mends.append(f"take `sampler: {better}`")
    raise DataError(
        f"{what}: a rate of {rate:.4g} cannot be realised by classes of {sizes.min()} to "
        f"{sizes.max()} examples: it would be {got * rate / expected:.3f}; {'; or '.join(mends)}"
    )


def nearest(
    units: np.ndarray, sizes: np.ndarray, rate: float, sampler: str, most: float
) -> float | None:
    """The rate up to `most` nearest to `rate` that can be realised, in four digits; None if none.

    `units` (K, K): what share of each class of `sizes` (K,) gets each other label at rate 1.
    """
    labels = units * sizes[:, None]
    rounded = labels if sampler == "floor" else labels.sum(1)
    each, count = np.unique(rounded[rounded > 0], return_counts=True)
    if not each.size:
        return None
    rates = np.arange(1, int(1e4 * most + 1e-9) + 1) / 1e4
    expected = rates[:, None] * each
    total = sizes[units.sum(1) > 0].sum()
    got = CHANGED[sampler](expected[..., None]) @ count / total
    can = rates[_accepted(expected @ count / total, got)]
    return float(can[np.argmin(np.abs(can - rate))]) if can.size else None


def _accepted(expected: ArrayLike, got: ArrayLike) -> np.ndarray:
    """Whether realised rates are declared ones: within TOLERANCE, and noise where it is noise."""
    near = np.abs(np.subtract(got, expected)) <= TOLERANCE + 1e-9  # half a label of 50 is 0.01
    return near & (np.greater(got, 0) | np.equal(expected, 0))


def _rates(others: np.ndarray, sizes: np.ndarray, changed: np.ndarray) -> tuple[float, float]:
    """The declared and the realised share of wrong labels in the classes that have any."""
    wrong = others.sum(1)
    used = wrong > 0
    total = max(int(sizes[used].sum()), 1)
    return float((wrong * sizes)[used].sum() / total), float(changed[used].sum() / total)
