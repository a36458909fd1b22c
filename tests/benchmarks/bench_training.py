"""The training loop against the usual PyTorch one: `python tests/benchmarks/bench_training.py`.

The usual loop reads PIL images through a DataLoader with torchvision transforms for each image,
uses torch.optim.SGD and reads the loss at every step. Model, weights, batch size, augmentation,
clipping and precision (float32) are the same. The two take turns; what counts is the time of a
step, of which the table shows medians and the range over the repetitions. On a CPU the usual loop
has a process of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial

import torch
from PIL import Image
from timing import Line, Timing, compare, other_process, print_header, print_line
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from firstorder import models, streams
from firstorder.config import Recipe
from firstorder.data import images as pictures
from firstorder.training import loop
from firstorder.training.data import Data

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BATCH = 128


class Pictures(Dataset):
    """CIFAR as torchvision serves it: one PIL image at a time."""

    def __init__(self, data: Data) -> None:
        self.images = data.images.cpu().permute(0, 2, 3, 1).numpy()
        self.labels = data.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def build(name: str) -> nn.Module:
    return models.build(name, 10, (3, 32, 32), generator=streams.torch_stream(1, "init"))


def usual(name: str, data: Data, device: torch.device, workers: int) -> float:
    """Seconds a step of the usual loop."""
    module = build(name).to(device).train()
    loader = DataLoader(
        Pictures(data), BATCH, shuffle=True, num_workers=workers, pin_memory=device.type == "cuda"
    )
    optimiser = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    total, began = 0.0, time.perf_counter()
    for batch, labels in loader:
        batch, labels = batch.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        loss = functional.cross_entropy(module(batch), labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimiser.step()
        total += loss.item()
    return (time.perf_counter() - began) / len(loader)


def ours(name: str, data: Data, device: torch.device, precision: str = "float32") -> float:
    """Seconds a step of the project's loop."""
    recipe = Recipe(
        model=name,
        epochs=1,
        batch=BATCH,
        lr=0.01,
        weight_decay=1e-4,
        clip=5.0,
        precision=precision,
        augment={"crop": 4, "flip": 0.5},
    )
    result = loop.train(
        build(name),
        data,
        recipe,
        functional.cross_entropy,
        1,
        device,
        standardise=lambda batch: pictures.standardise(batch, MEAN, STD),
    )
    return result.seconds_per_step


def synthetic(steps: int) -> Data:
    """Random images of CIFAR's size and labels, for so many steps an epoch."""
    generator = torch.Generator().manual_seed(0)
    size = steps * BATCH
    images = torch.randint(0, 256, (size, 3, 32, 32), generator=generator).to(torch.uint8)
    labels = torch.randint(0, 10, (size,), generator=generator)
    return Data(images, labels, labels, images[:BATCH], labels[:BATCH])


def pairs(
    name: str, steps: int, device: torch.device, workers: int, repetitions: int
) -> list[tuple[float, float]]:
    """Seconds a step of the usual loop and of ours, for every repetition."""
    data, found = synthetic(steps), []
    with other_process() if device.type == "cpu" else nullcontext() as other:
        for turn in range(repetitions + 1):
            before = ours(name, data, device) if turn % 2 else None  # the order alternates
            case = (name, data, device, workers)
            theirs = other.submit(usual, *case).result() if other else usual(*case)
            found.append((theirs, before or ours(name, data, device)))
    return found[1:]  # the first warms up


def lines(workers: int = 0, repetitions: int = 5) -> Iterator[Line]:
    """LeNet and CNN-8 with batches of 128; the times are those of a step."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps = {"lenet": 8, "cnn8": 2} if device.type == "cpu" else {"lenet": 100, "cnn8": 100}
    for name, count in steps.items():
        theirs, mine = zip(*pairs(name, count, device, workers, repetitions), strict=True)
        peers = {"DataLoader and torchvision": Timing(theirs)}
        note = {"DataLoader and torchvision": f"{workers} workers, {loop.device_name(device)}"}
        yield from compare(f"training step, {name}", Timing(mine), peers, note)


def small(repetitions: int = 5) -> Iterator[Line]:
    """The MLP of the smoke scale on digits: our loop beside the bare arithmetic of its step."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1400, 1, 8, 8), generator=generator).to(torch.uint8)
    labels = torch.randint(0, 10, (1400,), generator=generator)
    data = Data(images, labels, labels, images[:397], labels[:397])
    recipe = Recipe(
        model="mlp", epochs=50, batch=BATCH, lr=0.05, weight_decay=1e-4, clip=5.0, evaluate_every=2
    )
    module = partial(
        models.build, "mlp", 10, (1, 8, 8),
        generator=streams.torch_stream(1, "init"), hidden=128, depth=2,
    )  # fmt: skip
    found = []
    for _ in range(repetitions + 1):
        result = loop.train(module(), data, recipe, functional.cross_entropy, 1)
        found.append((bare(module(), data, result.steps), result.seconds / result.steps))
    theirs, mine = zip(*found[1:], strict=True)  # the first warms up
    peers = {"forward, backward, fused SGD": Timing(theirs)}
    yield from compare("training step, smoke's MLP", Timing(mine), peers, {})


def bare(module: nn.Module, data: Data, steps: int) -> float:
    """Seconds a step of nothing but passes and update: no order, clip, record or evaluation."""
    parameters = list(module.parameters())
    momenta = [torch.zeros_like(each) for each in parameters]
    images = data.images.float().div_(255)
    began = time.perf_counter()
    for step in range(steps):
        span = slice(step % 10 * BATCH, (step % 10 + 1) * BATCH)
        loss = functional.cross_entropy(module(images[span]), data.labels[span])
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            torch._fused_sgd_(
                parameters, list(gradients), momenta, weight_decay=1e-4, momentum=0.9, lr=0.05,
                dampening=0.0, nesterov=False, maximize=False, is_first_step=False,
            )  # fmt: skip
    return (time.perf_counter() - began) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="of the usual loop's DataLoader")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print_header()
    for line in (*small(options.repetitions), *lines(options.workers, options.repetitions)):
        print_line(line)


if __name__ == "__main__":
    main()
