"""The steps of the study, and their jobs: what each reads of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firstorder.config import Config, ConfigError, lookup
from firstorder.data.steps import megabytes
from firstorder.jobs import functions
from firstorder.jobs.job import Demand, Files, Job
from firstorder.jobs.paths import paths
from firstorder.jobs.study import step
from firstorder.studies.robust_kernels.grid import (
    kernel_files,
    kernel_keys,
    network_keys,
    rotation_files,
)
from firstorder.studies.robust_kernels.settings import NAME, Examples, declared, loss, scale

MODULE = f"firstorder.studies.{NAME}"
BASE = 1500
"""Memory in MiB of Snakemake, Python and torch, before any data."""
UNREAD_OF_RECIPE = {
    "model", "model_parameters", "train", "mean", "std", "minutes", "memory_mb", "source",
}  # fmt: skip
"""What no training of this study reads: networks and data come from the scale."""


def _kernel_job(config: Config, kernel: str, seed: str) -> Job:
    found = lookup(scale(config).kernels, kernel, "kernel")
    _known(seed, found, kernel)
    return Job(
        step="compute_scalar_kernel",
        key=(kernel, seed),
        spec={**_network(config, found), "seed": int(seed), "threads": scale(config).threads},
        inputs={"dataset": paths(config).dataset(found.dataset)},
        outputs=kernel_files(config, "compute_scalar_kernel", kernel, seed),
        code=(
            f"{MODULE}.kernels:compute_scalar_kernel",
            *functions.entries("models", declared(config).models[found.model].model),
        ),
        demand=_demand(config, found, matrices=1),
    )


def _noise_job(config: Config, kernel: str, seed: str) -> Job:
    found, at_scale = lookup(scale(config).kernels, kernel, "kernel"), scale(config)
    _known(seed, found, kernel)
    rates, whole = at_scale.ridge_rates, at_scale.eigenpairs is None
    return Job(
        step="classify_under_noise",
        key=(kernel, seed),
        spec={
            **_labels(config, found),
            "seed": int(seed),
            "rates": list(at_scale.rates),
            "draws": at_scale.draws,
            "ridge_draws": at_scale.ridge_draws,
            "ridge_rates": list(at_scale.rates if rates is None else rates),
            "eigenpairs": at_scale.eigenpairs,
            "interpolation": at_scale.interpolation,
            "exact": min(at_scale.exact, found.train),
            "threads": at_scale.threads,
        },
        inputs=_kernel_inputs(config, kernel, seed, found),
        outputs=kernel_files(config, "classify_under_noise", kernel, seed),
        code=(f"{MODULE}.noise:classify_under_noise",),
        demand=_demand(config, found, matrices=9 if whole else 3),
    )


def _paths_job(config: Config, kernel: str, seed: str) -> Job:
    found, at_scale = lookup(scale(config).kernels, kernel, "kernel"), scale(config)
    _known(seed, found, kernel)
    losses = {slug: loss(config, slug, found.dataset) for slug in declared(config).on_kernels}
    return Job(
        step="follow_paths",
        key=(kernel, seed),
        spec={
            **_labels(config, found),
            "seed": int(seed),
            "rates": list(at_scale.paths.rates),
            "steps": at_scale.paths.steps,
            "exact": min(at_scale.exact, found.train),
            # A list: rows keep its order, and a digest sorts the keys of a mapping.
            "losses": [
                {"slug": slug, **each.model_dump(include={"function", "parameters"})}
                for slug, each in losses.items()
            ],
            "threads": at_scale.threads,
        },
        inputs=_kernel_inputs(config, kernel, seed, found),
        outputs=kernel_files(config, "follow_paths", kernel, seed),
        code=(
            f"{MODULE}.descent:follow_paths",
            *dict.fromkeys(
                entry
                for each in losses.values()
                for entry in functions.entries("losses", each.function or "")
            ),
        ),
        demand=_demand(config, found, matrices=3),
    )


def _rotation_job(config: Config, network: str, slug: str) -> Job:
    found, study = lookup(scale(config).networks, network, "network"), declared(config)
    if slug not in study.on_networks:
        raise ConfigError(f"loss {slug!r} trains no network; add it to `on_networks`")
    chosen, recipe = loss(config, slug, found.dataset), config.recipes[found.recipe]
    return Job(
        step="follow_rotation",
        key=(network, slug),
        spec={
            **_network(config, found),
            **found.model_dump(mode="json", include={"rate", "points", "seeds"}),
            "epochs": sorted(found.epochs),
            "positive": sorted(found.positive),
            "recipe": recipe.model_dump(mode="json", exclude=UNREAD_OF_RECIPE),
            "loss": {
                **chosen.model_dump(include={"function", "parameters"}),
                "score_norm": study.losses[slug].score_norm,
            },
        },
        inputs={"dataset": paths(config).dataset(found.dataset)},
        outputs=rotation_files(config, network, slug),
        code=(
            f"{MODULE}.rotation:follow_rotation",
            *functions.entries("losses", chosen.function or ""),
            *functions.entries("models", study.models[found.model].model),
        ),
        demand=_demand(config, found, matrices=1, trainings=len(found.seeds) * recipe.minutes),
    )


def _known(seed: str, found: Examples, name: str) -> None:
    if seed not in map(str, found.seeds):
        raise ConfigError(f"{name} has no seed {seed}; its seeds are {list(found.seeds)}")


def _labels(config: Config, found: Examples) -> dict[str, Any]:
    """Which examples, of how many classes."""
    return {
        "classes": len(config.datasets[found.dataset].classes),
        "train": found.train,
        "test": found.test,
    }


def _network(config: Config, found: Examples) -> dict[str, Any]:
    """The examples with their standardisation, and the network."""
    dataset, model = config.datasets[found.dataset], declared(config).models[found.model]
    return {
        "train": found.train,
        "test": found.test,
        "shape": list(dataset.shape),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "model": model.model,
        "model_parameters": dict(model.model_parameters),
        "memory_gib": scale(config).memory_gib,
    }


def _kernel_inputs(config: Config, kernel: str, seed: str, found: Examples) -> Files:
    made = kernel_files(config, "compute_scalar_kernel", kernel, seed)
    return {
        "dataset": paths(config).dataset(found.dataset),
        **{name: made[name] for name in ("kernel.npy", "test.npy")},
    }


def _demand(config: Config, found: Examples, matrices: int, trainings: int = 0) -> Demand:
    """Memory for so many float32 kernels of the training examples, and for the pixels."""
    one = 4 * found.train * (found.train + found.test) // 2**20 + 1
    at_scale = scale(config)
    return Demand(
        threads=at_scale.threads,
        gpu=config.settings.device != "cpu",
        megabytes=BASE
        + matrices * one
        + int(1024 * at_scale.memory_gib)
        + 5 * megabytes(config.datasets[found.dataset]),
        minutes=at_scale.minutes + trainings,
        disk_megabytes=one,
    )


def _files_of(step: str) -> Callable[..., Files]:
    """A function (config, kernel, seed) of the files of a step."""
    return lambda config, kernel, seed: kernel_files(config, step, kernel, seed)


PRELOAD = (
    "firstorder.data.images",
    "firstorder.linearized.kernel",
    "firstorder.linearized.multiclass",
    "firstorder.losses",
    "firstorder.models",
    "firstorder.training.loop",
)
"""The same for all steps, so that one process serves them."""
KERNEL = ("kernel", "seed")

STEPS = (
    step(
        f"{MODULE}.kernels:compute_scalar_kernel", KERNEL,
        _files_of("compute_scalar_kernel"), _kernel_job, kernel_keys, PRELOAD,
        help="Compute the centred tangent KERNEL of a network with one output.",
    ),
    step(
        f"{MODULE}.noise:classify_under_noise", KERNEL,
        _files_of("classify_under_noise"), _noise_job, kernel_keys, PRELOAD,
        help="Fit mean classifier and ridge regression on a KERNEL under label noise.",
    ),
    step(
        f"{MODULE}.descent:follow_paths", KERNEL,
        _files_of("follow_paths"), _paths_job, kernel_keys, PRELOAD,
        help="Follow every loss on a KERNEL from one first step on.",
    ),
    step(
        f"{MODULE}.rotation:follow_rotation", ("network", "loss"),
        rotation_files, _rotation_job, network_keys, PRELOAD,
        help="Train a NETWORK with a LOSS under label noise and follow its kernel.",
    ),
)  # fmt: skip
