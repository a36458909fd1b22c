"""The networks of the benchmarks in JAX (channels last, as XLA prefers), and their kernels.

Importing this module raises ImportError where JAX is not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax  # type: ignore[import-not-found, unused-ignore]
import numpy as np
from jax import lax  # type: ignore[import-not-found, unused-ignore]
from jax import numpy as jnp
from torch import Tensor, nn

Network = Callable[[Any, Any], Any]
"""Parameters and images (B, H, W, C) -> outputs (B,)."""
CHUNK = 64
BLOCK = 512


def images(x: Tensor) -> Any:
    """Images (N, C, H, W) as JAX takes them."""
    return jnp.asarray(x.permute(0, 2, 3, 1).contiguous().numpy())


def parameters(module: nn.Module) -> dict[str, Any]:
    """The weights of a torch module; filters as height, width, input and output channels."""
    return {name: _weight(value) for name, value in module.state_dict().items()}


def _weight(value: Tensor) -> Any:
    return jnp.asarray((value.permute(2, 3, 1, 0) if value.ndim == 4 else value).numpy())


def convolve(x: Any, w: Any, stride: int = 1) -> Any:
    """With the padding that keeps the size of the images, or halves it."""
    return lax.conv_general_dilated(
        x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def halve(x: Any) -> Any:
    """2 x 2 average pooling."""
    window = (1, 2, 2, 1)
    return lax.reduce_window(x, 0.0, lax.add, window, window, "VALID") / 4


def lenet(theta: Any, x: Any, shifts: Any = None, every: bool = False) -> Any:
    """Outputs (B,), or `every` one (B, K).

    With `shifts` added to the layers' outputs, their sum, and the layers' inputs.
    """
    inputs = []
    for layer, name in enumerate(("0", "3", "7", "9", "11")):
        w, b = theta[f"{name}.weight"], theta[f"{name}.bias"]
        if name == "7":
            x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        inputs.append(x)
        x = (convolve(x, w) if x.ndim == 4 else x @ w.T) + b
        if shifts is not None:
            x = x + shifts[layer]
        if name != "11":
            x = jax.nn.relu(x)
        if x.ndim == 4:
            x = halve(x)
    if shifts is not None:
        return x[:, 0].sum(), inputs
    return x if every else x[:, 0]


def resnet18(theta: Any, x: Any) -> Any:
    """Outputs (B,) with batch norm in evaluation mode."""

    def norm(x: Any, name: str) -> Any:
        scale = theta[f"{name}.weight"] / jnp.sqrt(theta[f"{name}.running_var"] + 1e-5)
        return (x - theta[f"{name}.running_mean"]) * scale + theta[f"{name}.bias"]

    x = jax.nn.relu(norm(convolve(x, theta["stem.weight"]), "bn"))
    for i in range(8):
        at, stride = f"blocks.{i}", 2 if i in (2, 4, 6) else 1
        y = jax.nn.relu(norm(convolve(x, theta[f"{at}.conv1.weight"], stride), f"{at}.bn1"))
        y = norm(convolve(y, theta[f"{at}.conv2.weight"]), f"{at}.bn2")
        if stride == 2:
            x = convolve(x, theta[f"{at}.shortcut.0.weight"], stride)
            x = norm(x, f"{at}.shortcut.1")
        x = jax.nn.relu(x + y)
    return (x.mean((1, 2)) @ theta["linear.weight"].T + theta["linear.bias"])[:, 0]


def contraction(network: Network, theta: Any, x: Any, chunk: int) -> Callable[[], Any]:
    """J J^T from per-example gradients, contracted parameter by parameter."""
    fixed = {name: value for name, value in theta.items() if "running" in name}
    fixed |= {name: value for name, value in theta.items() if "num_batches" in name}
    free = {name: value for name, value in theta.items() if name not in fixed}
    gradient = jax.jit(
        jax.vmap(jax.grad(lambda p, image: network({**p, **fixed}, image[None])[0]), (None, 0))
    )
    product = jax.jit(lambda parts: _gram(jnp.concatenate(parts)))

    def kernel() -> Any:
        parts = [gradient(free, x[i : i + chunk]) for i in range(0, len(x), chunk)]
        total = sum(product([part[name] for part in parts]) for name in free)
        return jax.block_until_ready(total)

    return kernel


def _gram(rows: Any) -> Any:
    flat = rows.reshape(len(rows), -1)
    return flat @ flat.T


def layer_gram(theta: Any, x: Any) -> Callable[[], Any]:
    """Our own algorithm for LeNet: layer by layer, blocks of 512 rows, upper half only."""

    @jax.jit
    def features(part: Any) -> Any:
        shapes = [(32, 32, 6), (16, 16, 16), (120,), (84,), (1,)]
        zeros = [jnp.zeros((len(part), *shape)) for shape in shapes]
        gradients, inputs = jax.grad(lambda s: lenet(theta, part, s), has_aux=True)(zeros)
        rows = [_filter_rows(a, g) for a, g in zip(inputs[:2], gradients[:2], strict=True)]
        return jnp.concatenate(rows, 1), inputs[2:], gradients[2:]

    @jax.jit
    def gram(one: Any, two: Any) -> Any:
        total = one[0] @ two[0].T
        for a, b, g, h in zip(one[1], two[1], one[2], two[2], strict=True):
            total += (a @ b.T + 1) * (g @ h.T)
        return total

    join = jax.jit(lambda parts: jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts))

    def kernel() -> Any:
        blocks = [
            join([features(x[j : j + CHUNK]) for j in range(i, i + BLOCK, CHUNK)])
            for i in range(0, len(x), BLOCK)
        ]
        out = np.empty((len(x), len(x)), np.float32)
        for i, one in enumerate(blocks):
            for j, two in enumerate(blocks[i:], i):
                block = np.asarray(gram(one, two))
                rows = slice(BLOCK * i, BLOCK * (i + 1))
                columns = slice(BLOCK * j, BLOCK * (j + 1))
                out[rows, columns], out[columns, rows] = block, block.T
        return out

    return kernel


def _filter_rows(x: Any, gradient: Any) -> Any:
    """Per-example gradients of a 5 x 5 filter and its bias."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    windows = [padded[:, i : i + height, j : j + width] for i in range(5) for j in range(5)]
    patches = jnp.concatenate(windows, -1).reshape(len(x), height * width, -1)
    flat = gradient.reshape(len(x), height * width, -1)
    weights = jnp.einsum("nti,nto->nio", patches, flat)
    return jnp.concatenate([weights.reshape(len(x), -1), flat.sum(1)], 1)


