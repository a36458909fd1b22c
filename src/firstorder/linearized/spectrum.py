"""Eigenvectors of a kernel, and the binary tasks that they define.

| method        | when                                  | cost for N examples and k vectors        |
|---------------|---------------------------------------|------------------------------------------|
| full          | k > N / 4, N <= 12,000; float64       | 6 N^3, divide and conquer                |
| subset        | k > 100, N <= 12,000; float64         | 4 N^3 / 3 + 2 k N^2, relatively robust   |
| Lanczos       | k <= 100                              | about 3 k products of N^2                |
| block Krylov  | N > 12,000, or the kernel is implicit | a few products of N^2 (k + 20)           |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

DENSE = 12_000
"""Largest N whose float64 kernel is decomposed as a whole."""
LANCZOS = 100
"""Largest k for which Lanczos is the faster way."""


@dataclass(frozen=True)
class Spectrum:
    """Leading eigenpairs: `values` (k,) descending, `vectors` (k, N) orthonormal rows, float64.

    The sign of a vector is arbitrary; here its entry of largest magnitude is positive (the first
    of equals), which small numerical differences do not flip as they would a near-zero entry.
    """

    values: Tensor
    vectors: Tensor


def decompose(kernel: Tensor, k: int, device: torch.device | str = "cpu") -> Spectrum:
    """The k leading eigenpairs of a symmetric `kernel` (N, N); all of them if k >= N."""
    count = len(kernel)
    k = min(k, count)
    if count > DENSE and k < count // 4:
        moved = kernel.to(device)
        return block_krylov(lambda v: (moved @ v.to(moved)).to(v), count, k, device=device)
    if torch.device(device).type == "cuda":
        values, vectors = torch.linalg.eigh(kernel.to(device, torch.float64))
        return _ordered(values.cpu(), vectors.cpu(), k)
    matrix = kernel.double().numpy()
    # scipy's library has threads of its own: as many as torch was given, not one per core.
    with threadpool_limits(torch.get_num_threads(), user_api="blas"):
        if k <= min(LANCZOS, count // 8):
            found = scipy.sparse.linalg.eigsh(matrix, k=k, which="LA", v0=_start(count, 1)[:, 0])
        elif k <= count // 4:  # above, divide and conquer finds all of them sooner
            found = scipy.linalg.eigh(matrix, driver="evr", subset_by_index=[count - k, count - 1])
        else:
            found = scipy.linalg.eigh(matrix, driver="evd")
    return _ordered(torch.from_numpy(found[0]), torch.from_numpy(found[1]), k)


def block_krylov(
    product: Callable[[Tensor], Tensor],
    count: int,
    k: int,
    *,
    tolerance: float = 1e-6,
    products: int = 12,
    device: torch.device | str = "cpu",
) -> Spectrum:
    """The k leading eigenpairs of the positive semi-definite operator v (N, b) -> K v.

    Rayleigh-Ritz on a growing Krylov space of blocks of k + 20 columns (at most `products` of
    them), until every residual |K u - lambda u| is below `tolerance` times the largest
    eigenvalue. The vectors are float64; the precision of the operator is its own.
    """
    width = min(k + 20, count)
    block = torch.from_numpy(_start(count, width)).to(device)
    basis = torch.linalg.qr(block).Q
    images = product(basis)
    newest = images
    while True:
        small = basis.T @ images
        values, rotation = torch.linalg.eigh((small + small.T) / 2)
        values, rotation = values[-k:], rotation[:, -k:]
        residual = (images @ rotation - (basis @ rotation) * values).norm(dim=0).max()
        full = basis.shape[1] >= min(count, products * width)
        if full or residual <= tolerance * values[-1]:
            return _ordered(values.cpu(), (basis @ rotation).cpu(), k)
        for _ in range(2):  # twice is enough for orthogonality in floating point
            newest = newest - basis @ (basis.T @ newest)
        newest = torch.linalg.qr(newest).Q[:, : count - basis.shape[1]]
        for _ in range(2):
            newest = torch.linalg.qr(newest - basis @ (basis.T @ newest)).Q
        basis = torch.cat([basis, newest], 1)
        newest = product(newest)
        images = torch.cat([images, newest], 1)


def nystrom(kernel_rows: Tensor, trace: float, k: int) -> tuple[Spectrum, float]:
    """Leading eigenpairs of an N x N kernel from its first m columns, and the error.

    `kernel_rows` (N, m) holds K[:, :m]. lambda = (N/m) lambda_m and u = K_Nm u_m, normalised.
    The error is the share of the kernel's `trace` that the rank-m approximation misses.
    """
    count, m = kernel_rows.shape
    rows = kernel_rows.double()
    values, vectors = torch.linalg.eigh(rows[:m])
    keep = values > values[-1] * 1e-10
    values, vectors = values[keep], vectors[:, keep]
    extended = rows @ vectors
    explained = (extended.square() / values).sum()
    spectrum = _ordered(values * (count / m), extended / extended.norm(dim=0), min(k, len(values)))
    return spectrum, float(1 - explained / trace)


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
