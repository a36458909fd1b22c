"""The steps of the study, and their jobs: what each reads of the configuration, and from where."""

from __future__ import annotations

from collections.abc import Callable

from firstorder.config import Config
from firstorder.jobs import functions
from firstorder.jobs.job import Files, Job
from firstorder.jobs.paths import paths
from firstorder.jobs.study import Step, step
from firstorder.studies.linearized import demand
from firstorder.studies.linearized.grid import (
    FILES,
    GAUSSIAN,
    NAME,
    OF_SPECTRUM,
    directions_file,
    family_file,
    keys,
    scale_of,
    start_file,
)
from firstorder.studies.linearized.settings import Family
from firstorder.studies.linearized.specs import (
    UNREAD_OF_LINEAR,
    family_of,
    inductive,
    network_of,
    network_spec,
    seed_of,
    support_of,
    support_spec,
    tasks_spec,
)  # fmt: skip

PRELOAD = (
    "firstorder.data.images",
    "firstorder.linearized.network",
    "firstorder.linearized.spectrum",
    "firstorder.models",
    "firstorder.training.loop",
)
IN = f"firstorder.studies.{NAME}.steps"
RUN = {
    "compute_kernel": f"{IN}.kernel:compute_kernel",
    "decompose": f"{IN}.kernel:decompose",
    "linearize": f"{IN}.training:linearize",
    "fit": f"{IN}.training:fit",
    "rotate": f"{IN}.rotation:rotate",
    "find_directions": f"{IN}.directions:find_directions",
}
"""Where the function of a step is."""


def kernel_job(config: Config, model: str, support: str, seed: str) -> Job:
    """Initialise a network; its outputs and its tangent kernel on a support."""
    return Job(
        step="compute_kernel",
        key=(model, support, seed),
        spec={
            **network_spec(config, model),
            **support_spec(config, support),
            "seed": seed_of(seed),
            "threads": scale_of(config).threads,
            "memory_gib": scale_of(config).memory_gib,
        },
        inputs={"dataset": _dataset_file(config, support)},
        outputs=start_files(config, "compute_kernel", model, support, seed),
        code=_code(config, "compute_kernel", model),
        demand=demand.of_kernel(config, model, support),
    )


def spectrum_job(config: Config, model: str, support: str, seed: str) -> Job:
    """The leading eigenvalues and eigenvectors of a kernel."""
    scale, examples = scale_of(config), support_of(config, support)
    return Job(
        step="decompose",
        key=(model, support, seed),
        spec={
            **network_spec(config, model),
            **support_spec(config, support),
            "seed": seed_of(seed),
            "eigenvectors": min(scale.eigenvectors, examples.train + examples.test),
            "inductive": inductive(config, model, support),
            "threads": scale.threads,
        },
        inputs={
            "dataset": _dataset_file(config, support),
            **_start_inputs(config, model, support, seed, "init.safetensors", "kernel.npy"),
        },
        outputs=start_files(config, "decompose", model, support, seed),
        code=_code(config, "decompose", model),
        demand=demand.of_spectrum(config, support, inductive(config, model, support)),
    )


def linearize_job(config: Config, model: str, support: str, seed: str, family: str) -> Job:
    """Train the linearization, with and without f_0, on all tasks of a family."""
    network_of(config, model)
    threads = scale_of(config).threads
    declared, examples = family_of(config, family, support), support_of(config, support)
    return Job(
        step="linearize",
        key=(model, support, seed, family),
        spec={
            **tasks_spec(config, declared, seed, UNREAD_OF_LINEAR),
            "support": {"train": examples.train, "test": examples.test},
            "threads": threads,
        },
        inputs={
            # The classes of labelled images; an eigenfunction is known from the spectrum.
            **({"dataset": _dataset_file(config, support)} if declared.kind == "binary" else {}),
            **_start_inputs(config, model, support, seed, "outputs.npy", "kernel.npy"),
            **_targets(config, declared, model, seed),
        },
        outputs=family_files(config, "linearize", model, support, seed, family),
        code=(RUN["linearize"],),
        demand=demand.of_family(config, declared, threads, kernels=1),
    )


def fit_job(config: Config, model: str, support: str, seed: str, family: str) -> Job:
    """Train the network on all tasks of a family."""
    declared = family_of(config, family, support)
    return Job(
        step="fit",
        key=(model, support, seed, family),
        spec={
            **network_spec(config, model),
            **support_spec(config, support),
            **tasks_spec(config, declared, seed),
            "family": family,
            "watch": list(declared.watch),
            "watch_points": declared.watch_points,
            "memory_gib": scale_of(config).memory_gib,
        },
        inputs={
            "dataset": _dataset_file(config, support),
            **_start_inputs(config, model, support, seed, "init.safetensors", "kernel.npy"),
            **_targets(config, declared, model, seed),
        },
        outputs=family_files(config, "fit", model, support, seed, family),
        code=_code(config, "fit", model),
        demand=demand.of_family(
            config, declared, config.recipes[declared.recipe].threads, kernels=0, model=model
        ),
    )


