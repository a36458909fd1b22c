"""First-order approximations of networks at their initialisation: tangents, kernels, tasks."""

DENSE = 12_000
"""Largest number of examples whose kernel is decomposed as a whole, and in float64."""


def krylov_dimensions(k: int) -> int:
    """How far the Krylov space for k eigenvectors may grow."""
    return 4 * k + 500
