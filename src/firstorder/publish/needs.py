"""Which files an artefact or a claim reads, and what its caption says of scale, data and seeds.

The workflow asks here before anything has run, in every job process, so nothing but the
configuration and the paths is imported.
"""

from __future__ import annotations

from collections.abc import Iterator

from firstorder.config import (
    Artefact,
    Claim,
    Config,
    Family,
    Selection,
    cell_notes,
    losses,
    selected_cells,
)
from firstorder.config import tangents as chosen
from firstorder.errors import ConfigError
from firstorder.paths import Paths

PUBLISHED = "config/published"
EACH = "FAMILY"
"""Stands for each family of a selection in the names of files."""
RUN_FILES = ("summary.json", "history.csv", "tests.json")


def paths_of(config: Config) -> Paths:
    """The paths of the configured scale."""
    settings = config.settings
    return Paths(settings.results, settings.resources, settings.scale)


def artefact(config: Config, study: str, artefact_id: str) -> Artefact:
    """The declaration of an artefact; ConfigError when there is none."""
    known = _artefacts(config, study)
    if artefact_id not in known:
        raise ConfigError(
            f"{study} has no table or figure {artefact_id!r}; known: {', '.join(known) or 'none'}"
        )
    return known[artefact_id]


def _artefacts(config: Config, study: str) -> dict[str, Artefact]:
    if study == "symmetrization":
        return config.studies.symmetrization.artefacts
    return config.studies.linearized.artefacts


def claims(config: Config, study: str) -> dict[str, Claim]:
    """The claims of a study, by id."""
    if study == "symmetrization":
        return config.studies.symmetrization.claims
    return config.studies.linearized.claims


def inputs(config: Config, study: str, artefact_id: str) -> list[str]:
    """The files that an artefact reads: records, and published numbers; without repetition."""
    declared = artefact(config, study, artefact_id)
    records = selected(config, study, declared.select)
    return [*records, published_file(declared.published)] if declared.published else records


def published_file(name: str) -> str:
    """The file of the published numbers called `name`."""
    return f"{PUBLISHED}/{name}.csv"


def claim_inputs(config: Config, study: str) -> list[str]:
    """The files that the claims of a study read, without repetition."""
    found = (selected(config, study, claim.select) for claim in claims(config, study).values())
    return list(dict.fromkeys(path for paths in found for path in paths))


def available(config: Config, study: str, select: Selection) -> bool:
    """Whether this scale has any of what `select` is about (a selection of nothing is there)."""
    if study == "symmetrization":
        return select.cells is None or select.cells in config.scale.symmetrization.cells
    return select.family is None or bool(tangents(config, select))


def selected(config: Config, study: str, select: Selection) -> list[str]:
    """The files of a selection, without repetition; none for what this scale lacks."""
    find = _symmetrization if study == "symmetrization" else _linearized
    return list(dict.fromkeys(find(config, select)))


def _symmetrization(config: Config, select: Selection) -> Iterator[str]:
    paths, seeds = paths_of(config), config.scale.symmetrization.seeds
    known = losses(config)
    for setting, noise, loss in selected_cells(config, select):
        dataset = config.scale.symmetrization.settings[setting].dataset
        for file in select.files:
            if file in RUN_FILES:
                yield from (paths.run(setting, noise, loss, seed, file) for seed in seeds)
            elif file == "labels.npz":
                yield from (paths.labels(dataset, noise, seed) for seed in seeds)
            elif file == "tuning.json":
                if known[loss].on(dataset).tuned:
                    yield paths.tuned(setting, loss)
            else:
                raise ConfigError(
                    f"symmetrization.yaml: select.files: {file!r} is not allowed: choose from "
                    f"{', '.join((*RUN_FILES, 'labels.npz', 'tuning.json'))}"
                )


def _linearized(config: Config, select: Selection) -> Iterator[str]:
    for file in select.files:
        for family, model, support, seed in tangents(config, select, *families_of(select, file)):
            name = file.replace(f"runs/{EACH}/", f"runs/{family}/")
            yield paths_of(config).tangent(model, support, seed, name)


def families_of(select: Selection, file: str) -> tuple[str, ...]:
    """The families to which a file of an initialisation belongs."""
    if file.startswith("runs/") and not file.startswith(f"runs/{EACH}/"):
        return (file.split("/")[1],)
    if select.family is None:
        raise ConfigError(f"linearized.yaml: select.files: {file!r} needs a `family`")
    return (select.family, *select.also)


def tangents(config: Config, select: Selection, *families: str) -> list[tuple[str, str, str, int]]:
    """The (family, model, support, seed) of every selected initialisation of `families`.

    Those of the selection unless others are named. Empty when the scale does not have them, or
    none of the selected models.
    """
    if families:
        select = select.model_copy(update={"family": families[0], "also": families[1:]})
    return chosen(config, select)


def family_declared(config: Config, family: str) -> Family | None:
    """A family of tasks of this scale, or None."""
    for name, declared in config.scale.linearized.families.items():
        if name == family:
            return declared
    return None


def description(config: Config, study: str, artefact_id: str) -> dict[str, str]:
    """What a caption says: title, caption, where, scale, data and seeds."""
    declared = artefact(config, study, artefact_id)
    return {
        "title": declared.title,
        "caption": " ".join(declared.caption.split()),
        "where": declared.where,
        "scale": config.settings.scale,
        "data": data(config, study, declared.select),
        "seeds": seeds(config, study, declared.select),
    }


def data(config: Config, study: str, select: Selection) -> str:
    """The data behind a selection, in words."""
    if study == "symmetrization":
        group = config.scale.symmetrization.cells.get(select.cells or "", ())
        titles = dict.fromkeys(
            _trained_on(config, name) for part in group for name in part.settings
        )
        notes = cell_notes(config, select.cells)
        return "; ".join((*titles, *notes)) or "none: computed from the definitions"
    parts = dict.fromkeys(
        _support(config, family)
        for file in select.files
        for family in dict.fromkeys(
            found for found, *_ in tangents(config, select, *families_of(select, file))
        )
    )
    return "; ".join(part for part in parts if part) or "none: computed from the definitions"


def _trained_on(config: Config, setting: str) -> str:
    """The dataset of a setting, and how much of it is trained on where that is not all."""
    chosen = config.scale.symmetrization.settings[setting]
    title, count = config.datasets[chosen.dataset].title, config.recipes[chosen.recipe].train
    return title if count is None else f"{title} ({count:,} training images)"


def _support(config: Config, family: str) -> str:
    declared = family_declared(config, family)
    if declared is None:
        return ""
    if declared.support is None:
        return "synthetic Gaussian inputs"
    support = config.scale.linearized.supports[declared.support]
    title = config.datasets[support.dataset].title
    return f"{title} ({support.train:,} training and {support.test:,} test examples)"


def seeds(config: Config, study: str, select: Selection) -> str:
    """The seeds behind a selection, in words: `1, 2, 3`, or `none`."""
    used: tuple[int, ...] = ()
    if study == "symmetrization":
        used = config.scale.symmetrization.seeds if select.cells else ()
    elif select.family is not None:
        used = tuple(dict.fromkeys(seed for *_, seed in tangents(config, select)))
    return ", ".join(map(str, used)) or "none"


def caption(config: Config, study: str, artefact_id: str) -> str:
    """The caption of an artefact, with its scale, data and seeds."""
    said = description(config, study, artefact_id)
    sentences = [said["caption"], f"Scale {said['scale']}; data: {said['data']}"]
    sentences[-1] += "." if said["seeds"] == "none" else f"; seeds {said['seeds']}."
    return " ".join(sentences)
