"""Eigenvectors of a kernel, and the binary tasks that they define.

| method       | when                                            | cost for N examples, k vectors  |
|--------------|-------------------------------------------------|---------------------------------|
| block Krylov | k <= N / 8, or an implicit kernel               | about 2.5 k products of N^2     |
| full         | else, and where the Krylov space does not do    | 6 N^3, divide and conquer       |

Both are float64 up to N = 12,000; beyond, products have the precision of the kernel.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from firstorder.linearized import DENSE, krylov_dimensions, mapped

FEW = 8
"""A Krylov space is the faster way to at most one in so many eigenvectors."""
RESIDUAL = 1e-9
"""Largest residual of float64 eigenpairs, as a share of the largest eigenvalue."""
SINGLE = 1e-6
"""The same for products in float32."""


@dataclass(frozen=True)
class Spectrum:
    """Leading eigenpairs: `values` (k,) descending, `vectors` (k, N) orthonormal rows, float64.

    The sign of a vector is arbitrary; here its entry of largest magnitude is positive (the first
    of equals), which small numerical differences do not flip as they would a near-zero entry.
    """

    values: Tensor
    vectors: Tensor


def decompose(kernel: Tensor, k: int, device: torch.device | str = "cpu") -> Spectrum:
    """The k leading eigenpairs of a symmetric `kernel` (N, N); all of them if k >= N.

    A kernel of more than 12,000 examples is not copied: it may be mapped from a file
    (`mapped.opened`), or be larger than the memory of `device`, and streams by in blocks of rows.
    Beside it are in memory the 4 k + 500 vectors of the Krylov space and their images.
    """
    count = len(kernel)
    k = min(k, count)
    large, few = count > DENSE, k * FEW <= count
    if large and few:
        held = _held(kernel, torch.device(device))
        pairs, residual = block_krylov(
            lambda v: mapped.product(held, v).to(v), count, k, tolerance=SINGLE, device=device
        )
        if residual > SINGLE:
            warnings.warn(f"the spectrum has a residual of {residual:.1e}", stacklevel=2)
        return pairs
    moved = kernel.to(device, torch.float64)
    if few:
        pairs, residual = block_krylov(
            lambda v: moved @ v, count, k, tolerance=RESIDUAL, device=device
        )
        if residual <= RESIDUAL:
            return pairs
    if moved.device.type != "cpu":
        values, vectors = torch.linalg.eigh(moved)
        return _ordered(values.cpu(), vectors.cpu(), k)
    with _threads_of_torch():
        found = scipy.linalg.eigh(moved.numpy(), driver="evd")
    return _ordered(torch.from_numpy(found[0]), torch.from_numpy(found[1]), k)


def _threads_of_torch() -> AbstractContextManager[object]:
    """Give scipy's library, which has threads of its own, as many as torch was given.

    Without threadpoolctl, which the engine alone does not need, it takes one for every core.
    """
    if find_spec("threadpoolctl") is None:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(torch.get_num_threads(), user_api="blas")


def _held(kernel: Tensor, device: torch.device) -> Tensor:
    """The kernel on the device, if two thirds of the free memory there hold it."""
    if device.type != "cuda":
        return kernel
    free = torch.cuda.mem_get_info(device)[0]
    return kernel.to(device) if 3 * kernel.nbytes < 2 * free else kernel


Product = Callable[[Tensor], Tensor]
"""A positive semi-definite operator: v (N, b) -> K v."""


def block_krylov(
    product: Product,
    count: int,
    k: int,
    *,
    tolerance: float = SINGLE,
    device: torch.device | str = "cpu",
) -> tuple[Spectrum, float]:
    """The k leading eigenpairs of an operator on vectors of `count` numbers, and their residual.

    Rayleigh-Ritz on a growing Krylov space, until every residual |K u - lambda u| is below
    `tolerance` times the largest eigenvalue, or the space has `krylov_dimensions(k)`; the largest
    residual is returned in the same unit. The vectors are float64; the precision of the operator
    is its own. Of an eigenvalue that occurs more often than a block is wide (16 to 64 columns),
    some vectors may be missing.
    """
    # Narrow blocks reach a polynomial of higher degree with as many products as wide ones; below
    # 16 columns, products are bound by memory.
    width = min(max(16, k // 16), 64, count)
    largest = min(count, krylov_dimensions(k))
    block = torch.linalg.qr(torch.from_numpy(_start(count, width)).to(device)).Q
    # Room for all columns: the system gives memory only to those that are written.
    room = min(count, largest + width)
    all_basis, all_images = block.new_empty(count, room), block.new_empty(count, room)
    small, size = block.new_empty(0, 0), 0
    judged = 2.2 * k + 2 * width
    while True:
        image = product(block)
        cross = all_basis[:, :size].T @ image
        small = torch.cat([torch.cat([small, cross], 1), torch.cat([cross.T, block.T @ image], 1)])
        start, size = size, size + block.shape[1]
        all_basis[:, start:size], all_images[:, start:size] = block, image
        basis, images = all_basis[:, :size], all_images[:, :size]
        if size >= min(judged, largest):
            judged = 1.2 * size
            values, rotation = torch.linalg.eigh((small + small.T) / 2)
            values, rotation = values[-k:], rotation[:, -k:]
            vectors = basis @ rotation
            error = (images @ rotation).sub_(vectors * values).norm(dim=0).max()
            residual = float(error / values[-1].clamp(min=torch.finfo(values.dtype).tiny))
            if residual <= tolerance or size >= largest:
                return _ordered(values.cpu(), vectors.cpu(), k), residual
        for _ in range(2):  # twice is enough for orthogonality in floating point
            image = torch.linalg.qr(image - basis @ (basis.T @ image)).Q
        block = image[:, : count - size]


def fix_signs(vectors: Tensor) -> Tensor:
    """Rows (k, N) whose entry of largest magnitude is positive."""
    largest = vectors.abs().argmax(1, keepdim=True)
    return vectors * vectors.gather(1, largest).sign()


def binary_labels(vector: Tensor) -> Tensor:
    """The task of a vector: class 1 where it is positive, else class 0; int64."""
    return (vector > 0).long()


def majority(labels: Tensor) -> float:
    """Share of the larger class of binary labels: the chance level of the task."""
    share = float(labels.double().mean())
    return max(share, 1 - share)


def _ordered(values: Tensor, columns: Tensor, k: int) -> Spectrum:
    order = values.argsort(descending=True)[:k]
    return Spectrum(values[order], fix_signs(columns[:, order].T.contiguous()))


def _start(count: int, width: int) -> np.ndarray:
    """The same starting vectors for the same shape: the result has no randomness."""
    return np.random.default_rng(0).standard_normal((count, width))
