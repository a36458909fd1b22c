"""Checks that span files: unknown names, impossible noise, more examples than there are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from firstorder.config.datasets import Dataset, Noise
from firstorder.config.resolve import noise, selections
from firstorder.config.scales import Config
from firstorder.config.studies import Variants
from firstorder.config.training import TUNED, Loss
from firstorder.config.values import FAMILIES
from firstorder.errors import ConfigError
from firstorder.validation import SLUG, choose, lookup


def check_references(config: Config, root: Path, scale_file: Path) -> None:
    """Refuse a configuration whose parts do not fit together, naming file, key and value."""
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
        if variants.vary == "parameter" and TUNED in variants.values:
            raise ConfigError(
                f"{study_file}: variants.{name}.values: `{TUNED}` is not allowed: give values "
                "here, and tune a parameter in losses.yaml, under datasets"
            )
        if variants.vary == "score_norm" and not set(variants.values) <= {"none", "l2", "bn"}:
            raise ConfigError(
                f"{study_file}: variants.{name}.values: {list(variants.values)!r} is not allowed: "
                "choose from none, l2, bn"
            )
        _check_variant_blanks(variants, f"{study_file}: variants.{name}")
    for name, variants in config.studies.symmetrization.variants.items():
        _check_variant_names(config, variants, f"{study_file}: variants.{name}")
    for name, loss_entry in config.losses.items():
        for dataset in loss_entry.datasets:
            lookup(config.datasets, dataset, "dataset", f"{root}/losses.yaml: {name}.datasets")
        _check_tuned(loss_entry, f"{root}/losses.yaml: {name}")
    study = config.studies.symmetrization
    own = config.scale.symmetrization.losses
    scale_file = root / "scales" / f"{config.settings.scale}.yaml"
    for file, declared in ((study_file, study.losses), (scale_file, own)):
        groups = {**study.losses, **declared}
        for name in declared:
            _check_group(config, groups, name, (), f"{file}: losses.{name}")


def _check_tuned(loss: Loss, where: str) -> None:
    """Refuse parameters that are to be tuned but have no values to choose from."""
    if loss.tuned_parameters:
        raise ConfigError(
            f"{where}.parameters.{loss.tuned_parameters[0]}: `{TUNED}` is not allowed here: the "
            "loss is also drawn from its definition; give a value, and tune under datasets"
        )
    for dataset in loss.datasets:
        for parameter in loss.on(dataset).tuned_parameters:
            if parameter not in loss.choices:
                raise ConfigError(
                    f"{where}.choices.{parameter}: missing: {dataset} has it `{TUNED}`; list the "
                    "values to choose from"
                )


def _check_group(
    config: Config,
    groups: Mapping[str, Sequence[str]],
    name: str,
    above: tuple[str, ...],
    where: str,
) -> None:
    """Refuse a group of unknown losses, or one that holds itself."""
    if name in above:
        raise ConfigError(f"{where}: {' > '.join((*above, name))}: a group cannot hold itself")
    families = config.studies.symmetrization.variants
    for member in groups[name]:
        if member in config.losses or member in _variants_named(config) or member in families:
            continue
        lookup({**config.losses, **groups, **families}, member, "loss", where)
        _check_group(config, groups, member, (*above, name), where)


def _variants_named(config: Config) -> list[str]:
    families = config.studies.symmetrization.variants.values()
    return [
        family.slug.format(loss=loss, value=value)
        for family in families
        for loss, value in itertools.product(family.losses, family.values)
    ]


def _check_variant_blanks(variants: Variants, where: str) -> None:
    """Refuse formats with other blanks than those that are filled."""
    try:
        variants.slug.format(loss="", value="")
        variants.label.format(label="", value="")
    except (LookupError, ValueError) as error:
        raise ConfigError(
            f"{where}: {error}: slug may hold {{loss}} and {{value}}, label {{label}} and {{value}}"
        ) from None


def _check_variant_names(config: Config, variants: Variants, where: str) -> None:
    """Refuse formats that do not give every variant a name of its own."""
    taken = _variants_named(config)
    for base, value in itertools.product(variants.losses, variants.values):
        name = variants.slug.format(loss=base, value=value)
        if taken.count(name) > 1 or name in config.losses or not SLUG.fullmatch(name):
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
    for group, products in scale.cells.items():
        for name, slug in itertools.chain.from_iterable(
            itertools.product(cells.settings, cells.noises) for cells in products
        ):
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
        # A claim about cells that a scale lacks is `not run at this scale`.
        if select.cells is None or select.cells in scale.cells:
            continue
        if name in study.artefacts:
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
        kind = FAMILIES[name]
        if kind == "nads":
            if family.support is not None:
                raise ConfigError(f"{key}.support: NAD tasks make their own inputs; leave it out")
            continue
        if family.support is None:
            raise ConfigError(f"{key}.support: missing; name one of {', '.join(scale.supports)}")
        support = lookup(scale.supports, family.support, "support", key)
        most = support.train + support.test if kind == "eigenfunctions" else support.train
        if max(family.tasks) > most:
            raise ConfigError(
                f"{key}.tasks: {max(family.tasks)} is not allowed: at most {most} on this support"
            )
        if kind == "binary" and not config.datasets[support.dataset].classes:
            raise ConfigError(f"{key}.support: dataset {support.dataset!r} has no labels")
    for name, select in selections(study):
        for model in select.models or ():
            lookup(study.models, model, "model", f"{root}/studies/linearized.yaml: {name}")
