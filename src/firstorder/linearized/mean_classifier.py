"""The kernel mean classifier: what the unhinged loss makes of a linearized network.

The unhinged loss mean_k s_k - s_y is linear, so its gradient -(e_y - 1/K) never changes: gradient
descent of a linearized K-output network from f_0 = 0 has after T steps

    C_T = (sum_t lr_t) Z / N,      f_T = Theta C_T,      Z = one-hot labels - 1/K  (N, K).

Its predictions do not depend on T, it is ridge regression on Z with an infinite penalty, and label
noise only shrinks what it expects: E[f] = (1 - eta K / (K - 1)) f_clean for symmetric noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from firstorder.linearized.cg import times


def centred_one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Z (N, K) float64 of `labels` (N,) int64."""
    return torch.nn.functional.one_hot(labels, num_classes).double() - 1 / num_classes


def coefficients(labels: Tensor, num_classes: int, total: float = 1.0) -> Tensor:
    """C (N, K) after steps whose learning rates sum to `total`, full batch without momentum."""
    return total * centred_one_hot(labels, num_classes) / len(labels)


def scores(kernel: Tensor, labels: Tensor, num_classes: int, total: float = 1.0) -> Tensor:
    """Theta C (M, K) in float64 for the rows of `kernel` (M, N) against the training examples.

    Use a centred kernel (`normalised.centred`): else class imbalance, times the constant
    direction of the kernel, decides.
    """
    return times(kernel, coefficients(labels, num_classes, total))


def noise_factor(rate: float, num_classes: int) -> float:
    """1 - eta K / (K - 1): what symmetric noise of rate eta leaves of the expected scores.

    Negative once the true class is the least likely label.
    """
    return 1 - rate * num_classes / (num_classes - 1)
