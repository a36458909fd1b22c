"""Kernel logistic regression, trained to convergence: what gradient descent on the linearized
network would reach, were it given the time.

For targets y in {0, 1} and predictions f = f_0 + K c, minimise over the coefficients c

    F(c) = sum_n [log(1 + exp f_n) - y_n f_n] + (lambda / 2) c' K c,     lambda = ridge tr(K) / N.

As a function its gradient is r = sigmoid(f) - y + lambda c; a training has converged when |r| is
below the tolerance. Newton's step d solves (W K + lambda) d = -r with W = sigmoid'(f). With
s = sqrt(W) that is d = -(r - s v) / lambda, where (I + s K s / lambda) v = s K r / lambda. Every
step goes to the minimum along d: on separable labels, where a plain step adds one to every margin,
this takes 8 to 12 steps instead of 20.

| N           | system                                              | cost of a step             |
|-------------|-----------------------------------------------------|----------------------------|
| <= `DIRECT` | Cholesky of the examples with weight                | N_s^3 / 3 for each target  |
| above       | conjugate gradients preconditioned by the leading   | 10 to 30 products for all  |
|             | eigenpairs, the ridge lowered in decades            |                            |
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from firstorder.linearized.cg import Operator, conjugate_gradients, times
from firstorder.linearized.spectrum import Spectrum, block_krylov

if TYPE_CHECKING:
    from firstorder.training.checkpoint import Checkpoint

log = logging.getLogger("firstorder")

RIDGE = 1e-6
"""Penalty as a share of the mean diagonal entry of the kernel."""
DIRECT = 400
"""Largest number of examples whose systems are factored."""
PAIRS, ONE_IN = 500, 10
"""Eigenpairs that precondition: at most so many, and at most one in so many examples."""
START, DECADE = 1e-2, 0.1
"""Where the ridge begins for conjugate gradients, and the factor by which it falls."""
ROUGH, CLOSE = 0.1, 0.3
"""Residual of a linear system, and of a larger ridge, relative to what is solved for."""
NEGLIGIBLE = 1e-3
"""Examples are left out of a factored system that together have this share of its smallest
eigenvalue (which is 1)."""
LONGEST = 16.0
"""Longest step along Newton's direction."""


@dataclass(frozen=True)
class Converged:
    """T trained targets; float64."""

    coefficients: Tensor
    """(N, T)"""
    scores: Tensor
    """f_0 + K c (N, T) of the training examples."""
    gradient: Tensor
    """|r| (T,)"""
    penalty: float
    """lambda"""
    steps: int
    products: int
    """Products of the kernel with (N, T)."""

    def predict(self, test_kernel: Tensor, test_outputs: Tensor | None = None) -> Tensor:
        """f_0 + K c (M, T) for `test_kernel` (M, N) and its `test_outputs` (M,), zero if left."""
        moved = times(test_kernel, self.coefficients)
        return moved if test_outputs is None else moved + test_outputs.double()[:, None]


def accuracy(scores: Tensor, targets: Tensor) -> Tensor:
    """Share (T,) of `scores` (N, T) on the side of 0 that `targets` (N, T), 0 or 1, say."""
    return ((scores > 0) == (targets > 0.5)).double().mean(0)


def logistic(
    kernel: Tensor,
    targets: Tensor,
    outputs: Tensor | None = None,
    *,
    ridge: float = RIDGE,
    tolerance: float = 1e-6,
    spectrum: Spectrum | None = None,
    direct: int = DIRECT,
    most: int = 100,
    checkpoint: Checkpoint | None = None,
) -> Converged:
    """Minimise F for all targets at once.

    Parameters
    ----------
    kernel : (N, N), positive semi-definite; read only, never copied as a whole.
    targets : (N, T), 0 or 1.
    outputs : (N,) f_0, or (N, T), one for each target; zero if left.
    ridge : lambda over tr(K) / N.
    tolerance : of |r|. A kernel in float32 may stop above it: see `Converged.gradient`.
    spectrum : leading eigenpairs of the kernel for the preconditioner, where they are known.
    direct : largest N whose systems are factored.
    most : Newton steps.
    checkpoint : where the state after a step is kept; a call that was killed goes on from there,
        with the same numbers.
    """
    diagonal = float(kernel.diagonal().double().mean())
    problem = _Problem(kernel, targets.double(), diagonal, spectrum, len(kernel) <= direct)
    if spectrum is None and not problem.factored:
        problem = replace(problem, spectrum=_rough_spectrum(kernel))
    c = torch.zeros_like(problem.targets)
    f = c.clone() if outputs is None else c + outputs.double().reshape(len(c), -1)
    state, keep = _State(c, f), _keeper(checkpoint)
    if checkpoint is not None:
        _restore(state, checkpoint)
    for penalty in _penalties(ridge, problem.factored)[state.ridges :]:
        goal = tolerance if penalty == ridge else None
        norms = _newton(problem, state, penalty * diagonal, goal, most, keep)
        state.next_ridge()
        log.info("ridge %.0e: %d steps, %d products", penalty, state.steps, state.products)
    return Converged(state.c, state.f, norms, ridge * diagonal, state.steps, state.products)


