"""The step function that everything here takes, and what is checked of it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from firstorder.errors import UserError

Step = Callable[..., Tensor]
"""States (B, N) and inputs (B, E) -> next states (B, N), each row by itself.

A system without an input takes the states alone.
"""

Map = Callable[[Tensor], Tensor]
"""States (B, N) -> next states (B, N) at a fixed input."""


class DynamicsError(UserError, ValueError):
    """A step function, or what it is given, is not what the analysis needs."""


def at_input(step: Step, input: Tensor | None) -> Map:
    """F(., x) at the constant `input` (E,); None for a step without an input."""
    if input is None:
        return step
    if input.ndim != 1:
        raise DynamicsError(f"input: expected one vector (E,), got {tuple(input.shape)}")
    return lambda states: step(states, input.expand(states.shape[0], -1))


def check_states(name: str, states: Tensor) -> None:
    """Raise DynamicsError unless `states` is a finite floating-point array (B, N), B > 0."""
    if states.ndim != 2 or 0 in states.shape or not states.is_floating_point():
        raise DynamicsError(
            f"{name}: expected floating-point states (B, N), got {tuple(states.shape)} "
            f"{str(states.dtype).removeprefix('torch.')}"
        )
    bad = ~states.isfinite().all(1)
    if bad.any():
        raise DynamicsError(
            f"{name}: state {int(bad.nonzero()[0])} is not finite ({int(bad.sum())} of "
            f"{len(states)}); leave such states out"
        )


def check_step(states: Tensor, after: Tensor) -> None:
    """Raise DynamicsError unless `after`, one step from `states`, is of their kind and finite."""
    if not isinstance(after, Tensor):
        kind = type(after).__name__
        raise DynamicsError(f"step: expected one tensor of states, got {kind}; return the state")
    if after.shape != states.shape:
        raise DynamicsError(
            f"step: states {tuple(states.shape)} became {tuple(after.shape)}; "
            "it must return states of the shape it is given"
        )
    if after.dtype != states.dtype:
        mend = "give parameters and states the same precision"
        raise DynamicsError(f"step: {states.dtype} became {after.dtype}; {mend}")
    bad = ~after.isfinite().all(1)
    if bad.any():
        raise DynamicsError(
            f"step: state {int(bad.nonzero()[0])} is not finite after one step "
            f"({int(bad.sum())} of {len(after)})"
        )


def check_gradient(after: Tensor) -> None:
    """Raise DynamicsError unless torch can differentiate `after` by the states."""
    if not after.requires_grad:
        raise DynamicsError(
            "step: torch cannot differentiate it by the state; leave out detach, no_grad and numpy"
        )
