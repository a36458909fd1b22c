"""The examples of a spec, its network, noisy labels, and the files that the steps share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from firstorder import streams

if TYPE_CHECKING:
    from torch import Tensor, nn


def network(spec: Mapping[str, Any], outputs: int, seed: int) -> nn.Module:
    """The initial network of a spec."""
    from firstorder import models

    return models.build(
        spec["model"],
        outputs,
        tuple(spec["shape"]),
        generator=streams.torch_stream(seed, "init"),
        **spec["model_parameters"],
    )


def symmetric(rate: float, classes: int) -> np.ndarray:
    """The transition matrix (K, K) of symmetric noise."""
    matrix = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


def noisy(clean: Tensor, rate: float, classes: int, sampler: str, seed: int) -> Tensor:
    """Labels (N,) int64 after symmetric noise."""
    import torch

    from firstorder.data import samplers

    generator = streams.numpy_stream(seed, "noise")
    drawn = samplers.draw(clean.cpu().numpy(), symmetric(rate, classes), sampler, generator)
    return torch.from_numpy(drawn).to(clean.device)


def accuracy(scores: Tensor, true: Tensor) -> float:
    """Share of scores (M, K) of which the label's is the largest."""
    return float((scores.argmax(1) == true).double().mean())


def read_kernels(inputs: Mapping[str, str]) -> tuple[Tensor, Tensor]:
    """The centred kernels (N, N) and (M, N). Raises DataError for a damaged file."""
    from firstorder.linearized.mapped import opened

    return opened(inputs["kernel.npy"]), opened(inputs["test.npy"])
