"""What `config/studies/robust_kernels/` may hold, and the checks that span its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from firstorder.config import (
    TUNED,
    Artefact,
    Claim,
    ClaimId,
    Config,
    ConfigError,
    Count,
    Gibibytes,
    Loss,
    Noise,
    Place,
    Rate,
    Scalar,
    Seed,
    Slug,
    Some,
    Strict,
    Threads,
    check_augment,
    check_batch,
    check_noise,
    check_printed,
    lookup,
)
from firstorder.jobs import functions, signature
from firstorder.publish import declared as drawn

NAME = "robust_kernels"
LossName = str
"""The type of an option that names a loss of the study, so that `check` refuses an unknown one."""
Part = Literal["kernels", "networks"]
"""Which results: of fixed kernels, or of networks whose kernel turns."""


class Select(Strict):
    """Which results an artefact or a claim draws on: all of one part."""

    part: Part


class Model(Strict):
    """A network, by its builder."""

    label: str
    model: Place
    model_parameters: dict[str, Scalar] = {}


class Compared(Strict):
    """A loss of `losses.yaml` with values for this study."""

    loss: str
    label: str | None = None
    parameters: dict[str, Scalar] = {}
    score_norm: Literal["none", "l2"] = "none"
    """Of networks; a kernel's scores are as they are."""


class Declared(Strict):
    """study.yaml"""

    title: str
    paper: str
    models: dict[Slug, Model]
    losses: dict[Slug, Compared]
    on_kernels: Some[Slug]
    """The losses that are followed on fixed kernels."""
    on_networks: Some[Slug]
    """Those that networks are trained with."""
    artefacts: dict[Slug, Artefact[Select]]
    claims: dict[ClaimId, Claim[Select]] = {}


class Examples(Strict):
    """The first `train` and `test` examples of a fixed shuffle of a dataset, and a model."""

    model: Slug
    dataset: str
    train: Count
    test: Count
    seeds: Some[Seed]


class Kernel(Examples):
    """A kernel of the initial network with one output, centred."""

    seeds: Some[Annotated[Seed, Field(ge=1)]]
    """Of the network, and of the noise, which no two kernels share."""


class Network(Examples):
    """Trainings of a network with two outputs, whose kernel is measured on the way."""

    positive: Some[Annotated[int, Field(ge=0)]]
    """The classes of the dataset that are class 1; the others are class 0."""
    rate: Rate
    """Of symmetric noise, exact counts."""
    recipe: str
    epochs: Some[Annotated[int, Field(ge=0)]]
    """After which the kernel is computed, the last of them among them; 0: before the training."""
    points: Count
    """The first so many training examples: on them it is."""

    @model_validator(mode="after")
    def _points_are_trained(self) -> Network:
        if self.points > self.train:
            raise ValueError(
                f"points: {self.points} of {self.train} training examples; lower it, or raise train"
            )
        return self


class Paths(Strict):
    """The losses on a fixed kernel, full batch, at equal first step."""

    rates: Some[Rate]
    """Of symmetric noise, exact counts."""
    steps: Count


class Scale(Strict):
    """SCALE.yaml"""

    kernels: dict[Slug, Kernel] = {}
    rates: Some[Rate] = (0.0,)
    """Of symmetric noise."""
    draws: Count = 10
    """Of the noise, for the mean classifier."""
    ridge_draws: Count = 1
    """The first so many of them, for ridge regression."""
    ridge_rates: Some[Rate] | None = None
    """Those of `rates` at which ridge regression is fitted; all where it is absent."""
    eigenpairs: Count | None = None
    """Of a kernel too large to be decomposed as a whole: so many, and conjugate gradients."""
    interpolation: Annotated[float, Field(ge=0)] = 0.0
    """Penalty of the interpolating ridge regression, relative to the mean diagonal entry."""
    exact: Count = 1000
    """Training examples at most on which the exact statements are measured, in float64."""
    paths: Paths = Paths(rates=(0.4,), steps=100)
    networks: dict[Slug, Network] = {}
    threads: Threads = 1
    memory_gib: Gibibytes = 2.0
    """Memory that blocks of kernels may take; sums depend on it in the last digit."""
    minutes: Count = 10
    """Time to ask a scheduler for, for one job."""

    @model_validator(mode="after")
    def _enough(self) -> Scale:
        if self.ridge_draws > self.draws:
            raise ValueError(
                f"ridge_draws: {self.ridge_draws} of {self.draws} draws; lower it, or raise draws"
            )
        if self.eigenpairs is not None and not self.interpolation:
            raise ValueError("interpolation: 0 needs all eigenpairs; give a penalty such as 1e-4")
        if not set(self.ridge_rates or ()) <= set(self.rates):
            raise ValueError("ridge_rates: name some of `rates`")
        return self


def declared(config: Config) -> Declared:
    """What the study publishes."""
    found: Declared = config.studies[NAME].declared
    return found


def scale(config: Config) -> Scale:
    """What the scale runs of the study."""
    found: Scale = config.studies[NAME].scale
    return found


