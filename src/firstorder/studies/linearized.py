"""The steps of the linearized study: kernels, spectra, trainings of networks and tangents."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from firstorder import files, streams
from firstorder.config import Config
from firstorder.errors import ConfigError, DataError
from firstorder.memory import advising
from firstorder.studies.linearized_job import (
    Job,
    Start,
    examples,
    read_array,
    read_outcome,
    save_array,
    save_weights,
    write_csv,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from firstorder.linearized.outcome import Outcome
    from firstorder.linearized.tasks import Task

ALIGNMENT = ("task", "k", "part", "initial", "trained")
EVOLUTION = ("family", "task", "epoch", "part", "alignment", "trace", "relative")
ENERGY = ("family", "task", "moment", "part", "components", "energy")
GRADIENTS = ("k", "eigenvalue", "alignment")
CHECKED = (1, 2, 5, 10)
"""The eigenvectors whose alignment is also computed by gradients, without the kernel."""
TANGENT_INPUTS = ("init.safetensors", "outputs.npy", "kernel.npy")


def kernel(config: Config, model: str, support: str, seed: int, code: str = "") -> None:
    """Initialise a model; write its weights, its outputs and its tangent kernel on a support."""
    from firstorder.linearized.kernel import ntk
    from firstorder.linearized.tangent import outputs

    device = _device(config, config.scale.linearized.threads)
    start = Start(config, model, support, seed)
    images = examples(config, support).images.to(device)
    module = start.build(start.shape)
    save_weights(start.path("init.safetensors"), module)
    module.to(device)
    memory = config.scale.linearized.memory_gib
    scale = f"config/scales/{config.settings.scale}.yaml"
    with advising(f"lower linearized.supports.{support}.train in {scale}"):
        gram = ntk(module, images, memory_gib=memory, progress=partial(_say, "kernel"))
        scores = outputs(module, images).cpu().numpy()
    save_array(start.path("outputs.npy"), scores)
    save_array(start.path("kernel.npy"), gram.numpy())


def spectrum(config: Config, model: str, support: str, seed: int, code: str = "") -> None:
    """Decompose a kernel: the leading eigenvalues of the Gram matrix and its eigenvectors.

    Some eigenvalues are set beside the alignment of their eigenvectors by the gradients of the
    network: they agree only if the kernel is that of the network.
    """
    from firstorder.linearized.alignment import from_gradients
    from firstorder.linearized.spectrum import decompose

    device = _device(config, config.scale.linearized.threads)
    start = Start(config, model, support, seed)
    gram = read_array(start.path("kernel.npy"))
    found = decompose(gram, config.scale.linearized.eigenvectors, device)
    with files.replacing(start.path("spectrum.npz")) as temporary:
        np.savez(
            temporary,
            eigenvalues=found.values.numpy(),
            eigenvectors=found.vectors.numpy(),
            trace=gram.diagonal().double().sum().numpy(),
            n_train=np.int64(config.scale.linearized.supports[support].train),
        )
    images = examples(config, support).images.to(device)
    module = start.load(start.shape, start.path("init.safetensors")).to(device)
    rows = []
    for k in (k for k in CHECKED if k <= len(found.values)):
        aligned = from_gradients(module, images, found.vectors[k - 1].to(device), batch=64)
        value = float(found.values[k - 1])
        rows.append({"k": k, "eigenvalue": value, "alignment": float(aligned)})
    write_csv(start.path("gradients.csv"), GRADIENTS, rows)


def tangent(config: Config, model: str, seed: int, family: str, code: str = "") -> None:
    """Train the linearization, with and without f_0, on all tasks of a family."""
    import torch

    from firstorder.linearized.tasks import describe

    device = _device(config, config.scale.linearized.threads)
    job = Job.of(config, model, seed, family, code)
    gram = read_array(job.start.path("kernel.npy"))
    outputs = read_array(job.start.path("outputs.npy"))
    tasks = _tasks(job)
    fields = describe(gram, tasks)
    inputs = job.inputs("outputs.npy", "kernel.npy")
    for arm, offset in (("linear", outputs), ("linear0", torch.zeros_like(outputs))):
        began = time.perf_counter()
        outcomes = _in_function_space(job, gram, offset, tasks, device)
        job.write(arm, outcomes, fields, inputs, began, device)


def networks(config: Config, model: str, seed: int, family: str, code: str = "") -> None:
    """Train the network on all tasks of a family, each from the same initialisation.

    A task that was finished before, with the same settings, code and inputs, is not trained
    again; one that was interrupted goes on from its checkpoint. Watched eigenfunctions also get a
    negative control: their labels, shuffled.
    """
    from firstorder.linearized.network import Watch
    from firstorder.linearized.tasks import describe, shuffled

    job = Job.of(config, model, seed, family, code)
    device = _device(config, job.recipe.threads)
    gram = read_array(job.start.path("kernel.npy"))
    images = job.examples.images.to(device)
    tasks, watched = _tasks(job), job.declared.watch
    decisive = job.inputs("init.safetensors")
    outcomes, points = {}, job.declared.watch_points
    began = time.perf_counter()
    for task in tasks:
        _say(f"{family}: task", task.index, max(job.declared.tasks))
        if task.index in watched:
            watch = Watch(
                images[task.rows],
                task.train_labels.to(device),
                images[task.test_from :],
                task.test_labels.to(device),
                points,
                job.recipe.epochs,
                config.scale.linearized.memory_gib,
            )
            more = {"points": points}
            trained = job.train(task, "network", images, device, decisive, watch, more)
        else:
            trained = job.train(task, "network", images, device, decisive)
        outcomes[task.index] = trained
    inputs = job.inputs(*TANGENT_INPUTS)
    job.write("network", outcomes, describe(gram, tasks), inputs, began, device)
    if watched:
        _write_evolution(job, {task: outcomes[task] for task in watched})
    if watched and job.kind == "eigenfunctions":
        began = time.perf_counter()
        controls = [
            shuffled(task, streams.torch_stream(seed, f"random-{task.index}"))
            for task in tasks
            if task.index in watched
        ]
        outcomes = {
            task.index: job.train(task, "random", images, device, decisive) for task in controls
        }
        job.write("random", outcomes, describe(gram, controls), inputs, began, device)


def rotation(config: Config, model: str, seed: int, family: str, code: str = "") -> None:
    """The kernels of the trained networks: their alignment, and linear training on them.

    The alignment with the initial eigenvectors uses the running statistics of the trained
    network. The linear training has no f_0, and batch norm has its initial statistics, so that
    the trained kernel has no advantage besides its weights. Of a binary family only the largest
    task is looked at.
    """
    from firstorder.linearized.tasks import describe

    device = _device(config, config.scale.linearized.threads)
    job = Job.of(config, model, seed, family, code)
    gram = read_array(job.start.path("kernel.npy"))
    tasks = _tasks(job)
    if job.kind == "binary":
        tasks = [max(tasks, key=lambda task: task.index)]
    weights = {task.index: job.run(f"network-{task.index}.safetensors") for task in tasks}
    inputs = [*job.inputs(*TANGENT_INPUTS), *weights.values()]
    began = time.perf_counter()
    outcomes, rows = {}, []
    for task in tasks:
        _say(f"{family}: kernel of task", task.index, max(job.declared.tasks))
        decisive = [*job.inputs("init.safetensors"), weights[task.index]]
        identity = job.identity(
            task.index, "retrained", decisive, k=config.scale.linearized.eigenvectors
        )
        found = job.remember(identity, partial(_rotate, job, task, weights[task.index], device))
        outcomes[task.index] = read_outcome(found["outcome"])
        rows += found["alignment"]
    job.write("retrained", outcomes, describe(gram, tasks), inputs, began, device)
    if job.kind == "eigenfunctions":
        write_csv(job.run("alignment.csv"), ALIGNMENT, rows)


def nads(config: Config, model: str, seed: int, code: str = "") -> None:
    """The neural anisotropy directions of a model, and its trainings on their linear tasks."""
    import torch

    from firstorder.linearized.kernel import ntk
    from firstorder.linearized.nads import linear_task
    from firstorder.linearized.tangent import outputs
    from firstorder.linearized.tasks import Task, describe

    job = Job.of(config, model, seed, "nads", code)
    device = _device(config, job.recipe.threads)
    options = job.declared.options
    module = job.start.build(job.shape)
    save_weights(job.start.path("init.safetensors"), module)
    module.to(device)
    arrays = _directions(job, module, device)
    with files.replacing(job.start.path("nads.npz")) as temporary:
        np.savez(temporary, **arrays)
    directions = arrays["directions"]
    if max(job.declared.tasks) > len(directions):
        raise ConfigError(
            f"families.nads.tasks: {max(job.declared.tasks)} is not allowed: inputs have "
            f"{len(directions)} dimensions"
        )
    decisive = [job.start.path("init.safetensors"), job.start.path("nads.npz")]
    count, began = int(options.get("train", 10_000)), time.perf_counter()
    fields: dict[int, dict[str, float]] = {}
    trained: dict[int, Outcome] = {}
    linear: dict[int, Outcome] = {}
    for index in job.declared.tasks:
        _say("nads: task", index, max(job.declared.tasks))
        images, labels = linear_task(
            torch.from_numpy(directions[index - 1]),
            job.shape,
            count + int(options.get("test", 10_000)),
            streams.torch_stream(seed, f"nad-{index}"),
            epsilon=float(options.get("epsilon", 1.0)),
            sigma=float(options.get("sigma", 1.0)),
            amplitude="full" if options.get("amplitude") == "full" else "half",
        )
        images = images.to(device)
        task = Task(index, torch.arange(count), labels, count)
        trained[index] = job.train(task, "network", images, device, decisive, more=options)
        gram = ntk(module, images, images[:count], memory_gib=config.scale.linearized.memory_gib)
        linear |= _in_function_space(job, gram, outputs(module, images).cpu(), [task], device)
        fields |= describe(gram, [task])
    for arm, outcomes in (("network", trained), ("linear", linear)):
        job.write(arm, outcomes, fields, decisive, began, device)


def _tasks(job: Job) -> list[Task]:
    """The tasks of a family, in the order of their indices."""
    return _eigenfunctions(job) if job.kind == "eigenfunctions" else _binary(job)


def _eigenfunctions(job: Job) -> list[Task]:
    """The signs of eigenvectors of the kernel of all examples: transductive, as published."""
    import torch

    from firstorder.linearized.spectrum import binary_labels
    from firstorder.linearized.tasks import Task

    vectors, train = _eigenvectors(job), _train_count(job)
    if max(job.declared.tasks) > len(vectors):
        raise ConfigError(
            f"families.{job.family}.tasks: {max(job.declared.tasks)} is not allowed: "
            f"{len(vectors)} eigenvectors are kept; raise linearized.eigenvectors"
        )
    return [
        Task(index, torch.arange(train), binary_labels(vectors[index - 1]), train)
        for index in job.declared.tasks
    ]


def _binary(job: Job) -> list[Task]:
    """The first half of the classes against the rest, on nested class-stratified subsets."""
    import torch

    from firstorder.data.subset import stratified_subset
    from firstorder.linearized.tasks import Task, coarse_labels

    classes, train = job.examples.classes, job.examples.train
    labels = coarse_labels(classes, int(classes.max()) + 1)
    return [
        Task(
            size,
            torch.from_numpy(
                stratified_subset(
                    classes[:train].numpy(), size, streams.numpy_stream(job.start.seed, "subset")
                )
            ),
            labels,
            train,
        )
        for size in job.declared.tasks
    ]


def _eigenvectors(job: Job) -> Tensor:
    """The leading eigenvectors (k, N) of the initial kernel."""
    import torch

    path = job.start.path("spectrum.npz")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return torch.from_numpy(stored["eigenvectors"])
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; ask Snakemake for it") from None
    except Exception as error:  # zipfile, struct and zlib each raise their own
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged ({reason}); delete it and run again") from None


def _train_count(job: Job) -> int:
    return job.config.scale.linearized.supports[job.start.support].train


def _in_function_space(
    job: Job, kernel: Tensor, outputs: Tensor, tasks: Sequence[Task], device: torch.device
) -> dict[int, Outcome]:
    """Train the linearization of every task; those with the same training set together.

    `kernel` has the rows of all examples and the columns of at least the training ones,
    `outputs` (N,) is f_0.
    """
    import torch

    from firstorder.linearized import function_space
    from firstorder.linearized.outcome import of_trajectory
    from firstorder.linearized.tasks import by_training_set

    found: dict[int, Outcome] = {}
    for group, own, test in by_training_set(kernel, tasks):
        began, task = time.perf_counter(), group[0]
        recipe = job.recipe_for(task)
        trajectory = function_space.train(
            own.to(device).contiguous(),
            outputs[task.rows].to(device),
            torch.stack([task.train_labels for task in group], 1).to(device),
            test.to(device).contiguous(),
            outputs[task.test_from :].to(device),
            torch.stack([task.test_labels for task in group], 1).to(device),
            recipe,
            function_space.batches(len(task.rows), recipe, job.start.seed, device),
        )
        outcomes = of_trajectory(trajectory, time.perf_counter() - began)
        found |= {task.index: outcome for task, outcome in zip(group, outcomes, strict=True)}
    return {task.index: found[task.index] for task in tasks}


def _rotate(job: Job, task: Task, weights: str, device: torch.device) -> dict[str, Any]:
    """Alignment and retraining of one trained network, as plain values."""
    import torch

    from firstorder.linearized.kernel import ntk
    from firstorder.linearized.outcome import Outcome

    images = job.examples.images.to(device)
    memory = job.config.scale.linearized.memory_gib
    module = job.start.load(job.shape, weights).to(device)
    if not all(bool(value.isfinite().all()) for value in module.state_dict().values()):
        return {"outcome": asdict(Outcome("diverged", [], {}, 0.0)), "alignment": []}
    gram, rows = None, []
    if job.kind == "eigenfunctions":
        gram = ntk(module, images, memory_gib=memory)
        rows = _alignments(job, task, gram, device)
    if gram is None or list(module.buffers()):
        _reset_statistics(module, job.start.load(job.shape, job.start.path("init.safetensors")))
        gram = ntk(module, images, images[: task.test_from], memory_gib=memory)
    outcome = _in_function_space(job, gram, torch.zeros(len(images)), [task], device)[task.index]
    return {"outcome": asdict(outcome), "alignment": rows}


def _reset_statistics(module: nn.Module, initial: nn.Module) -> None:
    """Give `module` the running statistics of `initial`."""
    before = dict(initial.named_buffers())
    for name, value in module.named_buffers():
        value.copy_(before[name])


def _alignments(
    job: Job, task: Task, trained: Tensor, device: torch.device
) -> list[dict[str, Any]]:
    """Rayleigh quotients of the initial eigenvectors in the initial and in a trained kernel."""
    from firstorder.linearized.alignment import rayleigh

    initial, vectors = read_array(job.start.path("kernel.npy")), _eigenvectors(job)
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


def _write_evolution(job: Job, outcomes: Mapping[int, Outcome]) -> None:
    """evolution.csv and energy.csv of the watched tasks."""
    from firstorder.linearized.network import moments

    evolution: list[dict[str, Any]] = []
    energy: list[dict[str, Any]] = []
    moment = moments(job.recipe.epochs)
    for task, outcome in outcomes.items():
        key = {"family": job.family, "task": task}
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
    write_csv(job.run("evolution.csv"), EVOLUTION, evolution)
    write_csv(job.run("energy.csv"), ENERGY, energy)


def _directions(job: Job, module: nn.Module, device: torch.device) -> dict[str, Any]:
    """The arrays of nads.npz: the directions by three definitions."""
    import torch

    from firstorder.linearized.nads import directions, gradient_directions

    options, seed = job.declared.options, job.start.seed
    memory = job.config.scale.linearized.memory_gib
    sigma = float(options.get("sigma", 1.0))
    samples = int(options.get("samples", 16))
    drawn = sigma * torch.randn(
        samples + 1, *job.shape, generator=streams.torch_stream(seed, "nad-inputs")
    )
    zero = directions(module, torch.zeros(1, *job.shape, device=device), memory_gib=memory)
    mean = directions(module, drawn[:samples].to(device), memory_gib=memory)
    networks = (
        job.start.build(job.shape, f"init-{count}")
        for count in range(int(options.get("networks", 1000)))
    )
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


def _device(config: Config, threads: int) -> torch.device:
    """The device of a step, and its number of CPU threads."""
    import torch

    from firstorder.training.device import choose

    torch.set_num_threads(threads)
    return choose(config.settings.device)


def _say(what: str, done: int, total: int) -> None:
    print(f"{what} {done} of {total}", file=sys.stderr, flush=True)
