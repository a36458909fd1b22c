"""Fixed points of systems that are known, and what `find` promises of every point."""

from __future__ import annotations

from pathlib import Path

import pytest
import systems
import torch
from torch import Tensor

from firstorder.dynamics import DynamicsError, FixedPoints, distinct, find, near, spread
from firstorder.dynamics.fixed_points import speed

STEPS = 3000


def test_a_hopfield_network_has_its_pattern_the_opposite_one_and_the_middle() -> None:
    starts = systems.normal(40, 12)
    points = find(systems.hopfield, starts, tol_q=1e-18, max_steps=STEPS).at(1e-18)
    found = points[distinct(points, 1e-4)]
    expected = systems.HOPFIELD * torch.stack([systems.pattern(), -systems.pattern()])
    distances = torch.cdist(found, torch.cat([expected, torch.zeros(1, 12).double()]))
    assert distances.min(0).values[:2].max() < 1e-6  # both are found
    assert distances.min(1).values.max() < 1e-6  # and nothing else


def test_points_on_a_ring_stay_where_they_reach_it() -> None:
    angles = torch.linspace(0, 6, 30, dtype=torch.float64)
    starts = torch.stack([angles.cos(), angles.sin(), 0 * angles + 0.5], 1) * 1.2
    points = find(systems.ring, starts, tol_q=1e-16, max_steps=STEPS).at(1e-16)
    assert len(points) == 30
    assert (points[:, :2].norm(dim=1) - 1).abs().max() < 1e-6
    assert points[:, 2].abs().max() < 1e-6
    assert len(distinct(points, 0.05)) > 20  # the ring is not collapsed to a few points


def test_a_saddle_is_found_although_it_repels() -> None:
    starts = systems.CENTRE + systems.normal(10, 3)
    points = find(systems.saddle, starts, tol_q=1e-18, max_steps=STEPS).at(1e-18)
    assert len(points) == 10
    assert (points - systems.CENTRE).abs().max() < 1e-6


def test_a_limit_cycle_has_no_fixed_point_on_it() -> None:
    starts = torch.nn.functional.normalize(systems.normal(20, 2), dim=1)
    points = find(systems.limit_cycle, starts, tol_q=1e-14, max_steps=STEPS).at(1e-14)
    assert len(points)
    assert points.norm(dim=1).max() < 1e-5  # only the spiral in its middle


def test_a_system_that_drifts_has_none() -> None:
    fixed = find(systems.drifting, systems.normal(10, 3), tol_q=1e-6, max_steps=300)
    assert not fixed.found(1e-6).any()
    assert fixed.at(1e-6).shape == (0, 3)


def test_a_point_does_not_feel_the_others() -> None:
    starts = systems.normal(12, 12)
    together = find(systems.hopfield, starts, tol_q=(1e-4, 1e-12), max_steps=STEPS)
    for i in (0, 5, 11):
        alone = find(systems.hopfield, starts[i : i + 1], tol_q=(1e-4, 1e-12), max_steps=STEPS)
        assert torch.equal(alone.steps[:, 0], together.steps[:, i])
        assert (alone.points[:, 0] - together.points[:, i]).abs().nan_to_num().max() < 1e-12


def test_snapshots_are_the_first_states_below_each_tolerance() -> None:
    tolerances = (1e-8, 1e-4, 1e-6)  # in any order
    fixed = find(systems.hopfield, systems.normal(20, 12), tol_q=tolerances, max_steps=STEPS)
    assert fixed.tolerances == (1e-4, 1e-6, 1e-8)
    reached = fixed.found(1e-8)
    assert reached.sum() > 10
    assert (fixed.steps[:, reached].diff(dim=0) > 0).any(1).all()
    assert (fixed.steps[:, reached].diff(dim=0) >= 0).all()
    for level, tolerance in enumerate(fixed.tolerances):
        found = fixed.found(tolerance)
        q, _ = speed(systems.hopfield, fixed.points[level, found])
        assert torch.allclose(q, fixed.q[level, found], rtol=1e-9, atol=0)
        assert fixed.points[level, ~found].isnan().all()
        assert (q < tolerance).all()
        last = int(fixed.steps[level].max()) - 1  # one step too few for the slowest
        one_less = find(
            systems.hopfield,
            fixed.starts,
            tol_q=tolerance,
            max_steps=last,
            milestones=(0.5 * STEPS / last, 0.75 * STEPS / last),
        )
        assert torch.equal(one_less.found(tolerance), found & (fixed.steps[level] < last + 1))