def default_of_neural_tangents(network: Network, theta: Any, x: Any) -> Callable[[], Any]:
    """Its default, Jacobian contraction of all examples at once. Raises ImportError."""
    import neural_tangents  # type: ignore[import-not-found, unused-ignore]

    kernel_of = neural_tangents.empirical_ntk_fn(
        lambda p, batch: network(p, batch)[:, None], vmap_axes=0
    )
    compiled = jax.jit(lambda p, batch: kernel_of(batch, None, p))
    return lambda: jax.block_until_ready(compiled(theta, x))


def trace_of_neural_tangents(network: Network, theta: Any, x: Any) -> Callable[[], Any]:
    """The mean over the outputs of their kernels, by its default. Raises ImportError."""
    import neural_tangents  # type: ignore[import-not-found, unused-ignore]

    kernel_of = neural_tangents.empirical_ntk_fn(
        lambda p, batch: network(p, batch), trace_axes=(-1,), vmap_axes=0
    )
    compiled = jax.jit(lambda p, batch: kernel_of(batch, None, p))
    return lambda: jax.block_until_ready(compiled(theta, x))


def linearized_step(network: Network, theta: Any, x: Any, y: Any) -> Callable[[], Any]:
    """One compiled step of gradient descent on the linearization, by jvp."""

    def loss(delta: Any, batch: Any, target: Any) -> Any:
        f0, change = jax.jvp(lambda p: network(p, batch), (theta,), (delta,))
        scores = f0 + change
        return (jax.nn.softplus(scores) - target * scores).mean()

    @jax.jit
    def step(delta: Any, batch: Any, target: Any) -> Any:
        gradient = jax.grad(loss)(delta, batch, target)
        return jax.tree.map(lambda d, g: d - 0.01 * g, delta, gradient)

    def epoch() -> Any:
        delta = jax.tree.map(jnp.zeros_like, theta)
        for i in range(0, len(x) - 127, 128):
            delta = step(delta, x[i : i + 128], y[i : i + 128])
        return jax.block_until_ready(delta)

    return epoch
