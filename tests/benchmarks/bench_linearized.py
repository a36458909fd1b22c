"""How much faster the linearized computations are than the obvious ones.

    python tests/benchmarks/bench_linearized.py [--examples 2048] [--threads 1]

Prints CPU seconds (median), which contention on the machine hardly moves, and ratios; with
several threads, wall seconds. Peers (jax, neural-tangents) run where they are installed.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from firstorder import models
from firstorder.config import Recipe
from firstorder.linearized import factored, function_space, spectrum
from firstorder.linearized.kernel import ntk
from firstorder.linearized.tangent import linearize, outputs, parameters_of


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    generator = torch.Generator().manual_seed(0)
    module = models.build("lenet", 1, (3, 32, 32), init="lecun", generator=generator)
    x = torch.randn(arguments.examples, 3, 32, 32, generator=generator)
    print(f"LeNet, {arguments.examples} examples, {arguments.threads} threads")
    for title, group in (
        ("kernel", kernels(module, x, clock)),
        ("linearized training, one epoch", trainings(module, x, clock)),
        ("spectrum", spectra(module, x, clock)),
    ):
        print(title)
        first = None
        for name, seconds in group:
            first = first or seconds
            print(f"  {name:<52} {1e3 * seconds:10.1f} ms {seconds / first:8.2f}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of the process: {peak:.2f} GiB")


def median(function: Callable[[], Any], clock: Callable[[], float], repeat: int = 3) -> float:
    """Median seconds of `function`, after one call that warms up."""
    function()
    seconds = []
    for _ in range(repeat):
        began = clock()
        function()
        seconds.append(clock() - began)
    return statistics.median(seconds)


def kernels(
    module: nn.Module, x: Tensor, clock: Callable[[], float]
) -> Iterator[tuple[str, float]]:
    yield "layer Gram", median(lambda: ntk(module, x), clock)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  (peak memory of the process so far: {before:.2f} GiB)")
    yield (
        "Jacobian blocks of this package",
        median(lambda: ntk(module, x, method="jacobian"), clock, 1),
    )
    yield (
        "torch.func tutorial: vmap(grad), whole Jacobian",
        median(lambda: contraction(module, x), clock, 1),
    )
    yield from peers(module, x, clock)


def contraction(module: nn.Module, x: Tensor) -> Tensor:
    """J J^T from per-example gradients, in chunks of 128."""
    gradient = vmap(
        grad(lambda theta, image: functional_call(module, theta, (image[None],))[0, 0]), (None, 0)
    )
    parameters = parameters_of(module)
    rows = [
        torch.cat([g.flatten(1) for g in gradient(parameters, part).values()], 1)
        for part in x.split(128)
    ]
    J = torch.cat(rows)
    return J @ J.T


def trainings(
    module: nn.Module, x: Tensor, clock: Callable[[], float]
) -> Iterator[tuple[str, float]]:
    count = len(x)
    recipe = Recipe(model="scalar", epochs=1, batch=128, lr=0.01, drop_last=True)
    y = (torch.arange(count) % 2)[:, None]
    K, f0, none = ntk(module, x), outputs(module, x), torch.empty(0)

    def in_function_space(targets: Tensor) -> None:
        columns = targets.shape[1]
        test = (none.reshape(0, count), none, none.reshape(0, columns))
        order = function_space.batches(count, recipe, 1, "cpu")
        function_space.train(K, f0, targets, *test, recipe, order)

    yield "function space, 1 target (kernel known)", median(lambda: in_function_space(y), clock)
    many = y.expand(count, 13).contiguous()
    yield "function space, 13 targets", median(lambda: in_function_space(many), clock)
    jacobian = factored.factor(module, x, block=128)

    def with_factors() -> None:
        delta = {name: zero[None].clone() for name, zero in jacobian.zero.items()}
        for position, block in enumerate(jacobian.blocks):
            part = slice(128 * position, 128 * (position + 1))
            one = factored.Jacobian((block,), jacobian.zero)
            scores = f0[part, None] + factored.product(one, delta)
            slopes = (torch.sigmoid(scores) - y[part]) / block.count
            for name, value in factored.transposed(one, slopes).items():
                delta[name] -= 0.01 * value

    yield "factored Jacobian", median(with_factors, clock)
    f_lin = linearize(module)

    def by_jvp() -> None:
        delta = {name: torch.zeros_like(v) for name, v in parameters_of(module).items()}

        def loss(d: dict[str, Tensor], part: slice) -> Tensor:
            return function_space.cross_entropy(f_lin(d, x[part]), y[part, 0].float()).mean()

        for start in range(0, count - 127, 128):
            gradient = grad(loss)(delta, slice(start, start + 128))
            delta = {name: value - 0.01 * gradient[name] for name, value in delta.items()}

    yield "torch.func.jvp, gradient through it", median(by_jvp, clock, 1)


def spectra(
    module: nn.Module, x: Tensor, clock: Callable[[], float]
) -> Iterator[tuple[str, float]]:
    K = ntk(module, x)
    jacobian = factored.factor(module, x)
    count = len(K)
    yield "10 vectors, decompose (Lanczos)", median(lambda: spectrum.decompose(K, 10), clock)
    yield (
        "10 vectors, block Krylov",
        median(lambda: spectrum.block_krylov(lambda v: (K @ v.float()).double(), count, 10), clock),
    )
    yield (
        "10 vectors, factored products",
        median(
            lambda: spectrum.block_krylov(
                lambda v: factored.kernel_product(jacobian, v.float()).double(), count, 10
            ),
            clock,
            1,
        ),
    )
    yield (
        "everything, decompose (divide and conquer)",
        median(lambda: spectrum.decompose(K, count), clock, 1),
    )
    yield (
        "everything, torch.linalg.eigh in float64",
        median(lambda: torch.linalg.eigh(K.double()), clock, 1),
    )


def peers(module: nn.Module, x: Tensor, clock: Callable[[], float]) -> Iterator[tuple[str, float]]:
    """The same kernel in JAX, by Jacobian contraction, where the package is installed."""
    try:
        import jax  # type: ignore[import-not-found, unused-ignore]
        from jax import numpy  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        print("  (jax is not installed: skipped)")
        return

    weights = [numpy.asarray(value.numpy()) for value in parameters_of(module).values()]

    def network(theta: Any, image: Any) -> Any:
        z = image[None]
        for w, b in ((theta[0], theta[1]), (theta[2], theta[3])):
            z = jax.lax.conv(z, w, (1, 1), "SAME") + b[None, :, None, None]
            z = jax.nn.relu(z)
            z = jax.lax.reduce_window(z, 0.0, jax.lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID") / 4
        z = z.reshape(1, -1)
        for w, b in ((theta[4], theta[5]), (theta[6], theta[7])):
            z = jax.nn.relu(z @ w.T + b)
        return (z @ theta[8].T + theta[9])[0, 0]

    @jax.jit
    def kernel(theta: Any, images: Any) -> Any:
        gradient = jax.vmap(jax.grad(network), (None, 0))
        leaves = [leaf.reshape(len(images), -1) for leaf in gradient(theta, images)]
        return sum(leaf @ leaf.T for leaf in leaves)

    images = numpy.asarray(x.numpy())
    yield (
        "JAX: vmap(grad), contraction by leaf",
        median(lambda: kernel(weights, images).block_until_ready(), clock, 1),
    )
    try:
        import neural_tangents  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        print("  (neural-tangents is not installed: skipped)")
        return
    peer = neural_tangents.empirical_ntk_fn(
        lambda theta, batch: jax.vmap(network, (None, 0))(theta, batch)[:, None], vmap_axes=0
    )
    compiled = jax.jit(lambda theta, batch: peer(batch, None, theta))
    yield (
        "neural-tangents: Jacobian contraction",
        median(lambda: compiled(weights, images).block_until_ready(), clock, 1),
    )


if __name__ == "__main__":
    main()
