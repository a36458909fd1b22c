"""The examples of a spec, its network, noisy labels, and the files that the steps share."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from firstorder import files, streams

if TYPE_CHECKING:
    from torch import Tensor, nn

SAMPLERS = ("remainder", "iid")
"""How labels are drawn: exact counts, and one by one."""


def images(path: str, spec: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """The training and test images (N, C, H, W) of a spec, standardised float32."""
    import torch

    from firstorder.data.images import standardise
    from firstorder.data.prepared import read_prepared

    prepared, (train, test) = read_prepared(path), _rows(path, spec)
    return tuple(
        standardise(torch.from_numpy(part[rows]), tuple(spec["mean"]), tuple(spec["std"]))
        for part, rows in ((prepared.train_images, train), (prepared.test_images, test))
    )  # type: ignore[return-value]


def labels(path: str, spec: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Their true classes (N,) int64, without reading a pixel."""
    import torch

    from firstorder.data.prepared import read_prepared

    prepared, (train, test) = read_prepared(path), _rows(path, spec)
    return (
        torch.from_numpy(prepared.train_labels[train]),
        torch.from_numpy(prepared.test_labels[test]),
    )


def _rows(path: str, spec: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    from firstorder.data.prepared import read_prepared

    prepared = read_prepared(path)
    train, test = (
        streams.numpy_stream(0, f"support-{part}").permutation(len(split))[: spec[part]]
        for part, split in (("train", prepared.train_labels), ("test", prepared.test_labels))
    )
    return train, test


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


def write_csv(path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows atomically; the first has the columns. Floats with all their digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())


def write_array(path: str, values: np.ndarray) -> None:
    """Write an npy file atomically."""
    with files.replacing(path) as temporary, open(temporary, "w+b") as stream:
        np.save(stream, values)


def read_kernels(inputs: Mapping[str, str]) -> tuple[Tensor, Tensor]:
    """The centred kernels (N, N) and (M, N). Raises DataError for a damaged file."""
    from firstorder.linearized.mapped import opened

    return opened(inputs["kernel.npy"]), opened(inputs["test.npy"])
