"""`firstorder doctor`: is this machine ready for the chosen scale?"""

from __future__ import annotations

import itertools
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from firstorder import config as configuration
from firstorder import demand, forecast
from firstorder.config import Config, Dataset, File
from firstorder.paths import Paths

PACKAGES = ("snakemake", "torch", "torchvision", "numpy", "pandas", "matplotlib", "typst")
GIB = 1024
REACH_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """One line of the report; `mend` says what to do where something is missing."""

    text: str
    mend: str = ""


def examine(config: Config) -> str:
    """A readable report: environment, devices, data, disk, and the size and time of the work.

    The last line says whether the machine is ready. Sources of data that are not in place are
    asked whether they answer.
    """
    scale = config.scale
    title = f"scale {config.settings.scale}: {scale.data}; meant for {scale.hardware}"
    sections = {
        "environment": list(_environment()),
        "device": list(_device(config)),
        "data": list(_data(config)),
        "disk": list(_disk(config)),
        "work": [Finding(line) for line in forecast.lines(config)],
    }
    lines = [title]
    for name, findings in sections.items():
        lines += ["", name]
        for finding in findings:
            lines.append(f"  {'!!' if finding.mend else '  '} {finding.text}")
            if finding.mend:
                lines.append(f"     -> {finding.mend}")
    missing = [f for findings in sections.values() for f in findings if f.mend]
    what = "thing is" if len(missing) == 1 else "things are"
    return "\n".join([*lines, "", f"{len(missing)} {what} missing" if missing else "ready"])


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


def _environment() -> Iterator[Finding]:
    yield Finding(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            yield Finding(f"{package} is not installed", "make env")
    yield Finding(", ".join(f"{name} {version}" for name, version in found.items()))


def _device(config: Config) -> Iterator[Finding]:
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Finding(f"{forecast.cores()} CPU cores, {memory:.0f} GiB of memory")
    needed = _memory(config)
    if needed > memory:
        yield Finding(
            f"the largest job asks for {needed:.0f} GiB of memory",
            "a larger machine or a smaller scale; jobs may still fit, what they ask is generous",
        )
    else:
        yield Finding(f"the largest job asks for {needed:.0f} GiB of memory")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            used = "" if config.settings.device != "cpu" else ", not used: device is cpu"
            yield Finding(f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB{used}")
    elif config.settings.device == "cuda":
        yield Finding("no CUDA device, but one is asked for", "set `device: auto` in config.yaml")
    else:
        yield Finding("no CUDA device: everything runs on the CPU")


def _memory(config: Config) -> float:
    """Memory of the largest job in GiB."""
    asked = [demand.prepare_megabytes(config, name) for name in datasets(config)]
    if "symmetrization" in config.settings.studies:
        cells = (configuration.cell(config, *names) for names in configuration.all_cells(config))
        asked += [demand.training_megabytes(config, cell) for cell in cells]
    if "linearized" in config.settings.studies:
        scale = config.scale.linearized
        asked += [demand.family_megabytes(config, family) for family in scale.families]
        asked += [demand.kernel_megabytes(config, support) for support in scale.supports]
    return max(asked, default=0) / GIB


def _data(config: Config) -> Iterator[Finding]:
    for name in datasets(config):
        dataset = config.datasets[name]
        if not dataset.files:
            yield Finding(f"{name}: bundled, nothing to download")
        for file in (*dataset.files, *_human(config, name)):
            yield _source(config, name, dataset, file)


def _human(config: Config, name: str) -> Iterator[File]:
    """The human annotations of a dataset, where a noise of this scale needs them."""
    if "symmetrization" not in config.settings.studies:
        return
    settings = config.scale.symmetrization.settings
    noises = {
        noise: None
        for setting, noise, _ in configuration.all_cells(config)
        if settings[setting].dataset == name
    }
    found = (configuration.human_files(config, name, noise) for noise in noises)
    yield from {file.name: file for files in found for file in files}.values()


def _source(config: Config, name: str, dataset: Dataset, file: File) -> Finding:
    """Where a raw file is or will come from."""
    paths = Paths(config.settings.results, config.settings.resources, config.settings.scale)
    if Path(paths.raw(name, file.name)).is_file():
        return Finding(f"{name}: {file.name} is in place")
    local = [folder for folder in dataset.folders if (Path(folder) / file.name).is_file()]
    if local:
        return Finding(f"{name}: {file.name} will be taken from {local[0]}")
    if not file.urls:
        return Finding(f"{name}: {file.name} is missing", dataset.help)
    answers = [url for url in file.urls if _answers(url)]
    if answers:
        return Finding(f"{name}: {file.name} will be downloaded from {urlsplit(answers[0]).netloc}")
    hosts = ", ".join(dict.fromkeys(urlsplit(url).netloc for url in file.urls))
    place = Path(paths.raw(name, file.name)).parent
    return Finding(
        f"{name}: {file.name} is not here; no answer from {hosts}",
        f"connect, or put the file into {place}/",
    )


def _answers(url: str) -> bool:
    """Whether a source would send its file; only the head is asked for."""
    import requests

    try:
        return requests.head(url, timeout=REACH_SECONDS, allow_redirects=True).ok
    except requests.RequestException:
        return False


def _disk(config: Config) -> Iterator[Finding]:
    root = Path(config.settings.results)
    while not root.exists():
        root = root.parent if root.parent != root else Path(".")
    free = shutil.disk_usage(root).free / 2**30
    parts = {name: size for name, size in _sizes(config).items() if size}
    needed = sum(parts.values()) / GIB
    named = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
    text = f"{needed:.1f} GiB needed when nothing is there yet ({named}); {free:.0f} GiB free"
    yield Finding(text, "free some, or set `results` to another disk" if needed > free else "")


def _sizes(config: Config) -> dict[str, float]:
    """What will be stored, in MiB: raw and prepared data, weights, kernels."""
    data = sum(demand.dataset_megabytes(config, name) for name in datasets(config))
    downloaded = [name for name in datasets(config) if config.datasets[name].files]
    raw = sum(demand.dataset_megabytes(config, name) for name in downloaded)
    weights = kernels = 0.0
    if "symmetrization" in config.settings.studies:
        seeds = len(config.scale.symmetrization.seeds)
        cells = (configuration.cell(config, *names) for names in configuration.all_cells(config))
        weights += sum(seeds * WEIGHTS.get(cell.recipe.model, 10.0) for cell in cells)
    if "linearized" in config.settings.studies:
        scale = config.scale.linearized
        models = config.studies.linearized.models
        shared = {
            (model, family.support, seed)  # families on one support share its kernels
            for family in scale.families.values()
            for model, seed in itertools.product(family.models, family.seeds)
            if family.support
        }
        for _, name, _ in shared:
            support = scale.supports[name]
            count = support.train + support.test
            kernels += 4 * count * (count + scale.eigenvectors) / 2**20
        for family in scale.families.values():
            weights += sum(
                len(family.seeds) * len(family.tasks) * WEIGHTS.get(models[name].model, 10.0)
                for name in family.models
            )
    return {"data": data + raw, "kernels": kernels, "weights": weights}


WEIGHTS = {"mlp": 1.0, "lenet": 0.5, "cnn4": 5.0, "cnn8": 15.0,
           "resnet18": 43.0, "resnet34": 82.0, "resnet50": 91.0}  # fmt: skip
"""MiB of the stored weights of a model, float32."""
