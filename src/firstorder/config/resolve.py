"""What is run: cells, groups and selections, resolved from a configuration."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from firstorder.config.datasets import File, Noise
from firstorder.config.scales import Config
from firstorder.config.studies import (
    Artefact,
    LinearizedStudy,
    Selection,
    SymmetrizationStudy,
    Variants,
)
from firstorder.config.training import Loss, Recipe
from firstorder.config.values import Scalar, Strict
from firstorder.errors import ConfigError
from firstorder.validation import lookup


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


Names = ParamSpec("Names")
Found = TypeVar("Found")


def once(
    find: Callable[Concatenate[Config, Names], Found],
) -> Callable[Concatenate[Config, Names], Found]:
    """Let `find` look only once for the same names in the same configuration.

    Planning asks for the cell of every job a dozen times. A configuration never changes, but it
    holds dictionaries and cannot be hashed, so it is known by its identity; only the answers for
    the last one are kept.
    """
    last: list[Any] = [None, {}]

    @functools.wraps(find)
    def found(config: Config, *names: Names.args, **named: Names.kwargs) -> Found:
        if last[0] is not config:
            last[:] = config, {}
        key = (*names, *sorted(named.items()))
        if key not in last[1]:
            last[1][key] = find(config, *names, **named)
        return last[1][key]

    return found


def noise(config: Config, name: str) -> Noise:
    """The noise called `name`: declared by the scale, or spelled out by the name itself."""
    return config.scale.symmetrization.noises.get(name) or Noise.parse(name)


@once
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


@once
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
