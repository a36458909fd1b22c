"""Accuracy of the kernel mean classifier under label noise, before any training.

Its scores A Y at a test example are sums over the training labels, with weights A_i = Theta(x, x_i)
and noisy one-hot labels Y_i. Two moments of the labels give mean and covariance,

    mean_x = sum_i A_i E[e_y_i],
    cov_x  = sum_i A_i^2 Cov(e_y_i) + sum_{i != j, same class} A_i A_j Cov(e_y_i, e_y_j),

and a sum of many labels is nearly Gaussian. The second sum is zero for labels drawn independently.
A sampler that fixes counts draws without replacement: labels of a class repel each other, and
what is common to a class has no noise at all. That is why exact counts flatter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.special import ndtri
from scipy.stats import qmc
from torch import Tensor

from firstorder.linearized.cg import times

Sampler = Literal["iid", "class", "count"]
"""How labels are drawn from a transition matrix. iid: each for itself. class: of each class an
exact number changes, each to a drawn label. count: of each class an exact number gets each
label."""

LOG_DRAWS = 11
"""Accuracies are means over 2 to this power of quasi-random Gaussian vectors."""


@dataclass(frozen=True)
class Moments:
    """Of the scores at M test examples, for K classes; float64."""

    mean: Tensor
    """(M, K)"""
    covariance: Tensor
    """(M, K, K)"""


def moments(
    test_kernel: Tensor, labels: Tensor, matrix: Tensor, sampler: Sampler = "iid"
) -> Moments:
    """Moments of the scores A Y under label noise.

    Parameters
    ----------
    test_kernel : A (M, N), test with training examples; centred, or class imbalance decides.
    labels : (N,) int64, the true ones.
    matrix : (K, K), probability of each label (column) given the true class (row).
    sampler : how the labels are drawn from it.
    """
    classes = len(matrix)
    mean = test_kernel.new_zeros(len(test_kernel), classes, dtype=torch.float64)
    covariance = mean.new_zeros(len(test_kernel), classes, classes)
    for true in range(classes):
        members = torch.nonzero(labels == true)[:, 0]
        if not len(members):
            continue
        weights = test_kernel[:, members]
        total = weights.sum(1, dtype=torch.float64)
        squares = weights.double().square().sum(1)
        expected, own, pair = label_moments(matrix[true].double(), true, len(members), sampler)
        mean += total[:, None] * expected.to(mean)
        covariance += squares[:, None, None] * own.to(mean)
        covariance += (total.square() - squares)[:, None, None] * pair.to(mean)
    return Moments(mean, covariance)


def label_moments(
    row: Tensor, true: int, count: int, sampler: Sampler
) -> tuple[Tensor, Tensor, Tensor]:
    """Of the one-hot labels of a class of `count` examples: expectation (K,), covariance (K, K) of
    one, and of two different ones."""
    kept = torch.nn.functional.one_hot(torch.tensor(true), len(row)).double()
    changed = torch.where(kept > 0, 0.0, row)
    rate = float(changed.sum())
    if sampler == "count":
        changed = _floor(changed * count) / count
    elif sampler == "class" and rate > 0:
        changed = changed / rate * float(_floor(torch.tensor(rate * count))) / count
    rate = float(changed.sum())
    expected = (1 - rate) * kept + changed
    own = expected.diag() - torch.outer(expected, expected)
    pair = torch.zeros_like(own)
    if sampler == "count" and count > 1:
        pair = -own / (count - 1)
    elif sampler == "class" and count > 1 and rate > 0:
        # Which examples change is drawn without replacement, to what is not.
        direction = changed / rate - kept
        pair = -rate * (1 - rate) / (count - 1) * torch.outer(direction, direction)
    return expected, own, pair


def _floor(expected: Tensor) -> Tensor:
    """Whole part of expected counts, forgiving rounding errors below a whole number."""
    return (expected + 1e-9).floor()


def probability(found: Moments, test_labels: Tensor, log_draws: int = LOG_DRAWS) -> Tensor:
    """Probability (M,) that the score of the label is the largest, for Gaussian scores."""
    draws = _gaussian(found.mean.shape[1], log_draws).to(found.mean)
    values, vectors = torch.linalg.eigh(found.covariance)
    roots = vectors * values.clamp(min=0).sqrt()[:, None, :]
    parts = []
    for mean, root, label in zip(
        found.mean.split(64), roots.split(64), test_labels.split(64), strict=True
    ):
        drawn = mean[:, None, :] + draws @ root.mT
        parts.append((drawn.argmax(2) == label[:, None]).double().mean(1))
    return torch.cat(parts)


def _gaussian(dimensions: int, log_draws: int) -> Tensor:
    """Quasi-random standard normal vectors (2^log_draws, dimensions), always the same."""
    points = qmc.Sobol(dimensions, scramble=False).random_base2(log_draws)
    return torch.from_numpy(ndtri(points + 0.5 / len(points)).astype(np.float64))


def accuracy(
    test_kernel: Tensor,
    labels: Tensor,
    test_labels: Tensor,
    matrix: Tensor,
    sampler: Sampler = "iid",
) -> float:
    """Expected test accuracy of the mean classifier trained on labels after noise."""
    found = moments(test_kernel, labels, matrix, sampler)
    return float(probability(found, test_labels).mean())


def expected_scores(test_kernel: Tensor, labels: Tensor, matrix: Tensor) -> Tensor:
    """E[A (Y - 1/K)] (M, K) over independent draws; (1 - eta K / (K - 1)) times the clean scores
    for symmetric noise."""
    return times(test_kernel, matrix.double()[labels] - 1 / len(matrix))
