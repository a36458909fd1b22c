"""Kernel ridge regression, its penalty chosen by leaving one example out.

Predictions f_0 + K c with c = (K + lambda)^-1 (y - f_0). From one eigendecomposition
K = U' Lambda U (rows of U) every penalty costs N^2 T. The example left out is predicted in closed
form,

    y_i - f_{-i}(x_i) = c_i / [(K + lambda)^-1]_ii,

without a second training. Where not all eigenpairs are known, the mean of the diagonal takes the
place of each of its entries: generalised cross-validation, whose two quantities, |c|^2 and the
trace of (K + lambda)^-1, come for all penalties from one Lanczos process (Golub and von Matt,
Generalized cross-validation for large-scale problems). Penalties far below the smallest eigenvalue
that it has found are not judged: the quantities still grow there with every product. Conjugate
gradients find the coefficients; the known pairs precondition them. Penalties are given relative to
tr(K) / N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from firstorder.linearized import DENSE
from firstorder.linearized.cg import conjugate_gradients, times
from firstorder.linearized.quadrature import Measures, measures, signs
from firstorder.linearized.spectrum import Spectrum, decompose

GRID = tuple(10.0 ** (power / 2) for power in range(-16, 13))
"""Penalties from 1e-8 to 1e6, two a decade."""
PAIRS = 500
"""Eigenpairs that precondition a kernel too large to be decomposed as a whole."""
PRODUCTS, PROBES = 200, 4
"""Products with such a kernel that choose the penalty, and random columns that estimate a trace."""
SETTLED = 0.2
"""How much the last quarter of the products may change a quantity that is believed, relatively."""
DOUBLE, SINGLE = 1e-8, 1e-6
"""Residual of conjugate gradients, as a share of what is solved for, by the kernel's precision."""


@dataclass(frozen=True)
class Ridge:
    """T fitted targets; float64."""

    coefficients: Tensor
    """(N, T)"""
    scores: Tensor
    """f_0 + K c (N, T) of the training examples."""
    left_out: Tensor
    """(N, T): the prediction of every training example by a fit without it."""
    penalty: Tensor
    """(T,), relative to tr(K) / N."""
    errors: Tensor
    """(P, T): mean squared error of `left_out` for every penalty that was tried; infinite where it
    could not be judged."""

    def predict(self, test_kernel: Tensor, test_outputs: Tensor | None = None) -> Tensor:
        """f_0 + K c (M, T) for `test_kernel` (M, N) and its `test_outputs` (M,), zero if left."""
        moved = times(test_kernel, self.coefficients)
        return moved if test_outputs is None else moved + test_outputs.double()[:, None]


def fit(
    kernel: Tensor,
    targets: Tensor,
    outputs: Tensor | None = None,
    *,
    grid: Sequence[float] = GRID,
    shared: int = 1,
    spectrum: Spectrum | None = None,
) -> Ridge:
    """Fit every target with the penalty whose left-out error is smallest (of equals the largest).

    Parameters
    ----------
    kernel : (N, N), positive semi-definite.
    targets : (N, T), any numbers; labels 0 and 1 as -1 and 1, so that the side of 0 decides.
    outputs : (N,) f_0, or (N, T), one for each target; zero if left.
    grid : positive penalties, ascending, relative to tr(K) / N. Those below the rounding of a
        kernel of which not all eigenpairs are known, eps sqrt(N), are left out: conjugate
        gradients would solve for the rounding.
    shared : so many columns in a row are the outputs of one problem and share a penalty.
    spectrum : eigenpairs of the kernel, where they are known; all of them give exact results.
    """
    if spectrum is None:
        count = len(kernel)
        spectrum = decompose(kernel, count if count <= DENSE else PAIRS, kernel.device)
    if len(spectrum.values) < len(kernel):
        least = torch.finfo(kernel.dtype).eps * len(kernel) ** 0.5
        grid = [penalty for penalty in grid if penalty >= least]
    residual = _residual(targets, outputs)
    inverse = Inverse(spectrum, kernel)
    penalties = torch.tensor(grid, dtype=torch.float64, device=residual.device)
    if len(spectrum.values) == len(kernel):
        diagonals = inverse.diagonal(penalties)  # (N, P)
        errors = torch.stack(
            [
                (inverse.apply(residual, p) / diagonal[:, None]).square().mean(0)
                for p, diagonal in zip(penalties, diagonals.T, strict=True)
            ]
        )
    else:
        diagonals, errors = _generalised(
            kernel, residual, penalties * (inverse.trace / inverse.count)
        )
    judged = errors.unflatten(1, (-1, shared)).mean(2).repeat_interleave(shared, 1)
    chosen = len(penalties) - 1 - judged.flip(0).argmin(0)
    coefficients = inverse.solve(residual, penalties[chosen])
    target = targets.double()
    return Ridge(
        coefficients,
        times(kernel, coefficients) + (target - residual),
        target - coefficients / diagonals[:, chosen],
        penalties[chosen],
        errors,
    )


