"""Typed configuration: what `config/` may hold, merged and checked before any job is planned.

Every file is validated against its own model, so an error names the file, the key, the value
and what is allowed. `load` then checks what spans files (does every run name a known loss, is
every rate possible for its dataset). Nothing here imports torch or Snakemake: the workflow
reads this module again in every job process.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from firstorder.errors import ConfigError
from firstorder.validation import SLUG, check, check_entries, choose, lookup, read

Scalar = bool | int | float | str
Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
FamilyName = Annotated[str, Field(pattern="^(eigenfunctions|binary|nads)$")]
"""The families of tasks of the linearized study."""
Slug = Annotated[str, Field(pattern=f"^{SLUG.pattern}$")]
"""A name that is also a folder: lower case, digits, `.`, `_`, `+` and `-`."""
Item = TypeVar("Item")
Some = Annotated[tuple[Item, ...], Field(min_length=1)]
"""A list with at least one item."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """A value that refuses unknown keys and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- data ---------------------------------------------------------------------------------


class File(Strict):
    """One raw file of a dataset, as published."""

    name: str
    """File name in `resources/<dataset>/`."""
    sha256: Sha256 | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    bytes: Count | None = None
    content_sha256: Sha256 | None = None
    """SHA-256 of what a .gz file unpacks to: a repacked copy of the same content is accepted."""
    urls: tuple[str, ...] = ()
    """Tried in order, after the dataset's local folders."""

    @field_validator("name")
    @classmethod
    def _stays_in_its_folder(cls, name: str) -> str:
        if name in ("", ".", "..") or any(character in name for character in "/\\:\0"):
            raise ValueError("write a plain file name, without folders")
        return name

    @field_validator("urls")
    @classmethod
    def _encrypted(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not is_allowed_url(url):
                raise ValueError(f"{url}: only https is fetched (http from the own machine)")
        return urls


def is_allowed_url(url: str) -> bool:
    """Whether data may be fetched from `url`: https, or http from the loopback interface."""
    scheme, _, rest = url.partition("://")
    host = urlsplit(url).hostname or ""
    if scheme == "https":
        return bool(host)
    return scheme == "http" and bool(rest) and host in ("localhost", "127.0.0.1", "::1")


class Dataset(Strict):
    """A dataset: its shape, its raw files, how to read and normalise it, its label-flip map."""

    title: str
    reader: Literal["digits", "photo_patches", "idx", "cifar", "webvision"]
    """Which reader of `firstorder.data` decodes the raw files."""
    shape: tuple[Count, Count, Count]
    """Channels, height, width."""
    resize: bool = False
    """Resize the published images (bilinear) to `shape`."""
    train: Count
    test: Count
    extra_tests: dict[Slug, Count] = {}
    """Further test sets that the reader finds, by name, with their sizes."""
    classes: tuple[str, ...] = ()
    """Class names in label order; empty for images without labels."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Per channel, of pixel values scaled to [0, 1]."""
    asymmetric: dict[int, int] | Literal["blocks"] = {}
    """Class-dependent noise: true class -> the class that it is mistaken for.
    `blocks`: within blocks of five classes each turns into the next (CIFAR-100)."""
    semantic_groups: tuple[int, ...] = ()
    """Super-class of every class, for the `semantic` blocks convention."""
    human: dict[str, str] = {}
    """Human annotations: name -> key in `human_file`."""
    human_file: File | None = None
    """The labels that people gave; fetched only when human noise is asked for."""
    files: tuple[File, ...] = ()
    """The raw files that the reader needs."""
    folders: tuple[str, ...] = ()
    """Local folders that may hold the raw files, tried before any download; relative ones lie
    in `resources/<dataset>/`."""
    help: str = ""
    """What to do when the raw files cannot be had: which package or file would help."""
    source: str

    @model_validator(mode="after")
    def _consistent(self) -> Dataset:
        channels, classes = self.shape[0], len(self.classes)
        if len(self.mean) != channels or len(self.std) != channels:
            raise ValueError(f"mean and std need one value for each of the {channels} channels")
        if min(self.std) <= 0:
            raise ValueError("std must be positive")
        if isinstance(self.asymmetric, dict):
            for pair in self.asymmetric.items():
                if not all(0 <= label < classes for label in pair):
                    raise ValueError(
                        f"asymmetric: {pair[0]} -> {pair[1]}: labels end at {classes - 1}"
                    )
        if self.semantic_groups and len(self.semantic_groups) != classes:
            raise ValueError(f"semantic_groups needs one value for each of the {classes} classes")
        if bool(self.human) != (self.human_file is not None):
            raise ValueError("human annotations need a human_file, and the other way round")
        return self


# --- noise --------------------------------------------------------------------------------


class Noise(Strict):
    """A model of label noise on the training labels."""

    kind: Literal["symmetric", "asymmetric", "pairflip", "instance", "human"]
    rate: Rate = 0.0
    sampler: Literal["count", "class", "iid"] = "count"
    """How labels are drawn from the noise's transition matrix (symmetric, asymmetric, pairflip):
    exact counts per ordered pair of classes (the protocol), exact counts per class, or
    independently."""
    include_true_class: bool = False
    """Symmetric noise that redraws from all K classes, the true one included."""
    blocks: Literal["index", "semantic"] = "index"
    """CIFAR-100: blocks of consecutive class indices (as published) or semantic super-classes."""
    annotation: str | None = None
    """Human noise: which annotation."""

    @model_validator(mode="after")
    def _human(self) -> Noise:
        if (self.kind == "human") != (self.annotation is not None):
            raise ValueError("human noise needs an annotation, and no other kind has one")
        return self

    @classmethod
    def parse(cls, slug: str) -> Noise:
        """The noise named by a slug such as `symmetric-0.4`, `instance-0.2` or `human-worst`."""
        kind, _, value = slug.partition("-")
        if kind == "human":
            return cls(kind="human", annotation=value)
        try:
            return cls(kind=kind, rate=float(value))  # type: ignore[arg-type]
        except (ValueError, ValidationError):
            raise ConfigError(
                f"noise {slug!r}: write KIND-RATE with KIND one of symmetric, asymmetric, "
                "pairflip, instance and RATE in [0, 1], or human-ANNOTATION, or declare it "
                "under `noises:`"
            ) from None


# --- losses and recipes -------------------------------------------------------------------


class LossChange(Strict):
    """What a dataset changes in a loss."""

    parameters: dict[str, Scalar] = {}
    score_norm: Literal["none", "l2", "bn"] | None = None
    l1: Annotated[float, Field(ge=0)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | Literal["tuned"] | None = None


class Loss(Strict):
    """One row of the comparison: a loss, its hyper-parameters and what goes with it."""

    label: str
    """As printed in tables and legends."""
    function: str | None = None
    """Registered name (default: the entry's id), or `module:function`, or `file.py:function`."""
    parameters: dict[str, Scalar] = {}
    score_norm: Literal["none", "l2", "bn"] = "none"
    """Normalisation of the scores before the loss: none, Euclidean norm, batch norm."""
    l1: Annotated[float, Field(ge=0)] = 0.0
    """Coefficient of the L1 norm of all trainable parameters, added to the loss."""
    weight_decay: Annotated[float, Field(ge=0)] | Literal["tuned"] | None = None
    """Instead of the recipe's; `tuned`: chosen by the tuning protocol."""
    datasets: dict[str, LossChange] = {}
    source: str = ""

    def on(self, dataset: str) -> Loss:
        """This loss with what `dataset` changes."""
        change = self.datasets.get(dataset)
        if change is None:
            return self.model_copy(update={"datasets": {}})
        update = change.model_dump(exclude_none=True, exclude={"parameters"})
        parameters = {**self.parameters, **change.parameters}
        return self.model_copy(update={**update, "parameters": parameters, "datasets": {}})


class Recipe(Strict):
    """How a network is trained."""

    model: str
    model_parameters: dict[str, Scalar] = {}
    train: Count | None = None
    """Use this many training examples (class-stratified); all when absent."""
    epochs: Count
    batch: Count = 128
    lr: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine", "linear", "step", "exponential", "one-cycle"] = "cosine"
    schedule_unit: Literal["epoch", "step"] = "epoch"
    """Whether the learning rate changes once an epoch or once a step."""
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    """Factor of the `step` (at milestones) and `exponential` (every unit) schedules."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Annotated[float, Field(gt=0)] | None = None
    """Bound on the Euclidean norm of the gradient."""
    drop_last: bool = False
    augment: dict[Literal["crop", "flip", "rotate", "resized-crop", "jitter"], Scalar] = {}
    """Augmentation: crop (padding in pixels), flip (probability), rotate (degrees), ..."""
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: Count = 1
    """CPU threads of one training; in the recipe because sums depend on it in the last digit."""
    minutes: Count = 10
    """Time to ask a scheduler for, for one training."""
    memory_mb: Count = 2000
    """Memory to ask a scheduler for."""
    source: str = ""


# --- studies ------------------------------------------------------------------------------


class Selection(Strict):
    """Which results of its study an artefact or a claim needs, by the names of groups."""

    cells: str | None = None
    """Symmetrization: a group of (setting, noise) pairs of the scale."""
    losses: str | None = None
    """Symmetrization: a group of losses of the study."""
    family: Literal["eigenfunctions", "binary", "nads"] | None = None
    """Linearized: a family of tasks of the scale; gives models, support and seeds."""
    models: tuple[str, ...] | None = None
    """Linearized: only these models of the family."""
    files: tuple[str, ...] = ()
    """Which files of every selected training or initialisation.
    Symmetrization: summary.json, history.csv, tuning.json, labels.npz.
    Linearized: names below the initialisation's folder, as in `paths.Paths.tangent`;
    `runs/FAMILY/ARM.csv` belongs to FAMILY, every other file to `family`."""


class Artefact(Strict):
    """A table or figure, declared once; targets, inputs and captions follow from it."""

    kind: Literal["table", "figure"]
    title: str
    caption: str
    where: str
    """Its place in the paper that is rebuilt, or `beyond the paper`."""
    draw: str
    """Name of the function of `firstorder.publish` that makes it."""
    select: Selection = Selection()
    options: dict[str, Any] = {}
    published: str | None = None
    """Name of the file of `config/published/` with the published numbers."""


class Claim(Strict):
    """A qualitative statement of a paper, as a predicate over results."""

    title: str
    where: str
    predicate: str
    """Name of the function of `firstorder.publish.claims` that judges it."""
    select: Selection = Selection()
    options: dict[str, Any] = {}


class Variants(Strict):
    """A family of losses that differ in one setting; each gets a slug of its own."""

    losses: tuple[str, ...]
    vary: Literal["parameter", "score_norm", "weight_decay"]
    parameter: str | None = None
    values: tuple[Scalar, ...]
    slug: str
    """Format of the new names, with {loss} and {value}."""
    label: str
    """Format of the new labels, with {label} and {value}."""


class SymmetrizationStudy(Strict):
    """config/studies/symmetrization.yaml"""

    title: str
    paper: str
    losses: dict[str, tuple[str, ...]]
    """Groups of losses."""
    variants: dict[str, Variants] = {}
    """Families of losses; each is also a group under its own name."""
    artefacts: dict[Slug, Artefact]
    claims: dict[str, Claim] = {}


class TangentModel(Strict):
    """A scalar-output network of the linearized study."""

    label: str
    model: str
    model_parameters: dict[str, Scalar] = {}


class LinearizedStudy(Strict):
    """config/studies/linearized.yaml"""

    title: str
    paper: str
    models: dict[Slug, TangentModel]
    artefacts: dict[Slug, Artefact]
    claims: dict[str, Claim] = {}


class Studies(Strict):
    symmetrization: SymmetrizationStudy
    linearized: LinearizedStudy


# --- scales -------------------------------------------------------------------------------


class Setting(Strict):
    """A dataset with the recipe by which networks are trained on it."""

    dataset: str
    recipe: str


class Cells(Strict):
    """A group of (setting, noise) pairs: their product."""

    settings: tuple[str, ...]
    noises: tuple[Slug, ...]
    note: str = ""
    """Printed in the caption, for instance what stands in for data that this scale lacks."""


class Tuning(Strict):
    """The tuning protocol: train on a noisy part, choose by clean accuracy on the rest."""

    noise: Slug = "symmetric-0.8"
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    split_seed: int = 42
    weight_decays: tuple[float, ...]
    l1_factors: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    """For losses with an L1 penalty: multiples of its coefficient, in place of weight decays."""
    seeds: Some[Seed] = (1,)


class SymmetrizationScale(Strict):
    seeds: Some[Seed]
    settings: dict[Slug, Setting]
    noises: dict[Slug, Noise] = {}
    """Noises whose options differ from the defaults, by name."""
    cells: dict[str, Cells]
    losses: dict[str, tuple[str, ...]] = {}
    """Groups of losses that differ from the study's at this scale."""
    tuning: Tuning | None = None


class Support(Strict):
    """The examples on which kernels live: the first `train` and `test` ones of a fixed shuffle."""

    dataset: str
    train: Count
    test: Count


class Family(Strict):
    """Tasks that are trained in the same way, for several models and seeds."""

    support: str | None = None
    """Absent for tasks that make their own inputs (NADs)."""
    models: Some[str]
    seeds: Some[Seed]
    recipe: str
    tasks: Some[Count]
    """Eigenfunction or NAD indices (from 1), or training-set sizes."""
    watch: tuple[Count, ...] = ()
    """Tasks whose kernel is followed through training."""
    watch_points: Count = 500
    """Training examples on which the evolving kernel's spectrum is computed."""
    options: dict[str, Scalar] = {}


class LinearizedScale(Strict):
    supports: dict[Slug, Support]
    families: dict[FamilyName, Family]
    memory_gib: Annotated[float, Field(gt=0)] = 4.0
    """Memory that kernel computations may take."""
    kernel_minutes: Count = 10
    """Time to ask a scheduler for, for one kernel or its spectrum."""
    eigenvectors: Count = 1000
    """How many leading eigenvectors are kept."""
    threads: Count = 1
    """CPU threads of a kernel, a spectrum or a training in function space."""


class Scale(Strict):
    """config/scales/NAME.yaml: which part of both studies is run, on which data."""

    title: str
    data: str
    hardware: str
    symmetrization: SymmetrizationScale
    linearized: LinearizedScale


class Settings(Strict):
    """config/config.yaml: what the user edits."""

    scale: Slug = "smoke"
    studies: tuple[Literal["symmetrization", "linearized"], ...] = ("symmetrization", "linearized")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    results: str = "results"
    resources: str = "resources"
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    """A training writes a checkpoint at least this often."""


class Config(Strict):
    """The whole configuration, resolved."""

    settings: Settings
    scale: Scale
    datasets: dict[Slug, Dataset]
    losses: dict[Slug, Loss]
    recipes: dict[Slug, Recipe]
    studies: Studies


# --- what is run --------------------------------------------------------------------------


class Cell(Strict):
    """Trainings that share everything but the seed: one job."""

    setting: str
    dataset: str
    noise_name: str
    noise: Noise
    loss_name: str
    loss: Loss
    recipe: Recipe
    seeds: tuple[int, ...]
    tuning: bool = False
    """Train on the tuning split and validate on the rest of the training set."""


def noise(config: Config, name: str) -> Noise:
    """The noise called `name`: declared by the scale, or spelled out by the name itself."""
    return config.scale.symmetrization.noises.get(name) or Noise.parse(name)


def losses(config: Config) -> dict[str, Loss]:
    """All losses: those of config/losses.yaml and the variants of the study."""
    known = dict(config.losses)
    for variants in config.studies.symmetrization.variants.values():
        for base, value in itertools.product(variants.losses, variants.values):
            name = variants.slug.format(loss=base, value=value)
            loss = known[base].model_copy(update={"function": known[base].function or base})
            known[name] = _vary(loss, variants, value)
    return known


def _vary(loss: Loss, variants: Variants, value: Scalar) -> Loss:
    update: dict[str, Any] = {"label": variants.label.format(label=loss.label, value=value)}
    if variants.vary == "parameter":
        assert variants.parameter is not None
        update["parameters"] = {**loss.parameters, variants.parameter: value}
        # A dataset's own value of the varied parameter must not undo the variation.
        update["datasets"] = {
            name: change.model_copy(
                update={
                    "parameters": {
                        key: v for key, v in change.parameters.items() if key != variants.parameter
                    }
                }
            )
            for name, change in loss.datasets.items()
        }
    else:
        update[variants.vary] = value
        update["datasets"] = {
            name: change.model_copy(update={variants.vary: None})
            for name, change in loss.datasets.items()
        }
    return loss.model_copy(update=update)


def loss_group(config: Config, name: str) -> tuple[str, ...]:
    """The losses of group `name`, at this scale."""
    study, scale = config.studies.symmetrization, config.scale.symmetrization
    if name in scale.losses:
        return scale.losses[name]
    if name in study.losses:
        return study.losses[name]
    variants = study.variants[name]
    return tuple(
        variants.slug.format(loss=loss, value=value)
        for loss, value in itertools.product(variants.losses, variants.values)
    )


def cell(config: Config, setting: str, noise_name: str, loss_name: str) -> Cell:
    """The resolved cell of a setting, a noise and a loss."""
    scale = config.scale.symmetrization
    chosen = lookup(scale.settings, setting, "setting")
    loss = lookup(losses(config), loss_name, "loss").on(chosen.dataset)
    return Cell(
        setting=setting,
        dataset=chosen.dataset,
        noise_name=noise_name,
        noise=noise(config, noise_name),
        loss_name=loss_name,
        loss=loss.model_copy(update={"function": loss.function or loss_name}),
        recipe=config.recipes[chosen.recipe],
        seeds=scale.seeds,
    )


def tuning_cell(config: Config, setting: str, loss_name: str) -> Cell:
    """The cell of the tuning protocol: a loss at the tuning noise, on the tuning split."""
    tuning = config.scale.symmetrization.tuning
    if tuning is None:
        raise ConfigError(
            f"loss {loss_name!r}: its weight decay is `tuned`, but scale {config.settings.scale!r} "
            "declares no tuning; add symmetrization.tuning"
        )
    tuned = cell(config, setting, tuning.noise, loss_name)
    return tuned.model_copy(update={"seeds": tuning.seeds, "tuning": True})


def selections(study: SymmetrizationStudy | LinearizedStudy) -> Iterator[tuple[str, Selection]]:
    """The name of every artefact and claim of a study, and what it needs."""
    for name, artefact in study.artefacts.items():
        yield name, artefact.select
    for name, claim in study.claims.items():
        yield name, claim.select


def all_cells(config: Config) -> Iterator[tuple[str, str, str]]:
    """Every (setting, noise, loss) that an artefact or claim of the study needs, once each."""
    study = config.studies.symmetrization
    seen: dict[tuple[str, str, str], None] = {}
    for _, select in selections(study):
        seen.update(dict.fromkeys(selected_cells(config, select)))
    yield from seen


def label_seeds(config: Config) -> tuple[int, ...]:
    """The seeds for which noisy labels are drawn: those of the trainings and of the tuning."""
    scale = config.scale.symmetrization
    tuning = scale.tuning.seeds if scale.tuning else ()
    return tuple(sorted({*scale.seeds, *tuning}))


def human_files(config: Config, dataset: str, noise_name: str) -> tuple[File, ...]:
    """The raw files with human annotations that a noise needs: one, or none."""
    declared = config.datasets[dataset].human_file
    needed = noise(config, noise_name).kind == "human"
    return (declared,) if needed and declared is not None else ()


def selected_cells(config: Config, select: Selection) -> Iterator[tuple[str, str, str]]:
    """The (setting, noise, loss) names that a selection of the symmetrization study needs."""
    group = config.scale.symmetrization.cells.get(select.cells or "")
    if group is None or select.losses is None:
        return
    yield from itertools.product(group.settings, group.noises, loss_group(config, select.losses))


def artefacts(config: Config) -> Iterator[tuple[str, str, Artefact]]:
    """Every (study, id, artefact) of the chosen studies."""
    for study in config.settings.studies:
        for name, artefact in getattr(config.studies, study).artefacts.items():
            yield study, name, artefact


# --- loading ------------------------------------------------------------------------------


def load(root: str | Path = "config", overrides: dict[str, Any] | None = None) -> Config:
    """Read and check the configuration below `root`.

    `overrides` replaces keys of `config.yaml`. Raises ConfigError with one line that names the
    file, the key, the value and what is allowed.
    """
    root = Path(root)
    main = read(root / "config.yaml")
    for key, value in (overrides or {}).items():
        main[key] = value
    where = f"{root}/config.yaml" + (" or the command line" if overrides else "")
    scale = str(main.get("scale", Settings().scale))
    lookup({path.stem: path for path in (root / "scales").glob("*.yaml")}, scale, "scale", where)
    settings = check(Settings, main, where)
    scale_file = root / "scales" / f"{settings.scale}.yaml"
    config = Config(
        settings=settings,
        scale=check(Scale, read(scale_file), scale_file),
        datasets=check_entries(Dataset, root / "datasets.yaml"),
        losses=check_entries(Loss, root / "losses.yaml"),
        recipes=check_entries(Recipe, root / "recipes.yaml"),
        studies=Studies(
            symmetrization=check(
                SymmetrizationStudy,
                read(root / "studies" / "symmetrization.yaml"),
                root / "studies" / "symmetrization.yaml",
            ),
            linearized=check(
                LinearizedStudy,
                read(root / "studies" / "linearized.yaml"),
                root / "studies" / "linearized.yaml",
            ),
        ),
    )
    _check_references(config, root, scale_file)
    return config


def _check_references(config: Config, root: Path, scale_file: Path) -> None:
    _check_loss_names(config, root)
    _check_symmetrization(config, root, scale_file)
    _check_linearized(config, root, scale_file)


def _check_loss_names(config: Config, root: Path) -> None:
    study_file = root / "studies" / "symmetrization.yaml"
    for name, variants in config.studies.symmetrization.variants.items():
        for loss in variants.losses:
            lookup(config.losses, loss, "loss", f"{study_file}: variants.{name}.losses")
        if (variants.vary == "parameter") != (variants.parameter is not None):
            raise ConfigError(
                f"{study_file}: variants.{name}: `parameter` goes with `vary: parameter`"
            )
        if variants.vary == "score_norm" and not set(variants.values) <= {"none", "l2", "bn"}:
            raise ConfigError(
                f"{study_file}: variants.{name}.values: {list(variants.values)!r} is not allowed: "
                "choose from none, l2, bn"
            )
        _check_variant_names(config, variants, f"{study_file}: variants.{name}")
    known = losses(config)
    for name, loss_entry in config.losses.items():
        for dataset in loss_entry.datasets:
            lookup(config.datasets, dataset, "dataset", f"{root}/losses.yaml: {name}.datasets")
    groups = {
        study_file: config.studies.symmetrization.losses,
        root / "scales" / f"{config.settings.scale}.yaml": config.scale.symmetrization.losses,
    }
    for file, group in groups.items():
        for name, members in group.items():
            for loss in members:
                lookup(known, loss, "loss", f"{file}: losses.{name}")


def _check_variant_names(config: Config, variants: Variants, where: str) -> None:
    """Refuse formats that do not give every variant a name of its own."""
    names = []
    for base, value in itertools.product(variants.losses, variants.values):
        try:
            names.append(variants.slug.format(loss=base, value=value))
            variants.label.format(label=base, value=value)
        except (LookupError, ValueError) as error:
            raise ConfigError(
                f"{where}: {error}: slug may hold {{loss}} and {{value}}, label {{label}} and "
                "{value}"
            ) from None
    for name in names:
        if names.count(name) > 1 or name in config.losses or not SLUG.fullmatch(name):
            raise ConfigError(
                f"{where}.slug: {variants.slug!r} is not allowed: {name!r} must be a new name, "
                "given once, of lower-case letters, digits, '.', '_', '+' and '-'"
            )


def _check_symmetrization(config: Config, root: Path, scale_file: Path) -> None:
    scale, study = config.scale.symmetrization, config.studies.symmetrization
    where = f"{scale_file}: symmetrization"
    for name, setting in scale.settings.items():
        dataset = lookup(config.datasets, setting.dataset, "dataset", f"{where}.settings.{name}")
        if not dataset.classes:
            raise ConfigError(f"{where}.settings.{name}: dataset {setting.dataset!r} has no labels")
        recipe = lookup(config.recipes, setting.recipe, "recipe", f"{where}.settings.{name}")
        if recipe.train is not None and recipe.train > dataset.train:
            raise ConfigError(
                f"{root}/recipes.yaml: {setting.recipe}.train: {recipe.train} is not allowed: "
                f"{setting.dataset} has {dataset.train} training examples"
            )
    for group, cells in scale.cells.items():
        for name, slug in itertools.product(cells.settings, cells.noises):
            setting = lookup(scale.settings, name, "setting", f"{where}.cells.{group}")
            key = f"{where}.cells.{group}.noises"
            dataset = config.datasets[setting.dataset]
            check_noise(_noise_at(config, slug, key), dataset, setting.dataset, key)
    if scale.tuning is not None:
        for setting in scale.settings.values():
            key = f"{where}.tuning.noise"
            dataset = config.datasets[setting.dataset]
            tuned = _noise_at(config, scale.tuning.noise, key)
            check_noise(tuned, dataset, setting.dataset, key)
    known_groups = sorted({*study.losses, *study.variants, *scale.losses})
    for name, select in selections(study):
        key = f"{root}/studies/symmetrization.yaml: {name}.select"
        if select.losses is not None and select.losses not in known_groups:
            raise ConfigError(
                f"{key}.losses: {select.losses!r} is unknown; {choose(select.losses, known_groups)}"
            )
        if select.cells is not None and select.cells not in scale.cells:
            raise ConfigError(
                f"{key}.cells: {select.cells!r} is unknown at scale {config.settings.scale!r}; "
                f"{choose(select.cells, sorted(scale.cells))}"
            )


def _noise_at(config: Config, name: str, where: str) -> Noise:
    try:
        return noise(config, name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def check_noise(noise: Noise, dataset: Dataset, name: str, where: str) -> None:
    """Refuse noise that is impossible on `dataset` (called `name`), naming the key `where`."""
    classes = len(dataset.classes)
    if noise.kind == "symmetric":
        most = 1.0 if noise.include_true_class else (classes - 1) / classes
        if noise.rate > most:
            raise ConfigError(
                f"{where}: rate {noise.rate:g} is not allowed: symmetric noise on the {classes} "
                f"classes of {name} takes rates in [0, {most:g}]"
            )
    elif noise.kind == "asymmetric" and noise.rate and not dataset.asymmetric:
        raise ConfigError(f"{where}: {name} has no asymmetric map; give one in datasets.yaml")
    elif noise.kind == "human" and noise.annotation not in dataset.human:
        raise ConfigError(
            f"{where}: human annotation {noise.annotation!r} is unknown for {name}; "
            f"allowed: {', '.join(dataset.human) or 'none'}"
        )
    if noise.blocks == "semantic" and not dataset.semantic_groups:
        raise ConfigError(f"{where}: {name} declares no semantic_groups for `blocks: semantic`")


def _check_linearized(config: Config, root: Path, scale_file: Path) -> None:
    scale, study = config.scale.linearized, config.studies.linearized
    where = f"{scale_file}: linearized"
    for name, support in scale.supports.items():
        key = f"{where}.supports.{name}"
        dataset = lookup(config.datasets, support.dataset, "dataset", key)
        for part in ("train", "test"):
            if getattr(support, part) > getattr(dataset, part):
                raise ConfigError(
                    f"{key}.{part}: {getattr(support, part)} is not allowed: "
                    f"{support.dataset} has {getattr(dataset, part)}"
                )
    for name, family in scale.families.items():
        key = f"{where}.families.{name}"
        lookup(config.recipes, family.recipe, "recipe", key)
        for model in family.models:
            lookup(study.models, model, "model", key)
        if not set(family.watch) <= set(family.tasks):
            raise ConfigError(
                f"{key}.watch: {list(family.watch)} is not allowed: "
                f"choose from tasks {list(family.tasks)}"
            )
        if name == "nads":
            if family.support is not None:
                raise ConfigError(f"{key}.support: NAD tasks make their own inputs; leave it out")
            continue
        if family.support is None:
            raise ConfigError(f"{key}.support: missing; name one of {', '.join(scale.supports)}")
        support = lookup(scale.supports, family.support, "support", key)
        most = support.train + support.test if name == "eigenfunctions" else support.train
        if max(family.tasks) > most:
            raise ConfigError(
                f"{key}.tasks: {max(family.tasks)} is not allowed: at most {most} on this support"
            )
        if name == "binary" and not config.datasets[support.dataset].classes:
            raise ConfigError(f"{key}.support: dataset {support.dataset!r} has no labels")
    for name, select in selections(study):
        for model in select.models or ():
            lookup(study.models, model, "model", f"{root}/studies/linearized.yaml: {name}")
