"""Training a network on a binary task, with what its linearization is compared by.

The loop is that of all trainings; added are full-set metrics in evaluation mode, the distance from
the initialisation and, on demand, the tangent kernel as it evolves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from firstorder.linearized import alignment
from firstorder.linearized.kernel import ntk
from firstorder.linearized.spectrum import decompose
from firstorder.linearized.tangent import outputs
from firstorder.training import loop
from firstorder.training.checkpoint import Checkpoint
from firstorder.training.data import Data
from firstorder.training.metrics import Row

if TYPE_CHECKING:
    from firstorder.config import Recipe

Measure = Callable[[int, nn.Module], Row]
"""Epoch and network (in evaluation mode) to more numbers."""
Moment = Literal["init", "mid", "end"]


def binary_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits (B, 1) and labels 0 or 1 (B,)."""
    return functional.binary_cross_entropy_with_logits(scores[:, 0], labels.to(scores.dtype))


def train(
    module: nn.Module,
    images: Tensor,
    labels: Tensor,
    test_images: Tensor,
    test_labels: Tensor,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    *,
    checkpoint: Checkpoint | None = None,
    measure: Measure | None = None,
) -> loop.Result:
    """Train `module` in place on standardised float images and labels 0 or 1.

    The history begins with epoch 0. Its rows also hold, in the epochs that are evaluated,
    `fit_loss` and `fit_accuracy` (the whole training set in evaluation mode and full precision, as
    the kernel predicts it) and `distance` (squared Euclidean, of the parameters from where they
    started), and what `measure` adds.
    """
    data = Data(images, labels, labels, test_images, test_labels).to(device)
    start = [value.detach().to(device, copy=True) for value in module.parameters()]

    def fit(network: nn.Module) -> Row:
        scores = outputs(network, data.images)[:, None]
        moved = zip(network.parameters(), start, strict=True)
        return {
            "fit_loss": float(binary_cross_entropy(scores, data.labels)),
            "fit_accuracy": float(((scores[:, 0] > 0) == (data.labels > 0)).double().mean()),
            "distance": sum(float((a.detach() - b).double().square().sum()) for a, b in moved),
        }

    def on_epoch(epoch: int, network: nn.Module, row: Row) -> Row:
        more = fit(network) if row["test_loss"] is not None else {}
        return more | (measure(epoch, network) if measure else {})

    return loop.train(
        module,
        data,
        recipe,
        binary_cross_entropy,
        seed,
        device,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
        record_start=True,
    )


@dataclass(frozen=True)
class Watch:
    """Follows the tangent kernel of a network in training.

    At `followed` epochs: `alignment_PART` of the +-1 target and `trace_PART` of the kernel, on
    train and test examples. At the start, middle and end: `energy_K`, the cumulative energy of the
    target in the leading K eigenvectors of the kernel of the first `points` training examples.
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    points: int
    epochs: int
    memory_gib: float

    def __call__(self, epoch: int, network: nn.Module) -> Row:
        row: Row = {}
        if not followed(epoch, self.epochs):
            return row
        parts = {
            "train": (self.images, self.labels),
            "test": (self.test_images, self.test_labels),
        }
        for part, (images, labels) in parts.items():
            target = 2.0 * labels - 1.0
            aligned, trace = alignment.with_trace(network, images, target)
            row[f"alignment_{part}"], row[f"trace_{part}"] = aligned, trace
        if epoch in moments(self.epochs):
            row.update(self.energy(network))
        return row

    def energy(self, network: nn.Module) -> Row:
        """Cumulative energies on the points watched."""
        images = self.images[: self.points]
        target = (2.0 * self.labels[: self.points] - 1.0).double().cpu()
        kernel = ntk(network, images, memory_gib=self.memory_gib)
        vectors = decompose(kernel, len(kernel), images.device).vectors
        cumulative = alignment.energy(vectors, target)
        return {f"energy_{k}": float(cumulative[k - 1]) for k in components(len(target))}


def moments(epochs: int) -> dict[int, Moment]:
    """The epochs at which the spectrum is computed; an only epoch is the end."""
    return {(epochs + 1) // 2: "mid", epochs: "end", 0: "init"}


def followed(epoch: int, epochs: int) -> bool:
    """Whether a watched kernel is measured: often at first, when it moves, and then more rarely."""
    interval = 1 if epoch <= 10 else 2 if epoch <= 20 else 5 if epoch <= 50 else 10
    return epoch % interval == 0 or epoch in moments(epochs)


def components(count: int) -> list[int]:
    """Numbers of components at which an energy is recorded: 1, 2, 5, 10, ... and some between."""
    decades = [round(digit * 10**power) for power in range(6) for digit in (1, 1.5, 2, 3, 5, 7)]
    return sorted({k for k in decades if k < count} | {count})