def test_a_start_at_rest_is_kept_at_every_tolerance_at_once() -> None:
    starts = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [1.5, 0.0, 0.0]]).double()
    fixed = find(systems.ring, starts, tol_q=(1e-4, 1e-8, 1e-12), max_steps=STEPS)
    assert (fixed.steps[:, :2] == 0).all()
    assert torch.equal(fixed.points[:, :2], starts[:2].expand(3, 2, 3))
    assert (fixed.steps[:, 2] > 0).all()


def test_an_approximate_line_keeps_its_length_at_loose_tolerance_only() -> None:
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)
    starts = torch.stack([x, 0 * x + 0.2], 1)
    fixed = find(systems.slow_line, starts, tol_q=(1e-3, 1e-16), max_steps=6000)
    loose, tight = fixed.at(1e-3), fixed.at(1e-16)
    assert len(loose) == len(tight) == 41
    assert len(distinct(loose, 0.01)) > 35
    kept = tight[distinct(tight, 0.01), 0].sort().values
    assert torch.allclose(kept, torch.tensor([-1.0, 0.0, 1.0]).double(), atol=1e-5)


def test_the_gradient_is_that_of_q() -> None:
    h, e = systems.normal(3, 12), 1e-6
    _, gradient = speed(systems.hopfield, h)
    for unit in range(12):
        shift = e * torch.eye(12, dtype=torch.float64)[unit]
        up, down = (speed(systems.hopfield, h + s * shift)[0] for s in (1, -1))
        assert torch.allclose((up - down) / (2 * e), gradient[:, unit], atol=1e-8)


def test_a_constant_input_moves_the_fixed_point() -> None:
    step = systems.linear(0.5 * torch.eye(2).double(), torch.eye(2).double())
    x = torch.tensor([0.2, -0.4], dtype=torch.float64)
    points = find(step, systems.normal(5, 2), x, tol_q=1e-18, max_steps=STEPS).at(1e-18)
    assert torch.allclose(points, (2 * x).expand(5, 2), atol=1e-6)


def test_distinct_points_are_the_first_of_each_cluster() -> None:
    points = torch.tensor([[0.0], [0.05], [1.0], [0.9], [0.1]]).double()
    assert distinct(points, 0.11).tolist() == [0, 2]
    assert distinct(points, 0.0).tolist() == [0, 1, 2, 3, 4]


def test_distance_outliers_are_far_from_the_visited_states() -> None:
    states = systems.normal(200, 3)
    points = torch.stack([states[0], 100 * torch.ones(3).double()])
    assert near(points, states).tolist() == [True, False]
    assert near(points, states, outlier_distance_scale=1000).all()
    assert spread(states) == pytest.approx(3**0.5, rel=0.1)


def test_saved_fixed_points_come_back_as_they_were(tmp_path: Path) -> None:
    fixed = find(systems.hopfield, systems.normal(6, 12), tol_q=(1e-4, 1e-30), max_steps=200)
    fixed.save(tmp_path / "points.npz")
    again = FixedPoints.load(tmp_path / "points.npz")
    assert again.tolerances == fixed.tolerances
    for name in ("starts", "points", "q", "steps"):
        one, two = getattr(again, name), getattr(fixed, name)
        assert one.dtype == two.dtype
        assert torch.equal(one.nan_to_num(-9), two.nan_to_num(-9))


def not_finite(states: Tensor) -> Tensor:
    return states / 0.0


@pytest.mark.parametrize(
    ("step", "starts", "message"),
    [
        (systems.hopfield, torch.full((3, 4), torch.nan).double(), "starts: state 0 is not finite"),
        (systems.hopfield, torch.zeros(4).double(), r"expected floating-point states \(B, N\)"),
        (systems.hopfield, torch.zeros(2, 4).long(), "int64"),
        (lambda h: h[:, :2], torch.zeros(3, 4).double(), r"\(3, 4\) became \(3, 2\)"),
        (lambda h: h.float(), torch.zeros(3, 4).double(), "float64 became torch.float32"),
        (lambda h: (h, h), torch.zeros(3, 4).double(), "got tuple"),
        (lambda h: h.detach(), torch.zeros(3, 4).double(), "cannot differentiate"),
        (not_finite, torch.ones(3, 4).double(), "not finite after one step"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(
    step: object, starts: Tensor, message: str
) -> None:
    with pytest.raises(DynamicsError, match=message) as error:
        find(step, starts)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_files_and_tolerances_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DynamicsError, match=r"none\.npz: no such file"):
        FixedPoints.load(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK bad")
    with pytest.raises(DynamicsError, match=r"bad\.npz: not saved fixed points"):
        FixedPoints.load(tmp_path / "bad.npz")
    fixed = find(systems.saddle, systems.normal(2, 3), tol_q=1e-3, max_steps=5)
    with pytest.raises(DynamicsError, match=r"tol_q: 1e-09 was not kept; kept are 0\.001"):
        fixed.at(1e-9)
