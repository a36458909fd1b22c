"""Closed-form learning rates equal torch's schedulers, for any length and setting."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD, Optimizer, lr_scheduler

from firstorder.config import Recipe
from firstorder.training.schedule import DIVISOR, PEAK, learning_rate

lengths = st.integers(min_value=1, max_value=40)
rates = st.floats(min_value=1e-4, max_value=1.0)


def recipe(epochs: int, lr: float, **changes: object) -> Recipe:
    return Recipe.model_validate({"model": "mlp", "epochs": epochs, "lr": lr} | changes)


def reference(
    lr: float, total: int, build: Callable[[Optimizer], lr_scheduler.LRScheduler]
) -> list[float]:
    """The rates of `total` periods under a scheduler that is stepped after each."""
    optimiser = SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = build(optimiser)
    seen = []
    for _ in range(total):
        seen.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return seen


def ours(recipe: Recipe) -> list[float]:
    return [learning_rate(recipe, epoch, 0, 1) for epoch in range(1, recipe.epochs + 1)]


@given(lengths, rates)
@settings(max_examples=25, deadline=None)
def test_cosine_is_cosine_annealing_to_zero(epochs: int, lr: float) -> None:
    expected = reference(lr, epochs, lambda o: lr_scheduler.CosineAnnealingLR(o, epochs))
    assert ours(recipe(epochs, lr)) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@given(lengths, rates)
@settings(max_examples=25, deadline=None)
def test_linear_is_linear_decay_to_zero(epochs: int, lr: float) -> None:
    expected = reference(lr, epochs, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, epochs))
    assert ours(recipe(epochs, lr, schedule="linear")) == pytest.approx(expected, rel=1e-9)


@given(
    lengths,
    rates,
    st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True),
    st.floats(0.05, 0.9),
)
@settings(max_examples=25, deadline=None)
def test_step_is_multi_step(epochs: int, lr: float, milestones: list[int], gamma: float) -> None:
    expected = reference(lr, epochs, lambda o: lr_scheduler.MultiStepLR(o, milestones, gamma))
    stepped = recipe(epochs, lr, schedule="step", milestones=milestones, gamma=gamma)
    assert ours(stepped) == pytest.approx(expected, rel=1e-9)


@given(lengths, rates, st.floats(0.5, 1.0))
@settings(max_examples=25, deadline=None)
def test_exponential_is_exponential(epochs: int, lr: float, gamma: float) -> None:
    expected = reference(lr, epochs, lambda o: lr_scheduler.ExponentialLR(o, gamma))
    assert ours(recipe(epochs, lr, schedule="exponential", gamma=gamma)) == pytest.approx(
        expected, rel=1e-9
    )


@given(st.integers(min_value=5, max_value=60), rates)
@settings(max_examples=25, deadline=None)
def test_one_cycle_is_one_cycle(epochs: int, lr: float) -> None:
    optimiser = SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = lr_scheduler.OneCycleLR(
        optimiser,
        lr,
        total_steps=epochs,
        pct_start=PEAK,
        div_factor=DIVISOR,
        final_div_factor=1.0,
        cycle_momentum=False,
    )
    expected = [optimiser.param_groups[0]["lr"]]
    for _ in range(epochs - 1):
        optimiser.step()
        scheduler.step()
        expected.append(optimiser.param_groups[0]["lr"])
    cycle = recipe(epochs, lr, schedule="one-cycle")
    assert ours(cycle) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@given(st.integers(1, 6), st.integers(1, 9), rates)
@settings(max_examples=25, deadline=None)
def test_counted_in_steps_a_schedule_runs_over_all_steps(
    epochs: int, steps: int, lr: float
) -> None:
    by_step = recipe(epochs, lr, schedule="linear", schedule_unit="step")
    whole = recipe(epochs * steps, lr, schedule="linear")
    seen = [learning_rate(by_step, e, s, steps) for e in range(1, epochs + 1) for s in range(steps)]
    assert seen == ours(whole)
    by_epoch = recipe(epochs, lr, schedule="linear")
    assert learning_rate(by_epoch, epochs, steps - 1, steps) == ours(by_epoch)[-1]
