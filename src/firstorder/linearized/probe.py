"""A few entries of a kernel against the definition: gradients of single examples by autograd."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from firstorder.errors import UserError
from firstorder.linearized.eager import no_fused_attention
from firstorder.linearized.tangent import Outputs, frozen, heads

TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-3}
"""Of entries, relative to the norms of the two gradients; a ReLU at zero may fall either way."""


class KernelError(UserError):
    """A kernel is not that of its network."""


def gradients_of(module: nn.Module, example: Tensor, outputs: Outputs) -> list[dict[str, Tensor]]:
    """The gradient of every output at one example (1, ...), by parameter name."""
    network = frozen(module).requires_grad_()
    names, parameters = zip(*network.named_parameters(), strict=True)
    with torch.enable_grad(), no_fused_attention():
        values = heads(network(example), outputs)[0]
    found = []
    for k in range(len(values)):
        gradients = torch.autograd.grad(
            values[k], parameters, allow_unused=True, retain_graph=k + 1 < len(values)
        )
        found.append({n: g for n, g in zip(names, gradients, strict=True) if g is not None})
    return found


def check(module: nn.Module, kernel: Tensor, x1: Tensor, x2: Tensor, outputs: Outputs) -> None:
    """Raise KernelError if entries of first, middle and last examples are not those of autograd.

    Costs up to six passes of single examples with K backward passes each. The kernel is (N, M),
    or (N, M, K, K) for outputs "full".
    """
    rows = sorted({0, len(x1) // 2, len(x1) - 1})
    columns = sorted({0, len(x2) - 1})
    known: dict[tuple[int, int], Tensor] = {}

    def gradient(x: Tensor, index: int) -> Tensor:
        key = (id(x), index)
        if key not in known:
            known[key] = _flat(module, x[index : index + 1], outputs)
        return known[key]

    tolerance = TOLERANCE.get(next(module.parameters()).dtype, 5e-2)
    tolerance = max(tolerance, TOLERANCE.get(kernel.dtype, 5e-2))
    for i in rows:
        for j in columns:
            a, b = gradient(x1, i), gradient(x2, j)
            exact = a @ b.T
            scale = a.norm(dim=1)[:, None] * b.norm(dim=1)
            if outputs != "full":
                exact, scale = exact.trace(), scale.trace()
            own = kernel[i, j].to(exact)
            if not bool(((own - exact).abs() <= tolerance * scale + 1e-300).all()):
                if not bool(exact.isfinite().all()):
                    return  # a network that is not finite has no kernel to compare
                raise KernelError(
                    f"the kernel of {type(module).__name__} differs from autograd at examples "
                    f"({i}, {j}) by {float((own - exact).abs().max()):.1e}: does one example of a "
                    "batch change the output of another, or is there randomness in evaluation "
                    'mode? method="jacobian" uses no knowledge of layers'
                )


def _flat(module: nn.Module, example: Tensor, outputs: Outputs) -> Tensor:
    """Gradients (K, P) in float64; P by name, zero where a parameter plays no part."""
    rows = []
    for gradients in gradients_of(module, example, outputs):
        parts = [
            gradients[name].flatten() if name in gradients else torch.zeros_like(value).flatten()
            for name, value in module.named_parameters()
        ]
        rows.append(torch.cat(parts))
    return torch.stack(rows).double()
