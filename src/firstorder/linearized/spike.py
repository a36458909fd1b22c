"""How much more a trained kernel has grown along the trained eigenfunction than along others.

Alignments A_0 and A_T of the kernel with the eigenfunctions k = 1, 2, ... before and after training
on eigenfunction j. Growth A_T / A_0 rises with k (a new direction adds the same to large and to
small alignments), so the median growth of all is no yardstick for one index. Two that are:

    neighbours:  growth_j over the median growth of k in [j/2, 2j], k != j
    affine fit:  log A_T = log(s A_0 + c) over k != j; the residual of j
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares


def excess(initial: np.ndarray, trained: np.ndarray, j: int) -> float:
    """Growth of index `j` (from 1) over the median growth of its neighbours; alignments (k,).

    Raises ValueError where there is no neighbour.
    """
    initial, trained = np.asarray(initial, np.float64), np.asarray(trained, np.float64)
    index = np.arange(1, len(initial) + 1)
    near = (2 * index >= j) & (index <= 2 * j) & (index != j)
    if not 1 <= j <= len(initial) or not near.any():
        raise ValueError(f"index {j} of {len(initial)} eigenfunctions has no neighbours")
    growth = trained / initial
    return float(growth[j - 1] / np.median(growth[near]))


@dataclass(frozen=True)
class Affine:
    """A_T = s A_0 + c, fitted to all indices but one."""

    scale: float
    constant: float
    residual: float
    """log A_T - log(s A_0 + c) of the index left out: its excess is exp(residual)."""
    spread: float
    """Root mean square of the residuals of the others."""


def affine(initial: np.ndarray, trained: np.ndarray, j: int) -> Affine:
    """Fit log A_T = log(s A_0 + c), s and c not negative, over k != `j` (from 1).

    Raises ValueError for fewer than three other indices.
    """
    x, y = np.asarray(initial, np.float64), np.log(np.asarray(trained, np.float64))
    others = np.arange(1, len(x) + 1) != j
    if not 1 <= j <= len(x) or others.sum() < 3:
        raise ValueError(f"index {j} of {len(x)} eigenfunctions: three others are needed for a fit")

    # In units of the data both numbers are near one: s by the growth of the largest, c by the
    # growth of the smallest alignment.
    units = np.array([np.exp(y[x.argmax()]) / x.max(), np.exp(y[others]).min()])

    def residuals(share: np.ndarray) -> np.ndarray:
        s, c = share * units
        return y - np.log(np.maximum(s * x + c, np.finfo(np.float64).tiny))

    found = least_squares(
        lambda share: residuals(share)[others],
        [1.0, 0.5],
        bounds=([0, 0], [np.inf, np.inf]),
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    )
    s, c = found.x * units
    left = residuals(found.x)
    spread = float(np.sqrt(np.mean(np.square(left[others]))))
    return Affine(float(s), float(c), float(left[j - 1]), spread)
