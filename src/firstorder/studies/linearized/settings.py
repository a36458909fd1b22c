"""What `config/studies/linearized/` may hold, and the checks that span its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from firstorder.bounds import Index, Share
from firstorder.config import (
    Artefact,
    Claim,
    ClaimId,
    Config,
    ConfigError,
    Count,
    Distinct,
    Gibibytes,
    Place,
    Scalar,
    Seed,
    Slug,
    Some,
    Strict,
    Threads,
    check_printed,
    lookup,
    unread,
)
from firstorder.config.validation import read
from firstorder.jobs import functions
from firstorder.linearized import LEAVE_THE_SPAN
from firstorder.publish import declared as drawn

ModelName = str
"""The type of an option that names a model of the study, so that `check` refuses another."""
Reference = Some[tuple[Index, Share, Share, Share]]
"""Of a reference measurement: index, and accuracies of linearization, network, and linear model on
the trained kernel."""
Kind = Literal["eigenfunctions", "inductive", "binary", "nads"]
"""Of tasks: signs of eigenfunctions of the initial kernel of all examples; of that of the training
examples, extended to the test examples; labelled images, the first against the last half of the
classes; linear tasks along neural anisotropy directions."""


class Select(Strict):
    """Which results an artefact or a claim draws on."""

    family: Slug | None = None
    """A family of tasks of the scale; gives models, support and seeds."""
    also: tuple[Slug, ...] = ()
    """More families. A model is taken from the first one of a kind that has it."""
    models: tuple[str, ...] | None = None
    """Only these models of the families."""
    dataset: str | None = None
    """Only families on this dataset."""
    baselines: tuple[Slug, ...] = ()
    """Families that are drawn beside those, for comparison; on any dataset."""

    @property
    def families(self) -> tuple[str, ...]:
        """All families that are named, each once."""
        named = ((self.family,) if self.family else ()) + self.also + self.baselines
        return tuple(dict.fromkeys(named))


class Judged(Select):
    """Which results a claim draws on: those of any of its families, its first or not."""


class Network(Strict):
    """A scalar-output network."""

    label: str
    model: Place
    """Name of a builder of `firstorder.models`."""
    model_parameters: dict[str, Scalar] = {}


class LinearizedStudy(Strict):
    """config/studies/linearized/study.yaml"""

    title: str
    paper: str
    models: dict[Slug, Network]
    artefacts: dict[Slug, Artefact[Select]]
    claims: dict[ClaimId, Claim[Judged]] = {}


class Support(Strict):
    """The examples on which kernels live: the first `train` and `test` ones of a fixed shuffle."""

    dataset: str
    train: Count
    test: Count


class Directions(Strict):
    """Neural anisotropy directions, and the linear tasks along them on Gaussian inputs."""

    size: Count = 32
    """Side of the square inputs of one channel."""
    amplitude: Literal["half", "full"] = "half"
    """Of the signal: epsilon / 2, as in the released code, or epsilon."""
    epsilon: Annotated[float, Field(gt=0)] = 1.0
    sigma: Annotated[float, Field(gt=0)] = 1.0
    """Standard deviation of the noise."""
    train: Count = 10_000
    test: Count = 10_000
    samples: Count = 256
    """Inputs over which the mixed derivative is averaged for the definition by expectation."""
    networks: Count = 1000
    """Random networks for the definition by gradients."""


class Family(Strict):
    """Tasks that are trained in the same way, for several models and seeds."""

    kind: Kind
    support: str | None = None
    """Absent for `nads`, which make their own inputs."""
    models: Some[str]
    seeds: Some[Seed]
    recipe: str
    tasks: Some[Count]
    """Eigenfunction or NAD indices (from 1), or training-set sizes."""
    steps: Count | None = None
    """Of `binary` only: every task is trained for so many steps (rounded up to an epoch), and not
    for the recipe's epochs, which are the longer training where there are more examples."""
    watch: Distinct[Count] = ()
    """Tasks whose kernel is followed through training."""
    watch_points: Count = 500
    """Training examples on which the evolving kernel's spectrum is computed."""
    rotated: Distinct[Count] = ()
    """Tasks of whose trained network the kernel is computed; of all, if left."""
    options: Directions | None = None
    """Of `nads` only; the defaults where it is absent."""

    @model_validator(mode="after")
    def _consistent(self) -> Family:
        if self.kind == "nads" and self.support is not None:
            raise ValueError("support: NAD tasks make their own inputs; leave it out")
        if self.kind != "nads" and self.options is not None:
            raise ValueError(f"options: tasks of kind {self.kind} have none; leave it out")
        if self.kind != "binary" and self.steps is not None:
            raise ValueError(
                f"steps: tasks of kind {self.kind} take the recipe's epochs; leave it out"
            )
        if self.kind not in ("eigenfunctions", "binary") and self.watch:
            raise ValueError(f"watch: tasks of kind {self.kind} are not watched; leave it out")
        if self.kind != "eigenfunctions" and self.rotated:
            raise ValueError(
                f"rotated: of tasks of kind {self.kind} it is not chosen; leave it out"
            )
        if self.steps is not None and self.watch:
            raise ValueError("watch: a training of so many steps is not watched; leave it out")
        if not self.watch:
            unread(self, "watch: []", "watch_points")
        for name in ("watch", "rotated"):
            if not set(chosen := getattr(self, name)) <= set(self.tasks):
                raise ValueError(
                    f"{name}: {list(chosen)} is not allowed: choose from tasks {list(self.tasks)}"
                )
        return self

    @property
    def directions(self) -> Directions:
        """The options of `nads`."""
        return self.options or Directions()


