"""The steps of the linearized study: kernels, spectra, trainings of networks and linearizations."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firstorder import streams
from firstorder.errors import DataError
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.memory import advising
from firstorder.studies.linearized.arrays import (
    read_array,
    read_eigenvectors,
    write_array,
    write_arrays,
    write_csv,
)
from firstorder.studies.linearized.grid import OF_SPECTRUM
from firstorder.studies.linearized.networks import (
    State,
    classes,
    draw,
    examples,
    joined,
    load,
    of_state,
    of_task,
    read_state,
    state_of,
    write_state,
)
from firstorder.studies.linearized.solved import logistic, ridge, solve
from firstorder.studies.linearized.training import (
    DECIDING_SOLVED,
    DECIDING_TRAINED,
    once,
    part_of,
    recipe_of,
    steps_of,
    train_network,
    write_arm,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from firstorder.linearized.network import Watch
    from firstorder.linearized.outcome import Outcome
    from firstorder.linearized.tasks import Task

ALIGNMENT = ("task", "k", "part", "initial", "trained")
EVOLUTION = ("family", "task", "epoch", "part", "alignment", "trace", "relative")
ENERGY = ("family", "task", "moment", "part", "components", "energy")
GRADIENTS = ("k", "eigenvalue", "alignment")
ROTATED = ("retrained", "retrained-scaled", "linear0-scaled", "retrained-converged")
"""Linear models for the kernel of a trained network: by the recipe on this kernel, on it at the
trace of the initial one, on the initial one at its trace; and converged, where no scale matters."""
CHECKED = (1, 2, 5, 10)
"""The eigenvectors whose alignment is also computed by gradients, without the kernel."""


def compute_kernel(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Initialise a model; write its weights, its outputs and its tangent kernel on a support."""
    from firstorder.linearized.kernel import ntk
    from firstorder.linearized.tangent import outputs as outputs_of

    device = context.torch_device(spec["threads"])
    images = examples(inputs["dataset"], spec["support"]).images.to(device)
    module = draw(spec)
    write_state(outputs["init.safetensors"], state_of(module))
    module.to(device)
    memory = context.demand.block_gib
    train = spec["support"]["train"]
    with advising(f"lower train (now {train}) of the support in config/studies/linearized/"):
        ntk(
            module,
            images,
            memory_gib=memory,
            out=outputs["kernel.npy"],
            progress=partial(_say, "kernel"),
        )
        scores = outputs_of(module, images).cpu().numpy()
    write_array(outputs["outputs.npy"], scores)


