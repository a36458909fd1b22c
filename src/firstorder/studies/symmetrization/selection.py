"""The results that a table, figure or claim draws on, and how they are printed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from firstorder.config import Config, ConfigError, Dataset, Noise, Recipe
from firstorder.jobs import functions
from firstorder.jobs.study import Selected
from firstorder.publish import declared as drawn
from firstorder.publish.protocol import Row, examples, network, trained
from firstorder.studies.symmetrization import grid
from firstorder.studies.symmetrization.grid import cell
from firstorder.studies.symmetrization.settings import Select, declared, scale
from firstorder.studies.symmetrization.variants import group, losses, members, synonyms

GIVEN = ("human", "matrix", "labels")
"""Kinds of noise whose rate is in a file and not declared."""


def select(config: Config, selection: Select, reads: tuple[str, ...]) -> Selected:
    """The results that an artefact or a claim draws on, and the names under which they appear.

    `spec` holds rows (one for every cell, see `_row`), seeds, synonyms and variants of losses;
    `definitions` of the losses where they or tuning.json are read; what labels.npz and tuning.json
    need beside them where they are read.
    """
    names = list(dict.fromkeys(grid.selected_cells(config, selection)))
    rows = [_row(config, *each) for each in names]
    tuned = any(row["tuned"] for row in rows)
    seeds = _seeds(config, reads, tuned=tuned)
    spec: dict[str, Any] = {
        "rows": rows,
        "seeds": list(seeds),
        **_losses(config, dict.fromkeys(loss for _, _, loss in names)),
    }
    if grid.DEFINITIONS in reads:
        spec["definitions"] = [_definition(config, n) for n in group(config, str(selection.losses))]
    elif "tuning.json" in reads:
        spec["definitions"] = _resolved(config, names)
    entries = tuple(
        entry
        for each in spec.get("definitions", ())
        for entry in functions.entries("losses", each["function"])
    )
    if "labels.npz" in reads:
        spec |= _noises(config, names)
    if "tuning.json" in reads:
        protocol = scale(config).tuning
        spec["tuning_noise"] = protocol.noise if protocol else None
    data = _data(config, selection.cells, tuned=tuned)
    return Selected(
        spec=spec,
        files=dict(_files(config, names, reads)),
        code=tuple(dict.fromkeys(entries)),
        **({"data": data} if data else {}),
        datasets=_datasets(config, selection.cells),
        seeds=seeds,
        available=selection.cells is None or bool(names),
    )


def _seeds(config: Config, reads: tuple[str, ...], *, tuned: bool) -> tuple[int, ...]:
    """The seeds behind what is read: those of trainings and noise, or else those of tuning."""
    protocol = scale(config).tuning
    if {*grid.RUN_FILES, "labels.npz"} & {*reads}:
        return scale(config).seeds
    return protocol.seeds if "tuning.json" in reads and tuned and protocol else ()


def _row(config: Config, setting: str, noise_name: str, loss_name: str) -> dict[str, Any]:
    """One cell: its names, how they are printed, and what claims ask of it."""
    found = cell(config, setting, noise_name, loss_name)
    dataset = config.datasets[found.dataset]
    return {
        "setting": setting,
        "dataset": found.dataset,
        "title": dataset.title,
        "heading": _heading(config, setting),
        "noise": noise_name,
        "noise_label": _noise_label(config, noise_name),
        "kind": found.noise.kind,
        "options": _options(found.noise),
        "rate": None if found.noise.kind in GIVEN else found.noise.rate,
        "loss": loss_name,
        "label": losses(config)[loss_name].label,
        "tuned": found.loss.tuned,
        "classes": len(dataset.classes),
        "published_data": dataset.raw or found.dataset,
        "unlike": _unlike(dataset, found.recipe),
    }


def _unlike(dataset: Dataset, recipe: Recipe) -> str:
    """How trainings on a part of a published dataset are made, as a published number is not.

    Empty where the dataset is the published one, so that numbers compare by value.
    """
    if dataset.raw is None:
        return ""
    model = network(str(recipe.model))
    return f"{model}, {recipe.epochs} epochs, {dataset.train:,} training images"


def _heading(config: Config, setting: str) -> str:
    """The data of a setting; where others share them, with what sets its recipe apart."""
    settings = scale(config).settings
    title = config.datasets[settings[setting].dataset].title
    capital = title[:1].upper() + title[1:]
    sharing = [each for each in settings.values() if each.dataset == settings[setting].dataset]
    if len(sharing) == 1:
        return capital
    recipes = {each.recipe: config.recipes[each.recipe] for each in sharing}
    own = settings[setting].recipe
    for said in (
        {name: f"{recipe.epochs} epochs" for name, recipe in recipes.items()},
        {name: f"{recipe.epochs} epochs, {recipe.schedule}" for name, recipe in recipes.items()},
    ):
        if len(set(said.values())) == len(sharing):
            return f"{capital}, {said[own]}"
    return f"{capital} ({setting})"


def printed(config: Config, selection: Select) -> Iterator[tuple[str, str, str]]:
    """What a selection prints: (`settings`, `noises` or `losses`, the text, the name of one)."""
    rows = (_row(config, *each) for each in dict.fromkeys(grid.selected_cells(config, selection)))
    for row in rows:
        yield "settings", row["heading"], row["setting"]
        yield "noises", f"{row['kind']}, {row['noise_label']}", row["noise"]
    if selection.losses is not None:
        known = losses(config)
        yield from (("losses", known[n].label, n) for n in group(config, selection.losses))


def _noise_label(config: Config, name: str) -> str:
    """A noise as a column heading: `clean`, `40 %`, `worst`, or the name the scale gave it."""
    own = scale(config).noises.get(name)
    if own is not None and own.sampler == "iid" and _is_spelled_by(name.removesuffix("-iid"), own):
        return f"{100 * own.rate:g} %, i.i.d."
    if own is not None and not _is_spelled_by(name, own):
        return name
    found = Noise.parse(name)
    if found.kind == "human":
        return name.removeprefix("human-")
    return "clean" if found.rate == 0 else f"{100 * found.rate:g} %"


SAMPLERS = {
    "floor": "counts rounded down",
    "class": "exact counts per class",
    "iid": "i.i.d.",
    "sequential": "class after class",
}
"""How samplers other than the default are printed."""


def _options(noise: Noise) -> list[str]:
    """What a noise declares besides its kind and rate, as printed; empty for a default one."""
    said = [SAMPLERS[noise.sampler]] if noise.sampler in SAMPLERS else []
    said += ["true class included"] if noise.include_true_class else []
    said += [f"{noise.blocks} blocks"] if noise.blocks != "index" else []
    return said


def _is_spelled_by(name: str, noise: Noise) -> bool:
    """Whether a declared noise is the one that its name spells out, but for its sampler."""
    try:
        return Noise.parse(name).model_copy(update={"sampler": noise.sampler}) == noise
    except ConfigError:
        return False


def _losses(config: Config, shown: Iterable[str]) -> dict[str, Any]:
    """Other names of the losses that are shown, and what each is in its families."""
    known, study = set(shown), declared(config)
    families = {name: members(config, name) for name in study.variants}
    return {
        "synonyms": {name: base for name, base in synonyms(config).items() if base in known},
        "variants": [
            {
                "family": family,
                "parameter": study.variants[family].parameter,
                "base": loss,
                "base_label": config.losses[loss].label,
                "value": value,
                "loss": name,
            }
            for family, found in families.items()
            for (loss, value), name in found.items()
            if name in known
        ],
    }


def _definition(config: Config, name: str) -> dict[str, Any]:
    """A loss that is drawn from its definition."""
    loss = losses(config)[name]
    parameters = dict(loss.parameters)
    function = loss.function or name
    return {"loss": name, "label": loss.label, "function": function, "parameters": parameters}


def _resolved(config: Config, names: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """The losses of every setting with its data's parameters, those to be chosen `tuned`."""
    found = {}
    for setting, noise_name, name in names:
        loss = cell(config, setting, noise_name, name).loss
        found[setting, name] = {
            "setting": setting,
            "classes": len(config.datasets[scale(config).settings[setting].dataset].classes),
            "loss": name,
            "label": loss.label,
            "function": loss.function,
            "parameters": dict(loss.parameters),
        }
    return list(found.values())


