"""Jacobians, modes, manifolds and linear predictions against closed forms and differences."""

from __future__ import annotations

import math
from importlib import import_module

import pytest
import systems
import torch
from torch import Tensor

from firstorder import dynamics
from firstorder.dynamics import DynamicsError
from firstorder.dynamics.manifold import embed
from firstorder.dynamics.modes import input_memory
from firstorder.models import recurrent

CELLS = sorted(recurrent.CELLS)


def differences(step: dynamics.Step, h: Tensor, x: Tensor, by_input: bool) -> Tensor:
    """Central differences (B, N, N or E) of `step`."""
    e, columns = 1e-6, []
    for shift in e * torch.eye(x.shape[1] if by_input else h.shape[1], dtype=h.dtype):
        dh, dx = (0, shift) if by_input else (shift, 0)
        columns.append((step(h + dh, x + dx) - step(h - dh, x - dx)) / (2 * e))
    return torch.stack(columns, 2)


@pytest.mark.parametrize("name", CELLS)
def test_jacobians_of_every_cell_are_central_differences(name: str) -> None:
    parameters = systems.cell(name)
    step = recurrent.cell(name).of(parameters)
    h, x = 0.5 * systems.normal(9, len(parameters["start"])), systems.normal(5, seed=4)
    found = dynamics.linearize(step, h, x)
    inputs = x.expand(9, -1)
    assert (found.recurrent - differences(step, h, inputs, False)).abs().max() < 1e-8
    assert (found.inputs - differences(step, h, inputs, True)).abs().max() < 1e-8


