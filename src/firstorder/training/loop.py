"""The training loop.

Everything lives on the device and nothing waits for it within an epoch: order, batch, forward
pass, loss, gradient, clip, step; what an epoch has shown is read once, at its end. Randomness
comes from the streams `order`, `augment` and `loss` of the seed, and that of layers (dropout) from
the seed and the step, so neither evaluation nor checkpoints nor callbacks change a single weight.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from firstorder import memory, streams
from firstorder.data.images import seen_shape
from firstorder.device import deterministic_convolutions, device_name, peak_memory, wait
from firstorder.models.state import load_state, state_of
from firstorder.training import metrics, sgd
from firstorder.training.captured import CapturedStep, capture
from firstorder.training.checkpoint import Checkpoint
from firstorder.training.data import (
    Data,
    Inputs,
    Standardise,
    View,
    as_it_is,
    batch_sizes,
    layout,
    scale,
)
from firstorder.training.metrics import Row
from firstorder.training.progress import reporting
from firstorder.training.result import Result, Status
from firstorder.training.saver import Saver
from firstorder.training.schedule import THRESHOLDS, learning_rate
from firstorder.training.stopping import held_signals

if TYPE_CHECKING:
    from firstorder.config import Recipe

Loss = Callable[..., Tensor]
"""Scores (B, K) and labels (B,) -> the mean loss of the batch. In training, a loss whose attribute
`batch` is not None also gets a generator on the device (losses that draw at random)."""
Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Raw images (B, C, H, W) and a generator on their device -> augmented images."""
Shown = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of a step: mean loss, norm of the gradient, largest |raw score|, predictions (B,)."""
OnEpoch = Callable[[int, nn.Module, Row], "dict[str, float | int | None] | None"]
"""Epoch, network (in evaluation mode) and row -> more columns for the row, kept across resumes.
Called after every epoch; where the recipe does not evaluate, the row's test columns are None."""


@dataclass
class Position:
    """How far a training is; plain values that a checkpoint keeps as JSON."""

    epoch: int = 1
    """The epoch in progress."""
    step: int = 0
    """Its steps made so far."""
    steps: int = 0
    """Steps of all epochs."""
    history: list[Row] = field(default_factory=list)
    first_below: dict[str, int | None] = field(
        default_factory=lambda: {str(threshold): None for threshold in THRESHOLDS}
    )
    seconds: float = 0.0
    pass_seconds: float = 0.0


def train(
    module: nn.Module,
    data: Data,
    recipe: Recipe,
    loss: Loss,
    seed: int,
    device: str | torch.device = "cpu",
    *,
    normaliser: nn.Module | None = None,
    l1: float = 0.0,
    weight_decay: float | None = None,
    standardise: Standardise = scale,
    augment: Augment | None = None,
    checkpoint: Checkpoint | None = None,
    on_epoch: OnEpoch | None = None,
    record_start: bool = False,
    progress: bool = False,
) -> Result:
    """Train `module` (and `normaliser`, the map from raw to normalised scores) in place.

    `weight_decay` replaces the recipe's; `l1` is the coefficient of the L1 norm of all trainable
    parameters, whose gradient is clipped with the loss's (losses are recorded without it).
    `standardise` turns uint8 images into network inputs; `augment` defaults to the recipe's.
    `record_start` adds a row for epoch 0, evaluated before the first step.

    A run with a non-finite number in an epoch ends as `diverged`. With a `checkpoint`, SIGTERM
    and SIGINT take effect at the next step, once the state is on disk; a later call with the same
    arguments goes on from there and ends with the same bits. The caller discards the checkpoint.
    """
    device = torch.device(device)
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        deterministic_convolutions(device),
        held_signals(checkpoint is not None) as stop,
    ):
        training = Training(
            module,
            data,
            recipe,
            loss,
            seed,
            device,
            normaliser=normaliser,
            l1=l1,
            weight_decay=recipe.weight_decay if weight_decay is None else weight_decay,
            standardise=standardise,
            augment=augment,
        )
        saver = Saver(training, checkpoint, stop)
        saver.resume()
        at = training.position
        if record_start and not at.history and at.steps == 0:
            at.history.append(training.start_row(on_epoch))
        status: Status = "finished"
        with reporting(progress, recipe.epochs, at.epoch - 1) as report:
            while at.epoch <= recipe.epochs:
                training.run_pass(saver)
                row = training.close_epoch()
                if row is None:
                    status = "diverged"
                    break
                if on_epoch is not None:
                    row.update(on_epoch(at.epoch, module.eval(), row) or {})
                report(row)
                training.advance(row)
                saver.save_if_due()
        return training.result(status)


