"""The kernels of trained networks, and linear models on them."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from firstorder import files
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.linearized import linear
from firstorder.studies.linearized.eigenvectors import read_eigenvectors
from firstorder.studies.linearized.networks import (
    State,
    examples,
    load,
    of_state,
    of_task,
    read_state,
)
from firstorder.studies.linearized.steps import say
from firstorder.studies.linearized.tasks import described, tasks_of
from firstorder.studies.linearized.training import part_of, write_arm

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from firstorder.linearized.outcome import Outcome
    from firstorder.linearized.tasks import Task

ALIGNMENT = ("task", "k", "part", "initial", "trained")
ROTATED = ("retrained", "retrained-scaled", "linear0-scaled", "retrained-converged")
"""Linear models for the kernel of a trained network: by the recipe on this kernel, on it at the
trace of the initial one, on the initial one at its trace; and converged, where no scale matters."""


def rotate(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """The kernels of the trained networks: their alignment, and linear models on them.

    The alignment with the initial eigenvectors uses the running statistics of the trained
    network. The linear models have no f_0, and batch norm has its initial statistics, so that
    the trained kernel has no advantage besides its weights. Of a binary family only the largest
    task is looked at. ROTATED names the arms.
    """
    from firstorder.linearized.mapped import opened
    from firstorder.linearized.outcome import Outcome

    device = context.torch_device(spec["threads"])
    gram = opened(inputs["kernel.npy"])
    support = examples(inputs["dataset"], spec["support"])
    images = support.images.to(device)
    tasks = tasks_of(spec, inputs, support.classes)
    if spec["kind"] == "binary":
        tasks = [max(tasks, key=lambda task: task.index)]
    path = inputs["networks.safetensors"]
    networks = read_state(path)
    decisive = {name: each for name, each in inputs.items() if each != path}
    began = time.perf_counter()
    outcomes: dict[str, dict[int, Outcome]] = {arm: {} for arm in ROTATED}
    rows: list[dict[str, Any]] = []
    for task in tasks:
        say("kernel of task", task.index, max(spec["tasks"]))
        weights = of_task(networks, task.index, path)
        more = {"weights": _digest(weights), "memory_gib": spec["memory_gib"]}
        part = part_of(spec, task.index, "retrained", **more)
        identity = context.identity(part, decisive)
        find = partial(_rotate, spec, inputs, context, identity, task, weights, images, device)
        found = context.once(identity, find)
        for arm, outcome in found["outcomes"].items():
            outcomes[arm][task.index] = Outcome(**outcome)
        rows += found["alignment"]
    read = list(inputs.values())
    fields = described(spec, gram, tasks)
    for arm, own in outcomes.items():
        write_arm(arm, own, fields, spec, read, outputs, context, began, device)
    files.write_csv(outputs["alignment.csv"], rows, ALIGNMENT)


def _digest(state: State) -> str:
    """SHA-256 of the tensors of a network."""
    from safetensors.torch import save

    return hashlib.sha256(save(state)).hexdigest()


def _rotate(
    spec: Spec,
    inputs: Files,
    context: Context,
    identity: str,
    task: Task,
    weights: State,
    images: Tensor,
    device: torch.device,
) -> dict[str, Any]:
    """Alignment of the kernel of one trained network and linear models on it, as plain values.

    The kernel is in a scratch file meanwhile; only the converged model, whose steps take most of
    the time, goes on where it was killed. A network whose weights or kernel are not finite has
    diverged, and so have the models on it.
    """
    import torch

    from firstorder.linearized.kernel import ntk
    from firstorder.linearized.mapped import opened
    from firstorder.linearized.normalised import scale_to
    from firstorder.linearized.outcome import Outcome
    from firstorder.linearized.tasks import by_training_set
    from firstorder.training.checkpoint import Checkpoint

    memory = spec["memory_gib"]
    module = of_state(spec, weights, inputs["networks.safetensors"]).to(device)
    lost = asdict(Outcome("diverged", [], {}, 0.0))
    diverged = {"outcomes": dict.fromkeys(ROTATED, lost), "alignment": []}
    if not all(bool(value.isfinite().all()) for value in module.state_dict().values()):
        return diverged
    checkpoint = Checkpoint(context.checkpoint(identity), identity, context.checkpoint_seconds)
    with context.scratch() as scratch:
        file, gram, rows = scratch / "kernel.npy", None, []
        if spec["kind"] == "eigenfunctions":
            gram = ntk(module, images, memory_gib=memory, out=file)
            if not usable(gram):
                return diverged
            rows = _alignments(inputs, task, gram, device)
        if gram is None or list(module.buffers()):
            _reset_statistics(module, load(spec, inputs["init.safetensors"]))
            gram = ntk(module, images, images[: task.test_from], memory_gib=memory, out=file)
            if not usable(gram):
                return diverged
        initial, zero = opened(inputs["kernel.npy"]), torch.zeros(len(images), 1)
        ((_, trained, _),) = by_training_set(gram, [task])
        ((_, untrained, _),) = by_training_set(initial, [task])
        scale = scale_to(trained, untrained)
        train = partial(linear.train, spec, outputs=zero, tasks=[task], device=device)
        converge = partial(linear.logistic, checkpoint=checkpoint)
        found = {
            "retrained": train(kernel=gram)[0],
            "retrained-scaled": train(kernel=gram, scale=scale)[0],
            "linear0-scaled": train(kernel=initial, scale=1 / scale)[0],
            "retrained-converged": linear.solve(converge, gram, zero, [task], device)[0],
        }
        return {
            "outcomes": {arm: asdict(outcome[task.index]) for arm, outcome in found.items()},
            "alignment": rows,
        }


def usable(kernel: Tensor) -> bool:
    """Whether a kernel is finite and not zero."""
    import torch

    from firstorder.linearized.mapped import blocks

    # A sum in another precision copies what it adds: a block, not the whole of a mapped file.
    finite = all(bool(part.sum(dtype=torch.float64).isfinite()) for part in blocks(kernel))
    return finite and float(kernel.diagonal().double().sum()) > 0


def _reset_statistics(module: nn.Module, initial: nn.Module) -> None:
    """Give `module` the running statistics of `initial`."""
    before = dict(initial.named_buffers())
    for name, value in module.named_buffers():
        value.copy_(before[name])


def _alignments(
    inputs: Files, task: Task, trained: Tensor, device: torch.device
) -> list[dict[str, Any]]:
    """Rayleigh quotients of the initial eigenvectors in the initial and in a trained kernel."""
    from firstorder.linearized.alignment import rayleigh
    from firstorder.linearized.mapped import opened

    initial, vectors = opened(inputs["kernel.npy"]), read_eigenvectors(inputs["spectrum.npz"])
    cut = task.test_from
    parts = {"train": slice(0, cut), "test": slice(cut, None), "all": slice(None)}
    rows = []
    for part, span in parts.items():
        own = vectors[:, span].to(device)
        before, after = (
            rayleigh(gram[span, span].to(device), own).tolist() for gram in (initial, trained)
        )
        rows += [
            {"task": task.index, "k": k, "part": part, "initial": a, "trained": b}
            for k, (a, b) in enumerate(zip(before, after, strict=True), 1)
        ]
    return rows
