"""Is the noise that was drawn the noise that was declared?"""

from __future__ import annotations

import numpy as np

from firstorder.errors import DataError

TOLERANCE = 0.01
"""By how much the realised rate may differ from the declared one."""
CANDIDATES = 10_000
"""Rates that are tried for the nearest that can be realised."""


def check_rate(matrix: np.ndarray, sizes: np.ndarray, rate: float, what: str) -> None:
    """Refuse a `rate` that classes of `sizes` (K,) cannot realise within TOLERANCE.

    `matrix` (K, K) is the transition matrix; `what` names the noise in the DataError, which says
    the nearest rate that can be realised. Concerns counts that are rounded by class.
    """
    wrong = 1 - np.diag(matrix)  # of each class, declared
    expected, got = _realised(wrong, sizes)
    if abs(got - expected) <= TOLERANCE:
        return
    raise DataError(
        f"{what}: a rate of {rate:g} cannot be realised by classes of {sizes.min()} to "
        f"{sizes.max()} examples: it would be {got * rate / expected:.3f}; the nearest that can "
        f"is {nearest(wrong / rate, sizes, rate):.4g}; or take `sampler: iid`"
    )


def nearest(units: np.ndarray, sizes: np.ndarray, rate: float) -> float:
    """The rate nearest to `rate` that classes of `sizes` realise within TOLERANCE.

    `units` (K,): what share of each class is wrong at rate 1.
    """
    used = (units > 0) & (sizes > 0)
    found = {
        count / (size * unit)
        for size, unit in zip(sizes[used].tolist(), units[used].tolist(), strict=True)
        for count in range(size + 1)
        if count <= size * unit
    }
    for candidate in sorted(found, key=lambda each: (abs(each - rate), each))[:CANDIDATES]:
        expected, got = _realised(units * candidate, sizes)
        if abs(got - expected) <= TOLERANCE:
            return candidate
    return 0.0


def _realised(wrong: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """The declared and the realised share of wrong labels in the classes that have any."""
    used = wrong > 0
    total = max(int(sizes[used].sum()), 1)
    expected = wrong[used] * sizes[used]
    return float(expected.sum() / total), float(np.floor(expected + 0.5 + 1e-9).sum() / total)
