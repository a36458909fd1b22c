"""Adam on a list of tensors.

Written out for the reason that `sgd` gives. Arithmetic and order are those of `torch.optim.Adam`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from firstorder.training.sgd import Tensors

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Kingma and Ba's; `first`, `second` (moments, zero at first) and `made` are its state."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.made = 0
        """Steps made."""

    @torch.no_grad()
    def step(self, gradients: Tensors, lr: float) -> None:
        """p <- p - lr m' / (sqrt(v') + eps), with m' and v' corrected for their start at zero."""
        self.made += 1
        torch._foreach_lerp_(self.first, gradients, 1 - BETAS[0])
        torch._foreach_mul_(self.second, BETAS[1])
        torch._foreach_addcmul_(self.second, gradients, gradients, 1 - BETAS[1])
        scale = torch._foreach_sqrt(self.second)
        torch._foreach_div_(scale, (1 - BETAS[1] ** self.made) ** 0.5)
        torch._foreach_add_(scale, EPSILON)
        torch._foreach_addcdiv_(
            self.parameters, self.first, scale, -lr / (1 - BETAS[0] ** self.made)
        )