def _generalised(kernel: Tensor, residual: Tensor, lambdas: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the diagonal of (K + lambda)^-1 (1, P), and the error of every penalty (P, T)."""
    count, targets = residual.shape
    columns = torch.cat([residual, signs(count, PROBES, residual.device)], 1)
    # A target that is zero has no measure, and no error with any penalty.
    (old_norms, old_means), (norms, means) = (
        _norms_and_means(each, lambdas, targets)
        for each in measures(
            lambda v: times(kernel, v), _not_zero(columns), PRODUCTS * 3 // 4, PRODUCTS
        )
    )
    settled = (norms - old_norms).abs() <= SETTLED * norms
    settled &= (means - old_means).abs() <= SETTLED * means
    settled[-1] = True
    errors = norms / count / (means / count) ** 2
    errors = torch.where(residual.norm(dim=0) > 0, errors, 0.0)
    return means.T / count, torch.where(settled, errors, torch.inf)


def _norms_and_means(measured: Measures, lambdas: Tensor, targets: int) -> tuple[Tensor, Tensor]:
    """|c|^2 (P, T) of the `targets` that come first, and the trace of (K + lambda)^-1 (P, 1)."""
    nodes = measured.nodes.clamp(min=0)
    norms = torch.stack([measured.of((nodes + each) ** -2)[:targets] for each in lambdas])
    means = torch.stack([measured.of(1 / (nodes + each))[targets:].mean() for each in lambdas])
    return norms, means[:, None]


def _not_zero(columns: Tensor) -> Tensor:
    return torch.where(columns.norm(dim=0) > 0, columns, 1.0)


def path(
    kernel: Tensor,
    targets: Tensor,
    penalties: Sequence[float],
    outputs: Tensor | None = None,
    *,
    spectrum: Spectrum | None = None,
) -> Tensor:
    """Coefficients (P, N, T) for every relative penalty.

    From one eigendecomposition; where `spectrum` has some pairs only, by a factorization each, of
    8 N^2 bytes and N^3 / 3 multiplications: small penalties take conjugate gradients longer.

    Penalty 0 interpolates: the limit for lambda to 0, of smallest norm; it needs all pairs.
    """
    if spectrum is None:
        spectrum = decompose(kernel, len(kernel), kernel.device)
    inverse, residual = Inverse(spectrum, kernel), _residual(targets, outputs)
    if len(spectrum.values) == len(kernel):
        return torch.stack([inverse.apply(residual, penalty) for penalty in penalties])
    return torch.stack([_factored(kernel, residual, inverse.absolute(p)) for p in penalties])


def _factored(kernel: Tensor, residual: Tensor, lamb: Tensor | float) -> Tensor:
    """(K + lambda)^-1 v (N, T) by a Cholesky factor, in float64.

    Raises torch.linalg.LinAlgError where the penalty is lost in the kernel's rounding.
    """
    system = torch.empty(kernel.shape, dtype=torch.float64, device=kernel.device).copy_(kernel)
    system.diagonal().add_(lamb)
    factor = system.mT  # the layout of LAPACK, in which nothing is copied
    torch.linalg.cholesky(factor, out=factor)
    half = torch.linalg.solve_triangular(factor, residual, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True)


def _residual(targets: Tensor, outputs: Tensor | None) -> Tensor:
    """y - f_0 (N, T) in float64."""
    residual = targets.double()
    return residual if outputs is None else residual - outputs.double().reshape(len(residual), -1)


class Inverse:
    """(K + lambda)^-1 for any penalty, from eigenpairs of K and its trace.

    Where pairs are missing, `apply` takes their directions to share the rest of the trace, K =
    U' Lambda U + mu (1 - U' U): a preconditioner.

    Invariant: `vectors` and `values` are float64 on the kernel's device.
    """

    def __init__(self, spectrum: Spectrum, kernel: Tensor) -> None:
        self.kernel = kernel
        self.vectors = spectrum.vectors.to(kernel.device, torch.float64)
        self.values = spectrum.values.to(kernel.device, torch.float64).clamp(min=0)
        self.trace = float(kernel.diagonal().double().sum())
        self.count = len(kernel)
        missing = self.count - len(self.values)
        self.mu = max(0.0, self.trace - float(self.values.sum())) / missing if missing else 0.0

    def absolute(self, penalty: Tensor | float) -> Tensor | float:
        """lambda of a relative penalty."""
        return penalty * (self.trace / self.count)

    def weights(self, penalty: Tensor | float) -> tuple[Tensor, Tensor]:
        """1 / (Lambda + lambda) (k, 1 or T) of the pairs, and 1 / (mu + lambda) of the rest."""
        lamb = torch.as_tensor(self.absolute(penalty), dtype=torch.float64).to(self.values.device)
        total = self.values[:, None] + lamb
        zero = total <= self.count * torch.finfo(torch.float64).eps * self.values.max()
        rest = torch.zeros_like(lamb) if len(self.values) == self.count else 1 / (self.mu + lamb)
        return torch.where(zero, 0.0, 1 / total), rest

    def apply(self, columns: Tensor, penalty: Tensor | float) -> Tensor:
        """(K + lambda)^-1 v (N, T), exact where all eigenpairs are known."""
        weights, rest = self.weights(penalty)
        return self.vectors.T @ ((weights - rest) * (self.vectors @ columns)) + rest * columns

    def diagonal(self, penalty: Tensor) -> Tensor:
        """The diagonal of (K + lambda)^-1 (N, P) for positive penalties (P,), all pairs known."""
        weights, rest = self.weights(penalty)
        return self.vectors.T.square() @ (weights - rest) + rest

    def solve(self, residual: Tensor, penalty: Tensor | float) -> Tensor:
        """Coefficients (N, T): in closed form, or by preconditioned conjugate gradients."""
        if len(self.values) == self.count:
            return self.apply(residual, penalty)
        lamb = self.absolute(penalty)
        tolerance = DOUBLE if self.kernel.dtype == torch.float64 else SINGLE
        goal = tolerance * residual.norm(dim=0)
        c, _ = conjugate_gradients(
            lambda v: times(self.kernel, v) + lamb * v,
            residual,
            lambda r: r.norm(dim=0) <= goal,
            2_000,
            lambda v: self.apply(v, penalty),
        )
        return c