class LinearizedScale(Strict):
    """config/studies/linearized/SCALE.yaml"""

    supports: dict[Slug, Support] = {}
    families: dict[Slug, Family] = {}
    memory_gib: Gibibytes = 4.0
    """Memory that blocks of kernels may take; sums depend on it in the last digit."""
    kernel_minutes: Count = 10
    """Time to ask a scheduler for, for one kernel or its spectrum."""
    eigenvectors: Count = 1000
    """How many leading eigenvectors are kept."""
    threads: Threads = 1
    """CPU threads of a kernel, a spectrum or a training in function space."""


def check(config: Config, study_file: Path, scale_file: Path) -> None:
    """Refuse what does not fit together, in one line that names file, key and mend."""
    study: LinearizedStudy = config.studies["linearized"].declared
    scale: LinearizedScale = config.studies["linearized"].scale
    for name, network in study.models.items():
        functions.check_model(
            network.model, network.model_parameters, f"{study_file}: models.{name}"
        )
    check_printed((("models", each.label, n) for n, each in study.models.items()), study_file)
    for name, support in scale.supports.items():
        _check_support(config, support, f"{scale_file}: supports.{name}")
    for name, family in scale.families.items():
        _check_family(config, family, f"{scale_file}: families.{name}")
    _check_selections(config, study, scale, study_file)


def _check_support(config: Config, support: Support, where: str) -> None:
    dataset = lookup(config.datasets, support.dataset, "dataset", where)
    for part in ("train", "test"):
        if getattr(support, part) > getattr(dataset, part):
            raise ConfigError(
                f"{where}.{part}: {getattr(support, part)} is not allowed: "
                f"{support.dataset} has {getattr(dataset, part)}"
            )


def _check_family(config: Config, family: Family, where: str) -> None:
    study: LinearizedStudy = config.studies["linearized"].declared
    scale: LinearizedScale = config.studies["linearized"].scale
    recipe = lookup(config.recipes, family.recipe, "recipe", where)
    for key in LEAVE_THE_SPAN:
        if getattr(recipe, key):
            raise ConfigError(
                f"{where}.recipe: {family.recipe} has {key}; a linearization, which is trained in "
                "function space, takes plain momentum only"
            )
    networks = [lookup(study.models, model, "model", where) for model in family.models]
    channels = 1
    if family.kind == "nads":
        most, of = family.directions.size**2, "inputs of this size have as many dimensions"
    else:
        if family.support is None:
            known = ", ".join(scale.supports) or "none: declare one under supports"
            raise ConfigError(f"{where}.support: missing; name one of {known}")
        support = lookup(scale.supports, family.support, "support", where)
        channels = config.datasets[support.dataset].shape[0]
        if family.kind == "binary":
            most, of = support.train, "the support has as many training examples"
            if not config.datasets[support.dataset].classes:
                raise ConfigError(f"{where}.support: dataset {support.dataset!r} has no labels")
        elif family.kind == "inductive":
            most, of = support.train, "the support has as many training examples"
        else:
            most, of = support.train + support.test, "the support has as many examples"
            if scale.eigenvectors < most:
                most, of = scale.eigenvectors, "as many eigenvectors are kept; raise eigenvectors"
    for network in networks:
        functions.check_channels(network.model, channels, f"{where}.models")
    if max(family.tasks) > most:
        raise ConfigError(
            f"{where}.tasks: {max(family.tasks)} is not allowed: at most {most}: {of}"
        )


def _check_selections(
    config: Config, study: LinearizedStudy, scale: LinearizedScale, study_file: Path
) -> None:
    """Refuse selections of unknown models, datasets, and families that no scale declares, and
    options that name unknown models."""
    declared = {name: True for name in scale.families}
    for file in sorted(study_file.parent.glob("*.yaml")):
        families = {} if file == study_file else read(file).get("families")
        declared |= dict.fromkeys(families if isinstance(families, dict) else (), True)
    for part, entries in (("artefacts", study.artefacts), ("claims", study.claims)):
        for name, entry in entries.items():
            where, chosen = f"{study_file}: {part}.{name}.select", entry.select
            for model in chosen.models or ():
                lookup(study.models, model, "model", f"{where}.models")
            if chosen.dataset is not None:
                lookup(config.datasets, chosen.dataset, "dataset", f"{where}.dataset")
            for family in chosen.families:
                lookup(declared, family, "family", where)
            for option, models in drawn.named("linearized", entry, "ModelName"):
                for model in models:
                    key = f"{study_file}: {part}.{name}.options.{option}"
                    lookup(study.models, model, "model", key)
