"""`firstorder doctor`: is this machine ready for the chosen scale?"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from firstorder import config as configuration
from firstorder import demand
from firstorder.config import Config
from firstorder.paths import Paths

PACKAGES = ("snakemake", "torch", "torchvision", "numpy", "pandas", "matplotlib", "typst")


def examine(config: Config) -> str:
    """A readable report: environment, device, data, disk, and the size of the work."""
    sections = {
        "environment": _environment(),
        "device": _device(config),
        "data": _data(config),
        "disk": _disk(config),
        "work": _work(config),
    }
    return "\n".join(
        f"{title}\n" + "\n".join(f"  {line}" for line in lines) for title, lines in sections.items()
    )


def datasets(config: Config) -> tuple[str, ...]:
    """The datasets that the chosen studies use at this scale."""
    used: dict[str, None] = {}
    if "symmetrization" in config.settings.studies:
        settings = config.scale.symmetrization.settings
        used.update(
            {settings[name].dataset: None for name, _, _ in configuration.all_cells(config)}
        )
    if "linearized" in config.settings.studies:
        supports = config.scale.linearized.supports
        families = config.scale.linearized.families.values()
        used.update({supports[f.support].dataset: None for f in families if f.support})
    return tuple(used)


def _environment() -> Iterator[str]:
    yield f"python {platform.python_version()} on {platform.system()} {platform.machine()}"
    for package in PACKAGES:
        try:
            yield f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            yield f"{package} is missing; run `make`"


def _device(config: Config) -> Iterator[str]:
    import torch

    yield f"{os.cpu_count()} CPU cores"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            yield f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    elif config.settings.device == "cuda":
        yield "no CUDA device, but config.yaml asks for one; set `device: auto`"
    else:
        yield "no CUDA device; trainings run on the CPU"


def _data(config: Config) -> Iterator[str]:
    paths = Paths(config.settings.results, config.settings.resources, config.settings.scale)
    for name in datasets(config):
        dataset = config.datasets[name]
        if not dataset.files:
            yield f"{name}: bundled"
        for file in dataset.files:
            local = [folder for folder in dataset.folders if (Path(folder) / file.name).is_file()]
            if Path(paths.raw(name, file.name)).is_file():
                yield f"{name}: {file.name} is in place"
            elif local:
                yield f"{name}: {file.name} will be taken from {local[0]}"
            elif file.urls:
                yield f"{name}: {file.name} will be downloaded"
            else:
                yield f"{name}: {file.name} is missing; {dataset.help}"


def _disk(config: Config) -> Iterator[str]:
    needed = sum(demand.dataset_megabytes(config, name) for name in datasets(config))
    if "linearized" in config.settings.studies:
        scale = config.scale.linearized
        for family in scale.families.values():
            if family.support:
                support = scale.supports[family.support]
                matrix = 4 * (support.train + support.test) ** 2 // 2**20
                needed += matrix * len(family.models) * len(family.seeds)
    root = Path(config.settings.results)
    while not root.exists():
        root = root.parent if root.parent != root else Path(".")
    free = shutil.disk_usage(root).free // 2**20
    verdict = "enough" if free > needed else "NOT ENOUGH"
    yield f"{needed / 1024:.1f} GiB for datasets and kernels, {free / 1024:.0f} GiB free: {verdict}"


def _work(config: Config) -> Iterator[str]:
    if "symmetrization" in config.settings.studies:
        cells = list(configuration.all_cells(config))
        yield (
            f"symmetrization: {len(cells)} cells, "
            f"{len(cells) * len(config.scale.symmetrization.seeds)} trainings"
        )
    if "linearized" in config.settings.studies:
        for name, family in config.scale.linearized.families.items():
            runs = len(family.models) * len(family.seeds) * len(family.tasks)
            yield f"linearized, {name}: {runs} networks and as many linearizations"
