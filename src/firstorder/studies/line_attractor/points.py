"""What a network is at its fixed points: modes, input projections, overlaps, controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firstorder import dynamics, streams
from firstorder.dynamics import DynamicsError, FixedPoints, Linearization
from firstorder.studies.line_attractor import network as networks
from firstorder.studies.line_attractor.network import Network

CHUNK = 32
"""Points whose modes are held at once."""
FEWEST = 3
"""Points that have a direction."""
SAME = 0.02
"""Of the states' spread: points closer together are one."""
AT_MOST = 100
"""Points whose modes stand for those of a tolerance."""
NULL = 10_000
"""Random unit vectors of the null distribution."""


@dataclass(frozen=True)
class Read:
    """Linear systems at K points, and their slowest real modes; float64 but the systems."""

    linear: Linearization
    values: Tensor
    """All eigenvalues (K, S), slowest first."""
    right: Tensor
    """(K, S), unit length, right . readout > 0."""
    left: Tensor
    """(K, S), left . right = 1."""
    rank: Tensor
    """(K,): how many modes are slower than the slowest real one."""
    inverse_error: float
    """Largest entry of |L R - 1|."""


def read(network: Network, points: Tensor) -> Read | None:
    """The linear systems at `points` (K, S); points without a basis or a real mode are left out.

    None where fewer than FEWEST are left.
    """
    if len(points) < FEWEST:
        return None
    readout = network.parameters["readout"].double()
    linear = dynamics.linearize(
        lambda h, x: networks.step(network, h, x), points, networks.nothing(network)
    )
    parts, kept = [], []
    for rows in torch.arange(len(points)).split(CHUNK):
        found, good = _modes(linear.recurrent[rows].double(), readout)
        parts += found
        kept.append(rows[good])
    index = torch.cat(kept).to(points.device)
    if len(index) < FEWEST:
        return None
    linear = Linearization(
        linear.points[index], linear.recurrent[index], linear.inputs[index], linear.at
    )
    values, right, left, rank, errors = (torch.cat(part) for part in zip(*parts, strict=True))
    return Read(linear, values, right, left, rank, float(errors.max()))


def _modes(jacobians: Tensor, readout: Tensor) -> tuple[list[tuple[Tensor, ...]], Tensor]:
    """Modes of a chunk; where a point of it has no basis or no real mode, of each point alone."""
    try:
        return [_top(jacobians, readout)], torch.arange(len(jacobians))
    except DynamicsError:
        found, kept = [], []
        for i in range(len(jacobians)):
            try:
                found.append(_top(jacobians[i : i + 1], readout))
                kept.append(i)
            except DynamicsError:
                continue
        return found, torch.tensor(kept, dtype=torch.int64)


def _top(jacobians: Tensor, readout: Tensor) -> tuple[Tensor, ...]:
    modes = dynamics.decompose(jacobians, readout)
    top = dynamics.top_real(modes)
    one = torch.eye(jacobians.shape[1], dtype=modes.left.dtype, device=jacobians.device)
    errors = (modes.left @ modes.right - one).abs().flatten(1).max(1).values
    return modes.values, top.right, top.left, top.rank, errors


def at(fixed: FixedPoints, tolerance: float, states: Tensor) -> Tensor:
    """The points of a tolerance that are not far outside of the visited states."""
    points = fixed.at(tolerance).to(states)
    return points[dynamics.near(points, states)] if len(points) else points


def grid(network: Network, fixed: FixedPoints, states: Tensor) -> list[dict[str, Any]]:
    """What each tolerance shows: points found and distinct, span, first-PC share, tau1, tau2.

    `span`: range of the points' readouts over four standard deviations of the states'.
    """
    readout, spread = network.parameters["readout"], dynamics.spread(states)
    across = float(4 * (states @ readout).std())
    rows = []
    for tolerance in fixed.tolerances:
        points = at(fixed, tolerance, states)
        row: dict[str, Any] = dict.fromkeys(("span", "share", "tau1", "tau2"))
        row |= {
            "tolerance": tolerance,
            "found": int(fixed.found(tolerance).sum()),
            "outliers": int(fixed.found(tolerance).sum()) - len(points),
            "distinct": len(dynamics.distinct(points, SAME * spread)) if len(points) else 0,
        }
        if len(points) >= FEWEST:
            along = points @ readout
            row |= {
                "span": float(along.max() - along.min()) / across if across else None,
                "share": float(dynamics.principal(points).shares[0]),
            }
            few = read(network, points[:: -(-len(points) // AT_MOST)])
            if few is not None:
                tau = dynamics.time_constants(few.values)
                row |= {"tau1": finite(tau[:, 0].median()), "tau2": finite(tau[:, 1].median())}
        rows.append(row)
    return rows


def finite(value: Any) -> float | None:
    """A number for JSON: None where it is not finite."""
    number = float(value)
    return number if np.isfinite(number) else None


def pushes(found: Read, inputs: Tensor) -> Tensor:
    """l_1 . J_inp x (K, W) of `inputs` (W, E)."""
    return dynamics.project_inputs(found.left, found.linear.inputs.double(), inputs.double())


def overlaps(found: Read, direction: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """r_1 . m (K,), and the same (NULL,) of random unit vectors."""
    draws = torch.randn(
        NULL, len(direction), generator=streams.torch_stream(seed, "null"), dtype=torch.float64
    )
    draws = draws / draws.norm(dim=1, keepdim=True)
    m = direction.double()
    return found.right @ m, draws @ m.cpu()


def coordinates(points: Tensor, readout: Tensor) -> tuple[Tensor, Tensor, bool]:
    """theta (K,) by locally linear embedding and by projection, and whether the first exists.

    Where fewer than three points differ, the projection stands for both.
    """
    projected = dynamics.coordinate(points, readout, method="projection")
    try:
        return dynamics.coordinate(points, readout), projected, True
    except DynamicsError:
        return projected, projected, False


def marked(theta: Tensor) -> Tensor:
    """Positions (3,) of the points nearest to the 10th, 50th and 90th percentile of theta."""
    order = theta.argsort()
    return order[[round(share * (len(theta) - 1)) for share in (0.1, 0.5, 0.9)]]


def jacobian_error(network: Network, point: Tensor, width: float = 1e-5) -> float:
    """Largest difference of J_rec at `point` (S,) from central differences, in float64."""
    double, h = networks.doubled(network), point.double()
    zero = networks.nothing(double)

    def map(states: Tensor, inputs: Tensor) -> Tensor:
        return networks.step(double, states, inputs)

    exact = dynamics.linearize(map, h[None], zero).recurrent[0]
    offsets = width * torch.eye(len(h), dtype=h.dtype, device=h.device)
    rest = zero.expand(len(h), -1)
    with torch.no_grad():
        numeric = (map(h + offsets, rest) - map(h - offsets, rest)) / (2 * width)
    return float((exact - numeric.mT).abs().max())