def loss(config: Config, slug: str, dataset: str) -> Loss:
    """A loss of the study, with what the dataset and the study change."""
    compared = lookup(declared(config).losses, slug, "loss")
    found = config.losses[compared.loss].on(dataset)
    return found.model_copy(
        update={
            "label": compared.label or found.label,
            "function": found.function or compared.loss,
            "parameters": {**found.parameters, **compared.parameters},
        }
    )


def check(config: Config, study_file: Path, scale_file: Path) -> None:
    """Refuse what does not fit together. Raises ConfigError that names file and key."""
    study, at_scale = declared(config), scale(config)
    for name, model in study.models.items():
        functions.check_model(model.model, model.model_parameters, f"{study_file}: models.{name}")
    for slug, compared in study.losses.items():
        lookup(config.losses, compared.loss, "loss", f"{study_file}: losses.{slug}")
    for key, slugs in (("on_kernels", study.on_kernels), ("on_networks", study.on_networks)):
        for slug in slugs:
            compared = lookup(study.losses, slug, "loss", f"{study_file}: {key}")
            if key == "on_kernels" and compared.score_norm != "none":
                raise ConfigError(
                    f"{study_file}: {key}: {slug} has score_norm: {compared.score_norm}, and a "
                    "kernel's scores are as they are; name it on_networks alone"
                )
    for part, entries in (("artefacts", study.artefacts), ("claims", study.claims)):
        for name, entry in entries.items():
            for option, named in drawn.named(NAME, entry, "LossName"):
                for slug in named:
                    lookup(
                        study.losses, slug, "loss", f"{study_file}: {part}.{name}.options.{option}"
                    )
    for name, kernel in at_scale.kernels.items():
        where = f"{scale_file}: kernels.{name}"
        _check_examples(config, kernel, where)
        _check_losses(config, study.on_kernels, kernel.dataset, study_file)
        for key, rates in (("rates", at_scale.rates), ("paths.rates", at_scale.paths.rates)):
            for rate in rates:
                noise, dataset = Noise(kind="symmetric", rate=rate), config.datasets[kernel.dataset]
                check_noise(noise, dataset, kernel.dataset, f"{scale_file}: {key}")
        classes = len(config.datasets[kernel.dataset].classes)
        if at_scale.exact < classes:
            raise ConfigError(
                f"{scale_file}: exact: {at_scale.exact}; {kernel.dataset} has {classes} classes, "
                "and each needs an example"
            )
    for name, network in at_scale.networks.items():
        where = f"{scale_file}: networks.{name}"
        _check_examples(config, network, where)
        _check_losses(config, study.on_networks, network.dataset, study_file)
        recipe = lookup(config.recipes, network.recipe, "recipe", f"{where}.recipe")
        recipes = f"{config.root}/recipes.yaml: {network.recipe}"
        check_batch(recipe, network.train, f"networks.{name}", recipes)
        check_augment(recipe, config.datasets[network.dataset].shape, network.dataset, recipes)
        classes = len(config.datasets[network.dataset].classes)
        if not set(network.positive) < set(range(classes)):
            raise ConfigError(f"{where}.positive: name some of the classes 0 to {classes - 1}")
        if max(network.epochs) != recipe.epochs:
            raise ConfigError(
                f"{where}.epochs: the largest must be the last epoch, which is {recipe.epochs} of "
                f"recipe {network.recipe}"
            )
        if not 0 < network.rate < 0.5:
            raise ConfigError(f"{where}.rate: two classes take rates between 0 and 0.5")


def _check_examples(config: Config, examples: Examples, where: str) -> None:
    model = lookup(declared(config).models, examples.model, "model", f"{where}.model")
    dataset = lookup(config.datasets, examples.dataset, "dataset", f"{where}.dataset")
    if len(dataset.classes) < 2:
        there = "one class" if dataset.classes else "no labels"
        raise ConfigError(
            f"{where}.dataset: {examples.dataset} has {there}; two classes are needed"
        )
    functions.check_channels(model.model, dataset.shape[0], f"{where}.model")
    if examples.train < len(dataset.classes):
        raise ConfigError(
            f"{where}.train: {examples.train}; {examples.dataset} has {len(dataset.classes)} "
            "classes, and each needs an example"
        )
    for part in ("train", "test"):
        asked, there = getattr(examples, part), getattr(dataset, part)
        if asked > there:
            raise ConfigError(f"{where}.{part}: {examples.dataset} has {there}, not {asked}")


def _check_losses(config: Config, slugs: tuple[str, ...], dataset: str, study_file: Path) -> None:
    """Parameters must fit the loss's function, and each must have a value; labels must differ."""
    labels = (("losses", loss(config, slug, dataset).label, slug) for slug in slugs)
    check_printed(labels, study_file)
    for slug in slugs:
        found, where = loss(config, slug, dataset), f"{study_file}: losses.{slug}.parameters"
        if TUNED in found.parameters.values():
            raise ConfigError(f"{where}: one is tuned on {dataset}; give a value here")
        (entry, *_) = functions.entries("losses", found.function or "", where)
        signature.check(entry, dict(found.parameters), where)
