"""A few entries of a kernel against the definition: gradients of single examples by autograd."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from firstorder.errors import UserError
from firstorder.linearized.eager import no_fused_attention
from firstorder.linearized.tangent import Outputs, frozen, heads, parameters_of

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

    The kernel is (N, M), or (N, M, K, K) for outputs "full". Costs up to six passes of single
    examples with K backward passes each.
    """
    rows, columns = {0, len(x1) // 2, len(x1) - 1}, {0, len(x2) - 1}
    _compare(module, {(i, j): kernel[i, j] for i in rows for j in columns}, x1, x2, outputs)


def check_diagonal(module: nn.Module, diagonal: Tensor, x: Tensor, outputs: Outputs) -> None:
    """The same for the entries (N,) or (N, K, K) of examples with themselves."""
    known = {(i, i): diagonal[i] for i in (0, len(x) - 1)}
    _compare(module, known, x, x, outputs)


def _compare(
    module: nn.Module,
    entries: dict[tuple[int, int], Tensor],
    x1: Tensor,
    x2: Tensor,
    outputs: Outputs,
) -> None:
    known: dict[tuple[int, int], Tensor] = {}

    def gradient(x: Tensor, index: int) -> Tensor:
        key = (id(x), index)
        if key not in known:
            known[key] = _flat(module, x[index : index + 1], outputs)
        return known[key]

    own_precision = TOLERANCE.get(next(module.parameters()).dtype, 5e-2)
    for (i, j), entry in entries.items():
        a, b = gradient(x1, i), gradient(x2, j)
        exact = a @ b.T
        scale = a.norm(dim=1)[:, None] * b.norm(dim=1)
        if outputs != "full":
            exact, scale = exact.trace(), scale.trace()
        if not bool(exact.isfinite().all()):
            return  # a network that is not finite has no kernel to compare with
        apart = (entry.to(exact) - exact).abs()
        tolerance = max(own_precision, TOLERANCE.get(entry.dtype, 5e-2))
        if not bool((apart <= tolerance * scale).all()):
            raise KernelError(
                f"the kernel of {type(module).__name__} differs from autograd at examples "
                f"({i}, {j}) by {float(apart.max()):.1e}: does one example of a batch change the "
                "output of another, or is there randomness in evaluation mode? "
                'method="jacobian" uses no knowledge of layers'
            )


def _flat(module: nn.Module, example: Tensor, outputs: Outputs) -> Tensor:
    """Gradients (K, P) in float64; P by name, zero where a parameter plays no part."""
    rows = []
    for gradients in gradients_of(module, example, outputs):
        parts = [
            gradients[name].flatten() if name in gradients else torch.zeros_like(value).flatten()
            for name, value in parameters_of(module).items()
        ]
        rows.append(torch.cat(parts))
    return torch.stack(rows).double()
