"""What jobs ask of a scheduler, from what the configuration declares."""

from __future__ import annotations

from firstorder.config import Cell, Config

GIB = 1024


def gpus(config: Config) -> int:
    """GPUs of a training or kernel job: one when the configuration asks for CUDA."""
    return int(config.settings.device == "cuda")


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
    """Memory of a training: what the recipe declares, and the pixels in float32."""
    return cell.recipe.memory_mb + 5 * dataset_megabytes(config, cell.dataset)


def training_minutes(cell: Cell, runs: int) -> int:
    """Minutes of a job that trains `runs` networks one after the other."""
    return 5 + cell.recipe.minutes * runs


def kernel_megabytes(config: Config, support: str) -> int:
    """Memory of a kernel job: the matrix twice, the working blocks, the interpreter."""
    declared = config.scale.linearized.supports[support]
    matrix = 4 * (declared.train + declared.test) ** 2 // 2**20
    return 1500 + 2 * matrix + int(config.scale.linearized.memory_gib * GIB)


def family_megabytes(config: Config, family: str) -> int:
    """Memory of the trainings of a family of tasks."""
    declared = config.scale.linearized.families[family]
    kernel = kernel_megabytes(config, declared.support) if declared.support else 2000
    return config.recipes[declared.recipe].memory_mb + kernel


def family_minutes(config: Config, family: str) -> int:
    """Minutes to train a network on every task of a family."""
    declared = config.scale.linearized.families[family]
    return 5 + config.recipes[declared.recipe].minutes * len(declared.tasks)