@pytest.mark.parametrize("rows", [1, 30, 8192])
def test_jacobians_are_those_of_vmap_and_jacrev(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.func import jacrev, vmap

    module = import_module("firstorder.dynamics.linearize")
    monkeypatch.setattr(module, "ROWS", rows)  # 1, 3 and all of 14 units at once
    parameters = systems.cell("lstm")
    step = recurrent.cell("lstm").of(parameters)
    h, x = 0.5 * systems.normal(9, 14), systems.normal(5, seed=4)
    found = dynamics.linearize(step, h, x)
    one = jacrev(lambda h, x: step(h[None], x[None])[0], argnums=(0, 1))
    of_state, inputs = vmap(one, (0, None))(h, x)
    assert torch.allclose(found.recurrent, of_state, atol=1e-15)
    assert torch.allclose(found.inputs, inputs, atol=1e-15)


def test_a_step_that_torch_cannot_differentiate_is_refused() -> None:
    with pytest.raises(DynamicsError, match="cannot differentiate it by the state"):
        dynamics.linearize(lambda h: h.detach(), systems.normal(2, 3))


def test_a_step_may_write_in_place_and_ask_for_numbers() -> None:
    def step(h: Tensor) -> Tensor:
        doubled = 2 * h
        doubled[:, 0] *= float(len(h)) if doubled.sum().item() < 1e9 else 0.0
        return doubled

    found = dynamics.linearize(step, systems.normal(4, 3))
    assert torch.equal(found.recurrent[0], torch.diag(torch.tensor([8.0, 2.0, 2.0]).double()))


def test_a_step_without_an_input_has_no_input_jacobian() -> None:
    found = dynamics.linearize(systems.saddle, systems.normal(4, 3))
    assert torch.allclose(found.recurrent, torch.diag(systems.RATES).expand(4, 3, 3))
    assert found.inputs.shape == (4, 3, 0)


def test_left_and_right_vectors_are_inverse_and_rebuild_the_jacobian() -> None:
    J = systems.normal(6, 10, 10) / 3
    modes = dynamics.decompose(J)
    assert (modes.left @ modes.right - torch.eye(10)).abs().max() < 1e-10
    rebuilt = modes.right @ torch.diag_embed(modes.values) @ modes.left
    assert (rebuilt - J).abs().max() < 1e-10
    assert torch.allclose(modes.right.norm(dim=1), torch.ones(6, 10).double())
    assert (modes.values.abs().diff(dim=1) <= 1e-14).all()
    # The transpose would not do: these matrices are not normal.
    assert (modes.right.mT @ modes.right - torch.eye(10)).abs().max() > 0.1


def test_time_constants_of_a_linear_system_are_exact() -> None:
    taus = torch.tensor([400.0, 50.0, 7.0, 0.5], dtype=torch.float64)
    basis = systems.normal(4, 4)  # far from orthogonal
    J = basis @ torch.diag(torch.exp(-1 / taus)) @ torch.linalg.inv(basis)
    step = systems.linear(J, systems.normal(4, 2))
    found = dynamics.linearize(step, systems.normal(3, 4), torch.zeros(2).double())
    modes = dynamics.decompose(found.recurrent)
    assert torch.allclose(dynamics.time_constants(modes.values), taus.expand(3, 4), rtol=1e-9)
    assert modes.stable.all()
    edge = dynamics.time_constants(torch.tensor([1.0, -1.0, 0.0, math.e]).double())
    assert edge.tolist() == [math.inf, math.inf, 0.0, pytest.approx(1.0)]


def test_signs_follow_the_readout_and_the_left_vector_turns_along() -> None:
    J, readout = systems.normal(8, 6, 6), systems.normal(6, seed=1)
    modes = dynamics.decompose(J, readout)
    along = torch.einsum("kna,n->ka", modes.right, readout.to(modes.right))
    assert along.imag.abs().max() < 1e-12
    assert along.real.min() > 0
    assert (modes.left @ modes.right - torch.eye(6)).abs().max() < 1e-10
    flipped = dynamics.top_real(dynamics.decompose(J, -readout))
    top = dynamics.top_real(modes)
    assert torch.allclose(top.right, -flipped.right)
    assert torch.allclose(top.left, -flipped.left)


def test_where_a_complex_pair_is_slowest_the_top_real_mode_is_taken_and_noted() -> None:
    pair = 0.99 * torch.tensor([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])
    J = torch.block_diag(pair.double(), torch.tensor([[0.5]]).double())
    modes = dynamics.decompose(torch.stack([J, torch.diag(systems.RATES)]))
    top = dynamics.top_real(modes)
    assert top.rank.tolist() == [2, 0]
    assert top.values.tolist() == pytest.approx([0.5, 1.5])
    assert torch.allclose((top.left * top.right).sum(1), torch.ones(2).double())
    assert modes.stable.tolist() == [True, False]
    with pytest.raises(DynamicsError, match="point 0 has no real eigenvalue"):
        dynamics.top_real(dynamics.decompose(pair[None]))


def test_a_defective_jacobian_is_refused_in_one_line() -> None:
    J = torch.eye(3).double()
    with pytest.raises(DynamicsError, match="number 1 has no basis of eigenvectors"):
        dynamics.decompose(torch.stack([J, 0 * J + torch.diag(torch.ones(2), 1)]))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("value", [0.5, 0.9])
def test_a_jordan_block_is_refused_also_where_rounding_parts_its_vectors(
    size: int, value: float
) -> None:
    block = value * torch.eye(size).double() + torch.diag(torch.ones(size - 1).double(), 1)
    with pytest.raises(DynamicsError, match="number 0 has no basis of eigenvectors"):
        dynamics.decompose(block[None])


def test_a_jacobian_far_from_normal_has_modes() -> None:
    J = torch.tensor([[0.5, 1e4], [0.0, 0.4]]).double()
    modes = dynamics.decompose(J[None])
    assert modes.left.abs().max() > 1e4
    assert torch.allclose(modes.right @ torch.diag_embed(modes.values) @ modes.left, J + 0j)


def test_modes_of_single_precision_are_those_of_double() -> None:
    """Random cells reach left vectors of 1,000: 1/sqrt(eps) of single precision is near that."""
    J = torch.tensor([[0.5, 1e4], [0.0, 0.4]])
    modes, double = dynamics.decompose(J[None]), dynamics.decompose(J.double()[None])
    for one, other in zip(vars(modes).values(), vars(double).values(), strict=True):
        assert one.dtype == torch.complex64
        assert torch.equal(one, other.to(one.dtype))


def test_a_complex_matrix_keeps_its_imaginary_part() -> None:
    J = torch.diag(torch.tensor([0.5 + 0.5j, 0.25]))
    assert torch.allclose(dynamics.decompose(J[None]).values, J.diagonal()[None])


def test_modes_and_input_effects_do_not_depend_on_the_basis() -> None:
    parameters = systems.cell("gru")
    step = recurrent.cell("gru").of(parameters)
    A = torch.linalg.qr(systems.normal(7, 7)).Q @ torch.diag(torch.linspace(0.5, 2, 7).double())
    h, x = 0.3 * systems.normal(4, 7), systems.normal(3, 5, seed=2)
    zero = torch.zeros(5).double()
    one = dynamics.linearize(step, h, zero)
    two = dynamics.linearize(systems.in_basis(step, A), h @ torch.linalg.inv(A).mT, zero)
    modes, others = dynamics.decompose(one.recurrent), dynamics.decompose(two.recurrent)
    assert torch.allclose(modes.values.abs(), others.values.abs())
    for word in x:
        memory = input_memory(modes, one.inputs, word, 5)
        assert torch.allclose(memory, input_memory(others, two.inputs, word, 5) @ A.mT)
        powers = [torch.linalg.matrix_power(one.recurrent, k) @ one.inputs @ word for k in range(6)]
        assert torch.allclose(memory, torch.stack(powers))


def test_an_input_projection_is_its_share_of_the_mode() -> None:
    J, B, x = systems.normal(2, 4, 4), systems.normal(2, 4, 3, seed=1), systems.normal(5, 3, seed=2)
    top = dynamics.top_real(dynamics.decompose(J + 5 * torch.eye(4)))
    found = dynamics.project_inputs(top.left, B, x)
    assert found.shape == (2, 5)
    assert found[1, 3] == pytest.approx(float(top.left[1] @ B[1] @ x[3]))


def arc(count: int = 60) -> Tensor:
    """Points along three quarters of a circle in ten dimensions, in random order."""
    angle = torch.linspace(0, 1.5 * math.pi, count, dtype=torch.float64)
    plane = torch.linalg.qr(systems.normal(10, 2)).Q
    return (torch.stack([angle.cos(), angle.sin()], 1) @ plane.mT)[
        torch.randperm(count, generator=systems.generator())
    ]


def test_theta_orders_points_along_a_bent_line_which_a_projection_does_not() -> None:
    points = arc()
    order = torch.randperm(60, generator=systems.generator()).argsort()
    theta = dynamics.coordinate(points)[order]
    steps = theta.diff()
    assert (steps > 0).all() or (steps < 0).all()
    assert (theta.min(), theta.max()) == (-1, 1)
    straight = dynamics.coordinate(points, method="projection")[order].diff()
    assert not ((straight > 0).all() or (straight < 0).all())


def test_theta_of_a_straight_line_is_the_projection_and_grows_along_the_readout() -> None:
    readout = systems.normal(6)
    along = torch.rand(50, generator=systems.generator(), dtype=torch.float64)
    points = torch.outer(along, readout) + 1e-6 * systems.normal(50, 6, seed=1)
    for sign in (1, -1):
        theta = dynamics.coordinate(points, sign * readout)
        projection = dynamics.coordinate(points, sign * readout, method="projection")
        assert torch.corrcoef(torch.stack([theta, projection]))[0, 1] > 0.99
        assert torch.corrcoef(torch.stack([theta, sign * along]))[0, 1] > 0.99


def test_clusters_and_repeated_points_still_have_a_coordinate() -> None:
    line = torch.cat([torch.linspace(0, 1, 30), torch.linspace(5, 6, 30), torch.ones(5)]).double()
    theta = embed(torch.stack([line, 0 * line], 1), neighbours=4)
    assert theta.isfinite().all()
    assert theta[60:].std() < 1e-12
    assert (theta[:30].mean() - theta[30:60].mean()).abs() > theta[:30].std()


def test_theta_is_not_misled_by_crowds_of_points() -> None:
    centres, sizes = arc(20), torch.randint(1, 30, (20,), generator=systems.generator(1))
    points = centres.repeat_interleave(sizes, 0)
    points = points + 1e-4 * systems.normal(*points.shape, seed=2)
    theta = dynamics.coordinate(points, neighbours=4).split(sizes.tolist())
    assert max(float(crowd.max() - crowd.min()) for crowd in theta) < 1e-12
    order = torch.randperm(20, generator=systems.generator()).argsort()
    steps = torch.stack([crowd[0] for crowd in theta])[order].diff()
    assert (steps > 0).all() or (steps < 0).all()


@pytest.mark.parametrize("sizes", [(15, 1, 15), (15, 3, 15), (12, 5, 12)])
def test_theta_orders_two_crowds_and_the_saddle_between(sizes: tuple[int, int, int]) -> None:
    # Every neighbour of a crowd's points is in the crowd; only the saddle's are in both.
    centres = torch.tensor([-1.0, 0.0, 1.0]).double()
    parts = [
        centre + 0.15 * torch.linspace(-1, 1, size, dtype=torch.float64)
        for centre, size in zip(centres, sizes, strict=True)
    ]
    along = torch.cat(parts) + 0.001 * systems.normal(sum(sizes))
    bent = torch.stack([along, 0.1 * along**2], 1) @ torch.linalg.qr(systems.normal(64, 2)).Q.mT
    steps = dynamics.coordinate(bent)[along.argsort()].diff()
    assert (steps > 1e-3).all() or (steps < -1e-3).all()  # and a crowd is not one point


def test_two_points_have_no_manifold() -> None:
    with pytest.raises(DynamicsError, match="2 different points do not make a manifold"):
        dynamics.coordinate(systems.normal(2, 5).repeat(4, 1))


def test_principal_axes_are_those_of_the_covariance() -> None:
    scales = torch.tensor([3.0, 1.0, 0.2]).double()
    for count in (400, 3):
        states = systems.normal(count, 3) * scales
        found = dynamics.principal(states, torch.tensor([-1.0, 0, 0]).double())
        assert found.direction[0] < 0
        covariance = torch.cov(states.mT, correction=0)
        rebuilt = found.axes.mT @ torch.diag(found.variances) @ found.axes
        assert torch.allclose(rebuilt, covariance, atol=1e-10)
        assert found.shares.sum() == pytest.approx(1)
        centred = found.project(states, 3)
        assert torch.allclose(centred.var(0, correction=0), found.variances, atol=1e-10)
    equal = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    assert dynamics.principal(equal).participation == pytest.approx(3)


def test_a_linear_system_is_predicted_exactly_about_any_fixed_point() -> None:
    J = 0.3 * systems.normal(4, 4)
    step, x0 = systems.linear(J, systems.normal(4, 2, seed=1)), torch.zeros(2).double()
    points = torch.zeros(1, 4).double()
    linear = dynamics.linearize(step, points, x0)
    states, inputs = systems.normal(50, 4, seed=2), systems.normal(50, 2, seed=3)
    errors, true, predicted = dynamics.one_step(step, linear, states, inputs)
    assert errors.max() < 1e-12
    assert torch.allclose(true, predicted)
    run, h = systems.normal(6, 50, 2, seed=4), states
    for t, state in enumerate(dynamics.linear_run(linear, states, run)):
        h = step(h, run[t])
        assert torch.allclose(state, h)
    assert torch.allclose(
        dynamics.linear_run(linear, states, run, at=0), dynamics.linear_run(linear, states, run)
    )


def test_predictions_use_the_nearest_point() -> None:
    parameters = systems.cell("gru")
    step, x0 = recurrent.cell("gru").of(parameters), torch.zeros(5).double()
    points = systems.normal(5, 7)
    linear = dynamics.linearize(step, points, x0)
    states, inputs = (
        points.repeat(3, 1) + 0.01 * systems.normal(15, 7, seed=1),
        systems.normal(15, 5),
    )
    which = dynamics.nearest(points, states)
    assert which.tolist() == [0, 1, 2, 3, 4] * 3
    _, _, predicted = dynamics.one_step(step, linear, states, inputs)
    for i, k in enumerate(which):
        expected = points[k] + linear.recurrent[k] @ (states[i] - points[k])
        assert torch.allclose(predicted[i], expected + linear.inputs[k] @ inputs[i])


def test_states_on_the_ring_do_not_move_and_others_relax_to_it() -> None:
    states = systems.normal(20, 3)
    moved = dynamics.relaxation(systems.ring, states, steps=60)
    assert moved.shape == (60, 20)
    assert moved[0].max() > 0.1
    assert moved[-1].max() < 1e-8
