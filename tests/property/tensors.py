"""Random tensors, and how far two of them are apart."""

from __future__ import annotations

import torch
from torch import Tensor


def normal(seed: int, *shape: int, spread: float = 1.0) -> Tensor:
    """Normal numbers in float64, with standard deviation `spread`."""
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(shape, dtype=torch.float64, generator=generator)


def relative(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the largest entry of `b`."""
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max() / b.abs().max())
