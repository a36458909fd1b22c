"""The losses of the study: those of config/losses.yaml, their variants, and groups of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from firstorder.config import TUNED, Config, Loss, Scalar
from firstorder.studies.symmetrization.settings import Variants, declared, scale

Names = ParamSpec("Names")
Found = TypeVar("Found")
NORMS = {"none": "no normalisation", "l2": "Euclidean norm", "bn": "batch norm"}
"""How normalisations of the scores are printed."""


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


@once
def losses(config: Config) -> dict[str, Loss]:
    """All losses: those of config/losses.yaml and the variants of the study that differ from them.

    A variant that equals the loss that it varies is that loss, under its name: nothing is trained
    twice. See `synonyms`.
    """
    known = dict(config.losses)
    for name, base, loss in _varied(config):
        if not _same(config, loss, known[base]):
            known[name] = loss
    return known


@once
def synonyms(config: Config) -> dict[str, str]:
    """Variants that vary nothing on the data of this scale -> the loss that each is made from."""
    return {name: base for name, base, _ in _varied(config) if name not in losses(config)}


def named(config: Config, name: str) -> str:
    """The name under which a loss is trained: its own, or that of the loss that it equals."""
    return synonyms(config).get(name, name)


def _varied(config: Config) -> Iterator[tuple[str, str, Loss]]:
    """Name, loss that is varied, and the variant, of all variants of the study."""
    for variants in declared(config).variants.values():
        for base, value in itertools.product(variants.losses, variants.values):
            entry = config.losses[base]
            loss = entry.model_copy(update={"function": entry.function or base})
            yield variants.slug.format(loss=base, value=value), base, _vary(loss, variants, value)


def _same(config: Config, variant: Loss, base: Loss) -> bool:
    """Whether two losses are trained alike on all data of the scale."""
    datasets = {setting.dataset for setting in scale(config).settings.values()}
    same = {"label": "", "function": variant.function, "source": ""}
    return all(
        variant.on(name).model_copy(update=same) == base.on(name).model_copy(update=same)
        for name in datasets
    )


def _vary(loss: Loss, variants: Variants, value: Scalar) -> Loss:
    shown = NORMS.get(str(value), value) if variants.vary == "score_norm" else value
    update: dict[str, Any] = {"label": variants.label.format(label=loss.label, value=shown)}
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
    elif variants.vary == "budget":
        update |= _budgeted(loss)
    else:
        update[variants.vary] = value
        update["datasets"] = {
            name: change.model_copy(update={variants.vary: None})
            for name, change in loss.datasets.items()
        }
    return loss.model_copy(update=update)


def _budgeted(loss: Loss) -> dict[str, Any]:
    """Everything of a loss that can be tuned is: rate, penalty, normalisation, own parameters."""
    own = {"lr": TUNED, "weight_decay": TUNED}
    if loss.score_norm != "none":
        own["score_norm"] = TUNED
    chosen = dict.fromkeys(loss.choices, TUNED)
    return {
        **own,
        "parameters": {**loss.parameters, **chosen},
        "datasets": {
            name: change.model_copy(update={**own, "parameters": {**change.parameters, **chosen}})
            for name, change in loss.datasets.items()
        },
    }


def untuned(config: Config, name: str) -> Loss:
    """The declared loss behind a name: itself, or the one that the variant is made from."""
    if name in config.losses:
        return config.losses[name]
    bases = {variant: base for variant, base, _ in _varied(config)}
    return config.losses[bases[name]]


def group(config: Config, name: str) -> tuple[str, ...]:
    """The losses of group `name`, at this scale; a group may name groups and families too."""
    study, own = declared(config), scale(config).losses
    if name in study.variants and name not in own:
        return tuple(dict.fromkeys(members(config, name).values()))
    found: list[str] = []
    for member in own[name] if name in own else study.losses[name]:
        trained = named(config, member)
        found += [trained] if trained in losses(config) else group(config, member)
    return tuple(dict.fromkeys(found))


def members(config: Config, family: str) -> dict[tuple[str, Scalar], str]:
    """The members of a family of variants: (loss, value) -> the name under which it is trained."""
    variants = declared(config).variants[family]
    return {
        (loss, value): named(config, variants.slug.format(loss=loss, value=value))
        for loss, value in itertools.product(variants.losses, variants.values)
    }
