"""What decides whether a job is run again: the resolved settings of every kind of job.

Each function returns compact JSON for a rule's `params:`. Labels, sources, titles and what is
asked of a scheduler are left out: they change no result.
"""

from __future__ import annotations

import json
from typing import Any

from firstorder import config as configuration
from firstorder.config import Artefact, Cell, Config, Selection

UNCOUNTED_OF_RECIPE = {"source", "minutes", "memory_mb"}
UNCOUNTED_OF_DATASET = {"title", "source", "help", "files", "folders", "human_file"}


def cell(cell: Cell) -> str:
    """A training job: dataset, noise, loss, recipe and seeds."""
    return compact(cell_values(cell))


def cell_values(cell: Cell) -> dict[str, Any]:
    """The settings of a training job as plain values."""
    return cell.model_dump(
        mode="json",
        exclude={
            "loss": {"label", "source", "datasets", "choices"},
            "recipe": UNCOUNTED_OF_RECIPE,
        },
    )


def tuning(config: Config, setting: str, loss: str) -> str:
    """A tuning job: its cell and the protocol."""
    protocol = config.scale.symmetrization.tuning
    assert protocol is not None
    cell = configuration.tuning_cell(config, setting, loss)
    grids = configuration.tuning_grids(config, cell.loss)
    return compact(
        {
            "cell": cell_values(cell),
            "grids": grids,
            "protocol": protocol.model_dump(mode="json"),
        }
    )


def raw_file(config: Config, dataset: str, name: str) -> str:
    """A raw file: its checksums. Where it comes from does not matter."""
    entry = config.datasets[dataset]
    for file in (*entry.files, *([entry.human_file] if entry.human_file else [])):
        if file.name == name:
            return compact(file.model_dump(mode="json", exclude={"urls"}))
    return compact({})


def dataset(config: Config, name: str) -> str:
    """A dataset: shape, sizes, classes and the settings of its reader."""
    return compact(config.datasets[name].model_dump(mode="json", exclude=UNCOUNTED_OF_DATASET))


def noise(config: Config, dataset: str, name: str) -> str:
    """A noise on a dataset, with the maps that it may use."""
    entry = config.datasets[dataset]
    return compact(
        {
            "noise": configuration.noise(config, name).model_dump(mode="json"),
            "asymmetric": entry.model_dump(mode="json")["asymmetric"],
            "groups": entry.semantic_groups,
            "human": entry.human,
        }
    )


def kernel(config: Config, model: str, support: str) -> str:
    """A kernel: the network and the examples on which it lives."""
    scale = config.scale.linearized
    declared = scale.supports.get(support)
    return compact(
        {
            "model": config.studies.linearized.models[model].model_dump(
                mode="json", exclude={"label"}
            ),
            "support": declared.model_dump(mode="json") if declared else support,
            "threads": scale.threads,
        }
    )


def spectrum(config: Config) -> str:
    """A spectrum: how many leading eigenvectors are kept."""
    scale = config.scale.linearized
    return compact({"eigenvectors": scale.eigenvectors, "threads": scale.threads})


def family(config: Config, model: str, name: str) -> str:
    """Trainings of a family of tasks for one model: tasks, recipe, support."""
    declared = config.scale.linearized.families[name]
    recipe = config.recipes[declared.recipe]
    return compact(
        {
            "kernel": kernel(config, model, declared.support or name),
            "family": declared.model_dump(mode="json", exclude={"models", "seeds"}),
            "recipe": recipe.model_dump(mode="json", exclude=UNCOUNTED_OF_RECIPE),
        }
    )


def artefact(config: Config, study: str, artefact: Artefact) -> str:
    """A table or figure: its declaration, and the labels that it prints."""
    return compact(
        {
            "artefact": artefact.model_dump(mode="json"),
            "selection": selection(config, study, artefact.select),
            "losses": _drawn_losses(config, artefact),
        }
    )


def _drawn_losses(config: Config, artefact: Artefact) -> dict[str, Any]:
    """The losses that a figure draws from their definitions."""
    group = artefact.options.get("losses")
    if not isinstance(group, str):
        return {}
    known = configuration.losses(config)
    return {
        name: known[name].model_dump(mode="json", exclude={"source", "datasets"})
        for name in configuration.loss_group(config, group)
    }


def selection(config: Config, study: str, select: Selection) -> Any:
    """The results that a selection names, with the labels under which they appear."""
    if study == "linearized":
        labels = {name: model.label for name, model in config.studies.linearized.models.items()}
        declared = config.scale.linearized.families
        families = [name for name in (select.family, *select.also) if name in declared]
        values = {name: declared[name].model_dump(mode="json") for name in families if name}
        return {"labels": labels, "families": values}
    cells = list(configuration.selected_cells(config, select))
    known = configuration.losses(config)
    return {
        "cells": cells,
        "labels": {loss: known[loss].label for _, _, loss in cells},
        "seeds": config.scale.symmetrization.seeds,
        "notes": configuration.cell_notes(config, select.cells),
    }


def claims(config: Config) -> str:
    """All claims of the chosen studies."""
    return compact(
        {
            study: {
                name: [
                    claim.model_dump(mode="json"),
                    selection(config, study, claim.select),
                ]
                for name, claim in getattr(config.studies, study).claims.items()
            }
            for study in config.settings.studies
        }
    )


def compact(value: Any) -> str:
    """Settings as text: sorted and without spaces, so that equal settings are equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
