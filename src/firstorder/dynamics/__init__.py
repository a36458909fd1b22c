"""Fixed points of recurrent networks, and the linear systems around them.

Everything takes a step function: states (B, N) and inputs (B, E) -> next states (B, N), each row
by itself. `find` its fixed points, `linearize` it there, `decompose` the Jacobians into modes.
Needs torch and numpy only.
"""

from __future__ import annotations

from firstorder.dynamics.accuracy import linear_run, nearest, one_step, relaxation
from firstorder.dynamics.fixed_points import FixedPoints, distinct, find, near, spread
from firstorder.dynamics.linearize import Linearization, linearize
from firstorder.dynamics.manifold import Principal, coordinate, principal
from firstorder.dynamics.modes import Modes, decompose, project_inputs, time_constants, top_real
from firstorder.dynamics.step import DynamicsError, Step

__all__ = [
    "DynamicsError",
    "FixedPoints",
    "Linearization",
    "Modes",
    "Principal",
    "Step",
    "coordinate",
    "decompose",
    "distinct",
    "find",
    "linear_run",
    "linearize",
    "near",
    "nearest",
    "one_step",
    "principal",
    "project_inputs",
    "relaxation",
    "spread",
    "time_constants",
    "top_real",
]
