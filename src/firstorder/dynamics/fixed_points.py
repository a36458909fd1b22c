"""Fixed and slow points of a step function, found from many starts at once.

Every point h minimises a speed of its own, q(h) = |h - F(h)|^2 / N, and stops on its own: the
objective is the sum over points, so no point feels another. Its position is kept the first time
q passes each tolerance. Where fixed points form an approximate line, points that are optimised
further slide along it into the few exact ones; a late filter would see only those.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from firstorder.dynamics.step import (
    DynamicsError,
    Map,
    Step,
    at_input,
    check_gradient,
    check_states,
    check_step,
)
from firstorder.files import replacing

TOLERANCES = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of Adam, as published."""


@dataclass(frozen=True)
class FixedPoints:
    """What was found from K starts at L tolerances, loosest first."""

    starts: Tensor
    """(K, N)."""
    tolerances: tuple[float, ...]
    """The values of q at which points were kept, (L,), falling."""
    points: Tensor
    """(L, K, N): each point when its q first fell below the tolerance; NaN where it never did."""
    q: Tensor
    """(L, K): its q there, NaN where it never passed."""
    steps: Tensor
    """(L, K) int64: the steps made until then, -1 where it never passed."""

    def found(self, tol_q: float) -> Tensor:
        """Which starts (K,) led below `tol_q`, one of the tolerances."""
        return self.steps[self._level(tol_q)] >= 0

    def at(self, tol_q: float) -> Tensor:
        """The points (M, N) that passed `tol_q`, in the order of their starts."""
        return self.points[self._level(tol_q)][self.found(tol_q)]

    def _level(self, tol_q: float) -> int:
        if tol_q not in self.tolerances:
            known = ", ".join(f"{value:g}" for value in self.tolerances)
            raise DynamicsError(f"tol_q: {tol_q:g} was not kept; kept are {known}")
        return self.tolerances.index(tol_q)

    def save(self, path: str | Path) -> None:
        """Write an npz file of plain arrays, atomically."""
        with replacing(path) as temporary, open(temporary, "wb") as stream:
            np.savez(
                stream,
                tolerances=np.array(self.tolerances),
                **{
                    name: getattr(self, name).cpu().numpy()
                    for name in ("starts", "points", "q", "steps")
                },
            )

    @classmethod
    def load(cls, path: str | Path) -> FixedPoints:
        """Read what `save` wrote; DynamicsError where it is something else."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {
                    name: torch.from_numpy(stored[name])
                    for name in ("starts", "points", "q", "steps")
                }
                return cls(tolerances=tuple(stored["tolerances"].tolist()), **arrays)
        except FileNotFoundError:
            raise DynamicsError(f"{path}: no such file") from None
        except Exception as error:  # a damaged archive fails anywhere
            reason = " ".join(str(error).split())
            raise DynamicsError(f"{path}: not saved fixed points ({reason})") from None


def find(
    step: Step,
    starts: Tensor,
    input: Tensor | None = None,
    *,
    tol_q: float | tuple[float, ...] = TOLERANCES,
    max_steps: int = 6000,
    lr: float = 0.01,
    milestones: tuple[float, ...] = (0.5, 0.75),
    decay: float = 0.1,
) -> FixedPoints:
    """Minimise q(h) = |h - F(h, input)|^2 / N by Adam from every start, all of them at once.

    Parameters
    ----------
    step
        States (B, N), inputs (B, E) -> next states (B, N).
    starts
        (K, N), e.g. visited states. The search runs in their precision and on their device;
        tolerances below 1e-9 want float64.
    input
        (E,), held constant (zeros in the papers); None for a step without an input.
    tol_q
        One tolerance, or several. A point stops at the tightest.
    max_steps, lr, milestones, decay
        The step size `lr` is multiplied by `decay` at each of `milestones`, shares of `max_steps`.

    Costs a forward and a backward pass of all points that have not stopped, at every step.
    Points that run away to infinity count as not found.
    """
    tolerances = tuple(sorted({tol_q} if isinstance(tol_q, float | int) else {*tol_q}))[::-1]
    if not tolerances or tolerances[-1] <= 0:
        raise DynamicsError(f"tol_q: expected positive tolerances, got {tol_q}")
    check_states("starts", starts)
    F = at_input(step, input)
    starts = starts.detach()
    with torch.no_grad():
        check_step(starts, F(starts))
    kept = _Kept(starts, tolerances)
    h, index = starts.clone(), torch.arange(len(starts), device=starts.device)
    m, v = torch.zeros_like(h), torch.zeros_like(h)
    for t in range(max_steps + 1):
        q, gradient = speed(F, h)
        stopped = kept.note(index, h, q, t)
        if stopped is not None:
            live = ~stopped
            index, h, m, v, gradient = (a[live] for a in (index, h, m, v, gradient))
        if t == max_steps or not len(index):
            break
        rate = lr * decay ** sum(t >= share * max_steps for share in milestones)
        m.mul_(BETAS[0]).add_(gradient, alpha=1 - BETAS[0])
        v.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        scale = (v / (1 - BETAS[1] ** (t + 1))).sqrt_().add_(EPSILON)
        h = h.addcdiv(m, scale, value=-rate / (1 - BETAS[0] ** (t + 1)))
    return FixedPoints(starts, tolerances, kept.points, kept.q, kept.steps)


def speed(F: Map, states: Tensor) -> tuple[Tensor, Tensor]:
    """q (B,) of `states` (B, N), and the gradient (B, N) of each q by its own state."""
    with torch.enable_grad():
        h = states.detach().requires_grad_()
        after = F(h)
        check_gradient(after)
        q = (h - after).square().mean(1)
        (gradient,) = torch.autograd.grad(q.sum(), h)
    return q.detach(), gradient


class _Kept:
    """Where each point was when its q first passed each tolerance."""

    def __init__(self, starts: Tensor, tolerances: tuple[float, ...]) -> None:
        shape = (len(tolerances), len(starts))
        self.tolerances = tolerances
        self.bounds = torch.tensor([*tolerances, -1.0], dtype=starts.dtype, device=starts.device)
        self.points = starts.new_full((*shape, starts.shape[1]), torch.nan)
        self.q = starts.new_full(shape, torch.nan)
        self.steps = torch.full(shape, -1, device=starts.device)
        self.level = torch.zeros(len(starts), dtype=torch.int64, device=starts.device)

    def note(self, index: Tensor, h: Tensor, q: Tensor, t: int) -> Tensor | None:
        """Keep what passed a tolerance; which points have stopped, None where nothing passed.

        `index` (B,) says which starts the states `h` (B, N) and speeds `q` (B,) belong to.
        """
        passed = q < self.bounds[self.level[index]]
        if not passed.any():
            return None
        while passed.any():  # one step may pass several tolerances
            rows, levels = index[passed], self.level[index[passed]]
            self.points[levels, rows] = h[passed]
            self.q[levels, rows] = q[passed]
            self.steps[levels, rows] = t
            self.level[rows] += 1
            passed = q < self.bounds[self.level[index]]
        return self.level[index] == len(self.tolerances)


def spread(states: Tensor) -> float:
    """Root mean square distance of `states` (B, N) from their mean."""
    return float((states - states.mean(0)).square().sum(1).mean().sqrt())


def distinct(points: Tensor, tol_unique: float) -> Tensor:
    """Indices (M,) of points (K, N) no two of which are within `tol_unique` of one another.

    Greedy in the order given: a point is dropped if it is near one that was kept before it.
    Distances are Euclidean; the study of line attractors takes `0.02 * spread(states)`.
    """
    close = torch.cdist(points, points) <= tol_unique
    kept: list[int] = []
    covered = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    for i in range(len(points)):
        if not covered[i]:
            kept.append(i)
            covered |= close[i]
    return torch.tensor(kept, dtype=torch.int64, device=points.device)


def near(points: Tensor, states: Tensor, outlier_distance_scale: float = 10.0) -> Tensor:
    """Which points (K,) lie no further out than visited `states` (B, N) make plausible.

    A distance outlier is further from the centre of the states than `outlier_distance_scale`
    times their own mean distance.
    """
    centre = states.mean(0)
    typical = torch.linalg.vector_norm(states - centre, dim=1).mean()
    return torch.linalg.vector_norm(points - centre, dim=1) <= outlier_distance_scale * typical