def augmentation(recipe: Recipe) -> tuple[Augment | None, View]:
    """What the recipe does to raw training images, and to images that are evaluated."""
    if not recipe.augment:
        return None, as_it_is
    from firstorder.data import images

    spec = {str(kind): value for kind, value in recipe.augment.items()}

    def augment(batch: Tensor, generator: torch.Generator) -> Tensor:
        return images.augment(batch, spec, generator)

    def view(batch: Tensor) -> Tensor:
        return images.evaluation_view(batch, spec)

    return augment, view


class Training:
    """A network in training.

    Invariant: between any two steps, `tensors()` and `position` are the whole state; loaded into
    a fresh Training of the same arguments they continue the run bit for bit.
    """

    def __init__(
        self,
        module: nn.Module,
        data: Data,
        recipe: Recipe,
        loss: Loss,
        seed: int,
        device: torch.device,
        *,
        normaliser: nn.Module | None,
        l1: float,
        weight_decay: float,
        standardise: Standardise,
        augment: Augment | None,
    ) -> None:
        memory.keep_freed()
        channels, height, width = data.images.shape[1:]
        memory_format = layout(module, seen_shape((channels, height, width), recipe.augment))
        self.module = module.to(device, memory_format=memory_format)  # type: ignore[call-overload]
        if device.type == "cuda":  # not before: a device that nothing uses has no statistics yet
            torch.cuda.reset_peak_memory_stats(device)
        self.normaliser = (normaliser or nn.Identity()).to(device)
        self.seed, self.device, self.recipe, self.loss = seed, device, recipe, loss
        self.draws = getattr(loss, "batch", None) is not None
        self.l1 = l1
        self.data = data.to(device)
        recipe_augment, view = augmentation(recipe)
        self.augment = augment or recipe_augment
        self.train_inputs = Inputs(
            self.data.images, standardise, view, memory_format, augmented=self.augment is not None
        )
        self.test_inputs = Inputs(self.data.test_images, standardise, view, memory_format)
        self.parameters: list[Tensor] = [
            p for p in (*self.module.parameters(), *self.normaliser.parameters()) if p.requires_grad
        ]
        self.optimiser = sgd.SGD(
            self.parameters,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=weight_decay,
        )
        self.order = streams.torch_stream(seed, "order")
        self.order_at_start = self.order.get_state()
        self.augmenting = streams.torch_stream(seed, "augment", device)
        self.drawing = streams.torch_stream(seed, "loss", device)
        self.dropping = int(streams.sequence(seed, "dropout").generate_state(1)[0])
        self.of_layers = [torch.default_generator]
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            self.of_layers.append(torch.cuda.default_generators[index])
        self.sizes = batch_sizes(len(self.data.labels), recipe)
        self.permutation = torch.empty(0, dtype=torch.int64, device=device)
        self.captured: CapturedStep | None = None
        self.capturable = device.type == "cuda"
        self.seen = metrics.Seen()
        self.position = Position()
        self.correct: Tensor | None = None  # bool (N,), of the last evaluation of the test set
        self.began = time.perf_counter()

    def run_pass(self, saver: Saver) -> None:
        """The steps of the current epoch that are still to be made."""
        at, recipe = self.position, self.recipe
        began = time.perf_counter()
        self.order_at_start = self.order.get_state()
        count = len(self.data.labels)
        self.permutation = torch.randperm(count, generator=self.order).to(self.device)
        labels = self.data.labels[self.permutation].split(self.sizes_and_rest)
        batches = self.permutation.split(self.sizes_and_rest)
        self.module.train()
        self.normaliser.train()
        for step in range(at.step, len(self.sizes)):
            lr = learning_rate(recipe, at.epoch, step, len(self.sizes))
            self.step(batches[step], labels[step], lr)
            at.step, at.steps = step + 1, at.steps + 1
            if saver.due():
                wait(self.device)
                at.pass_seconds += time.perf_counter() - began
                saver.save()
                began = time.perf_counter()
        wait(self.device)
        at.pass_seconds += time.perf_counter() - began

    def step(self, index: Tensor, labels: Tensor, lr: float) -> None:
        """One step of gradient descent on the examples at `index` (B,)."""
        full = len(index) == self.sizes[0]
        if self.capturable and full and self.captured is None:
            self.captured = capture(self, index)
            self.capturable = self.captured is not None
        self.seed_layers()  # after the recording, which draws
        if self.captured is not None and full:
            self.seen.add(*self.captured(index, lr))
        else:
            self.seen.add(*self.descend(index, labels, lr))

    def seed_layers(self) -> None:
        """Seed torch's own generators, the only ones that dropout and its like draw from.

        Anew at every step, so that a checkpoint need not hold them and a resumed run draws the
        same. A recorded step reads the seed when it is launched.
        """
        for generator in self.of_layers:
            generator.manual_seed(self.dropping + self.position.steps)

    def descend(self, index: Tensor, labels: Tensor, lr: float | Tensor) -> Shown:
        """One step, and what it shows; nothing in it depends on a number on the device."""
        images = self.train_inputs.take(index)
        if self.augment is not None:
            images = self.augment(images, self.augmenting)
        scores = self.scores(self.train_inputs.finish(images))
        normalised = self.normaliser(scores)
        if self.draws:
            loss = self.loss(normalised, labels, self.drawing)
        else:
            loss = self.loss(normalised, labels)
        # Zero for a layer of a user's network that no score goes through.
        gradients: sgd.Tensors = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
        with torch.no_grad():
            if self.l1:
                signs = torch._foreach_sign(self.parameters)
                gradients = torch._foreach_add(gradients, signs, alpha=self.l1)
            norm = sgd.norm(gradients)
            if self.recipe.clip is not None:
                gradients = sgd.clip(gradients, norm, self.recipe.clip)
            largest = torch.linalg.vector_norm(scores.detach(), torch.inf)
            shown = loss.detach(), norm, largest, metrics.predict(normalised)
        self.optimiser.step(gradients, lr)
        return shown

    def scores(self, images: Tensor) -> Tensor:
        """Raw scores (B, K) in float32; the network computes in the recipe's precision."""
        context: AbstractContextManager[Any] = nullcontext()
        if self.recipe.precision == "bfloat16":
            context = torch.autocast(self.device.type, torch.bfloat16)
        with context:
            scores = self.module(images)
        return scores.float()

    def close_epoch(self) -> Row | None:
        """The row of the epoch whose pass is complete; None if a number in it is not finite.

        Its test columns are None in the epochs that the recipe does not evaluate.
        """
        at, seen = self.position, self.seen.tensors()
        self.seen = metrics.Seen()
        losses, count = seen["losses"].double(), sum(self.sizes)
        weights = torch.tensor(self.sizes, dtype=torch.float64, device=self.device) / count
        order = self.permutation[:count]
        test = self.test() if self.evaluated(at.epoch) else {}
        read = torch.cat(
            [
                (losses * weights).sum()[None],
                metrics.labelling(
                    seen["predictions"], self.data.labels[order], self.data.clean[order]
                ),
                seen["maxima"].max().double()[None],
                seen["norms"].double().mean()[None],
                *(value[None] for value in test.values()),
                losses,
            ]
        ).tolist()
        train_loss, fractions, others, read = read[0], read[1:5], read[5:7], read[7:]
        tested, by_step = dict(zip(test, read, strict=False)), read[len(test) :]
        if not all(math.isfinite(value) for value in (*by_step, *others, *tested.values())):
            return None
        self.note_thresholds(by_step)
        row: Row = {
            "epoch": at.epoch,
            "lr": learning_rate(self.recipe, at.epoch, 0, len(self.sizes)),
            "train_loss": train_loss,
            **metrics.named_labelling(fractions),
            "test_loss": tested.get("test_loss"),
            "test_accuracy": tested.get("test_accuracy"),
        }
        row.update(zip(("score_max", "grad_norm"), others, strict=True))
        return row

    def evaluated(self, epoch: int) -> bool:
        """Whether the network is evaluated on the test set after `epoch`."""
        return epoch % self.recipe.evaluate_every == 0 or epoch == self.recipe.epochs

    def test(self) -> dict[str, Tensor]:
        """Loss and accuracy on the test set, () each."""
        found = self.evaluate(self.test_inputs, self.data.test_labels)
        self.correct = found.predictions == self.data.test_labels
        return {"test_loss": found.loss, "test_accuracy": self.correct.double().mean()}

    def start_row(self, on_epoch: OnEpoch | None) -> Row:
        """The row of epoch 0: everything evaluated before the first step."""
        train = self.evaluate(self.train_inputs, self.data.labels)
        fractions = metrics.labelling(train.predictions, self.data.labels, self.data.clean)
        row: Row = {
            "epoch": 0,
            "lr": learning_rate(self.recipe, 1, 0, len(self.sizes)),
            "train_loss": float(train.loss),
            **metrics.named_labelling(fractions.tolist()),
            **{name: float(value) for name, value in self.test().items()},
            "score_max": float(train.score_max),
            "grad_norm": None,
        }
        if on_epoch is not None:
            row.update(on_epoch(0, self.module, row) or {})
        return row

    def evaluate(self, inputs: Inputs, labels: Tensor) -> metrics.Evaluation:
        """A pass over a split in evaluation mode."""
        return metrics.evaluate(
            self.scores, (self.module, self.normaliser), inputs, labels, self.loss
        )

    def note_thresholds(self, losses: list[float]) -> None:
        """Record the first steps below THRESHOLDS, given the losses of the last epoch's steps."""
        at = self.position
        before = at.steps - len(losses)
        for threshold in THRESHOLDS:
            if at.first_below[str(threshold)] is None:
                below = (before + i for i, loss in enumerate(losses, 1) if loss < threshold)
                at.first_below[str(threshold)] = next(below, None)

    def advance(self, row: Row) -> None:
        """Go on to the next epoch."""
        at = self.position
        at.history.append(row)
        at.epoch, at.step = at.epoch + 1, 0
        self.order_at_start = self.order.get_state()

    def result(self, status: Status) -> Result:
        """What the training leaves, with the final evaluation of the training set."""
        at = self.position
        final: dict[str, float | None] = dict.fromkeys(metrics.LABELLING)
        correct: Tensor | None = None
        if status == "finished":
            predictions = self.evaluate(self.train_inputs, self.data.labels).predictions
            fractions = metrics.labelling(predictions, self.data.labels, self.data.clean)
            final = metrics.named_labelling(fractions.tolist())
            if self.correct is None:  # resumed after its last epoch
                self.test()
            assert self.correct is not None
            correct = self.correct.cpu()
        accuracies = {
            int(row["epoch"]): row["test_accuracy"]
            for row in at.history
            if row["epoch"] and row["test_accuracy"] is not None
        }
        best = max(accuracies, key=lambda epoch: accuracies[epoch], default=None)
        return Result(
            status=status,
            history=at.history,
            final=final,
            best={"epoch": best, "test_accuracy": accuracies[best]} if best else None,
            first_below=at.first_below,
            correct=correct,
            steps=at.steps,
            seconds=self.seconds(),
            seconds_per_step=at.pass_seconds / max(at.steps, 1),
            device=device_name(self.device),
            peak_memory_bytes=peak_memory(self.device),
        )

    def seconds(self) -> float:
        """Wall time so far, with that of earlier processes."""
        return self.position.seconds + time.perf_counter() - self.began

    def tensors(self) -> dict[str, Tensor]:
        """The tensor part of the state."""
        return {
            **{f"module.{name}": value for name, value in state_of(self.module).items()},
            **{f"normaliser.{name}": value for name, value in state_of(self.normaliser).items()},
            **{f"momentum.{i}": value for i, value in enumerate(self.optimiser.momenta)},
            **{f"seen.{name}": value for name, value in self.seen.tensors().items()},
            "stream.order": self.order_at_start,
            "stream.augment": self.augmenting.get_state(),
            "stream.loss": self.drawing.get_state(),
        }

    def load(self, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
        """Continue from `tensors()` and the values of `position` of the same run."""
        self.position = Position(**position)
        parts: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, _, key = name.partition(".")
            parts.setdefault(part, {})[key] = value
        load_state(self.module, parts["module"])
        load_state(self.normaliser, parts.get("normaliser", {}))
        for i, momentum in enumerate(self.optimiser.momenta):
            momentum.copy_(parts["momentum"][str(i)])
        seen = {name: value.to(self.device) for name, value in parts.get("seen", {}).items()}
        self.seen = metrics.Seen.of(seen, self.sizes[: self.position.step])
        self.order.set_state(parts["stream"]["order"])
        self.augmenting.set_state(parts["stream"]["augment"])
        self.drawing.set_state(parts["stream"]["loss"])

    @property
    def sizes_and_rest(self) -> list[int]:
        """Batch sizes, and the number of examples that the epoch leaves out."""
        return [*self.sizes, len(self.data.labels) - sum(self.sizes)]