def rotate_job(config: Config, model: str, support: str, seed: str, family: str) -> Job:
    """The kernels of the trained networks of a family, and linear training on them."""
    threads = scale_of(config).threads
    declared = family_of(config, family, support)
    return Job(
        step="rotate",
        key=(model, support, seed, family),
        spec={
            **network_spec(config, model),
            **support_spec(config, support),
            **tasks_spec(config, declared, seed, UNREAD_OF_LINEAR),
            "tasks": list(declared.rotated or declared.tasks),
            "threads": threads,
            "memory_gib": scale_of(config).memory_gib,
        },
        inputs={
            "dataset": _dataset_file(config, support),
            **_start_inputs(config, model, support, seed, "init.safetensors", "kernel.npy"),
            **_targets(config, declared, model, seed),
            "networks.safetensors": family_file(
                config, model, support, seed, family, "networks.safetensors"
            ),
        },
        outputs=family_files(config, "rotate", model, support, seed, family),
        code=_code(config, "rotate", model),
        demand=demand.of_family(config, declared, threads, kernels=1),
    )


def directions_job(config: Config, model: str, seed: str, family: str) -> Job:
    """The anisotropy directions of a network, and its trainings on their linear tasks."""
    declared = family_of(config, family, GAUSSIAN)
    options = declared.directions
    return Job(
        step="find_directions",
        key=(model, seed, family),
        spec={
            **network_spec(config, model),
            **tasks_spec(config, declared, seed),
            "shape": [1, options.size, options.size],
            "directions": options.model_dump(mode="json", exclude={"size"}),
            "memory_gib": scale_of(config).memory_gib,
        },
        inputs={},
        outputs=directions_files(config, model, seed, family),
        code=_code(config, "find_directions", model),
        demand=demand.of_family(
            config, declared, config.recipes[declared.recipe].threads, kernels=2
        ),
    )


def start_files(config: Config, step: str, model: str, support: str, seed: str) -> Files:
    """What a step writes for an initialisation."""
    return {name: start_file(config, model, support, seed, name) for name in FILES[step]}


def family_files(
    config: Config, step: str, model: str, support: str, seed: str, family: str
) -> Files:
    """What a step writes for a family of tasks."""
    return {name: family_file(config, model, support, seed, family, name) for name in FILES[step]}


def directions_files(config: Config, model: str, seed: str, family: str) -> Files:
    """What `find_directions` writes."""
    return {
        name: directions_file(config, model, seed, family, name)
        for name in FILES["find_directions"]
    }


def _dataset_file(config: Config, support: str) -> str:
    return paths(config).dataset(support_of(config, support).dataset)


def _start_inputs(
    config: Config, model: str, support: str, seed: str, *names: str
) -> dict[str, str]:
    return {name: start_file(config, model, support, seed, name) for name in names}


def _targets(config: Config, family: Family, model: str, seed: str) -> dict[str, str]:
    """What eigenfunction tasks are made from; nothing for other kinds."""
    if family.kind not in OF_SPECTRUM or family.support is None:
        return {}
    return _start_inputs(config, model, family.support, seed, OF_SPECTRUM[family.kind])


def _code(config: Config, step: str, model: str) -> tuple[str, ...]:
    """The code of a step and of its network."""
    return (RUN[step], *functions.entries("models", network_of(config, model).model))


def _start_step(name: str, job: Callable[..., Job], help: str) -> Step:
    return Step(
        name=name,
        run=RUN[name],
        keys=("model", "support", "seed"),
        help=help,
        outputs=lambda config, model, support, seed: start_files(
            config, name, model, support, seed
        ),
        job=job,
        every=lambda config: keys(config, name),
        preload=PRELOAD,
    )


def _family_step(name: str, job: Callable[..., Job], help: str) -> Step:
    return Step(
        name=name,
        run=RUN[name],
        keys=("model", "support", "seed", "family"),
        help=help,
        outputs=lambda config, *key: family_files(config, name, *key),
        job=job,
        every=lambda config: keys(config, name),
        preload=PRELOAD,
    )


STEPS = (
    _start_step(
        "compute_kernel", kernel_job, "Initialise MODEL; its tangent kernel on SUPPORT for SEED."
    ),
    _start_step("decompose", spectrum_job, "Decompose the kernel of MODEL on SUPPORT for SEED."),
    _family_step(
        "linearize", linearize_job, "Train the linearization of MODEL on the tasks of FAMILY."
    ),
    _family_step("fit", fit_job, "Train MODEL on the tasks of FAMILY."),
    _family_step(
        "rotate", rotate_job, "The kernels of the trained networks of FAMILY, and training on them."
    ),
    step(
        RUN["find_directions"], ("model", "seed", "family"),
        directions_files, directions_job, lambda config: keys(config, "find_directions"), PRELOAD,
        help="The anisotropy directions of MODEL, and its trainings on their tasks.",
    ),
)  # fmt: skip
