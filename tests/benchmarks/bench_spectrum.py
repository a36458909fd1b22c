"""Leading eigenvectors of a LeNet kernel: the method chosen against the other drivers."""

from __future__ import annotations

from collections.abc import Iterator

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
    matrix = K.double().numpy()
    times = alternate(
        {
            "ours": lambda: spectrum.decompose(K, 100),
            "full decomposition (ours, evd)": lambda: spectrum.decompose(K, count),
            "torch.linalg.eigh, float64": lambda: torch.linalg.eigh(K.double()),
            "scipy eigh evr, these 100 only": lambda: subset(matrix, 100),
            "block Krylov": lambda: spectrum.block_krylov(
                lambda v: (K @ v.float()).double(), count, 100
            ),
        },
        2,
    )
    yield from compare(f"top 100 of N={count}", times.pop("ours"), times)
    times = alternate(
        {
            "ours": lambda: spectrum.decompose(K, 1000),
            "full decomposition (scipy evd)": lambda: spectrum.decompose(K, count),
            "block Krylov": lambda: spectrum.block_krylov(
                lambda v: (K @ v.float()).double(), count, 1000
            ),
            "scipy eigsh (the original's)": lambda: lanczos(matrix, 1000),
        },
        1,
    )
    yield from compare(f"top 1000 of N={count}", times.pop("ours"), times)


def lanczos(matrix: object, k: int) -> None:
    """The k leading eigenpairs by implicitly restarted Lanczos."""
    with threadpool_limits(torch.get_num_threads(), user_api="blas"):
        scipy.sparse.linalg.eigsh(matrix, k=k, which="LA")


def subset(matrix: object, k: int) -> None:
    """The k leading eigenpairs by the driver that can leave out the others."""
    count = len(matrix)  # type: ignore[arg-type]
    with threadpool_limits(torch.get_num_threads(), user_api="blas"):
        scipy.linalg.eigh(matrix, driver="evr", subset_by_index=(count - k, count - 1))


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

    times = alternate({"ours": lambda: factored.kernel_product(jacobian, v), "jvp": peer})
    item = f"kernel-vector product, N={count}"
    yield from compare(item, times["ours"], {"vjp, then jvp": times["jvp"]})
