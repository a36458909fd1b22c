"""Stochastic gradient descent on a list of tensors.

Written out because constructing any optimiser of `torch.optim` imports torch's compiler, which
takes seconds in every process. Arithmetic and order are those of `torch.optim.SGD`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Tensors = list[Tensor] | tuple[Tensor, ...]


class SGD:
    """Momentum, Nesterov and weight decay; `momenta` (zero at first) is its whole state."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.parameters = list(parameters)
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.momenta = [torch.zeros_like(p) for p in self.parameters] if momentum else []

    @torch.no_grad()
    def step(self, gradients: Tensors, lr: float | Tensor) -> None:
        """m <- mu m + (g + wd p);  p <- p - lr m   (Nesterov: p <- p - lr (g + wd p + mu m)).

        A rate that is a scalar on the device is read when the step is made, also where the step
        was recorded before.
        """
        directions = gradients
        if self.weight_decay:
            directions = torch._foreach_add(directions, self.parameters, alpha=self.weight_decay)
        if self.momentum:
            torch._foreach_mul_(self.momenta, self.momentum)
            torch._foreach_add_(self.momenta, directions)
            if self.nesterov:
                directions = torch._foreach_add(directions, self.momenta, alpha=self.momentum)
            else:
                directions = self.momenta
        if isinstance(lr, Tensor):
            torch._foreach_sub_(self.parameters, torch._foreach_mul(directions, lr))
        else:
            torch._foreach_add_(self.parameters, directions, alpha=-lr)


def norm(gradients: Tensors) -> Tensor:
    """Euclidean norm of all gradients together, a scalar on their device."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


def clip(gradients: Tensors, total: Tensor, bound: float) -> Tensors:
    """Gradients of norm `total` scaled to a norm of at most `bound`, without waiting for it.

    As `torch.nn.utils.clip_grad_norm_`: times min(1, bound / (total + 1e-6)).
    """
    factor = torch.clamp(bound / (total + 1e-6), max=1.0)
    return torch._foreach_mul(gradients, factor)
