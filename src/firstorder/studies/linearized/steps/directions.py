"""Neural anisotropy directions, and trainings on their linear tasks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from firstorder import arrays, streams
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.linearized import linear
from firstorder.studies.linearized.networks import draw, state_of, write_state
from firstorder.studies.linearized.steps import say
from firstorder.studies.linearized.tasks import described
from firstorder.studies.linearized.training import recipe_of, train_network, write_arm

if TYPE_CHECKING:
    import torch
    from torch import nn

    from firstorder.linearized.outcome import Outcome


def find_directions(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """The neural anisotropy directions of a model, and its trainings on their linear tasks."""
    import torch

    from firstorder.linearized.kernel import ntk
    from firstorder.linearized.nads import linear_task
    from firstorder.linearized.tangent import outputs as outputs_of
    from firstorder.linearized.tasks import Task

    device = context.torch_device(recipe_of(spec).threads)
    options, memory = spec["directions"], spec["memory_gib"]
    module = draw(spec)
    write_state(outputs["init.safetensors"], state_of(module))
    module.to(device)
    defined = _directions(spec, module, device, memory)
    arrays.write(outputs["nads.npz"], **defined)
    directions = defined["directions"]
    made = {name: outputs[name] for name in ("init.safetensors", "nads.npz")}
    count, began = options["train"], time.perf_counter()
    fields: dict[int, dict[str, float]] = {}
    network: dict[int, Outcome] = {}
    trained: dict[int, Outcome] = {}
    converged: dict[int, Outcome] = {}
    peak = 0
    for index in spec["tasks"]:
        say("directions: task", index, max(spec["tasks"]))
        images, labels = linear_task(
            torch.from_numpy(directions[index - 1]),
            tuple(spec["shape"]),
            count + options["test"],
            streams.torch_stream(spec["seed"], f"nad-{index}"),
            epsilon=options["epsilon"],
            sigma=options["sigma"],
            amplitude=options["amplitude"],
        )
        images = images.to(device)
        task = Task(index, torch.arange(count), labels, count)
        found = train_network(spec, made, context, task, "network", images, device)
        network[index], peak = found.outcome, max(peak, found.peak)
        gram = ntk(module, images, images[:count], memory_gib=memory)
        scores = outputs_of(module, images).cpu()
        trained |= linear.train(spec, gram, scores[:, None], [task], device)[0]
        converged |= linear.solve(linear.logistic, gram, scores[:, None], [task], device)[0]
        fields |= described(spec, gram, [task])
    read = list(made.values())
    arms = (("network", network, peak), ("linear", trained, 0), ("converged", converged, 0))
    for arm, outcomes, most in arms:
        write_arm(arm, outcomes, fields, spec, read, outputs, context, began, device, most)


def _directions(
    spec: Spec, module: nn.Module, device: torch.device, memory: float
) -> dict[str, Any]:
    """The arrays of nads.npz: the directions by three definitions."""
    import torch

    from firstorder.linearized.nads import directions, gradient_directions

    options, shape = spec["directions"], spec["shape"]
    samples = options["samples"]
    drawn = options["sigma"] * torch.randn(
        samples + 1, *shape, generator=streams.torch_stream(spec["seed"], "nad-inputs")
    )
    zero = directions(module, torch.zeros(1, *shape, device=device), memory_gib=memory)
    mean = directions(module, drawn[:samples].to(device), memory_gib=memory)
    networks = (draw(spec, f"init-{count}") for count in range(options["networks"]))
    slopes = gradient_directions(networks, drawn[samples])
    return {
        "definition": np.array("zero"),
        "singular_values": zero.values.numpy(),
        "directions": zero.vectors.numpy(),
        "expectation_singular_values": mean.values.numpy(),
        "expectation_directions": mean.vectors.numpy(),
        "gradient_values": slopes.values.numpy(),
        "gradient_directions": slopes.vectors.numpy(),
    }
