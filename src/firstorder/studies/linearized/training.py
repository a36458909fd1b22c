"""Trainings of networks on tasks, kept one by one, and the records of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from firstorder import arrays, files, memory
from firstorder.config import Recipe
from firstorder.jobs.context import Context
from firstorder.studies.linearized.networks import State, load, read_state, state_of, write_state

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from firstorder.linearized.network import Watch
    from firstorder.linearized.outcome import Outcome
    from firstorder.linearized.tasks import Task

DECIDING = (
    "model", "model_parameters", "shape", "support", "directions", "kind", "classes", "recipe",
    "steps", "seed", "threads",
)  # fmt: skip
"""What a spec says that decides the training of one of its tasks."""
DECIDING_SOLVED = ("support", "kind", "classes", "tasks", "seed", "threads")
"""What a spec says that decides the linear models of its tasks that are solved for."""
DECIDING_TRAINED = (*DECIDING_SOLVED, "recipe", "steps")
"""And those that are trained."""
DECISIVE = ("dataset", "init.safetensors", "spectrum.npz", "inductive.npz", "nads.npz")
"""The inputs that decide the training of a network on a task."""
ROWS = 20
"""Epochs, about, that are recorded of a training of so many steps: with few examples these are
thousands of epochs."""


@dataclass(frozen=True)
class Trained:
    """A network that was trained on a task."""

    outcome: Outcome
    weights: State
    peak: int
    """Bytes that the training needed; 0 when it was finished before."""


def recipe_of(spec: Mapping[str, Any], task: Task | None = None) -> Recipe:
    """The recipe of a spec; for a task, with a batch no larger than its training set.

    Where the spec says how many `steps`, every task takes as many epochs as those make.
    """
    recipe = Recipe(**spec["recipe"])
    if task is None:
        return recipe
    recipe = recipe.model_copy(update={"batch": min(recipe.batch, len(task.rows))})
    if spec.get("steps") is None:
        return recipe
    epochs = -(-spec["steps"] // steps_of(recipe, task, epochs=1))
    every = max(recipe.evaluate_every, -(-epochs // ROWS))
    return recipe.model_copy(update={"epochs": epochs, "evaluate_every": every})


def steps_of(recipe: Recipe, task: Task, epochs: int | None = None) -> int:
    """How many steps a training on a task takes."""
    from firstorder.training.data import batch_sizes

    return len(batch_sizes(len(task.rows), recipe)) * (recipe.epochs if epochs is None else epochs)


def tested(spec: Mapping[str, Any]) -> int:
    """How many test examples the tasks of a spec have."""
    return int(spec["support" if "support" in spec else "directions"]["test"])


def part_of(spec: Mapping[str, Any], task: int, arm: str, **more: Any) -> dict[str, Any]:
    """What decides the part of a job that is one task of one arm."""
    own = {name: spec[name] for name in DECIDING if name in spec}
    return {**own, "task": task, "arm": arm, **more}


def train_network(
    spec: Mapping[str, Any],
    inputs: Mapping[str, str],
    context: Context,
    task: Task,
    arm: str,
    images: Tensor,
    device: torch.device,
    watch: Watch | None = None,
) -> Trained:
    """Train a network on a task, unless that was finished before.

    `inputs` are those that decide it. An interrupted training goes on from its checkpoint.
    """
    from firstorder.linearized import network
    from firstorder.linearized.outcome import Outcome, bits, of_result
    from firstorder.linearized.tangent import outputs
    from firstorder.training.checkpoint import Checkpoint

    more = {"points": watch.points, "memory_gib": watch.memory_gib} if watch else {}
    decisive = {name: path for name, path in inputs.items() if name in DECISIVE}
    identity = context.identity(part_of(spec, task.index, arm, **more), decisive)
    peak = 0
    with context.scratch() as folder:
        kept = {name: str(folder / name) for name in ("outcome.json", "weights.safetensors")}
        if not context.restore(identity, kept):
            path = context.checkpoint(identity)
            module = load(spec, inputs["init.safetensors"])
            recipe = recipe_of(spec, task)
            with memory.advising(f"lower this recipe's batch (now {recipe.batch}) in recipes.yaml"):
                result = network.train(
                    module,
                    images[task.rows],
                    task.train_labels,
                    images[task.test_from :],
                    task.test_labels,
                    recipe,
                    spec["seed"],
                    device,
                    checkpoint=Checkpoint(path, identity, context.checkpoint_seconds),
                    measure=watch,
                )
            peak = result.peak_memory_bytes
            write_state(kept["weights.safetensors"], state_of(module))
            outcome = of_result(result)
            if outcome.status == "finished":
                scores = outputs(module, images[task.test_from :])
                outcome = replace(outcome, correct=bits(scores, task.test_labels))
            files.write_json(kept["outcome.json"], asdict(outcome))
            context.keep(identity, kept)
            files.discard(path)
        outcome = Outcome(**files.read_json(kept["outcome.json"]))
        return Trained(outcome, read_state(kept["weights.safetensors"]), peak)


def once(
    spec: Mapping[str, Any],
    inputs: Mapping[str, str],
    context: Context,
    arms: Sequence[str],
    deciding: Sequence[str],
    run: Callable[..., list[dict[int, Outcome]]],
    device: torch.device,
) -> list[dict[int, Outcome]]:
    """The outcomes of all tasks for each of `arms`, from `run` unless they were found before.

    Whatever else of the job changes, a linear model of the same tasks on the same `inputs` is
    that of before. `deciding` are the keys of the spec that decide it, and its code is that of
    `run`, a function of a module that is called with a spec of these keys, the inputs, the device
    and a checkpoint, of whose parts one that was killed goes on: it sees nothing else.
    """
    from firstorder.linearized.outcome import Outcome
    from firstorder.training.checkpoint import Checkpoint

    own = {name: spec[name] for name in deciding if name in spec}
    entry = f"{run.__module__}:{run.__name__}"
    identity = context.identity({"arms": list(arms), **own}, inputs, entry)
    checkpoint = Checkpoint(context.checkpoint(identity), identity, context.checkpoint_seconds)

    def find() -> dict[str, Any]:
        return {
            arm: {str(task): asdict(outcome) for task, outcome in outcomes.items()}
            for arm, outcomes in zip(arms, run(own, inputs, device, checkpoint), strict=True)
        }

    found = context.once(identity, find)
    return [{int(task): Outcome(**one) for task, one in found[arm].items()} for arm in arms]


def write_arm(
    arm: str,
    outcomes: Mapping[int, Outcome],
    fields: Mapping[int, Mapping[str, Any]],
    spec: Mapping[str, Any],
    inputs: Sequence[str],
    outputs: Mapping[str, str],
    context: Context,
    began: float,
    device: torch.device,
    peak: int = 0,
) -> None:
    """Write ARM.csv, ARM.json and ARM.npz.

    ARM.npz has `tasks` (T,), of those that did not diverge, `correct` (T, ceil(M / 8)), the test
    examples that are right at the end as packed bits, and `examples`, which is M.

    Parameters
    ----------
    arm
        One of `labels.ARMS`.
    outcomes
        By task.
    fields
        What describes the tasks; by task.
    spec, inputs, context
        What is recorded: the settings, the files that were read, and the circumstances.
    outputs
        Where the files are written, by name.
    began
        `time.perf_counter()` before the first task.
    device
        The device that computed.
    peak
        Bytes of the training that needed most, where the device's own count is of the last.
    """
    from firstorder.linearized.outcome import COLUMNS, evaluated, packed
    from firstorder.training.loop import peak_memory

    rows = [
        {"task": task} | row for task, outcome in outcomes.items() for row in evaluated(outcome)
    ]
    files.write_csv(outputs[f"{arm}.csv"], rows, ("task", *COLUMNS))
    tasks = {
        str(task): {
            "status": outcome.status,
            **{f"steps_to_{level}": step for level, step in outcome.first_below.items()},
            **fields[task],
            "seconds": outcome.seconds,
        }
        for task, outcome in outcomes.items()
    }
    right = {task: packed(outcome) for task, outcome in outcomes.items() if outcome.correct}
    arrays.write(
        outputs[f"{arm}.npz"],
        tasks=np.array(list(right), dtype=np.int64),
        correct=np.array(list(right.values()), dtype=np.uint8),
        examples=np.int64(tested(spec)),
    )
    files.write_json(
        outputs[f"{arm}.json"],
        {
            "spec": {**spec, "arm": arm},
            "tasks": tasks,
            "seconds": time.perf_counter() - began,
            # Each training on a GPU starts the device's count afresh.
            "peak_memory_bytes": max(peak_memory(device), peak),
        }
        | context.record(inputs),
    )
