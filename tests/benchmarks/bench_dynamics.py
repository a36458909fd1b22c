"""Fixed points, their Jacobians and recurrent training against the usual ways of doing them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import torch
from timing import Line, Timing, alternate, compare
from torch import Tensor, nn

from firstorder import dynamics, memory, streams
from firstorder.models import recurrent

TOLERANCE = 1e-8
MAX_STEPS = 6000
SAMPLE = 5
"""How many points the loops are timed on; they are multiplied up to all."""


def problem(units: int, count: int) -> tuple[recurrent.Parameters, Tensor, Tensor]:
    """A GRU that integrates along a line, starts on its trajectories, and the input 0.

    A direction of the candidate's weights is set so that states along it hardly decay, as
    training on sums does; the rest is random.
    """
    generator = streams.torch_stream(1, "init")
    parameters = recurrent.initialise("gru", 200, 128, units, generator, gate_bias=1.0)
    direction = nn.functional.normalize(torch.randn(units, generator=generator), dim=0)
    U = parameters["U"] * 0.5
    U[2 * units :] += 2.2 * torch.outer(direction, direction)
    parameters["U"] = U
    tokens = torch.randint(0, 200, (20, count), generator=generator)
    return parameters, recurrent.states("gru", parameters, tokens)[-1], torch.zeros(128)


def found(step: dynamics.Step, starts: Tensor, zero: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ours: points, J_rec, J_inp."""
    fixed = dynamics.find(step, starts, zero, tol_q=TOLERANCE, max_steps=MAX_STEPS)
    linear = dynamics.linearize(step, fixed.at(TOLERANCE), zero)
    return linear.points, linear.recurrent, linear.inputs


def one_by_one(step: dynamics.Step, starts: Tensor, zero: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """FixedPointFinder's `sequential` method: one start after the other, torch's Adam."""
    points = torch.cat([minimised(step, start[None], zero) for start in starts])
    return points, *jacobians(step, points, zero)


def minimised(step: dynamics.Step, starts: Tensor, zero: Tensor) -> Tensor:
    """Adam on the mean of q over `starts` until all are below the tolerance."""
    h = starts.clone().requires_grad_()
    x = zero.expand(len(starts), -1)
    optimiser = torch.optim.Adam([h], lr=0.01)
    milestones = [MAX_STEPS // 2, 3 * MAX_STEPS // 4]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones, 0.1)
    for _ in range(MAX_STEPS):
        optimiser.zero_grad()
        q = (h - step(h, x)).square().mean(1)
        if q.max().item() < TOLERANCE:
            break
        q.mean().backward()
        optimiser.step()
        schedule.step()
    return h.detach()


def jacobians(step: dynamics.Step, points: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """J_rec and J_inp, one point at a time, each in a pass of its own."""
    jacobian = torch.autograd.functional.jacobian
    by_state, by_input = [], []
    for point in points:
        by_state.append(jacobian(lambda h: step(h[None], zero[None])[0], point))
        by_input.append(jacobian(lambda x, h=point: step(h[None], x[None])[0], zero))
    return torch.stack(by_state), torch.stack(by_input)


def fixed_points(units: int = 256, count: int = 500) -> Iterator[Line]:
    """Fixed points with Jacobians: all at once against one start after the other, and jointly."""
    memory.keep_freed()
    parameters, starts, zero = problem(units, count)
    step = recurrent.cell("gru").of(parameters)
    few = starts[:: count // SAMPLE][:SAMPLE]
    points, _, _ = found(step, starts, zero)
    together = minimised(step, few, zero)
    agree(found(step, few, zero), one_by_one(step, few, zero))
    times = alternate(
        {
            "ours": lambda: found(step, starts, zero),
            "loop": lambda: one_by_one(step, few, zero),
            "jointly": lambda: minimised(step, starts, zero),
            "jacobians": lambda: jacobians(step, together, zero),
            "ours alone": lambda: dynamics.linearize(step, points, zero),
        },
        3,
    )
    factor = count / len(few)
    loop, each = times["loop"].times(factor), times["jacobians"].times(factor)
    pairs = zip(times["jointly"].seconds, each.seconds, strict=True)
    peers = {
        "one start after the other": loop,
        "jointly, then one Jacobian at a time": Timing(tuple(a + b for a, b in pairs)),
    }
    note = f"loops over points timed on {len(few)}, times {factor:g}; {len(points)} found"
    item = f"fixed points, n={units}, K={count}"
    yield from compare(item, times["ours"], peers, dict.fromkeys(peers, note))
    item = f"Jacobians, n={units}, K={count}"
    yield from compare(item, times["ours alone"], {"one at a time": each}, {"one at a time": note})


def agree(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> None:
    """Raise AssertionError unless both found the same points and Jacobians."""
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, atol=2e-3, rtol=0)


def gru_training(
    units: int = 256, embedding: int = 128, batch: int = 64, length: int = 100
) -> Iterator[Line]:
    """Forward and backward pass of a GRU over whole sequences against torch.nn.GRU."""
    memory.keep_freed()
    generator = streams.torch_stream(1, "init")
    parameters = recurrent.initialise("gru", 10_000, embedding, units, generator)
    leaves = [value.requires_grad_() for value in parameters.values()]
    tokens = torch.randint(0, 10_000, (length, batch), generator=generator)
    peer = nn.GRU(embedding, units)
    table = nn.Embedding(10_000, embedding)
    head = nn.Linear(units, 1)
    theirs_leaves = [*peer.parameters(), *table.parameters(), *head.parameters()]

    def ours() -> None:
        state = recurrent.states("gru", parameters, tokens)[-1]
        torch.autograd.grad(recurrent.logits(parameters, state).square().sum(), leaves)

    def theirs() -> None:
        states, _ = peer(table(tokens))
        torch.autograd.grad(head(states[-1]).square().sum(), theirs_leaves)

    times = alternate({"ours": ours, "theirs": theirs})
    item = f"GRU pass, n={units}, T={length}, B={batch}"
    yield from compare(item, times["ours"], {"torch.nn.GRU (goal: at least 0.67)": times["theirs"]})


ITEMS: dict[str, Callable[[], Iterator[Line]]] = {
    "dynamics": fixed_points,
    "recurrent": gru_training,
    "recurrent-small": functools.partial(gru_training, 64, 32, 64, 40),
}
