"""Checks that span files: unknown names, impossible noise, more examples than there are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from firstorder.config import (
    SLUG,
    TUNED,
    Artefact,
    Claim,
    Config,
    ConfigError,
    Dataset,
    LossChange,
    Noise,
    Recipe,
    check_augment,
    check_batch,
    check_noise,
    check_printed,
    choose,
    lookup,
)
from firstorder.config.validation import check as validated
from firstorder.data.declarable import check_instance_rate
from firstorder.errors import DataError
from firstorder.jobs import functions, signature
from firstorder.publish import declared as drawn
from firstorder.studies.symmetrization import grid, selection
from firstorder.studies.symmetrization.settings import NAME, Variants, declared, scale


def check(config: Config, study_file: Path, scale_file: Path) -> None:
    """Refuse a configuration whose parts do not fit together, naming file, key and value."""
    _check_variants(config, study_file)
    _check_groups(config, study_file, scale_file)
    _check_settings(config, scale_file)
    _check_cells(config, scale_file)
    _check_selections(config, study_file)
    _check_printed(config, study_file)
    _check_tuning(config, scale_file)


def _refuse(problems: Iterable[str], where: str | Path) -> None:
    """Raise one ConfigError that names all problems of a file."""
    found = "; ".join(dict.fromkeys(problems))
    if found:
        raise ConfigError(f"{where}: {found}")


def _unknown(given: Iterable[str], known: Iterable[str], what: str, key: str) -> Iterator[str]:
    """What is wrong with every name that is not known."""
    names = sorted(known)
    for name in given:
        if name not in names:
            yield f"{key}: {what} {name!r} is unknown; {choose(name, names)}"


def _check_variants(config: Config, file: Path) -> None:
    for name, variants in declared(config).variants.items():
        where = f"{file}: variants.{name}"
        for loss in variants.losses:
            lookup(config.losses, loss, "loss", f"{where}.losses")
        if (variants.vary == "parameter") != (variants.parameter is not None):
            raise ConfigError(f"{where}: `parameter` goes with `vary: parameter`")
        _check_values(config, variants, f"{where}.values")
        _check_blanks(variants, where)
    for name, variants in declared(config).variants.items():
        _check_names(config, variants, f"{file}: variants.{name}")


def _check_values(config: Config, variants: Variants, where: str) -> None:
    """Refuse values that what is varied cannot have."""
    for loss, value in itertools.product(variants.losses, variants.values):
        if variants.vary == "parameter":
            if value == TUNED:
                raise ConfigError(
                    f"{where}: `{TUNED}` is not allowed: give values here, and tune a parameter in "
                    "losses.yaml, under datasets"
                )
            (entry, *_) = functions.entries("losses", config.losses[loss].function or loss, where)
            given = {str(variants.parameter): value}
            signature.check(entry, given, where, complete=False)
        elif variants.vary == "score_norm" and value == TUNED:
            raise ConfigError(f"{where}: `{TUNED}` is not allowed: choose from none, l2, bn")
        elif variants.vary != "budget":
            validated(LossChange, {variants.vary: value}, where)


def _check_blanks(variants: Variants, where: str) -> None:
    """Refuse formats with other blanks than those that are filled."""
    try:
        variants.slug.format(loss="", value="")
        variants.label.format(label="", value="")
    except (LookupError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{where}: {error}: slug may hold {{loss}} and {{value}}, label {{label}} and {{value}}"
        ) from None


def _check_names(config: Config, variants: Variants, where: str) -> None:
    """Refuse formats that do not give every variant a name of its own."""
    taken = _variants_named(config)
    for base, value in itertools.product(variants.losses, variants.values):
        name = variants.slug.format(loss=base, value=value)
        if taken.count(name) > 1 or name in config.losses or not SLUG.fullmatch(name):
            raise ConfigError(
                f"{where}.slug: {variants.slug!r} is not allowed: {name!r} must be a new name, "
                "given once, of lower-case letters, digits, '.', '_', '+' and '-'"
            )


def _variants_named(config: Config) -> list[str]:
    return [
        family.slug.format(loss=loss, value=value)
        for family in declared(config).variants.values()
        for loss, value in itertools.product(family.losses, family.values)
    ]


def _check_groups(config: Config, study_file: Path, scale_file: Path) -> None:
    study = declared(config).losses
    for file, own in ((study_file, study), (scale_file, scale(config).losses)):
        groups = {**study, **own}
        for name in own:
            _check_group(config, groups, name, (), f"{file}: losses.{name}")


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
    families = declared(config).variants
    for member in groups[name]:
        if member in config.losses or member in _variants_named(config) or member in families:
            continue
        lookup({**config.losses, **groups, **families}, member, "loss", where)
        _check_group(config, groups, member, (*above, name), where)


def _check_settings(config: Config, file: Path) -> None:
    problems: list[str] = []
    for name, setting in scale(config).settings.items():
        key = f"settings.{name}"
        problems += _unknown([setting.dataset], config.datasets, "dataset", key)
        problems += _unknown([setting.recipe], config.recipes, "recipe", key)
        dataset, recipe = config.datasets.get(setting.dataset), config.recipes.get(setting.recipe)
        if dataset is None or recipe is None:
            continue
        if not dataset.classes:
            problems.append(f"{key}: dataset {setting.dataset!r} has no labels")
        elif len(dataset.classes) == 1:
            problems.append(f"{key}: dataset {setting.dataset!r} has one class")
        if recipe.model is None:
            problems.append(f"{key}: recipe {setting.recipe!r} names no model")
        else:
            functions.check_channels(recipe.model, dataset.shape[0], f"{file}: {key}")
        recipes = f"{config.root}/recipes.yaml: {setting.recipe}"
        check_batch(recipe, recipe.train or dataset.train, setting.dataset, recipes)
        check_augment(recipe, dataset.shape, setting.dataset, recipes)
        for key, reason in _misfits(recipe, dataset):
            raise ConfigError(f"{recipes}.{key} is not allowed: {setting.dataset} has {reason}")
    _refuse(problems, file)


def _misfits(recipe: Recipe, dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Keys of a recipe, with their values, that a dataset does not allow; and why."""
    channels = dataset.shape[0]
    if recipe.train is not None and recipe.train > dataset.train:
        yield f"train: {recipe.train}", f"{dataset.train} training examples"
    if recipe.train is not None and recipe.train < len(dataset.classes):
        yield f"train: {recipe.train}", f"{len(dataset.classes)} classes"
    for key, values in (("mean", recipe.mean), ("std", recipe.std)):
        if values is not None and len(values) != channels:
            yield f"{key}: {list(values)}", f"{channels} channels"


