"""The step that measures what a training step costs with each loss."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from firstorder import files, streams
from firstorder.config import Recipe
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.symmetrization.training import (
    advising,
    read_tuned,
    settings_of,
    with_chosen,
)

if TYPE_CHECKING:
    import torch

    from firstorder.training.loop import Training

ROUNDS = 20
STEPS = 10
"""In a round every loss makes so many steps before the next one has its turn."""


def time_losses(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Time the training step of a setting with each loss, all in this process by turns.

    What else the machine does, and how warm it is, meets all losses alike; times of trainings
    that ran one after the other, or beside one another, cannot be compared. The images are drawn
    at random, and the steps have length 0. cost.json has for every loss the seconds of a step in
    every round, but for a first one that is not counted.
    """
    recipe = Recipe(epochs=1, lr=1.0, **spec["recipe"])  # no step is a step forward
    device = context.torch_device(recipe.threads)
    tuned = {name: read_tuned(inputs[f"{name}/tuned"])["chosen"] for name in spec["tuned"]}
    losses = {
        name: with_chosen(loss, tuned[name]) if name in tuned else loss
        for name, loss in spec["losses"].items()
    }
    with advising(spec):
        trainings = _trainings(spec, recipe, losses, device)
        began = time.perf_counter()
        measured: dict[str, Any] = {"seconds_per_step": _by_turns(trainings)}
        measured["seconds"] = time.perf_counter() - began
    files.write_json(outputs["cost.json"], {**measured, **context.record(list(inputs.values()))})


def _trainings(
    spec: Spec, recipe: Recipe, losses: Mapping[str, Mapping[str, Any]], device: torch.device
) -> dict[str, Training]:
    """A training for each loss, ready for its first step; all share one network."""
    import torch

    from firstorder import losses as functions
    from firstorder import models
    from firstorder.data.images import seen_shape
    from firstorder.training.data import Data
    from firstorder.training.loop import Training

    pixels, generator = spec["images"], streams.torch_stream(0, "cost")
    classes, shape = pixels["classes"], tuple(pixels["shape"])
    module = models.build(
        recipe.model or "",
        classes,
        seen_shape(shape, recipe.augment),
        generator=generator,
        **recipe.model_parameters,
    )
    drawn = torch.randint(0, 256, (recipe.batch, *shape), generator=generator).to(torch.uint8)
    labels = torch.arange(recipe.batch) % classes
    data = Data(drawn, labels, labels, drawn[:1], labels[:1])

    def training(chosen: Mapping[str, Any]) -> Training:
        loss = functions.build(chosen["function"], classes, **chosen["parameters"])
        fitted = loss.fit(data.labels.to(device))
        settings = settings_of(chosen, pixels, recipe)
        return Training(module, data, recipe, fitted, 0, device, augment=None, **settings)

    return {name: training(chosen) for name, chosen in losses.items()}


def _by_turns(trainings: Mapping[str, Training]) -> dict[str, list[float]]:
    """Seconds of a step with every loss in every round but the first."""
    import torch

    from firstorder.device import wait

    found: dict[str, list[float]] = {name: [] for name in trainings}
    for count in range(ROUNDS + 1):
        for name, training in trainings.items():
            batch = torch.arange(len(training.data.labels), device=training.device)
            wait(training.device)
            began = time.perf_counter()
            for _ in range(STEPS):
                training.step(batch, training.data.labels, lr=0.0)
            wait(training.device)
            if count:
                found[name].append((time.perf_counter() - began) / STEPS)
    return found
