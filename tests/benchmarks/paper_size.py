"""A kernel of 50,000 images: kernel, top eigenvectors and linearized trainings, step by step.

    python tests/benchmarks/paper_size.py CIFAR KERNEL.npy [--train 40000] [--count 50000] \\
        [--epochs 100] [--steps kernel spectrum trainings]

`CIFAR` is the folder of data_batch_1.bin to data_batch_5.bin. The kernel is written into a file,
which the other steps read where it lies. For every step: seconds, and the peak of the process's
own memory and of that with mapped pages, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from firstorder import models
from firstorder.config import Recipe
from firstorder.linearized import function_space, mapped
from firstorder.linearized.kernel import ntk
from firstorder.linearized.spectrum import binary_labels, decompose
from firstorder.linearized.tangent import outputs

EIGENVECTORS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000)
RECORD = 3073
"""Bytes of a label and an image."""


def images(folder: Path, count: int) -> Tensor:
    """The first images of CIFAR-10 (N, 3, 32, 32), every channel standardised."""
    parts = [np.fromfile(folder / f"data_batch_{i}.bin", np.uint8) for i in range(1, 6)]
    pixels = np.concatenate(parts).reshape(-1, RECORD)[:count, 1:]
    values = torch.from_numpy(pixels.astype(np.float32)).reshape(-1, 3, 32, 32).div_(255)
    mean, std = values.mean((0, 2, 3), keepdim=True), values.std((0, 2, 3), keepdim=True)
    return values.sub_(mean).div_(std)


@contextmanager
def watched(step: str) -> Iterator[None]:
    """Print what a step took: seconds and GiB."""
    peaks, done = {"RssAnon": 0, "VmRSS": 0}, threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            text = Path("/proc/self/status").read_text()
            status = dict(line.split(":") for line in text.splitlines())
            for name in peaks:
                peaks[name] = max(peaks[name], int(status[name].split()[0]))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    began, used = time.perf_counter(), time.process_time()
    yield
    seconds, used = time.perf_counter() - began, time.process_time() - used
    done.set()
    thread.join()
    own, all_pages = (value / 2**20 for value in peaks.values())
    print(
        f"{step:<10} {seconds:7.1f} s   {used:7.1f} s of the processors   "
        f"{own:.2f} GiB own, {all_pages:.2f} GiB with mapped pages",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cifar", type=Path)
    parser.add_argument("kernel", type=Path)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--train", type=int, default=40_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--top", type=int, default=1000)
    steps = ("kernel", "spectrum", "trainings")
    parser.add_argument("--steps", nargs="+", choices=steps, default=steps)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    x = images(options.cifar, options.count)
    generator = torch.Generator().manual_seed(1)
    module = models.build("lenet", 1, (3, 32, 32), init="lecun", generator=generator)
    if "kernel" in options.steps:
        with watched("kernel"):
            ntk(module, x, out=options.kernel)
    scores = outputs(module, x)
    del x
    kernel = mapped.opened(options.kernel)
    vectors = options.kernel.with_suffix(".vectors.npy")
    if "spectrum" in options.steps:
        with watched("spectrum"):
            found = decompose(kernel, options.top)
        share = float(found.values[:10].sum() / kernel.diagonal().double().sum())
        print(f"the ten leading eigenvalues hold {share:.1%} of the trace")
        np.save(vectors, found.vectors.numpy())
        del found
    if "trainings" in options.steps:
        every = np.load(vectors, mmap_mode="r")
        rows = [torch.tensor(every[k - 1]) for k in EIGENVECTORS if k <= len(every)]
        labels = torch.stack([binary_labels(row) for row in rows], 1)
        recipe = Recipe(model="lenet", epochs=options.epochs, lr=0.05, schedule="linear")
        own, test = slice(options.train), slice(options.train, None)
        with watched("trainings"):
            trajectory = function_space.train(
                kernel[own, own],
                scores[own],
                labels[own],
                kernel[test, own],
                scores[test],
                labels[test],
                recipe,
                function_space.batches(options.train, recipe, 1, "cpu"),
            )
        accuracies = " ".join(f"{value:.3f}" for value in trajectory.test_accuracy[-1])
        print(f"test accuracies {accuracies}")


if __name__ == "__main__":
    main()