def _check_cells(config: Config, file: Path) -> None:
    own, groups = scale(config), declared(config).cells
    problems = list(_unknown(own.cells, groups, "group", "cells"))
    for group, products in own.cells.items():
        for cells in products:
            key = f"cells.{group}.settings"
            problems += _unknown(cells.settings, own.settings, "setting", key)
    _refuse(problems, file)
    for group, products in own.cells.items():
        for cells in products:
            for name, slug in itertools.product(cells.settings, cells.noises):
                _check_noise(config, name, slug, f"{file}: cells.{group}.noises")


def _check_noise(config: Config, setting: str, name: str, where: str) -> None:
    dataset = scale(config).settings[setting].dataset
    noise = _noise_at(config, name, where)
    check_noise(noise, config.datasets[dataset], dataset, where)
    if noise.path is not None:
        from firstorder.data import given  # with numpy, which few configurations need

        given.check(noise, config.datasets[dataset], where)
    if noise.kind == "instance":
        try:
            check_instance_rate(noise.rate, f"{where}: {name}")
        except DataError as error:
            raise ConfigError(str(error)) from None


def _noise_at(config: Config, name: str, where: str) -> Noise:
    try:
        found = grid.noise(config, name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    try:
        spelled = Noise.parse(name)
    except ConfigError:  # a name that spells nothing
        return found
    for key in ("kind", "rate", "annotation"):
        declared, said = getattr(found, key), getattr(spelled, key)
        if declared != said:
            raise ConfigError(
                f"{where}: {name}: declared with {key}: {declared}, where its name says {said}; "
                "rename it"
            )
    return found


def _check_selections(config: Config, file: Path) -> None:
    """Refuse selections of groups, and options that name losses or families, that do not exist."""
    study = declared(config)
    problems: list[str] = []
    for kind, entries in (("artefacts", study.artefacts), ("claims", study.claims)):
        for name, entry in entries.items():
            problems += _selected(config, entry, f"{kind}.{name}.select")
            problems += _optional(config, entry, f"{kind}.{name}.options")
            problems += _together(entry, f"{kind}.{name}.options")
    _refuse(problems, file)


def _check_printed(config: Config, file: Path) -> None:
    """Refuse an artefact or a claim of which two rows or columns would be printed alike."""
    study = declared(config)
    for kind, entries in (("artefacts", study.artefacts), ("claims", study.claims)):
        for name, entry in entries.items():
            printed = selection.printed(config, entry.select)
            check_printed(printed, f"{file}: {kind}.{name}.select")


def _selected(config: Config, entry: Artefact | Claim, key: str) -> Iterator[str]:
    """What is wrong with a selection: unknown groups, or others than its function reads."""
    study, select = declared(config), entry.select
    groups = {*study.losses, *study.variants, *scale(config).losses}
    yield from _unknown(_given(select.losses), groups, "group", f"{key}.losses")
    yield from _unknown(_given(select.cells), study.cells, "group", f"{key}.cells")
    source = drawn.source(NAME, *drawn.called(entry))
    if source is None:  # refused when artefacts and claims of all studies are checked
        return
    needed = {
        "cells": bool(set(source.reads) - {grid.DEFINITIONS}),
        "losses": bool(source.reads),
    }
    for name, needs in needed.items():
        given = getattr(select, name) is not None
        if given != needs:
            said = f"needs `{name}`" if needs else f"reads no results: leave `{name}` out"
            yield f"{key}: {drawn.called(entry)[1]} {said}"


def _optional(config: Config, entry: Artefact | Claim, key: str) -> Iterator[str]:
    """What is wrong with the options of a function that are typed as names of this study."""
    names = {
        "LossName": ("loss", {*config.losses, *_variants_named(config)}),
        "FamilyName": ("family of variants", set(declared(config).variants)),
    }
    for kind, (what, known) in names.items():
        for option, given in drawn.named(NAME, entry, kind):
            yield from _unknown(given, known, what, f"{key}.{option}")


def _together(entry: Artefact | Claim, key: str) -> Iterator[str]:
    """What is wrong with options that are right one by one: a name that stands there twice."""
    pairs = {option for option, _ in drawn.named(NAME, entry, "Two")}  # may have it in several
    for kind in ("LossName", "Heading"):
        named = drawn.named(NAME, entry, kind, complete=True)
        texts = [text for option, given in named if option not in pairs for text in given]
        for text in {text for text in texts if texts.count(text) > 1}:
            yield f"{key}: {text!r} stands there twice; name each once"


def _given(name: str | None) -> list[str]:
    return [] if name is None else [name]


def _check_tuning(config: Config, file: Path) -> None:
    """Refuse a tuning noise that a setting cannot have of which a loss is tuned."""
    protocol = scale(config).tuning
    if protocol is None:
        return
    where = f"{file}: tuning.noise"
    _noise_at(config, protocol.noise, where)
    for setting in dict.fromkeys(setting for setting, _ in grid.tunings(config)):
        _check_noise(config, setting, protocol.noise, where)
