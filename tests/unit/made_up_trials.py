"""Made-up trainings: correctness of methods whose true accuracy is known."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


def trial(
    random: np.random.Generator,
    levels: dict[str, float],
    *,
    seeds: int = 5,
    examples: int = 200,
    of_seeds: float = 0.3,
    of_examples: float = 1.0,
    of_both: float = 0.5,
) -> dict[str, np.ndarray]:
    """Bits (seeds, examples) of every method of `levels`.

    A prediction is right where level + a (seed) + b (example) + e is positive, with normal a, b
    and e of the given spreads; b is the same for all methods, a and e are their own.
    """
    difficulty = of_examples * random.standard_normal(examples)
    return {
        name: level
        + of_seeds * random.standard_normal((seeds, 1))
        + difficulty
        + of_both * random.standard_normal((seeds, examples))
        > 0
        for name, level in levels.items()
    }


def accuracy(
    level: float, of_seeds: float = 0.3, of_examples: float = 1.0, of_both: float = 0.5
) -> float:
    """The accuracy over all seeds and examples of a method of that level."""
    return float(norm.cdf(level / np.sqrt(of_seeds**2 + of_examples**2 + of_both**2)))
