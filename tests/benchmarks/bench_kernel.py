"""Tangent kernels against those of other libraries: LeNet and ResNet-18 on 3 x 32 x 32 images."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import peers_torch
import torch
from timing import Line, absent, alternate, compare, other_process
from torch import Tensor, nn

from firstorder import models
from firstorder.linearized.kernel import ntk


def problem(name: str, count: int, outputs: int = 1) -> tuple[nn.Module, Tensor]:
    """A network, by default with one output, and standard normal images."""
    generator = torch.Generator().manual_seed(0)
    # Strided convolutions pad as flax does: JAX computes the same function.
    options = {"padding": "same"} if name == "resnet18" else {}
    shape = (3, 32, 32)
    module = models.build(name, outputs, shape, init="lecun", generator=generator, **options)
    return module, torch.randn(count, 3, 32, 32, generator=generator)


def lenet_jax(count: int = 2048) -> Iterator[Line]:
    """LeNet against JAX."""
    item = f"kernel, LeNet, N={count}"
    module, x = problem("lenet", count)
    try:
        import peers_jax
    except ImportError:
        yield absent(item, "JAX, neural-tangents")
        return
    theta, images = peers_jax.parameters(module), peers_jax.images(x)
    jobs: dict[str, Callable[[], Any]] = {
        "JAX, the same layer-wise algorithm": peers_jax.layer_gram(theta, images),
        "JAX, Jacobian contraction": peers_jax.contraction(peers_jax.lenet, theta, images, 128),
    }
    try:
        jobs["neural-tangents, its default"] = peers_jax.default_of_neural_tangents(
            peers_jax.lenet, theta, images
        )
    except ImportError:
        yield absent(item, "neural-tangents, its default")
    yield from race(item, lambda: ntk(module, x), jobs)


def lenet_torch(count: int = 2048) -> Iterator[Line]:
    """LeNet against PyTorch, and peak memory."""
    item = f"kernel, LeNet, N={count}"
    module, x = problem("lenet", count)
    jobs: dict[str, Callable[[], Any]] = {
        "our oracle: blocks of the Jacobian": lambda: ntk(module, x, method="jacobian"),
    }
    with other_process() as other:
        jobs["torch.func, vmap(grad)"] = lambda: other.submit(
            theirs, "torch.func", "lenet", count
        ).result()
        if importlib.util.find_spec("backpack"):
            jobs["BackPACK"] = lambda: other.submit(theirs, "BackPACK", "lenet", count).result()
        else:
            yield absent(item, "BackPACK")
        yield from race(item, lambda: ntk(module, x), jobs)
    yield Line(item, "peak memory of a process", *memory("lenet", count), "")


def resnet_torch(count: int = 128) -> Iterator[Line]:
    """ResNet-18 against PyTorch, whose Jacobian takes 45 MB an example."""
    module, x = problem("resnet18", count)
    with other_process() as other:
        jobs = {
            "torch.func, vmap(grad)": lambda: other.submit(
                theirs, "torch.func", "resnet18", count, 16
            ).result()
        }
        yield from race(f"kernel, ResNet-18, N={count}", lambda: ntk(module, x), jobs, 2)


def lenet_outputs(count: int = 512, outputs: int = 10) -> Iterator[Line]:
    """The trace form of a network with several outputs; and the full form, smaller."""
    item = f"trace, LeNet, K={outputs}, N={count}"
    module, x = problem("lenet", count, outputs)
    jobs: dict[str, Callable[[], Any]] = {
        "torch.func, vmap(jacrev)": functools.partial(peers_torch.trace, module, x, 32)
    }
    try:
        import peers_jax

        theta, images = peers_jax.parameters(module), peers_jax.images(x)
        network = functools.partial(peers_jax.lenet, every=True)
        # Its trace is divided by the number of outputs.
        mean = peers_jax.trace_of_neural_tangents(network, theta, images)
        jobs["neural-tangents, its default"] = lambda: outputs * mean()
    except ImportError:
        yield absent(item, "neural-tangents, its default")
    yield from race(item, lambda: ntk(module, x, outputs="trace"), jobs)

    few = count // 8
    item, x = f"full, LeNet, K={outputs}, N={few}", x[:few]
    if not importlib.util.find_spec("nngeometry"):
        yield absent(item, "NNGeometry, FMatDense")
        return
    gram = peers_torch.nngeometry_gram(module, x, few)
    yield from race(item, lambda: ntk(module, x, outputs="full"), {"NNGeometry, FMatDense": gram})


def theirs(library: str, name: str, count: int, chunk: int = 128) -> np.ndarray:
    """A peer's kernel; as an array, which another process hands over by value."""
    return peer(library, name, count, chunk)().detach().numpy()


@functools.cache
def peer(library: str, name: str, count: int, chunk: int) -> Callable[[], Tensor]:
    """How a peer computes a kernel; the network and the images are made once in a process."""
    module, x = problem(name, count)
    if library == "BackPACK":
        return peers_torch.backpack_contraction(module, x, chunk)
    return functools.partial(peers_torch.contraction, module, x, chunk)


def resnet_jax(count: int = 128) -> Iterator[Line]:
    """ResNet-18 against JAX."""
    item = f"kernel, ResNet-18, N={count}"
    try:
        import peers_jax
    except ImportError:
        yield absent(item, "JAX, Jacobian contraction")
        return
    module, x = problem("resnet18", count)
    theta, images = peers_jax.parameters(module), peers_jax.images(x)
    kernel = peers_jax.contraction(peers_jax.resnet18, theta, images, 16)
    yield from race(item, lambda: ntk(module, x), {"JAX, Jacobian contraction": kernel}, 2)


def race(
    item: str, ours: Callable[[], Tensor], peers: dict[str, Callable[[], Any]], repetitions: int = 3
) -> Iterator[Line]:
    """Time all kernels in turns, and say how far each is from ours."""
    found: dict[str, Any] = {}

    def keeping(name: str, job: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            found[name] = job()

        return run

    jobs = {name: keeping(name, job) for name, job in {"ours": ours, **peers}.items()}
    times = alternate(jobs, repetitions)
    own = found["ours"].numpy()
    notes = {name: difference(own, np.asarray(found[name])) for name in peers}
    yield from compare(item, times.pop("ours"), times, notes)


def difference(a: np.ndarray, b: np.ndarray) -> str:
    """Median and largest difference of two kernels, relative to the largest entry.

    An activation within rounding of zero, where a ReLU has no derivative, may fall on either
    side: then the whole row of its example differs by the gradient of that unit.
    """
    apart = np.abs(a - b) / np.abs(a).max()
    return f"differs by {np.median(apart):.0e} (median), {apart.max():.0e} (largest)"


def memory(name: str, count: int) -> tuple[str, str, str]:
    """GiB of a process that computes a kernel, and of one that does everything else."""
    sizes = [
        float(
            subprocess.run(
                [sys.executable, __file__, name, str(count), method],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for method in ("layers", "none")
    ]
    return (
        f"{sizes[0]:.2f} GiB",
        f"{sizes[1]:.2f} GiB without",
        f"{sizes[0] - sizes[1]:.2f} GiB more",
    )


def main() -> None:
    name, count, method = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(2)
    module, x = problem(name, count)
    if method == "layers":
        ntk(module, x)
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) / 2**20)


if __name__ == "__main__":
    main()
