"""Training recurrent networks to classify token sequences.

Everything lives on the device. The loss is that of the logit after the last real token. Random
numbers come from the streams `init`, `order` and `dropout` of the seed, so neither evaluation nor
checkpoints change a weight. The parameters of the epoch with the best validation accuracy are
what counts; among equals, the lower validation loss.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from firstorder import memory, streams
from firstorder.data.text.documents import UNKNOWN, Documents
from firstorder.device import device_name, wait
from firstorder.errors import ConfigError
from firstorder.models import recurrent
from firstorder.training import sgd
from firstorder.training.adam import Adam
from firstorder.training.checkpoint import Checkpoint
from firstorder.training.metrics import Row
from firstorder.training.padded import Sequences, shuffled
from firstorder.training.progress import reporting
from firstorder.training.result import Status
from firstorder.training.saver import Saver
from firstorder.training.sequence_recipe import SequenceRecipe
from firstorder.training.stopping import held_signals
from firstorder.training.trajectories import classify, evaluate


@dataclass(frozen=True)
class SequenceResult:
    """What a training leaves."""

    status: Status
    parameters: recurrent.Parameters
    """Of the best epoch, on the host; as they were drawn where none was finished."""
    untrained: recurrent.Parameters
    """As they were drawn: the control of every analysis."""
    history: list[Row]
    """One row for every finished epoch: epoch, lr, train_loss, grad_norm, validation_loss,
    validation_accuracy."""
    best_epoch: int | None
    correct: Tensor | None
    """Whether each test document (D,) is classified correctly, in its order; on the host. None
    where no epoch was finished."""
    steps: int
    seconds: float
    """Wall time with evaluations, over all resumptions."""
    seconds_per_step: float
    """Of the training passes alone."""
    device: str


@dataclass
class Position:
    """How far a training is; plain values that a checkpoint keeps as JSON."""

    epoch: int = 1
    step: int = 0
    steps: int = 0
    history: list[Row] = field(default_factory=list)
    best_epoch: int | None = None
    seconds: float = 0.0
    pass_seconds: float = 0.0


def train(
    recipe: SequenceRecipe,
    vocabulary: int,
    documents: Documents,
    validation: Documents,
    seed: int,
    device: str | torch.device = "cpu",
    *,
    test: Documents | None = None,
    checkpoint: Checkpoint | None = None,
    progress: bool = False,
) -> SequenceResult:
    """Train a fresh network on `documents`, whose tokens are below `vocabulary`.

    A run with a non-finite number in an epoch ends as `diverged`, with what was best before. With
    a `checkpoint`, SIGTERM and SIGINT take effect at the next step, once the state is on disk; a
    later call with the same arguments goes on from there and ends with the same bits. The caller
    discards the checkpoint.
    """
    device = torch.device(device)
    with held_signals(checkpoint is not None) as stop:
        training = SequenceTraining(recipe, vocabulary, documents, validation, seed, device)
        # The saver asks no more of a training than this class, too, offers.
        saver = Saver(cast(Any, training), checkpoint, stop)
        saver.resume()
        at = training.position
        status: Status = "finished"
        with reporting(progress, recipe.epochs, at.epoch - 1) as report:
            while at.epoch <= recipe.epochs:
                training.run_pass(saver)
                row = training.close_epoch()
                if row is None:
                    status = "diverged"
                    break
                report(row | {"train_accuracy": None, "test_accuracy": row["validation_accuracy"]})
                saver.save_if_due()
        correct = None
        if test is not None and at.best_epoch is not None:
            classified = classify(recipe.cell, training.best, test).cpu()
            correct = classified == torch.from_numpy(test.labels)
        return SequenceResult(
            status,
            {name: value.cpu() for name, value in training.best.items()},
            training.initial(),
            at.history,
            at.best_epoch,
            correct,
            at.steps,
            training.seconds(),
            at.pass_seconds / max(at.steps, 1),
            device_name(device),
        )


class SequenceTraining:
    """A network in training.

    Invariant: between any two steps, `tensors()` and `position` are the whole state; loaded into
    a fresh SequenceTraining of the same arguments they continue the run bit for bit.
    """

    def __init__(
        self,
        recipe: SequenceRecipe,
        vocabulary: int,
        documents: Documents,
        validation: Documents,
        seed: int,
        device: torch.device,
    ) -> None:
        for name, part in (("training", documents), ("validation", validation)):
            check(name, part, vocabulary)
        memory.keep_freed()
        self.recipe, self.vocabulary, self.seed, self.device = recipe, vocabulary, seed, device
        self.parameters = {
            name: value.to(device).requires_grad_() for name, value in self.initial().items()
        }
        self.best = self.copied()
        self.optimiser = Adam(list(self.parameters.values()))
        self.documents = Sequences(documents, device)
        self.validation = Sequences(validation, device)
        self.order = streams.torch_stream(seed, "order")
        self.order_at_start = self.order.get_state()
        self.dropping = streams.torch_stream(seed, "dropout", device)
        self.per_epoch = -(-len(self.documents) // recipe.batch)
        self.losses: list[Tensor] = []
        self.norms: list[Tensor] = []
        self.position = Position()
        self.began = time.perf_counter()

    def initial(self) -> recurrent.Parameters:
        """The parameters before the first step, on the host."""
        recipe = self.recipe
        return recurrent.initialise(
            recipe.cell,
            self.vocabulary,
            recipe.embedding,
            recipe.units,
            streams.torch_stream(self.seed, "init"),
            gate_bias=recipe.gate_bias,
            embedding_norm=recipe.embedding_norm,
        )

    def copied(self) -> recurrent.Parameters:
        """A copy of the parameters as they are now."""
        return {name: value.detach().clone() for name, value in self.parameters.items()}

    def run_pass(self, saver: Saver) -> None:
        """The steps of the current epoch that are still to be made."""
        at, began = self.position, time.perf_counter()
        self.order_at_start = self.order.get_state()
        batches = shuffled(self.documents.lengths, self.recipe.batch, self.order)
        for step in range(at.step, len(batches)):
            self.step(
                batches[step], self.recipe.rate(at.steps, self.per_epoch * self.recipe.epochs)
            )
            at.step, at.steps = step + 1, at.steps + 1
            if saver.due():
                wait(self.device)
                at.pass_seconds += time.perf_counter() - began
                saver.save()
                began = time.perf_counter()
        wait(self.device)
        at.pass_seconds += time.perf_counter() - began

    def step(self, index: Tensor, lr: float) -> None:
        """One step of gradient descent on the documents at `index` (B,)."""
        tokens, lengths = self.documents.batch(index)
        labels = self.documents.labels[index.to(self.device)]
        if self.recipe.word_dropout:
            draws = torch.rand(tokens.shape, generator=self.dropping, device=self.device)
            tokens = tokens.masked_fill(draws < self.recipe.word_dropout, UNKNOWN)
        states = recurrent.states(self.recipe.cell, self.parameters, tokens)
        logits = recurrent.logits(self.parameters, recurrent.last(states, lengths))
        loss = cross_entropy(logits, labels.to(logits))
        gradients: sgd.Tensors = torch.autograd.grad(loss, self.optimiser.parameters)
        with torch.no_grad():
            norm = sgd.norm(gradients)
            if self.recipe.clip is not None:
                gradients = sgd.clip(gradients, norm, self.recipe.clip)
        self.losses.append(loss.detach() * len(index))
        self.norms.append(norm)
        self.optimiser.step(gradients, lr)

    def close_epoch(self) -> Row | None:
        """The row of the epoch whose pass is complete; None if a number in it is not finite."""
        at = self.position
        logits = evaluate(self.recipe.cell, self.parameters, self.validation)
        labels = self.validation.labels
        loss, norm, validation_loss, accuracy = torch.stack(
            [
                torch.stack(self.losses).sum() / len(self.documents),
                torch.stack(self.norms).mean(),
                cross_entropy(logits, labels.to(logits)),
                ((logits > 0) == (labels > 0)).float().mean(),
            ]
        ).tolist()
        self.losses, self.norms = [], []
        if not all(map(math.isfinite, (loss, norm, validation_loss))):
            return None
        row: Row = {
            "epoch": at.epoch,
            "lr": self.recipe.rate(at.steps - 1, self.per_epoch * self.recipe.epochs),
            "train_loss": loss,
            "grad_norm": norm,
            "validation_loss": validation_loss,
            "validation_accuracy": accuracy,
        }
        if at.best_epoch is None or better(row, at.history[at.best_epoch - 1]):
            self.best, at.best_epoch = self.copied(), at.epoch
        at.history.append(row)
        at.epoch, at.step = at.epoch + 1, 0
        self.order_at_start = self.order.get_state()
        return row

    def seconds(self) -> float:
        """Wall time so far, with that of earlier processes."""
        return self.position.seconds + time.perf_counter() - self.began

    def tensors(self) -> dict[str, Tensor]:
        """The tensor part of the state."""
        seen = {"losses": self.losses, "norms": self.norms}
        return {
            **{f"now.{name}": value for name, value in self.parameters.items()},
            **{f"best.{name}": value for name, value in self.best.items()},
            **{f"first.{i}": value for i, value in enumerate(self.optimiser.first)},
            **{f"second.{i}": value for i, value in enumerate(self.optimiser.second)},
            **{f"seen.{name}": torch.stack(values) for name, values in seen.items() if values},
            "stream.order": self.order_at_start,
            "stream.dropout": self.dropping.get_state(),
        }

    def load(self, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
        """Continue from `tensors()` and the values of `position` of the same run."""
        self.position = Position(**position)
        with torch.no_grad():
            for name in self.parameters:
                self.parameters[name].copy_(tensors[f"now.{name}"])
                self.best[name].copy_(tensors[f"best.{name}"])
            for i in range(len(self.optimiser.parameters)):
                self.optimiser.first[i].copy_(tensors[f"first.{i}"])
                self.optimiser.second[i].copy_(tensors[f"second.{i}"])
        self.optimiser.made = self.position.steps
        if "seen.losses" in tensors:
            self.losses = list(tensors["seen.losses"].to(self.device).unbind())
            self.norms = list(tensors["seen.norms"].to(self.device).unbind())
        self.order.set_state(tensors["stream.order"])
        self.dropping.set_state(tensors["stream.dropout"])


def better(row: Row, other: Row) -> bool:
    """Whether an epoch's validation is better: more accurate, or as accurate at a lower loss."""

    def rank(row: Row) -> tuple[float, float]:
        return float(row["validation_accuracy"] or 0), -float(row["validation_loss"] or 0)

    return rank(row) > rank(other)


def check(name: str, documents: Documents, vocabulary: int) -> None:
    """Raise ConfigError for documents that no network of so many words can be trained on."""
    if not len(documents) or (documents.lengths == 0).any():
        raise ConfigError(f"{name}: a document without words, or no documents; leave it out")
    if documents.tokens.max() >= vocabulary:
        raise ConfigError(
            f"{name}: token {documents.tokens.max()} is beyond the vocabulary of {vocabulary} words"
        )
    if not set(documents.labels.tolist()) <= {0, 1}:
        raise ConfigError(f"{name}: labels other than 0 and 1; this is binary classification")
