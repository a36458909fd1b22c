"""Training a linearized LeNet: function space and the factored Jacobian against jvp."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from bench_kernel import problem
from timing import Line, absent, alternate, compare
from torch import Tensor
from torch.func import grad, vjp

from firstorder.config import Recipe
from firstorder.linearized import factored, function_space
from firstorder.linearized.kernel import ntk
from firstorder.linearized.tangent import function, linearize, outputs, parameters_of

BATCH, EPOCHS, TARGETS = 128, 100, 13


class Jvp:
    """Training of the linearization by automatic differentiation, the obvious way."""

    def __init__(self, count: int) -> None:
        self.module, self.x = problem("lenet", count)
        self.y = (torch.arange(count) % 2)[:, None]
        self.f0 = outputs(self.module, self.x)
        self.f_lin = linearize(self.module)

    def epoch(self) -> None:
        """Gradients through torch.func.jvp."""
        delta = {name: torch.zeros_like(v) for name, v in parameters_of(self.module).items()}

        def loss(d: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return function_space.cross_entropy(self.f_lin(d, x), y).mean()

        for x, y in self.batches():
            gradient = grad(loss)(delta, x, y)
            delta = {name: value - 0.01 * gradient[name] for name, value in delta.items()}

    def epoch_by_vjp(self) -> None:
        """Outputs by jvp, gradients by vjp at the initialisation, written by hand."""
        f, start = function(self.module), parameters_of(self.module)
        delta = {name: torch.zeros_like(v) for name, v in start.items()}
        for x, y in self.batches():
            scores = self.f_lin(delta, x)
            _, pull = vjp(lambda theta, images=x: f(theta, images), start)
            (gradient,) = pull((torch.sigmoid(scores) - y) / BATCH)
            delta = {name: value - 0.01 * gradient[name] for name, value in delta.items()}

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.x) - BATCH + 1, BATCH):
            yield self.x[start : start + BATCH], self.y[start : start + BATCH, 0].float()

    @property
    def steps(self) -> int:
        return len(self.x) // BATCH


def in_function_space(count: int = 10_000, tests: int = 2_000) -> Iterator[Line]:
    """All targets and epochs of one support, the kernel known, against jvp (extrapolated)."""
    module, x = problem("lenet", count + tests)
    K = ntk(module, x)
    y = torch.randint(2, (count + tests, TARGETS), generator=torch.Generator().manual_seed(1))
    recipe = Recipe(model="scalar", epochs=EPOCHS, batch=BATCH, lr=0.01, drop_last=True)
    f0 = outputs(module, x)

    def ours() -> None:
        function_space.train(
            K[:count, :count].contiguous(),
            f0[:count],
            y[:count],
            K[count:, :count].contiguous(),
            f0[count:],
            y[count:],
            recipe,
            function_space.batches(count, recipe, 1, "cpu"),
        )

    jvp = Jvp(8 * BATCH)
    times = alternate({"ours": ours, "jvp": jvp.epoch, "vjp": jvp.epoch_by_vjp}, 3)
    all_steps = TARGETS * EPOCHS * (count // BATCH)
    peers = {
        "training by torch.func.jvp": times["jvp"].times(all_steps / jvp.steps),
        "training by jvp and vjp at theta_0": times["vjp"].times(all_steps / jvp.steps),
    }
    item = f"function space, {TARGETS} x {EPOCHS} epochs"
    note = dict.fromkeys(peers, f"N={count}; theirs extrapolated from {jvp.steps} steps")
    yield from compare(item, times["ours"], peers, note)


def factored_epoch(jvp: Jvp) -> Callable[[], None]:
    """The epoch of `jvp`, from the factors of its Jacobian."""
    jacobian = factored.factor(jvp.module, jvp.x, block=BATCH)

    def ours() -> None:
        delta = {name: zero[None].clone() for name, zero in jacobian.zero.items()}
        for position, block in enumerate(jacobian.blocks):
            part = slice(BATCH * position, BATCH * (position + 1))
            one = factored.Jacobian((block,), jacobian.zero)
            scores = jvp.f0[part, None] + factored.product(one, delta)
            slopes = (torch.sigmoid(scores) - jvp.y[part]) / block.count
            for name, value in factored.transposed(one, slopes).items():
                delta[name] -= 0.01 * value

    return ours


def by_factors(count: int = 2048) -> Iterator[Line]:
    """One epoch with the factored Jacobian against one by automatic differentiation."""
    jvp = Jvp(count)
    ours = factored_epoch(jvp)
    times = alternate({"ours": ours, "jvp": jvp.epoch, "vjp": jvp.epoch_by_vjp})
    setup = alternate({"": lambda: factored.factor(jvp.module, jvp.x, block=BATCH)}, 3)[""]
    item = f"factored Jacobian, 1 epoch, N={count}"
    named = {"torch.func.jvp": times["jvp"], "jvp and vjp at theta_0": times["vjp"]}
    note = dict.fromkeys(named, f"setting up once: {setup}")
    yield from compare(item, times["ours"], named, note)


def by_factors_jax(count: int = 2048) -> Iterator[Line]:
    """The same epoch by compiled JAX."""
    item = f"factored Jacobian, 1 epoch, N={count}"
    try:
        import peers_jax
    except ImportError:
        yield absent(item, "JAX, compiled jvp step")
        return
    jvp = Jvp(count)
    theta, images = peers_jax.parameters(jvp.module), peers_jax.images(jvp.x)
    targets = peers_jax.jnp.asarray(jvp.y[:, 0].float().numpy())
    epoch = peers_jax.linearized_step(peers_jax.lenet, theta, images, targets)
    times = alternate({"ours": factored_epoch(jvp), "jax": epoch})
    yield from compare(item, times["ours"], {"JAX, compiled jvp step": times["jax"]})
