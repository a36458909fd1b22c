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
    """
    x, residual = torch.zeros_like(right), right.clone()
    preconditioned = precondition(residual) if precondition else residual
    direction, size = preconditioned.clone(), (residual * preconditioned).sum(0)
    made = 0
    while made < most and not bool(enough(residual).all()):
        image = operator(direction)
        made += 1
        step = size / (direction * image).sum(0).clamp(min=TINY)
        x += step * direction
        residual -= step * image
        preconditioned = precondition(residual) if precondition else residual
        before, size = size, (residual * preconditioned).sum(0)
        direction = preconditioned + size / before.clamp(min=TINY) * direction
    return x, made
