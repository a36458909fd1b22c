"""Conjugate gradients for many right-hand sides at once, and products with a kernel.

The kernel is read where it lies, in its own precision; everything else is float64. One product
serves all columns, which is what makes T systems little dearer than one: the kernel is read once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from firstorder.linearized.gemm import full_precision, gram

Operator = Callable[[Tensor], Tensor]
"""A symmetric positive definite operator on columns: (N, T) -> (N, T)."""

TINY = 1e-300
"""Keeps the coefficients of a column finite whose residual is exactly zero."""


def times(kernel: Tensor, columns: Tensor) -> Tensor:
    """K v (M, T) in float64 for `kernel` (M, N) of any precision and `columns` (N, T)."""
    moved = columns.to(kernel.dtype)
    with full_precision():
        # A view (the training part of a larger kernel) would be copied by `gram` at every call.
        product = gram(kernel, moved.T) if kernel.is_contiguous() else kernel @ moved
    return product.double()


def conjugate_gradients(
    operator: Operator,
    right: Tensor,
    enough: Callable[[Tensor], Tensor],
    most: int,
    precondition: Operator | None = None,
) -> tuple[Tensor, int]:
    """Solve A x = b for the columns of `right` (N, T); the solution and the products made.

    Stops when `enough`, of the residuals b - A x (N, T), is true in every column (T,), or after
    `most` products. A truncated solution from zero is a direction of descent of x' A x / 2 - b' x.
    A column is left as it is once A, rounded, is not positive along its direction.
    """
    x, residual = torch.zeros_like(right), right.clone()
    preconditioned = precondition(residual) if precondition else residual
    direction, size = preconditioned.clone(), (residual * preconditioned).sum(0)
    made, moving = 0, torch.ones_like(size, dtype=torch.bool)
    while made < most and not bool((enough(residual) | ~moving).all()):
        image = operator(direction)
        made += 1
        curvature = (direction * image).sum(0)
        moving &= curvature > 0
        step = torch.where(moving, size / curvature.clamp(min=TINY), 0)
        x += step * direction
        residual -= step * image
        preconditioned = precondition(residual) if precondition else residual
        before, size = size, (residual * preconditioned).sum(0)
        onward = preconditioned + size / before.clamp(min=TINY) * direction
        direction = torch.where(moving, onward, 0)
    return x, made
