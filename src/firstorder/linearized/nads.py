"""Neural anisotropy directions: the input directions that a network's kernel prefers.

For the linear target g_v(x) = <v, x> on x ~ N(0, sigma^2 I), Stein's identity gives the alignment
alpha(g_v) = sigma^4 |M v|^2 with M = E_x[d^2 f / d theta d x] (P x d): the directions in order of
preference are the right singular vectors of M.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vmap

from firstorder.linearized.gemm import full_precision
from firstorder.linearized.spectrum import fix_signs
from firstorder.linearized.tangent import frozen, function, parameters_of, scalar

Amplitude = Literal["half", "full"]


@dataclass(frozen=True)
class Directions:
    """`values` (d,) descending and `vectors` (d, d), orthonormal rows, float64."""

    values: Tensor
    vectors: Tensor


def directions(
    module: nn.Module, x: Tensor, *, memory_gib: float = 4.0, chunk: int = 32, batch: int = 16
) -> Directions:
    """Singular values and right singular vectors of M, averaged over the inputs `x` (n, C, H, W).

    One zero input gives the derivative at the origin, where a ReLU network has none. M^T M is
    summed over slices of parameters that fit into `memory_gib`, from d Jacobian-vector products
    (of n examples each) a slice, and decomposed in float64.

    A mean over few inputs is biased: the error of |M v|^2 is positive and about the same for all
    v, so that it hides the order of the small directions.
    """
    columns = mixed_derivative(module, x, chunk, batch)
    inputs = x[0].numel()
    total = sum(value.numel() for value in parameters_of(module).values())
    width = max(1, int(memory_gib * 2**30) // (2 * inputs * x.element_size()))
    square = torch.zeros(inputs, inputs, dtype=torch.float64, device=x.device)
    with full_precision():
        for start in range(0, total, width):
            rows = torch.cat([part[:, start : start + width] for part in columns()])
            for part in rows.split(16_384, dim=1):
                exact = part.double()
                square += exact @ exact.T
    values, vectors = torch.linalg.eigh(square.cpu())
    values, vectors = values.flip(0).clamp(min=0).sqrt(), vectors.flip(1).T
    return Directions(values, fix_signs(vectors.contiguous()))


def mixed_derivative(
    module: nn.Module, x: Tensor, chunk: int = 32, batch: int = 16
) -> Callable[[], Iterable[Tensor]]:
    """A function that yields M^T (d, P), `chunk` input directions at a time.

    Column i of M is the derivative, along pixel i, of grad_theta mean_n f(x_n), summed over
    `batch` inputs at a time: `chunk` * `batch` of them take memory at once.
    """
    f, parameters = function(module), parameters_of(module)
    shape = x.shape[1:]

    def gradient(inputs: Tensor) -> Tensor:
        value = grad(lambda theta: f(theta, inputs).sum() / len(x))(parameters)
        return torch.cat([part.flatten() for part in value.values()])

    def column(inputs: Tensor, direction: Tensor) -> Tensor:
        tangent = direction.reshape(1, *shape).expand_as(inputs).contiguous()
        return jvp(gradient, (inputs,), (tangent,))[1]

    def columns() -> Iterable[Tensor]:
        count = shape.numel()
        for start in range(0, count, chunk):
            stop = min(start + chunk, count)
            unit = torch.zeros(stop - start, count, dtype=x.dtype, device=x.device)
            unit[:, start:stop].fill_diagonal_(1)
            parts = (vmap(column, (None, 0))(inputs, unit) for inputs in x.split(batch))
            yield reduce(Tensor.add_, parts)

    return columns


def gradient_directions(networks: Iterable[nn.Module], x: Tensor) -> Directions:
    """The definition of 2020: principal axes of grad_x f(x) over random networks.

    `x` (C, H, W) is one input. The second moment is taken about zero, the mean of networks whose
    last layer is symmetrically distributed. The values are the square roots of its eigenvalues.
    """
    inputs = x.numel()
    square = torch.zeros(inputs, inputs, dtype=torch.float64)
    count = 0
    for module in networks:
        image = x[None].clone().requires_grad_()
        (slope,) = torch.autograd.grad(scalar(frozen(module)(image)).sum(), image)
        row = slope.flatten().double().cpu()
        square += torch.outer(row, row)
        count += 1
    values, vectors = torch.linalg.eigh(square / max(count, 1))
    values, vectors = values.flip(0).clamp(min=0).sqrt(), vectors.flip(1).T
    return Directions(values, fix_signs(vectors.contiguous()))


def linear_task(
    direction: Tensor,
    shape: tuple[int, int, int],
    count: int,
    generator: torch.Generator,
    *,
    epsilon: float = 1.0,
    sigma: float = 1.0,
    amplitude: Amplitude = "half",
) -> tuple[Tensor, Tensor]:
    """D(v): images x = a y v + (I - v v^T) w with w ~ N(0, sigma^2 I), and labels (y + 1) / 2.

    y is -1 or 1 with equal chances. The amplitude a is epsilon / 2 (`half`, as in the released
    code) or epsilon (`full`, as the text is believed to say). There is no noise along the unit
    vector v, so the sign of <v, x> separates the classes with margin a. Returns float32
    (count, *shape) and int64 (count,).
    """
    v = direction.float()
    scale = epsilon / 2 if amplitude == "half" else epsilon
    labels = torch.randint(2, (count,), generator=generator)
    noise = sigma * torch.randn(count, len(v), generator=generator)
    noise -= torch.outer(noise @ v, v)
    images = noise + scale * torch.outer(2.0 * labels - 1.0, v)
    return images.reshape(count, *shape), labels
