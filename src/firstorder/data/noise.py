"""Label noise on the training labels.

Symmetric, asymmetric and pair-flip noise are a transition matrix T, row = true class, column =
given label, or a user's own matrix; instance-dependent noise depends on the image; human noise,
and labels that a user gives, are read. Only labels change, once per seed, from the stream `noise`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri, softmax

from firstorder.config import Dataset, Noise, check_noise
from firstorder.data import given, samplers
from firstorder.data import human as human_labels
from firstorder.data.declarable import SPREAD, check_instance_rate
from firstorder.data.rates import check_rate
from firstorder.errors import DataError
from firstorder.streams import numpy_stream

log = logging.getLogger("firstorder")

BLOCK = 2**24
"""Pixels that instance-dependent noise holds at a time, as float64."""


@dataclass(frozen=True)
class NoisyLabels:
    """The labels of a training set after noise."""

    labels: np.ndarray
    """int64 (N,)."""
    flipped: np.ndarray
    """bool (N,): where the label is not the true class."""
    realised: np.ndarray
    """float64 (K, K), row-stochastic: which share of each class got which label."""

    @property
    def rate(self) -> float:
        """The share of all labels that are wrong."""
        return float(self.flipped.mean()) if len(self.flipped) else 0.0


def transition_matrix(noise: Noise, dataset: Dataset) -> np.ndarray | None:
    """The probability (K, K) of each label given the true class, rows summing to one.

    None for instance-dependent, human and given labels, where it depends on the data: see
    `NoisyLabels.realised`. Raises ConfigError for noise that the dataset cannot have.
    """
    check_noise(noise, dataset, dataset.title, "noise")
    if noise.kind in ("instance", "human", "labels"):
        return None
    classes = len(dataset.classes)
    if noise.kind == "matrix":
        return given.matrix(noise.path or "", dataset)
    if noise.sampler == "sequential":
        return samplers.sequential_matrix(classes, _pairs(dataset), noise.rate)
    identity = np.eye(classes)
    if noise.kind == "symmetric":
        others = np.ones((classes, classes)) if noise.include_true_class else 1 - identity
        return (1 - noise.rate) * identity + noise.rate * others / others.sum(1, keepdims=True)
    target = _mistaken_for(noise, dataset)
    return (1 - noise.rate) * identity + noise.rate * identity[target]


def _pairs(dataset: Dataset) -> list[tuple[int, int]]:
    """The asymmetric map by true class, whatever order it is declared or stored in.

    Flipped one after the other, only cat and dog of CIFAR-10's depend on their order, which is
    that of the released code of eps-softmax (9, 2, 3, 5, 4).
    """
    assert isinstance(dataset.asymmetric, dict)  # checked with the noise
    return sorted(dataset.asymmetric.items())


def _mistaken_for(noise: Noise, dataset: Dataset) -> np.ndarray:
    """The class (K,) that each class is mistaken for; itself where none is."""
    target = np.arange(len(dataset.classes))
    if noise.kind == "pairflip":
        return np.roll(target, -1)
    if dataset.asymmetric != "blocks":
        for source, other in dataset.asymmetric.items():
            target[source] = other
        return target
    group = np.array(dataset.semantic_groups) if noise.blocks == "semantic" else target // 5
    for block in np.unique(group):
        members = np.flatnonzero(group == block)
        target[members] = np.roll(members, -1)
    return target


def corrupt(
    labels: np.ndarray,
    noise: Noise,
    dataset: Dataset,
    seed: int,
    images: np.ndarray | None = None,
    human: str | Path | None = None,
    rows: np.ndarray | None = None,
    published: int | None = None,
) -> NoisyLabels:
    """`labels` int64 (N,) after `noise`.

    Instance-dependent noise needs `images` uint8 (N, C, H, W), human noise the CIFAR-N file
    `human`, labels of a file, where N of `published` images are trained on, their `rows` (N,).
    Rate 0 changes nothing. Raises DataError where a needed input is missing or does not belong to
    the labels, or the rate cannot be realised within one percent: by counts, since the classes are
    too small; of instance-dependent noise, since it is too near to 0 or 1.
    """
    clean = np.asarray(labels, dtype=np.int64)
    classes = len(dataset.classes)
    if clean.size and (clean.min() < 0 or clean.max() >= classes):
        raise DataError(
            f"{dataset.title}: labels outside 0 to {classes - 1}; it has unlabelled images"
        )
    generator = numpy_stream(seed, "noise")
    what = f"{dataset.title}: {noise.kind} noise"
    matrix = transition_matrix(noise, dataset)
    if matrix is not None and noise.sampler != "iid":
        sizes = np.bincount(clean, minlength=classes)
        check_rate(matrix, sizes, _changed(matrix, sizes, noise, dataset), noise, what)
    if noise.sampler == "sequential":
        noisy = samplers.sequential(clean, _pairs(dataset), noise.rate, generator)
    elif matrix is not None:
        noisy = samplers.draw(clean, matrix, noise.sampler, generator)
    elif noise.kind == "labels":
        count = len(clean) if published is None else published
        noisy = given.labels(noise.path or "", dataset, count)
        noisy = noisy if rows is None else noisy[rows]
    elif noise.kind == "instance":
        if images is None or len(images) != len(clean):
            raise DataError(f"{dataset.title}: instance-dependent noise needs the training images")
        check_instance_rate(noise.rate, what)
        noisy = _by_instance(clean, images, noise.rate, dataset, generator)
    else:
        if human is None:
            raise DataError(f"{dataset.title}: human noise needs the CIFAR-N file")
        noisy = human_labels.annotation(human, noise.annotation or "", dataset, clean)
    result = NoisyLabels(noisy, noisy != clean, realised_matrix(clean, noisy, classes))
    declared = f", declared {noise.rate:g}" if noise.rate else ""
    log.info(
        "%s noise, seed %d: %.4f of the labels are wrong%s", noise.kind, seed, result.rate, declared
    )
    return result


def _changed(matrix: np.ndarray, sizes: np.ndarray, noise: Noise, dataset: Dataset) -> np.ndarray:
    """How many labels (K,) of classes of `sizes` (K,) become wrong where counts are rounded."""
    if noise.sampler == "sequential":
        rounded = samplers.sequential_matrix(len(sizes), _pairs(dataset), noise.rate, sizes)
        return sizes * (1 - np.diag(rounded))
    others = matrix * (1 - np.eye(len(matrix)))
    return samplers.CHANGED[noise.sampler](others * sizes[:, None])


def realised_matrix(clean: np.ndarray, noisy: np.ndarray, num_classes: int) -> np.ndarray:
    """Share (K, K) of each true class (row) by given label; an empty class counts as unchanged."""
    pairs = np.bincount(clean * num_classes + noisy, minlength=num_classes**2)
    counts = pairs.reshape(num_classes, num_classes).astype(np.float64)
    empty = counts.sum(1) == 0
    counts[empty, empty] = 1
    return counts / counts.sum(1, keepdims=True)


def _by_instance(
    clean: np.ndarray,
    images: np.ndarray,
    rate: float,
    dataset: Dataset,
    generator: np.random.Generator,
) -> np.ndarray:
    """Part-dependent noise (Xia et al. 2020, algorithm 2).

    Each example flips with probability q ~ Normal(rate, 0.1^2) truncated to [0, 1], to a class
    drawn from softmax(x W_y) without y, W_y (d, K) standard normal for every class y. x are the
    pixels standardised by the dataset's mean and std (raw pixels make the softmax one-hot).
    """
    noisy = clean.copy()
    if rate == 0:
        return noisy
    low, high = ndtr((0 - rate) / SPREAD), ndtr((1 - rate) / SPREAD)
    flip = rate + SPREAD * ndtri(low + (high - low) * generator.random(len(clean)))
    draw = generator.random(len(clean))
    pixels = images[0].size
    step = max(1, BLOCK // pixels)
    for true in range(len(dataset.classes)):
        weights = generator.standard_normal((pixels, len(dataset.classes)))
        members = np.flatnonzero((clean == true) & (draw < flip))
        for start in range(0, len(members), step):
            block = members[start : start + step]
            logits = _standardised(images[block], dataset) @ weights
            logits[:, true] = -np.inf
            cumulative = softmax(logits, axis=1).cumsum(axis=1)
            share = (draw[block] / flip[block])[:, None]
            noisy[block] = (cumulative <= share * cumulative[:, -1:]).sum(axis=1)
    return noisy


def _standardised(images: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Images uint8 (N, C, H, W) as float64 (N, CHW), standardised by channel."""
    mean, std = (np.array(values)[:, None, None] for values in (dataset.mean, dataset.std))
    return ((images / 255 - mean) / std).reshape(len(images), -1)