def decompose(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Decompose a kernel: the leading eigenvalues of the Gram matrix and its eigenvectors.

    Some eigenvalues are set beside the alignment of their eigenvectors by the gradients of the
    network: they agree only if the kernel is that of the network.
    """
    from firstorder.linearized import spectrum
    from firstorder.linearized.alignment import from_gradients

    device = context.torch_device(spec["threads"])
    gram = read_array(inputs["kernel.npy"])
    if not bool(gram.diagonal().isfinite().all()):
        raise DataError(
            f"{inputs['kernel.npy']}: not finite: the outputs of the network at its start are too "
            "large, or its inputs are not finite"
        )
    found = spectrum.decompose(gram, spec["eigenvectors"], device)
    write_arrays(
        outputs["spectrum.npz"],
        eigenvalues=found.values.numpy(),
        eigenvectors=found.vectors.numpy(),
        trace=gram.diagonal().double().sum().numpy(),
        n_train=np.int64(spec["support"]["train"]),
    )
    images = examples(inputs["dataset"], spec["support"]).images.to(device)
    module = load(spec, inputs["init.safetensors"]).to(device)
    rows = []
    for k in (k for k in CHECKED if k <= len(found.values)):
        aligned = from_gradients(module, images, found.vectors[k - 1].to(device), batch=64)
        value = float(found.values[k - 1])
        rows.append({"k": k, "eigenvalue": value, "alignment": float(aligned)})
    write_csv(outputs["gradients.csv"], GRADIENTS, rows)
    write_arrays(outputs["inductive.npz"], **_inductive(spec, gram, device))


def _inductive(spec: Spec, gram: Tensor, device: torch.device) -> dict[str, np.ndarray]:
    """Eigenfunctions of the kernel of the training examples, at all: as many as tasks need."""
    from firstorder.linearized import inductive, spectrum

    train, wanted = spec["support"]["train"], spec["inductive"]
    if not wanted:
        return {"eigenvalues": np.zeros(0), "eigenvectors": np.zeros((0, 0))}
    found = spectrum.decompose(gram[:train, :train], wanted, device)
    functions = inductive.everywhere(found, gram[train:, :train].to(device))
    return {
        "eigenvalues": found.values.cpu().numpy(),
        "eigenvectors": functions.cpu().numpy(),
    }


def linearize(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Train the linearization, with and without f_0, on all tasks of a family, and solve it.

    Trained by the recipe: linear, linear0 (without f_0). Solved: converged and ridge, with f_0,
    and converged0 without. What was found before, on the same kernel, is not found again.
    """
    import torch

    device = context.torch_device(spec["threads"])
    gram = read_array(inputs["kernel.npy"])
    scores = read_array(inputs["outputs.npy"])
    labels = classes(inputs["dataset"], spec["support"]) if spec["kind"] == "binary" else None
    tasks = _tasks(spec, inputs, labels)
    fields = _described(spec, gram, tasks)
    read = list(inputs.values())
    both = torch.stack((scores, torch.zeros_like(scores)), 1)
    models = (
        (
            ("linear", "linear0"), DECIDING_TRAINED,
            lambda: _in_function_space(spec, gram, both, tasks, device),
        ),
        (
            ("converged", "converged0"), DECIDING_SOLVED,
            lambda: solve(logistic, gram, both, tasks, device),
        ),
        (("ridge",), DECIDING_SOLVED, lambda: solve(ridge, gram, both[:, :1], tasks, device)),
    )  # fmt: skip
    for arms, deciding, run in models:
        began = time.perf_counter()
        found = once(spec, inputs, context, arms, deciding, run)
        for arm, outcomes in zip(arms, found, strict=True):
            write_arm(arm, outcomes, fields, spec, read, outputs, context, began, device)


def fit(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Train the network on all tasks of a family, each from the same initialisation.

    A task that was finished before, with the same settings, code and inputs, is not trained
    again; one that was interrupted goes on from its checkpoint. Watched eigenfunctions also get a
    negative control: their labels, shuffled. `networks.safetensors` has the weights of all tasks,
    each tensor called `TASK.NAME`.
    """
    from firstorder.linearized.tasks import shuffled

    device = context.torch_device(recipe_of(spec).threads)
    gram = read_array(inputs["kernel.npy"])
    support = examples(inputs["dataset"], spec["support"])
    images = support.images.to(device)
    tasks = _tasks(spec, inputs, support.classes)
    watched = [task for task in tasks if task.index in spec["watch"]]
    train = partial(train_network, spec, inputs, context, images=images, device=device)
    write = partial(
        write_arm, spec=spec, inputs=list(inputs.values()), outputs=outputs, context=context,
        device=device,
    )  # fmt: skip
    began, trained = time.perf_counter(), {}
    for task in tasks:
        _say(f"{spec['family']}: task", task.index, max(spec["tasks"]))
        watch = _watch(spec, context, task, images) if task.index in spec["watch"] else None
        trained[task.index] = train(task, "network", watch=watch)
    outcomes = {task: found.outcome for task, found in trained.items()}
    peak = max(found.peak for found in trained.values())
    write_state(
        outputs["networks.safetensors"],
        joined({task: found.weights for task, found in trained.items()}),
    )
    write("network", outcomes, _described(spec, gram, tasks), began=began, peak=peak)
    _write_evolution(spec, outputs, {task.index: outcomes[task.index] for task in watched})
    began = time.perf_counter()
    controls = [
        shuffled(task, streams.torch_stream(spec["seed"], f"random-{task.index}"))
        for task in (watched if spec["kind"] == "eigenfunctions" else ())
    ]
    control = {task.index: train(task, "random") for task in controls}
    outcomes = {task: found.outcome for task, found in control.items()}
    peak = max((found.peak for found in control.values()), default=0)
    write("random", outcomes, _described(spec, gram, controls), began=began, peak=peak)


def _described(spec: Spec, kernel: Tensor, tasks: Sequence[Task]) -> dict[int, dict[str, Any]]:
    """What describes tasks by index: balance, alignment, and the steps of a training."""
    from firstorder.linearized.tasks import describe

    steps = {task.index: steps_of(recipe_of(spec, task), task) for task in tasks}
    return {
        index: {**fields, "steps": steps[index]}
        for index, fields in describe(kernel, tasks).items()
    }


def _watch(spec: Spec, context: Context, task: Task, images: Tensor) -> Watch:
    from firstorder.linearized.network import Watch

    return Watch(
        images[task.rows],
        task.train_labels.to(images.device),
        images[task.test_from :],
        task.test_labels.to(images.device),
        spec["watch_points"],
        recipe_of(spec).epochs,
        context.demand.block_gib,
    )


def rotate(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """The kernels of the trained networks: their alignment, and linear models on them.

    The alignment with the initial eigenvectors uses the running statistics of the trained
    network. The linear models have no f_0, and batch norm has its initial statistics, so that
    the trained kernel has no advantage besides its weights. Of a binary family only the largest
    task is looked at. ROTATED names the arms.
    """
    from firstorder.linearized.outcome import Outcome

    device = context.torch_device(spec["threads"])
    gram = read_array(inputs["kernel.npy"])
    support = examples(inputs["dataset"], spec["support"])
    images = support.images.to(device)
    tasks = _tasks(spec, inputs, support.classes)
    if spec["kind"] == "binary":
        tasks = [max(tasks, key=lambda task: task.index)]
    path = inputs["networks.safetensors"]
    networks = read_state(path)
    decisive = {name: each for name, each in inputs.items() if each != path}
    began = time.perf_counter()
    outcomes: dict[str, dict[int, Outcome]] = {arm: {} for arm in ROTATED}
    rows: list[dict[str, Any]] = []
    for task in tasks:
        _say("kernel of task", task.index, max(spec["tasks"]))
        weights = of_task(networks, task.index, path)
        part = part_of(spec, task.index, "retrained", weights=_digest(weights))
        identity = context.identity(part, decisive)
        found = context.recall(identity)
        if found is None:
            with context.scratch(identity, ".npy") as path_of_kernel:
                found = _rotate(
                    spec, inputs, context, task, weights, images, device, path_of_kernel
                )
            context.remember(identity, found)
        for arm, outcome in found["outcomes"].items():
            outcomes[arm][task.index] = Outcome(**outcome)
        rows += found["alignment"]
    read = list(inputs.values())
    fields = _described(spec, gram, tasks)
    for arm, own in outcomes.items():
        write_arm(arm, own, fields, spec, read, outputs, context, began, device)
    write_csv(outputs["alignment.csv"], ALIGNMENT, rows)


def find_directions(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """The neural anisotropy directions of a model, and its trainings on their linear tasks."""
    import torch

    from firstorder.linearized.kernel import ntk
    from firstorder.linearized.nads import linear_task
    from firstorder.linearized.tangent import outputs as outputs_of
    from firstorder.linearized.tasks import Task

    device = context.torch_device(recipe_of(spec).threads)
    options, memory = spec["directions"], context.demand.block_gib
    module = draw(spec)
    write_state(outputs["init.safetensors"], state_of(module))
    module.to(device)
    arrays = _directions(spec, module, device, memory)
    write_arrays(outputs["nads.npz"], **arrays)
    directions = arrays["directions"]
    made = {name: outputs[name] for name in ("init.safetensors", "nads.npz")}
    count, began = options["train"], time.perf_counter()
    fields: dict[int, dict[str, float]] = {}
    trained: dict[int, Outcome] = {}
    linear: dict[int, Outcome] = {}
    converged: dict[int, Outcome] = {}
    peak = 0
    for index in spec["tasks"]:
        _say("directions: task", index, max(spec["tasks"]))
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
        trained[index], peak = found.outcome, max(peak, found.peak)
        gram = ntk(module, images, images[:count], memory_gib=memory)
        scores = outputs_of(module, images).cpu()
        linear |= _in_function_space(spec, gram, scores[:, None], [task], device)[0]
        converged |= solve(logistic, gram, scores[:, None], [task], device)[0]
        fields |= _described(spec, gram, [task])
    read = list(made.values())
    arms = (("network", trained, peak), ("linear", linear, 0), ("converged", converged, 0))
    for arm, outcomes, most in arms:
        write_arm(arm, outcomes, fields, spec, read, outputs, context, began, device, most)


def _tasks(spec: Spec, inputs: Files, classes: Tensor | None) -> list[Task]:
    """The tasks of a family, in the order of their indices."""
    if spec["kind"] in OF_SPECTRUM:
        path = inputs[OF_SPECTRUM[spec["kind"]]]
        return _eigenfunctions(spec, read_eigenvectors(path, max(spec["tasks"])))
    assert classes is not None
    return _binary(spec, classes)


def _eigenfunctions(spec: Spec, vectors: Tensor) -> list[Task]:
    """The signs of eigenfunctions (k, N) of the kernel.

    Of the kernel of all examples: transductive, as published; or of that of the training
    examples: inductive.
    """
    import torch

    from firstorder.linearized.spectrum import binary_labels
    from firstorder.linearized.tasks import Task

    train = spec["support"]["train"]
    return [
        Task(index, torch.arange(train), binary_labels(vectors[index - 1]), train)
        for index in spec["tasks"]
    ]


def _binary(spec: Spec, classes: Tensor) -> list[Task]:
    """The first half of the classes against the rest, on nested class-stratified subsets."""
    import torch

    from firstorder.data.subset import stratified_subset
    from firstorder.linearized.tasks import Task, coarse_labels

    train, seed = spec["support"]["train"], spec["seed"]
    labels = coarse_labels(classes, int(classes.max()) + 1)
    return [
        Task(
            size,
            torch.from_numpy(
                stratified_subset(
                    classes[:train].numpy(), size, streams.numpy_stream(seed, "subset")
                )
            ),
            labels,
            train,
        )
        for size in spec["tasks"]
    ]


def _in_function_space(
    spec: Spec,
    kernel: Tensor,
    outputs: Tensor,
    tasks: Sequence[Task],
    device: torch.device,
    scale: float = 1.0,
) -> list[dict[int, Outcome]]:
    """Train the linearization of every task from every f_0; those with one training set together.

    `kernel` has the rows of all examples and the columns of at least the training ones,
    `outputs` (N, A) are A choices of f_0; the outcomes of each. The training is that of `scale`
    times the kernel: of the kernel itself with so many times the learning rate.
    """
    from firstorder.linearized import function_space
    from firstorder.linearized.outcome import of_trajectory
    from firstorder.linearized.tasks import by_start, by_training_set, columns

    found: list[tuple[list[Task], list[Outcome]]] = []
    for group, own, test in by_training_set(kernel, tasks):
        began, task = time.perf_counter(), group[0]
        recipe = recipe_of(spec, task)
        recipe = recipe.model_copy(update={"lr": scale * recipe.lr})
        labels, start, test_labels, test_start = (
            each.to(device) for each in columns(group, outputs)
        )
        trajectory = function_space.train(
            own.to(device),
            start,
            labels,
            test.to(device),
            test_start,
            test_labels,
            recipe,
            function_space.batches(len(task.rows), recipe, spec["seed"], device),
            recipe.evaluate_every,
        )
        trajectory = replace(trajectory, distance=trajectory.distance / scale)
        outcomes = of_trajectory(trajectory, test_labels, time.perf_counter() - began)
        found.append((group, outcomes))
    return by_start(found, tasks, outputs.shape[1])


def _digest(state: State) -> str:
    """SHA-256 of the tensors of a network."""
    from safetensors.torch import save

    return hashlib.sha256(save(state)).hexdigest()


def _rotate(
    spec: Spec,
    inputs: Files,
    context: Context,
    task: Task,
    weights: State,
    images: Tensor,
    device: torch.device,
    scratch: Path,
) -> dict[str, Any]:
    """Alignment of the kernel of one trained network and linear models on it, as plain values.

    The kernel is in the file `scratch` meanwhile. A network whose weights or kernel are not finite
    has diverged, and so have the models on it.
    """
    import torch

    from firstorder.linearized.kernel import ntk
    from firstorder.linearized.normalised import scale_to
    from firstorder.linearized.outcome import Outcome
    from firstorder.linearized.tasks import by_training_set

    memory = context.demand.block_gib
    module = of_state(spec, weights, inputs["networks.safetensors"]).to(device)
    lost = asdict(Outcome("diverged", [], {}, 0.0))
    diverged = {"outcomes": dict.fromkeys(ROTATED, lost), "alignment": []}
    if not all(bool(value.isfinite().all()) for value in module.state_dict().values()):
        return diverged
    gram, rows = None, []
    if spec["kind"] == "eigenfunctions":
        gram = ntk(module, images, memory_gib=memory, out=scratch)
        if not usable(gram):
            return diverged
        rows = _alignments(inputs, task, gram, device)
    if gram is None or list(module.buffers()):
        _reset_statistics(module, load(spec, inputs["init.safetensors"]))
        gram = ntk(module, images, images[: task.test_from], memory_gib=memory, out=scratch)
        if not usable(gram):
            return diverged
    initial, zero = read_array(inputs["kernel.npy"]), torch.zeros(len(images))
    ((_, trained, _),) = by_training_set(gram, [task])
    ((_, untrained, _),) = by_training_set(initial, [task])
    scale = scale_to(trained, untrained)
    train = partial(_in_function_space, spec, outputs=zero[:, None], tasks=[task], device=device)
    found = {
        "retrained": train(kernel=gram)[0],
        "retrained-scaled": train(kernel=gram, scale=scale)[0],
        "linear0-scaled": train(kernel=initial, scale=1 / scale)[0],
        "retrained-converged": solve(logistic, gram, zero[:, None], [task], device)[0],
    }
    return {
        "outcomes": {arm: asdict(outcome[task.index]) for arm, outcome in found.items()},
        "alignment": rows,
    }


def usable(kernel: Tensor) -> bool:
    """Whether a kernel is finite and not zero."""
    import torch

    finite = bool(kernel.sum(dtype=torch.float64).isfinite())
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

    initial, vectors = read_array(inputs["kernel.npy"]), read_eigenvectors(inputs["spectrum.npz"])
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
    write_csv(outputs["evolution.csv"], EVOLUTION, evolution)
    write_csv(outputs["energy.csv"], ENERGY, energy)


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


def _say(what: str, done: int, total: int) -> None:
    print(f"{what} {done} of {total}", file=sys.stderr, flush=True)
