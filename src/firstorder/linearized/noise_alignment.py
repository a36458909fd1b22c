"""Which way a kernel points under label noise: at the clean labels, or at the noise.

Noisy labels are Z' = a Z + E: a multiple of the clean ones (both centred one-hot) and the noise
part E, orthogonal to Z. rho = A(Z) / A(E), with A(Y) = <Y, Theta Y> / |Y|^2 the alignment of K
outputs. A kernel that turns towards the noise in training has a falling rho.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from firstorder.linearized.mean_classifier import centred_one_hot


def alignment(kernel: Tensor, targets: Tensor) -> float:
    """A(Y) of `targets` (N, K) in `kernel`: (N, N), the same for every output, or (N, N, K, K)."""
    y = targets.to(kernel.dtype)
    image = kernel @ y if kernel.dim() == 2 else torch.einsum("nmkl,ml->nk", kernel, y)
    return float((y * image).sum(dtype=torch.float64) / y.square().sum(dtype=torch.float64))


def noise_part(clean: Tensor, noisy: Tensor, num_classes: int) -> Tensor:
    """E (N, K) of labels (N,): what of the noisy labels is orthogonal to the clean ones.

    Raises ValueError where there is no noise.
    """
    z, given = centred_one_hot(clean, num_classes), centred_one_hot(noisy, num_classes)
    rest = given - (given * z).sum() / z.square().sum() * z
    if float(rest.norm()) < 1e-9 * float(given.norm()):
        raise ValueError("the noisy labels are the clean ones: there is no noise part")
    return rest


class Alignments(NamedTuple):
    """With clean labels and with noise."""

    clean: float
    noise: float

    @property
    def rho(self) -> float:
        """A(Z) / A(E); NaN of a kernel without any of the noise."""
        return self.clean / self.noise if self.noise else math.nan


def alignments(kernel: Tensor, clean: Tensor, noisy: Tensor, num_classes: int) -> Alignments:
    """A(Z) and A(E) of `kernel`, (N, N) or (N, N, K, K), for labels (N,) int64.

    Raises ValueError where there is no noise.
    """
    parts = centred_one_hot(clean, num_classes), noise_part(clean, noisy, num_classes)
    return Alignments(*(alignment(kernel, part) for part in parts))


def rho(kernel: Tensor, clean: Tensor, noisy: Tensor, num_classes: int) -> float:
    """A(Z) / A(E), as `alignments` has them."""
    return alignments(kernel, clean, noisy, num_classes).rho
