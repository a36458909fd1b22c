"""Leading eigenvectors of a LeNet kernel: the method chosen against the other drivers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

import scipy.linalg
import scipy.sparse.linalg
import torch
from bench_kernel import problem
from threadpoolctl import threadpool_limits
from timing import Line, alternate, compare
from torch import Tensor

from firstorder.linearized import factored, spectrum
from firstorder.linearized.kernel import ntk


def kernel(count: int) -> Tensor:
    """Of images with the 1/f spectrum of photographs: white noise has no leading directions."""
    module, x = problem("lenet", count)
    return ntk(module, coloured(x))


def coloured(x: Tensor) -> Tensor:
    """Standard normal images (N, C, H, W), their amplitudes divided by the frequency."""
    rows, columns = torch.fft.fftfreq(x.shape[2]), torch.fft.rfftfreq(x.shape[3])
    frequency = torch.hypot(rows[:, None], columns[None, :]).clamp(min=1 / x.shape[2])
    images = torch.fft.irfft2(torch.fft.rfft2(x) / frequency)
    return (images - images.mean()) / images.std()


def top(count: int = 4096) -> Iterator[Line]:
    """The top 100 and 1,000 of N = 4,096."""
    K = kernel(count)
    for k, turns in ((100, 3), (1000, 1)):
        more = {
            "all of them (torch.linalg.eigh)": lambda: torch.linalg.eigh(K.double()),
            "scipy eigsh (the original's)": functools.partial(lanczos, K, k),
        }
        yield from drivers(K, k, turns, more)


def large(count: int = 12_000) -> Iterator[Line]:
    """The top 1,000 of N = 12,000, once."""
    yield from drivers(kernel(count), 1000, 1, {})


def drivers(
    K: Tensor, k: int, turns: int, more: Mapping[str, Callable[[], object]]
) -> Iterator[Line]:
    """The method chosen for k vectors against LAPACK's, and against `more`."""
    count = len(K)
    times = alternate(
        {
            "ours": lambda: spectrum.decompose(K, k),
            "all of them (scipy eigh, evd)": lambda: subset(K, count, "evd"),
            f"these {k} only (scipy eigh, evr)": lambda: subset(K, k, "evr"),
            **more,
        },
        turns,
    )
    yield from compare(f"top {k} of N={count}", times.pop("ours"), times)


def lanczos(K: Tensor, k: int) -> None:
    """The k leading eigenpairs by implicitly restarted Lanczos."""
    with threadpool_limits(torch.get_num_threads(), user_api="blas"):
        scipy.sparse.linalg.eigsh(K.double().numpy(), k=k, which="LA")


def subset(K: Tensor, k: int, driver: str) -> None:
    """The k leading eigenpairs by one of LAPACK's drivers."""
    span = (len(K) - k, len(K) - 1) if k < len(K) else None
    with threadpool_limits(torch.get_num_threads(), user_api="blas"):
        scipy.linalg.eigh(K.double().numpy(), driver=driver, subset_by_index=span)


def implicit(count: int = 4096) -> Iterator[Line]:
    """One product with a kernel that is not formed: factors against a forward and backward pass."""
    from torch.func import jvp, vjp

    from firstorder.linearized.tangent import function, parameters_of

    module, x = problem("lenet", count)
    jacobian = factored.factor(module, x)
    v = torch.randn(count, 1, generator=torch.Generator().manual_seed(2))
    f, theta = function(module), parameters_of(module)

    def peer() -> Tensor:
        total = None
        for part, weights in zip(x.split(512), v[:, 0].split(512), strict=True):
            (one,) = vjp(lambda p, x=part: f(p, x), theta)[1](weights)
            total = one if total is None else {k: total[k] + one[k] for k in one}
        return torch.cat(
            [jvp(lambda p, x=part: f(p, x), (theta,), (total,))[1] for part in x.split(512)]
        )

    def ours() -> Tensor:
        return factored.product(jacobian, factored.transposed(jacobian, v))

    times = alternate({"ours": ours, "jvp": peer})
    item = f"kernel-vector product, N={count}"
    yield from compare(item, times["ours"], {"vjp, then jvp": times["jvp"]})
