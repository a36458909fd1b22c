"""What is run at a scale, where its files are, and what an artefact draws on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from firstorder.config import Config
from firstorder.jobs import functions
from firstorder.jobs.paths import paths
from firstorder.jobs.study import Selected
from firstorder.publish.protocol import Row, examples, trained
from firstorder.studies.robust_kernels.settings import (
    NAME,
    Examples,
    Select,
    declared,
    loss,
    scale,
)

FILES = {
    "compute_scalar_kernel": ("kernel.npy", "test.npy", "kernel.json"),
    "classify_under_noise": ("accuracy.csv", "predicted.csv", "factors.csv", "noise.json"),
    "follow_paths": ("paths.csv", "first_step.csv", "exact.json"),
    "follow_rotation": ("rotation.csv", "correct.npz", "rotation.json"),
}
"""The files that each step writes, for every key the same."""
OF_LOSSES = {"paths.csv", "first_step.csv", "rotation.csv", "correct.npz"}
"""Those of them that have rows of losses."""


def kernel_files(config: Config, step: str, kernel: str, seed: str | int) -> dict[str, str]:
    """What a step writes for a kernel."""
    place = (NAME, "kernels", kernel, f"seed{seed}")
    return {name: paths(config).study(*place, name) for name in FILES[step]}


def rotation_files(config: Config, network: str, slug: str) -> dict[str, str]:
    """What `follow_rotation` writes."""
    place = (NAME, "networks", network, slug)
    return {name: paths(config).study(*place, name) for name in FILES["follow_rotation"]}


def kernel_keys(config: Config) -> list[tuple[str, ...]]:
    """(kernel, seed) of all kernels."""
    return [(name, str(s)) for name, each in scale(config).kernels.items() for s in each.seeds]


def network_keys(config: Config) -> list[tuple[str, ...]]:
    """(network, loss) of all trainings; a job has all seeds."""
    slugs = declared(config).on_networks
    return [(name, slug) for name in scale(config).networks for slug in slugs]


def select(config: Config, selection: Select, reads: tuple[str, ...]) -> Selected:
    """All results of a part of the study.

    `spec` has `rows` (kernel, seed, title, classes) or (network, loss, title, seeds, last epoch),
    and `losses` (loss, label, function, parameters) in the study's order, where any are read;
    `ridge` (eigenpairs, interpolation) beside accuracies of classifiers.
    `files` names a file KERNEL/SEED/NAME or NETWORK/LOSS/NAME.
    """
    of_kernels = selection.part == "kernels"
    declared_here: dict[str, Any] = dict(
        scale(config).kernels if of_kernels else scale(config).networks
    )
    if not declared_here:
        return Selected(available=False)
    keys = kernel_keys(config) if of_kernels else network_keys(config)
    second = "seed" if of_kernels else "loss"
    titles = _titles(config, declared_here)
    rows, files = [], {}
    for name, other in keys:
        own = declared_here[name]
        row: dict[str, Any] = {selection.part[:-1]: name, second: other}
        row["title"] = titles[name]
        if of_kernels:
            row["classes"] = len(config.datasets[own.dataset].classes)
        else:
            row |= {"seeds": list(own.seeds), "last": max(own.epochs)}
        rows.append(row)
        for file in reads:
            files[f"{name}/{other}/{file}"] = _file(config, name, other, file, of_kernels)
    study = declared(config)
    slugs = study.on_kernels if of_kernels else study.on_networks
    (dataset, *_) = (each.dataset for each in declared_here.values())
    read = {"label", "function", "parameters"}
    losses = [
        {"loss": slug} | loss(config, slug, dataset).model_dump(include=read)
        for slug in (slugs if OF_LOSSES & set(reads) else ())
    ]
    # Claims on networks ask of every loss whether it is symmetric.
    built = () if of_kernels else losses
    entries = (entry for each in built for entry in functions.entries("losses", each["function"]))
    spec: dict[str, Any] = {"rows": rows, "losses": losses}
    if "accuracy.csv" in reads:
        spec["ridge"] = scale(config).model_dump(include={"eigenpairs", "interpolation"})
    return Selected(
        spec=spec,
        files=files,
        code=tuple(dict.fromkeys(entries)),
        data="; ".join(dict.fromkeys(_data(config, each) for each in declared_here.values())),
        datasets=tuple(
            dict.fromkeys(config.datasets[each.dataset].title for each in declared_here.values())
        ),
        seeds=tuple(dict.fromkeys(s for each in declared_here.values() for s in each.seeds)),
    )


def _file(config: Config, name: str, other: str, file: str, of_kernels: bool) -> str:
    if not of_kernels:
        return rotation_files(config, name, other)[file]
    (step,) = (step for step, names in FILES.items() if file in names)
    return kernel_files(config, step, name, other)[file]


def _titles(config: Config, named: Mapping[str, Examples]) -> dict[str, str]:
    """How kernels or networks are printed: by model and data; several of both also by name."""
    models, datasets = declared(config).models, config.datasets
    titles = {
        name: f"{models[each.model].label}, {datasets[each.dataset].title}"
        for name, each in named.items()
    }
    count = Counter(titles.values())
    return {name: f"{t} ({name})" if count[t] > 1 else t for name, t in titles.items()}


def _data(config: Config, examples: Examples) -> str:
    title = config.datasets[examples.dataset].title
    return f"{title} ({examples.train:,} training and {examples.test:,} test examples)"


def protocol(config: Config) -> Iterator[Row]:
    """How every network is trained, for the paper; kernels are not trained."""
    for name, network in scale(config).networks.items():
        recipe = config.recipes[network.recipe]
        data = examples(config.datasets[network.dataset].title, network.train, network.test)
        model = declared(config).models[network.model].label
        yield trained(name, data, model, recipe, recipe.weight_decay, network.seeds)
