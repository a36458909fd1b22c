"""Would the seeds of a cell train faster as one stacked network than one after the other?

The step of three networks in turn, as the project does it, against one step of the same three
with their parameters stacked: by torch.vmap of the gradient, and by hand (grouped convolutions,
batched products). All do the same arithmetic: batches of 128, momentum, clipping, each network
with its own examples and labels. A ratio below 1 means that stacking is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from bench_evaluation import setup
from timing import Line, alternate, compare
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional

from firstorder.config import Recipe
from firstorder.training.loop import Training

SEEDS, BATCH = 3, 128
SHAPES = {"mlp": (1, 8, 8), "lenet": (1, 28, 28)}
LR, MOMENTUM, CLIP = 0.01, 0.9, 5.0

Parameters = list[Tensor]
Step = Callable[[Tensor, Tensor], None]
"""Images (R, B, C, H, W) and labels (R, B) of all networks -> a step of all."""


def stacked() -> Iterator[Line]:
    """Networks as small as the default scale's and as LeNet."""
    for name in SHAPES:
        times = alternate(jobs(name))
        yield from compare(f"{SEEDS} networks, a step each, {name}", times.pop("ours"), times)


def jobs(name: str) -> dict[str, Callable[[], None]]:
    """A step of each network, in turn and stacked."""
    options = {"hidden": 128, "depth": 2} if name == "mlp" else {}
    recipe = Recipe(model=name, model_parameters=options, epochs=1, batch=BATCH, lr=LR, clip=CLIP)
    trainings = [setup(recipe, SHAPES[name], 4) for _ in range(SEEDS)]
    index = torch.arange(BATCH)
    images = torch.stack([t.train_inputs.finish(t.train_inputs.take(index)) for t in trainings])
    labels = torch.stack([training.data.labels[index] for training in trainings])
    vmapped, written = by_vmap(trainings), by_hand(name, trainings)

    def in_turn() -> None:
        for training in trainings:
            training.module.train()
            training.step(index, training.data.labels[index], LR)

    return {
        "ours": in_turn,
        "stacked by torch.vmap": lambda: vmapped(images, labels),
        "stacked by hand": lambda: written(images, labels),
    }


def by_vmap(trainings: list[Training]) -> Step:
    """As torch's tutorial on ensembles has it."""
    modules = [training.module for training in trainings]
    theta, _ = stack_module_state(modules)  # type: ignore[arg-type]

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(modules[0], parameters, (x,)), y)

    gradient = vmap(grad(loss))
    values = [value.detach() for value in theta.values()]
    momenta = [torch.zeros_like(value) for value in values]

    def step(x: Tensor, y: Tensor) -> None:
        found = gradient(dict(zip(theta, values, strict=True)), x, y)
        descend(values, momenta, list(found.values()))

    return step


def by_hand(name: str, trainings: list[Training]) -> Step:
    """Grouped convolutions in channels-last, batched products for the dense layers."""
    each = [list(training.module.parameters()) for training in trainings]
    theta = [torch.stack(list(same)).detach().requires_grad_() for same in zip(*each, strict=True)]
    momenta = [torch.zeros_like(value) for value in theta]
    forward = {"mlp": mlp, "lenet": lenet}[name]

    def step(x: Tensor, y: Tensor) -> None:
        scores = forward(theta, x)
        losses = functional.cross_entropy(scores.transpose(1, 2), y, reduction="none").mean(1)
        descend(theta, momenta, list(torch.autograd.grad(losses.sum(), theta)))

    return step


def mlp(theta: Parameters, x: Tensor) -> Tensor:
    return dense(theta, x.flatten(2))


def lenet(theta: Parameters, x: Tensor) -> Tensor:
    count, batch = x.shape[:2]
    x = x.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
    for w, b in zip(theta[:4:2], theta[1:4:2], strict=True):
        x = functional.conv2d(x, w.flatten(0, 1), b.flatten(), padding=2, groups=count)
        x = functional.avg_pool2d(functional.relu(x), 2)
    x = x.reshape(batch, count, -1).transpose(0, 1)
    return dense(theta[4:], x)


def dense(theta: Parameters, x: Tensor) -> Tensor:
    """Dense layers (R, O, I) and biases (R, O) on (R, B, I), ReLU between them."""
    pairs = list(zip(theta[::2], theta[1::2], strict=True))
    for layer, (w, b) in enumerate(pairs):
        x = torch.baddbmm(b[:, None], x, w.mT)
        if layer < len(pairs) - 1:
            x = functional.relu(x)
    return x


@torch.no_grad()
def descend(theta: Parameters, momenta: Parameters, gradients: Parameters) -> None:
    """Momentum on stacked parameters, the gradient of every network clipped by its own norm."""
    squares = [g.flatten(1).square().sum(1) for g in gradients]
    norms = torch.stack(squares).sum(0).sqrt()
    factor = torch.clamp(CLIP / (norms + 1e-6), max=1.0)
    scaled = [g * factor.view(-1, *[1] * (g.dim() - 1)) for g in gradients]
    torch._foreach_mul_(momenta, MOMENTUM)
    torch._foreach_add_(momenta, scaled)
    torch._foreach_add_(theta, momenta, alpha=-LR)
