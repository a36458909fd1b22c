"""What jobs ask of a scheduler, from what the configuration declares.

The rules multiply memory and minutes by the attempt: a job that was killed for either asks for
more when it is tried again.
"""

from __future__ import annotations

from firstorder.config import Cell, Config
from firstorder.linearized import DENSE, krylov_dimensions

GIB = 1024
BASE = 1500
"""Memory in MiB of Snakemake, Python and torch, before any data."""
NETWORK = 1500
"""Memory in MiB of the largest network's passes on a batch of 64."""


def gpus(config: Config) -> int:
    """GPUs of a job that computes: one, unless the configuration says that CPUs do the work.

    Only a scheduler, or a limit such as `--resources gpu=1`, takes notice. With `device: auto`
    the job itself finds out whether it was given one.
    """
    return int(config.settings.device != "cpu")


def dataset_megabytes(config: Config, name: str) -> int:
    """Size of a prepared dataset in MiB: one byte a pixel."""
    dataset = config.datasets[name]
    channels, height, width = dataset.shape
    images = dataset.train + dataset.test + sum(dataset.extra_tests.values())
    return images * channels * height * width // 2**20 + 1


def prepare_megabytes(config: Config, dataset: str) -> int:
    """Memory to prepare a dataset: raw and prepared pixels, unless they pass in blocks."""
    streamed = config.datasets[dataset].reader == "webvision"
    return 2000 + (0 if streamed else 3 * dataset_megabytes(config, dataset))


def training_megabytes(config: Config, cell: Cell) -> int:
    """Memory of a training: what the recipe declares, the pixels as read, and as float32.

    Each of the two splits is kept as float32 only below 1 GiB (`training.data.KEEP_BYTES`).
    """
    pixels = dataset_megabytes(config, cell.dataset)
    return cell.recipe.memory_mb + 3 * pixels + min(4 * pixels, 2 * GIB)


def training_minutes(cell: Cell, runs: int) -> int:
    """Minutes of a job that trains `runs` networks one after the other."""
    return 5 + cell.recipe.minutes * runs


def kernel_megabytes(config: Config, support: str) -> int:
    """Memory of a kernel job: the matrix twice, the working blocks, the examples."""
    return (
        BASE
        + 2 * _matrix_megabytes(config, support)
        + _blocks_megabytes(config)
        + _examples_megabytes(config, support)
    )


def spectrum_megabytes(config: Config, support: str) -> int:
    """Memory to decompose a kernel.

    One that may be decomposed as a whole: the matrix, and in float64 its copy, its eigenvectors
    and the work space of divide and conquer. A larger one: the matrix twice, and the bases of a
    Krylov space. Then, with the matrix still mapped, the gradients of the network on a batch.
    """
    declared = config.scale.linearized.supports[support]
    count = declared.train + declared.test
    matrix = _matrix_megabytes(config, support)
    own = BASE + _examples_megabytes(config, support)
    if count <= DENSE:
        return own + max(9 * matrix, NETWORK)
    bases = 3 * 8 * count * krylov_dimensions(config.scale.linearized.eigenvectors) // 2**20
    return own + max(2 * matrix + bases, NETWORK)


def family_megabytes(config: Config, family: str) -> int:
    """Memory of the trainings of a family of tasks: the recipe's, two kernels and parts of them."""
    declared = config.scale.linearized.families[family]
    own = config.recipes[declared.recipe].memory_mb + _blocks_megabytes(config)
    if declared.support is not None:
        matrices = 3 * _matrix_megabytes(config, declared.support)
        return BASE + own + matrices + _examples_megabytes(config, declared.support)
    train = int(declared.options.get("train", 10_000))
    test = int(declared.options.get("test", 10_000))
    return BASE + own + 3 * 4 * train * (train + test) // 2**20


def family_minutes(config: Config, family: str) -> int:
    """Minutes to train a network on every task of a family."""
    declared = config.scale.linearized.families[family]
    return 5 + config.recipes[declared.recipe].minutes * len(declared.tasks)


def _matrix_megabytes(config: Config, support: str) -> int:
    """The kernel of all examples of a support, in float32."""
    declared = config.scale.linearized.supports[support]
    return 4 * (declared.train + declared.test) ** 2 // 2**20 + 1


def _blocks_megabytes(config: Config) -> int:
    """The memory that the scale gives to kernel computations; a GPU's where there is one."""
    return int(config.scale.linearized.memory_gib * GIB)


def _examples_megabytes(config: Config, support: str) -> int:
    """The dataset, and the support's pixels as float32: at most all of the dataset's."""
    return 5 * dataset_megabytes(config, config.scale.linearized.supports[support].dataset)