@dataclass
class _State:
    """Where a minimisation is."""

    c: Tensor
    """(N, T)"""
    f: Tensor
    """f_0 + K c (N, T)"""
    ridges: int = 0
    """Those that are done."""
    steps: int = 0
    products: int = 0
    best: float = math.inf
    """The smallest of the largest |r| at this ridge."""
    stalled: int = 0
    """Steps since `best` was halved."""

    def next_ridge(self) -> None:
        self.ridges, self.best, self.stalled = self.ridges + 1, math.inf, 0


def _restore(state: _State, checkpoint: Checkpoint) -> None:
    """Go on from the checkpoint, if there is one of this run."""
    from firstorder.training import checkpoint as checkpoints

    stored = checkpoints.load(checkpoint)
    if stored is None:
        return
    tensors, numbers = stored
    state.c, state.f = (tensors[name].to(state.c.device) for name in ("c", "f"))
    for name, value in numbers.items():
        setattr(state, name, value)
    log.info("resumed after %d steps", state.steps)


def _keeper(checkpoint: Checkpoint | None) -> Callable[[_State], None]:
    """Writes the state to the checkpoint when the last one is old enough."""
    written = time.monotonic()

    def keep(state: _State) -> None:
        nonlocal written
        if checkpoint is None or time.monotonic() - written < checkpoint.seconds:
            return
        from firstorder.training import checkpoint as checkpoints

        numbers = {
            name: getattr(state, name)
            for name in ("ridges", "steps", "products", "best", "stalled")
        }
        checkpoints.save(checkpoint, {"c": state.c, "f": state.f}, numbers)
        written = time.monotonic()

    return keep


@dataclass(frozen=True)
class _Problem:
    kernel: Tensor
    targets: Tensor
    diagonal: float
    """Mean of the kernel's diagonal."""
    spectrum: Spectrum | None
    factored: bool
    """Whether systems are factored."""


def _penalties(ridge: float, factored: bool) -> list[float]:
    """The ridges, the last being `ridge`, each of which starts where the one before ended."""
    if factored:
        return [ridge]
    larger = [START]
    while larger[-1] > (1 + 1e-9) * ridge:  # powers of ten are not exact
        larger.append(DECADE * larger[-1])
    return [*larger[:-1], ridge]


def _newton(
    problem: _Problem,
    state: _State,
    penalty: float,
    goal: float | None,
    most: int,
    keep: Callable[[_State], None],
) -> Tensor:
    """Move c and f (N, T), in place, until |r| <= `goal` in every target, or (None) is `CLOSE`.

    Gives up after `most` steps in all, or five that did not halve the largest |r|: then it is
    rounding. Returns |r| (T,).
    """
    c, f = state.c, state.f
    while True:
        p = torch.sigmoid(f)
        r = p - problem.targets + penalty * c
        norms = r.norm(dim=0)
        share = norms / (penalty * c).norm(dim=0).clamp(min=1e-12)
        left = share >= CLOSE if goal is None else norms > goal
        worst = float(norms.max())
        stalled = 0 if worst < 0.5 * state.best else state.stalled + 1
        if not bool(left.any()) or state.steps >= most or stalled >= 5:
            return norms
        state.best, state.stalled = min(state.best, worst), stalled
        active = torch.nonzero(left)[:, 0]
        s, own = (p * (1 - p)).sqrt()[:, active], r[:, active]
        if problem.factored:
            d, made = _factored_step(problem, s, own, penalty), 1
        else:
            d, made = _iterated_step(problem, s, own, penalty, share[active].clamp(max=ROUGH))
        image = times(problem.kernel, d)
        t = _minimum(f[:, active], image, d, c[:, active], problem.targets[:, active], penalty)
        c[:, active] += t * d
        f[:, active] += t * image
        state.steps, state.products = state.steps + 1, state.products + made + 1
        keep(state)


