"""A training step on a GPU, recorded and launched whole, beside the same launched kernel by kernel.

Synthetic images of CIFAR's size, batches of 128, crop and flip, clipping; times are those of a step
as the loop itself counts them. The two take turns on one card.
"""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import torch
from bench_training import BATCH, ours, synthetic
from timing import Line, Timing, compare

from firstorder.training import loop

NETWORKS = {"lenet": 350, "cnn4": 350, "cnn8": 350, "resnet34": 100}
"""With the steps of an epoch."""


def recorded(repetitions: int = 3) -> Iterator[Line]:
    """Every network in float32 and bfloat16; needs a GPU."""
    device = torch.device("cuda")
    for name, steps in NETWORKS.items():
        data = synthetic(steps)
        for precision in ("float32", "bfloat16"):
            launched, whole = [], []
            for _ in range(repetitions + 1):
                with mock.patch.object(loop, "capture", lambda training, index: None):
                    launched.append(ours(name, data, device, precision))
                whole.append(ours(name, data, device, precision))
            peers = {"kernel by kernel": Timing(tuple(launched[1:]))}  # the first warms up
            timing = Timing(tuple(whole[1:]))
            note = {"kernel by kernel": f"{BATCH / timing.median:,.0f} images/s"}
            yield from compare(f"training step, {name}, {precision}", timing, peers, note)
