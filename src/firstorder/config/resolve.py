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
from firstorder.config.training import TUNED, Loss, Recipe
from firstorder.config.values import FAMILIES, Scalar, Strict
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
    """All losses: those of config/losses.yaml and the variants of the study that differ from them.

    A variant that equals the loss that it varies is that loss, under its name: nothing is trained
    twice. See `loss_named`.
    """
    known = dict(config.losses)
    for name, base, loss in _varied(config):
        if not _same(config, loss, known[base]):
            known[name] = loss
    return known


def loss_named(config: Config, name: str) -> str:
    """The name under which loss `name` is trained: its own, or for a variant that varies nothing
    on the data of this scale that of the loss it is made from."""
    return _synonyms(config).get(name, name)


@once
def _synonyms(config: Config) -> dict[str, str]:
    return {name: base for name, base, _ in _varied(config) if name not in losses(config)}


def _varied(config: Config) -> Iterator[tuple[str, str, Loss]]:
    """Name, loss that is varied, and the variant, of all variants of the study."""
    for variants in config.studies.symmetrization.variants.values():
        for base, value in itertools.product(variants.losses, variants.values):
            entry = config.losses[base]
            loss = entry.model_copy(update={"function": entry.function or base})
            yield variants.slug.format(loss=base, value=value), base, _vary(loss, variants, value)


def _same(config: Config, variant: Loss, base: Loss) -> bool:
    """Whether two losses are trained alike on all data of the scale."""
    datasets = {setting.dataset for setting in config.scale.symmetrization.settings.values()}
    same = {"label": "", "function": variant.function, "source": ""}
    return all(
        variant.on(name).model_copy(update=same) == base.on(name).model_copy(update=same)
        for name in datasets
    )


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
    """The losses of group `name`, at this scale; a group may name groups and families too."""
    study, scale = config.studies.symmetrization, config.scale.symmetrization
    if name in study.variants and name not in scale.losses:
        return tuple(dict.fromkeys(variant_names(config, name).values()))
    members: list[str] = []
    for member in scale.losses[name] if name in scale.losses else study.losses[name]:
        named = loss_named(config, member)
        members += [named] if named in losses(config) else loss_group(config, member)
    return tuple(dict.fromkeys(members))


def variant_names(config: Config, name: str) -> dict[tuple[str, Scalar], str]:
    """The members of a family of variants: (loss, value) -> the name under which it is trained."""
    variants = config.studies.symmetrization.variants[name]
    return {
        (loss, value): loss_named(config, variants.slug.format(loss=loss, value=value))
        for loss, value in itertools.product(variants.losses, variants.values)
    }


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


def channel_statistics(config: Config, cell: Cell) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation by which the channels are standardised: the recipe's if given."""
    dataset, recipe = config.datasets[cell.dataset], cell.recipe
    return recipe.mean or dataset.mean, recipe.std or dataset.std


def tuning_cell(config: Config, setting: str, loss_name: str) -> Cell:
    """The cell of the tuning protocol: a loss at the tuning noise, on the tuning split."""
    tuning = config.scale.symmetrization.tuning
    if tuning is None:
        raise ConfigError(
            f"loss {loss_name!r} is `tuned`, but scale {config.settings.scale!r} declares no "
            "tuning; add symmetrization.tuning"
        )
    tuned = cell(config, setting, tuning.noise, loss_name)
    return tuned.model_copy(update={"seeds": tuning.seeds, "tuning": True})


def tuning_grids(config: Config, loss: Loss) -> dict[str, tuple[Scalar, ...]]:
    """From what the tuning protocol chooses each hyper-parameter of a loss, one after the other.

    First the loss's own, then its penalty: `weight_decay` or, where a loss has it, `l1`.
    """
    grids = {name: loss.choices[name] for name in loss.tuned_parameters}
    protocol = config.scale.symmetrization.tuning
    if loss.weight_decay == TUNED and protocol is not None:
        if loss.l1:
            grids["l1"] = tuple(sorted(loss.l1 * factor for factor in protocol.l1_factors))
        else:
            grids["weight_decay"] = tuple(sorted(protocol.weight_decays))
    return grids


def tuning_trainings(config: Config, cell: Cell) -> int:
    """How many trainings the tuning of a cell takes."""
    return len(cell.seeds) * sum(map(len, tuning_grids(config, cell.loss).values()))


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
    if select.losses is None:
        return
    members = loss_group(config, select.losses)
    for cells in config.scale.symmetrization.cells.get(select.cells or "", ()):
        yield from itertools.product(cells.settings, cells.noises, members)


def cell_notes(config: Config, name: str | None) -> tuple[str, ...]:
    """What the scale says of a group of cells, for captions."""
    group = config.scale.symmetrization.cells.get(name or "", ())
    return tuple(dict.fromkeys(cells.note for cells in group if cells.note))


def artefacts(config: Config) -> Iterator[tuple[str, str, Artefact]]:
    """Every (study, id, artefact) of the chosen studies whose cells or family the scale runs."""
    for study in config.settings.studies:
        for name, artefact in getattr(config.studies, study).artefacts.items():
            own = artefact.select
            if own.cells is not None and not config.scale.symmetrization.cells[own.cells]:
                continue
            if own.dataset is None:  # else any family on that dataset will do
                own = own.model_copy(update={"also": ()})
            if own.family is None or tangents(config, own):
                yield study, name, artefact


def tangents(config: Config, select: Selection) -> list[tuple[str, str, str, int]]:
    """The (family, model, support, seed) of every initialisation of a selection's families.

    A model is taken from the first family of a kind that has it. Families that the scale lacks
    are passed over.
    """
    taken: set[tuple[str, str]] = set()
    found = []
    for family in dict.fromkeys((select.family or "", *select.also)):
        declared = config.scale.linearized.families.get(family)
        if declared is None:
            continue
        support = declared.support or "gaussian"
        if select.dataset not in (None, _dataset(config, support)):
            continue
        for model in declared.models:
            key = (FAMILIES[family], model)
            if key in taken or not (select.models is None or model in select.models):
                continue
            taken.add(key)
            found += [(family, model, support, seed) for seed in declared.seeds]
    return found


def _dataset(config: Config, support: str) -> str | None:
    declared = config.scale.linearized.supports.get(support)
    return declared.dataset if declared else None