def _factored_step(problem: _Problem, s: Tensor, r: Tensor, penalty: float) -> Tensor:
    """Newton's d (N, T), target by target, from the examples whose weight matters."""
    right = s * times(problem.kernel, r) / penalty
    d = -r / penalty
    alike = bool((s == s[:, :1]).all())  # at the first step: then one factor serves all targets
    for group in [slice(None)] if alike else [slice(t, t + 1) for t in range(s.shape[1])]:
        weight = s[:, group][:, 0]
        rows = _with_weight(weight.square() * (problem.diagonal / penalty))
        own = weight[rows]
        system = problem.kernel[rows][:, rows].double()
        system.mul_(own).mul_((own / penalty)[:, None]).diagonal().add_(1)
        v = torch.cholesky_solve(right[rows, group], torch.linalg.cholesky(system))
        d[rows, group] += own[:, None] * v / penalty
    return d


def _with_weight(trace: Tensor) -> Tensor:
    """The examples (n,) but those whose entries of `trace` (N,) are together negligible."""
    order = trace.argsort()
    return order[int((trace[order].cumsum(0) <= NEGLIGIBLE).sum()) :].sort().values


def _iterated_step(
    problem: _Problem, s: Tensor, r: Tensor, penalty: float, rough: Tensor
) -> tuple[Tensor, int]:
    """Newton's d (N, T) to the relative residual `rough` (T,), and the products made."""
    goal = rough * r.norm(dim=0)

    def system(v: Tensor) -> Tensor:
        return v + s * times(problem.kernel, s * v) / penalty

    # A residual of v is one of d once multiplied by s.
    v, made = conjugate_gradients(
        system,
        s * times(problem.kernel, r) / penalty,
        lambda residual: (s * residual).norm(dim=0) <= goal,
        500,
        _preconditioner(problem, s, penalty),
    )
    return -(r - s * v) / penalty, made + 1


def _rough_spectrum(kernel: Tensor) -> Spectrum:
    """Leading eigenpairs, good enough for a preconditioner."""
    count, device = len(kernel), kernel.device
    k = min(PAIRS, max(1, count // ONE_IN))
    return block_krylov(lambda v: times(kernel, v), count, k, tolerance=1e-2, device=device)[0]


def _preconditioner(problem: _Problem, s: Tensor, penalty: float) -> Operator:
    """The inverse of I + s K s / lambda for K = U' Lambda U + mu I: a diagonal and k dimensions.

    mu shares the trace that the k eigenvalues leave over the other dimensions.
    """
    assert problem.spectrum is not None
    U, values = problem.spectrum.vectors.to(s), problem.spectrum.values.to(s).clamp(min=0)
    count = len(s)
    mu = max(0.0, problem.diagonal * count - float(values.sum())) / max(1, count - len(values))
    inverse = 1 / (1 + mu * s.square() / penalty)
    root = ((values - mu).clamp(min=0) / penalty).sqrt()
    inner = torch.stack(
        [(root[:, None] * U * (w.square() * i)) @ (root[:, None] * U).T
         for w, i in zip(s.T, inverse.T, strict=True)]
    )  # fmt: skip
    inner.diagonal(dim1=1, dim2=2).add_(1)
    factor = torch.linalg.cholesky(inner)

    def apply(v: Tensor) -> Tensor:
        scaled = inverse * v
        small = root[:, None] * (U @ (s * scaled))
        solved = torch.cholesky_solve(small.T[:, :, None], factor)[:, :, 0].T
        return scaled - inverse * s * (U.T @ (root[:, None] * solved))

    return apply


def _minimum(
    f: Tensor, image: Tensor, d: Tensor, c: Tensor, targets: Tensor, penalty: float
) -> Tensor:
    """The minimum t (T,) of F(c + t d) in [0, LONGEST], by bisection of the convex function's
    slope; `image` is K d."""
    linear = penalty * (c * image).sum(0)
    square = penalty * (d * image).sum(0)
    low = torch.zeros_like(linear)
    high = torch.full_like(linear, LONGEST)
    for _ in range(45):
        t = (low + high) / 2
        slope = ((torch.sigmoid(f + t * image) - targets) * image).sum(0) + linear + t * square
        low, high = torch.where(slope < 0, t, low), torch.where(slope < 0, high, t)
    return (low + high) / 2
