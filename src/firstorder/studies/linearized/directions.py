"""What anisotropy directions are like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from firstorder.publish.registry import Results
from firstorder.studies.linearized import frames


def directions(results: Results, indices: Sequence[int]) -> pd.DataFrame:
    """What anisotropy directions are like, per model, seed and index (from 1).

    relative = squared singular value over the first; frequency = mean radial frequency;
    expectation, gradient = squared norm of the projection of direction j on the first j ones of
    the other definitions: j / d for unrelated directions.
    """
    rows = []
    for keys, arrays in frames.arrays(
        results,
        "nads.npz",
        "singular_values",
        "directions",
        "expectation_singular_values",
        "expectation_directions",
        "gradient_directions",
    ):
        squared = np.asarray(arrays["singular_values"], float) ** 2
        V = np.asarray(arrays["directions"], float)
        for j in indices:
            inside = {
                name: float(((arrays[f"{name}_directions"][:j] @ V[j - 1]) ** 2).sum())
                for name in ("expectation", "gradient")
            }
            relative = float(squared[j - 1] / squared[0])
            rows.append(
                {**keys, "task": j, "relative": relative, "frequency": frequency(V[j - 1])} | inside
            )
    return pd.DataFrame(rows)


def frequency(direction: np.ndarray) -> float:
    """Power-weighted mean radial frequency of a square image, in cycles per image."""
    side = round(len(direction) ** 0.5)
    power = np.abs(np.fft.fft2(direction.reshape(side, side))) ** 2
    cycles = np.fft.fftfreq(side, 1 / side)
    return float((power * np.hypot(cycles[:, None], cycles[None, :])).sum() / power.sum())