def _noises(config: Config, names: list[tuple[str, str, str]]) -> dict[str, Any]:
    """The noises and the maps of the datasets of cells."""
    datasets = dict.fromkeys(scale(config).settings[setting].dataset for setting, _, _ in names)
    noises = dict.fromkeys(name for _, name, _ in names)
    return {
        "noises": {name: grid.apart(grid.noise(config, name)) for name in noises},
        "asymmetric": {name: grid.asymmetric(config.datasets[name]) for name in datasets},
    }


def _files(
    config: Config, names: list[tuple[str, str, str]], reads: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """The files of cells, by the names under which `frames` opens them."""
    known = drawn.known(grid.NAME, reads, grid.READABLE)
    for file, (setting, noise_name, loss) in itertools.product(known, names):
        found = cell(config, setting, noise_name, loss)
        if file == "tuning.json":
            if found.loss.tuned:
                yield f"{setting}/{loss}/{file}", grid.tuning_file(config, setting, loss)
            continue
        if file == "cost.json":
            yield f"{setting}/{file}", grid.cost_file(config, setting)
            continue
        for seed in scale(config).seeds:
            if file == "labels.npz":
                path = grid.labels_file(config, found.dataset, noise_name, seed)
                yield f"{found.dataset}/{noise_name}/{seed}/{file}", path
            else:
                path = grid.run_file(config, setting, noise_name, loss, seed, file)
                yield f"{setting}/{noise_name}/{loss}/{seed}/{file}", path


def _data(config: Config, cells: str | None, *, tuned: bool) -> str:
    """The data behind a group of cells, in words, with what the scale says of it."""
    products = scale(config).cells.get(cells or "", ())
    titles = dict.fromkeys(_trained_on(config, name) for each in products for name in each.settings)
    notes = dict.fromkeys(each.note for each in products if each.note)
    protocol = scale(config).tuning
    if tuned and protocol is not None and protocol.train is not None:
        notes[f"tuned on at most {protocol.train:,} training images"] = None
    return "; ".join((*titles, *notes))


def _datasets(config: Config, cells: str | None) -> tuple[str, ...]:
    """The titles of the datasets behind a group of cells."""
    own = scale(config)
    names = [name for each in own.cells.get(cells or "", ()) for name in each.settings]
    return tuple(dict.fromkeys(config.datasets[own.settings[name].dataset].title for name in names))


def protocol(config: Config) -> Iterator[Row]:
    """How every setting is trained, for the paper; losses may change rate and decay."""
    own = scale(config)
    used = {name for group in own.cells.values() for each in group for name in each.settings}
    for name, setting in own.settings.items():
        if name in used:
            recipe, dataset = config.recipes[setting.recipe], config.datasets[setting.dataset]
            data = examples(dataset.title, recipe.train or dataset.train, dataset.test)
            model = network(str(recipe.model))
            yield trained(name, data, model, recipe, recipe.weight_decay, own.seeds)


def _trained_on(config: Config, setting: str) -> str:
    """The dataset of a setting, and how much of it is trained on where that is not all."""
    chosen = scale(config).settings[setting]
    title, count = config.datasets[chosen.dataset].title, config.recipes[chosen.recipe].train
    return title if count is None else f"{title} ({count:,} training images)"
