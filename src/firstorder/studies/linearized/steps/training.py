"""Trainings of networks and of their linearizations on the tasks of a family."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from firstorder import files, streams
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.linearized import linear
from firstorder.studies.linearized.networks import examples, joined, write_state
from firstorder.studies.linearized.steps import say
from firstorder.studies.linearized.tasks import described, tasks_of
from firstorder.studies.linearized.training import (
    DECIDING_SOLVED,
    DECIDING_TRAINED,
    once,
    recipe_of,
    train_network,
    write_arm,
)

if TYPE_CHECKING:
    from torch import Tensor

    from firstorder.linearized.network import Watch
    from firstorder.linearized.outcome import Outcome
    from firstorder.linearized.tasks import Task

EVOLUTION = ("family", "task", "epoch", "part", "alignment", "trace", "relative")
ENERGY = ("family", "task", "moment", "part", "components", "energy")


def linearize(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Train the linearization, with and without f_0, on all tasks of a family, and solve it.

    Trained by the recipe: linear, linear0 (without f_0). Solved: converged and ridge, with f_0,
    and converged0 without. What was found before, on the same kernel, is not found again.
    """
    device = context.torch_device(spec["threads"])
    gram, _, tasks = linear.read(spec, inputs)
    fields = described(spec, gram, tasks)
    del gram  # each arm maps it anew, and the pages of both would count as memory
    read = list(inputs.values())
    for arms, deciding, run in (
        (("linear", "linear0"), DECIDING_TRAINED, linear.trained),
        (("converged", "converged0"), DECIDING_SOLVED, linear.converged),
        (("ridge",), DECIDING_SOLVED, linear.ridged),
    ):
        began = time.perf_counter()
        found = once(spec, inputs, context, arms, deciding, run, device)
        for arm, outcomes in zip(arms, found, strict=True):
            write_arm(arm, outcomes, fields, spec, read, outputs, context, began, device)


def fit(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Train the network on all tasks of a family, each from the same initialisation.

    A task that was finished before, with the same settings, code and inputs, is not trained
    again; one that was interrupted goes on from its checkpoint. Watched eigenfunctions also get a
    negative control: their labels, shuffled. `networks.safetensors` has the weights of all tasks,
    each tensor called `TASK.NAME`.
    """
    from firstorder.linearized.mapped import opened
    from firstorder.linearized.tasks import shuffled

    device = context.torch_device(recipe_of(spec).threads)
    gram = opened(inputs["kernel.npy"])
    support = examples(inputs["dataset"], spec["support"])
    images = support.images.to(device)
    tasks = tasks_of(spec, inputs, support.classes)
    watched = [task for task in tasks if task.index in spec["watch"]]
    train = partial(train_network, spec, inputs, context, images=images, device=device)
    write = partial(
        write_arm, spec=spec, inputs=list(inputs.values()), outputs=outputs, context=context,
        device=device,
    )  # fmt: skip
    began, trained = time.perf_counter(), {}
    for task in tasks:
        say(f"{spec['family']}: task", task.index, max(spec["tasks"]))
        watch = _watch(spec, task, images) if task.index in spec["watch"] else None
        trained[task.index] = train(task, "network", watch=watch)
    outcomes = {task: found.outcome for task, found in trained.items()}
    peak = max(found.peak for found in trained.values())
    write_state(
        outputs["networks.safetensors"],
        joined({task: found.weights for task, found in trained.items()}),
    )
    write("network", outcomes, described(spec, gram, tasks), began=began, peak=peak)
    _write_evolution(spec, outputs, {task.index: outcomes[task.index] for task in watched})
    began = time.perf_counter()
    controls = [
        shuffled(task, streams.torch_stream(spec["seed"], f"random-{task.index}"))
        for task in (watched if spec["kind"] == "eigenfunctions" else ())
    ]
    control = {task.index: train(task, "random") for task in controls}
    outcomes = {task: found.outcome for task, found in control.items()}
    peak = max((found.peak for found in control.values()), default=0)
    write("random", outcomes, described(spec, gram, controls), began=began, peak=peak)


def _watch(spec: Spec, task: Task, images: Tensor) -> Watch:
    from firstorder.linearized.network import Watch

    return Watch(
        images[task.rows],
        task.train_labels.to(images.device),
        images[task.test_from :],
        task.test_labels.to(images.device),
        spec["watch_points"],
        recipe_of(spec).epochs,
        spec["memory_gib"],
    )


def _write_evolution(spec: Spec, outputs: Files, outcomes: Mapping[int, Outcome]) -> None:
    """evolution.csv and energy.csv of the watched tasks."""
    from firstorder.linearized.network import moments

    evolution: list[dict[str, Any]] = []
    energy: list[dict[str, Any]] = []
    moment = moments(recipe_of(spec).epochs)
    for task, outcome in outcomes.items():
        key = {"family": spec["family"], "task": task}
        for row in outcome.rows:
            for part in ("train", "test") if "trace_train" in row else ():
                aligned, trace = row[f"alignment_{part}"], row[f"trace_{part}"]
                values = {"alignment": aligned, "trace": trace, "relative": aligned / trace}
                evolution.append({**key, "epoch": row["epoch"], "part": part, **values})
            energy += [
                {
                    **key,
                    "moment": moment[row["epoch"]],
                    "part": "train",
                    "components": int(name.removeprefix("energy_")),
                    "energy": value,
                }
                for name, value in row.items()
                if name.startswith("energy_")
            ]
    files.write_csv(outputs["evolution.csv"], evolution, EVOLUTION)
    files.write_csv(outputs["energy.csv"], energy, ENERGY)
