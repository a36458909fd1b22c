"""What is measured in an epoch, kept on the device until its end and read there at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from firstorder.training.data import Inputs

Row = dict[str, float | int | None]
"""One epoch; its keys are COLUMNS, and whatever `on_epoch` adds."""

COLUMNS = (
    "epoch",
    "lr",
    "train_loss",
    "train_accuracy",
    "clean_accuracy",
    "wrong_fitted",
    "wrong_corrected",
    "test_loss",
    "test_accuracy",
    "score_max",
    "grad_norm",
)

LABELLING = ("train_accuracy", "clean_accuracy", "wrong_fitted", "wrong_corrected")

EVALUATED_NUMBERS = {"cpu": 2**16, "cuda": 2**23}
"""How many input numbers an evaluation batch may hold: the CPU's caches want small batches."""


def evaluation_batch(device: str, numbers: int) -> int:
    """How many images, of so many numbers each, to evaluate at once on a kind of device."""
    return max(16, EVALUATED_NUMBERS[device] // max(1, numbers))


def predict(scores: Tensor) -> Tensor:
    """Predicted labels (B,): the largest score, or the sign of a single one (0 or 1)."""
    if scores.shape[1] == 1:
        return (scores[:, 0] > 0).long()
    return scores.argmax(dim=1)


@dataclass
class Seen:
    """What the training pass of an epoch has shown so far: one entry a step, on the device."""

    losses: list[Tensor] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)
    maxima: list[Tensor] = field(default_factory=list)
    predictions: list[Tensor] = field(default_factory=list)

    def add(self, loss: Tensor, norm: Tensor, largest: Tensor, predictions: Tensor) -> None:
        """One step's mean loss, gradient norm, largest |raw score|, and predictions (B,)."""
        self.losses.append(loss)
        self.norms.append(norm)
        self.maxima.append(largest)
        self.predictions.append(predictions)

    def tensors(self) -> dict[str, Tensor]:
        """Everything seen, as four tensors (empty where no step was made)."""
        if not self.losses:
            return {}
        return {
            "losses": torch.stack(self.losses),
            "norms": torch.stack(self.norms),
            "maxima": torch.stack(self.maxima),
            "predictions": torch.cat(self.predictions),
        }

    @classmethod
    def of(cls, tensors: dict[str, Tensor], sizes: list[int]) -> Seen:
        """The inverse of `tensors`, given the batch size of every step made."""
        if not tensors:
            return cls()
        return cls(
            list(tensors["losses"].unbind()),
            list(tensors["norms"].unbind()),
            list(tensors["maxima"].unbind()),
            list(tensors["predictions"].split(sizes)),
        )


def labelling(predictions: Tensor, labels: Tensor, clean: Tensor) -> Tensor:
    """The fractions of LABELLING, (4,) float64; NaN where no label is wrong.

    Agreement with the labels trained on, with the true ones, and, of wrongly labelled samples
    alone, the shares predicted as their wrong and as their true label.
    """
    wrong = labels != clean
    given, true = predictions == labels, predictions == clean
    return torch.stack(
        [
            given.double().mean(),
            true.double().mean(),
            (given & wrong).sum().double() / wrong.sum(),
            (true & wrong).sum().double() / wrong.sum(),
        ]
    )


def named_labelling(values: list[float]) -> dict[str, float | None]:
    """`labelling` read back: NaN becomes None."""
    return {
        name: None if value != value else value
        for name, value in zip(LABELLING, values, strict=True)
    }


@dataclass(frozen=True)
class Evaluation:
    """A pass in evaluation mode: mean loss, largest |score| (scalars), predictions (N,)."""

    loss: Tensor
    score_max: Tensor
    predictions: Tensor


@torch.inference_mode()
def evaluate(
    scores_of: Callable[[Tensor], Tensor],
    modules: tuple[nn.Module, nn.Module],
    inputs: Inputs,
    labels: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
) -> Evaluation:
    """Evaluate without touching weights, statistics or random streams.

    `modules` are the network and the score normaliser; `scores_of` is the network's forward
    pass (raw scores, float32). The modules are left in evaluation mode.
    """
    for module in modules:
        module.eval()
    normaliser = modules[1]
    size = evaluation_batch(labels.device.type, inputs.images[:1].numel())
    losses, maxima, predictions = [], [], []
    for start in range(0, len(inputs), size):
        scores = scores_of(inputs.span(start, start + size))
        batch = labels[start : start + size]
        normalised = normaliser(scores)
        losses.append(loss(normalised, batch).double() * len(batch))
        maxima.append(torch.linalg.vector_norm(scores, torch.inf))
        predictions.append(predict(normalised))
    return Evaluation(
        torch.stack(losses).sum() / len(inputs), torch.stack(maxima).max(), torch.cat(predictions)
    )
