"""First-order approximations of networks at their initialisation: tangents, kernels, tasks."""

DENSE = 12_000
"""Largest number of examples whose kernel is decomposed as a whole, and in float64."""
LEAVE_THE_SPAN = ("weight_decay", "clip", "augment")
"""Keys of a recipe that no linearization trained in function space can have: they take it out of
the span of its training Jacobian."""


def krylov_dimensions(k: int) -> int:
    """How far the Krylov space for k eigenvectors may grow."""
    return 4 * k + 500
