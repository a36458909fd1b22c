"""What the jobs of the study ask of a scheduler. Their rules multiply it by the attempt."""

from __future__ import annotations

from firstorder.config import Config
from firstorder.data.steps import megabytes as dataset_megabytes
from firstorder.jobs.job import Demand
from firstorder.linearized import DENSE, krylov_dimensions
from firstorder.studies.linearized.grid import scale_of, study_of
from firstorder.studies.linearized.settings import Family

GIB = 1024
BASE = 1500
"""Memory in MiB of Snakemake, Python and torch, before any data."""
NETWORK = 1500
"""Memory in MiB of the largest network's passes on a batch of 64."""
WEIGHTS = {"mlp": 5, "lenet": 2}
"""Weights in MiB of a network of 32 x 32 colour images, at most, by its builder."""
LARGEST = 45
"""Those of ResNet-18, and of what is not known."""
RECORDS = 2
"""Disk in MiB of the records of a task: an epoch a line, and every arm."""


def of_kernel(config: Config, model: str, support: str) -> Demand:
    """A kernel: the working blocks and the examples; the matrix streams to disk, with weights."""
    return _demand(
        config,
        scale_of(config).threads,
        BASE + _blocks_megabytes(config) + _examples_megabytes(config, support),
        scale_of(config).kernel_minutes,
        _matrix_megabytes(config, support) + _weights_megabytes(config, model),
    )


def of_spectrum(config: Config, support: str, inductive: int) -> Demand:
    """The decomposition of a kernel, which stays mapped.

    One that may be decomposed as a whole: in float64 its copy, its eigenvectors and the work
    space of divide and conquer. A larger one: the bases of a Krylov space. Then the gradients of
    the network on a batch. On disk: the eigenvectors in float64, and so many `inductive` ones.
    """
    scale = scale_of(config)
    count = scale.supports[support].train + scale.supports[support].test
    if count <= DENSE:
        needed = 9 * _matrix_megabytes(config, support)
    else:
        needed = 3 * 8 * count * krylov_dimensions(scale.eigenvectors) // 2**20
    megabytes = BASE + _examples_megabytes(config, support) + max(needed, NETWORK)
    disk = 8 * count * (min(scale.eigenvectors, count) + inductive) // 2**20 + 1
    return _demand(config, scale.threads, megabytes, scale.kernel_minutes, disk)


def of_family(
    config: Config, family: Family, threads: int, kernels: int, model: str | None = None
) -> Demand:
    """Trainings of a family of tasks: the recipe's memory, and so many kernels that are not mapped.

    A kernel counts as the square of all examples. On disk: records, and the weights of a network
    for every task where `model` is trained.
    """
    recipe = config.recipes[family.recipe]
    megabytes = BASE + recipe.memory_mb + _blocks_megabytes(config)
    if family.support is not None:
        megabytes += kernels * _matrix_megabytes(config, family.support)
        megabytes += _examples_megabytes(config, family.support)
    else:
        train, test = family.directions.train, family.directions.test
        megabytes += kernels * 4 * train * (train + test) // 2**20
    weights = _weights_megabytes(config, model) if model else 0
    disk = (RECORDS + weights) * len(family.tasks)
    return _demand(config, threads, megabytes, 5 + recipe.minutes * len(family.tasks), disk)


def _demand(config: Config, threads: int, megabytes: int, minutes: int, disk: int) -> Demand:
    return Demand(
        threads=threads,
        gpu=config.settings.device != "cpu",
        megabytes=megabytes,
        minutes=minutes,
        disk_megabytes=disk,
    )


def _matrix_megabytes(config: Config, support: str) -> int:
    """The kernel of all examples of a support, in float32."""
    declared = scale_of(config).supports[support]
    return 4 * (declared.train + declared.test) ** 2 // 2**20 + 1


def _weights_megabytes(config: Config, model: str) -> int:
    """The weights of a network of the study, at most."""
    return WEIGHTS.get(study_of(config).models[model].model, LARGEST)


def _blocks_megabytes(config: Config) -> int:
    """The memory that the scale gives to kernel computations; a GPU's where there is one."""
    return int(scale_of(config).memory_gib * GIB)


def _examples_megabytes(config: Config, support: str) -> int:
    """The dataset, and the support's pixels as float32: at most all of the dataset's."""
    return 5 * dataset_megabytes(config.datasets[scale_of(config).supports[support].dataset])
