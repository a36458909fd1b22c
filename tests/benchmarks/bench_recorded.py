"""A training step on a GPU, recorded and launched whole, beside the same launched kernel by kernel.

Synthetic images of CIFAR's size, batches of 128, crop and flip, clipping; times are those of a step
as the loop itself counts them. The two take turns on one card.
"""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import torch
from bench_training import BATCH, MEAN, STD, build
from timing import Line, Timing, compare
from torch.nn import functional

from firstorder.config import Recipe
from firstorder.data import images as pictures
from firstorder.training import loop
from firstorder.training.data import Data

NETWORKS = {"lenet": 350, "cnn4": 350, "cnn8": 350, "resnet34": 100}
"""With the steps of an epoch."""


def recorded(repetitions: int = 3) -> Iterator[Line]:
    """Every network in float32 and bfloat16; needs a GPU."""
    for name, steps in NETWORKS.items():
        data = synthetic(steps * BATCH)
        for precision in ("float32", "bfloat16"):
            launched, whole = [], []
            for _ in range(repetitions + 1):
                with mock.patch.object(loop, "capture", lambda training, index: None):
                    launched.append(step(name, data, precision))
                whole.append(step(name, data, precision))
            peers = {"kernel by kernel": Timing(tuple(launched[1:]))}  # the first warms up
            ours = Timing(tuple(whole[1:]))
            note = {"kernel by kernel": f"{BATCH / ours.median:,.0f} images/s"}
            yield from compare(f"training step, {name}, {precision}", ours, peers, note)


def synthetic(count: int) -> Data:
    """Random images and labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=generator).to(torch.uint8)
    labels = torch.randint(0, 10, (count,), generator=generator)
    return Data(images, labels, labels, images[:BATCH], labels[:BATCH])


def step(name: str, data: Data, precision: str) -> float:
    """Seconds of a step of an epoch."""
    recipe = Recipe(
        model=name, epochs=1, batch=BATCH, lr=0.01, weight_decay=1e-4, clip=5.0,
        precision=precision, augment={"crop": 4, "flip": 0.5},
    )  # fmt: skip
    result = loop.train(
        build(name),
        data,
        recipe,
        functional.cross_entropy,
        1,
        "cuda",
        standardise=lambda batch: pictures.standardise(batch, MEAN, STD),
    )
    return result.seconds_per_step
