"""What the evaluations of a recipe cost, as a share of an epoch's training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import torch
from timing import Line
from torch.nn import functional

from firstorder import config, models, streams
from firstorder.config import Recipe
from firstorder.data import images as pictures
from firstorder.training.data import Data
from firstorder.training.loop import Training

# recipe -> shape of an image, training and test examples of the full setting, steps measured
SETTINGS = {
    "digits": ((1, 8, 8), 1_400, 397, 11),
    "fashion_mnist-short": ((1, 28, 28), 10_000, 10_000, 16),
    "cifar10": ((3, 32, 32), 50_000, 10_000, 3),
}


def evaluations() -> Iterator[Line]:
    """Seconds per example in training and in evaluation; the share follows from the counts."""
    threads = torch.get_num_threads()
    for name, recipe in config.load().recipes.items():
        if name in SETTINGS:
            torch.set_num_threads(min(recipe.threads or threads, threads))
            yield line(name, recipe)
    torch.set_num_threads(threads)


def line(name: str, recipe: Recipe) -> Line:
    """The share of one recipe."""
    shape, train, test, steps = SETTINGS[name]
    training = setup(recipe, shape, steps)
    order = torch.arange(steps * recipe.batch).split(recipe.batch)
    step, evaluation = [], []
    for turn in range(4):
        began = time.perf_counter()
        for index in order:
            training.module.train()
            training.step(index, training.data.labels[index], recipe.lr)
        middle = time.perf_counter()
        training.test()
        if turn:
            step.append((middle - began) / (steps * recipe.batch))
            evaluation.append((time.perf_counter() - middle) / len(training.data.test_labels))
    epoch, once = train * statistics.median(step), test * statistics.median(evaluation)
    share = once / recipe.evaluate_every / epoch
    return Line(
        f"evaluation, {name}",
        f"share of an epoch, every {recipe.evaluate_every} epochs",
        f"{once:.3g} s once",
        f"{epoch:.3g} s an epoch",
        f"{100 * share:.1f} %",
        f"{torch.get_num_threads()} threads; from {steps} steps, for {train} and {test} examples",
    )


def setup(recipe: Recipe, shape: tuple[int, int, int], steps: int) -> Training:
    """A training on random images, with as many test images as it trains on."""
    generator = torch.Generator().manual_seed(0)
    size = (steps * recipe.batch, *shape)
    images = torch.randint(0, 256, size, generator=generator).to(torch.uint8)
    labels = torch.randint(0, 10, size[:1], generator=generator)
    module = models.build(
        recipe.model,
        10,
        shape,
        generator=streams.torch_stream(1, "init"),
        **recipe.model_parameters,
    )
    mean = (0.5,) * shape[0]
    return Training(
        module,
        Data(images, labels, labels, images, labels),
        recipe,
        functional.cross_entropy,
        1,
        torch.device("cpu"),
        normaliser=None,
        l1=0.0,
        weight_decay=recipe.weight_decay,
        standardise=lambda batch: pictures.standardise(batch, mean, mean),
        augment=None,
    )
