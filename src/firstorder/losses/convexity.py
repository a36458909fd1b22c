"""A search for two scores between which a loss is not convex.

Of the symmetric losses that are convex, do not increase in the label's score and do not know the
order of the classes, only the multiples of the unhinged loss are left (Thm. 5.1): the symmetric
part of every other loss has a violating pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from firstorder.losses.registry import Loss


@dataclass(frozen=True)
class Violation:
    """Scores between which the loss of `label` bends the wrong way.

    `excess` is the value in the middle less the mean of the ends, over 1 + |value in the middle|:
    positive where a loss is not convex.
    """

    first: Tensor
    second: Tensor
    label: int
    excess: float


def violating_pair(
    loss: Loss,
    *,
    pairs: int = 4000,
    largest: float = 10.0,
    tolerance: float = 1e-9,
    seed: int = 0,
) -> Violation | None:
    """The worst violation of midpoint convexity among random pairs of scores, or None.

    Parameters
    ----------
    loss : Loss
        For the theorem, a symmetric one: `symmetrize(...)`.
    pairs : int
        Number of pairs of normal scores that are tried.
    largest : float
        Their spreads are uniform up to this.
    tolerance : float
        An excess up to this is rounding.
    seed : int
        Of the pairs.
    """
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randn(2, pairs, loss.num_classes, dtype=torch.float64, generator=generator)
    ends = ends * largest * torch.rand(pairs, 1, dtype=torch.float64, generator=generator)
    middle, first, second = (loss.values(s) for s in (ends.mean(0), *ends))
    excess = (middle - (first + second) / 2) / (1 + middle.abs())
    worst = int(excess.argmax())
    pair, label = divmod(worst, loss.num_classes)
    found = excess[pair, label].item()
    return Violation(ends[0, pair], ends[1, pair], label, found) if found > tolerance else None
