"""What is run: the cells of the study, the tuning of losses, and where their files lie."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from firstorder.config import (
    Config,
    ConfigError,
    Dataset,
    File,
    Loss,
    Noise,
    Recipe,
    Strict,
    check_batch,
    lookup,
    study_files,
)
from firstorder.jobs.paths import paths
from firstorder.publish import declared as drawn
from firstorder.studies.symmetrization.settings import NAME, Select, Tuning, scale
from firstorder.studies.symmetrization.variants import group, losses, once

RUN_FILES = ("summary.json", "history.csv", "correct.npz", "tests.json")
"""Files of one training that may be read; the last is the evaluation's."""
DEFINITIONS = "definitions"
"""Read instead of files: losses that are selected without cells."""
READABLE = (*RUN_FILES, "labels.npz", "tuning.json", "cost.json", DEFINITIONS)


class Cell(Strict):
    """Trainings that share everything but the seed: one job."""

    dataset: str
    recipe_name: str
    recipe: Recipe
    noise: Noise
    loss: Loss
    """As it is on the dataset, with its function."""


def noise(config: Config, name: str) -> Noise:
    """The noise called `name`: declared by the scale, or spelled out by the name itself."""
    return scale(config).noises.get(name) or Noise.parse(name)


def apart(noise: Noise) -> dict[str, Any]:
    """A noise apart from where its file lies: that is known by what it holds."""
    return noise.model_dump(mode="json", exclude={"path"})


@once
def cell(config: Config, setting: str, noise_name: str, loss_name: str) -> Cell:
    """The resolved cell of a setting, a noise and a loss."""
    chosen = lookup(scale(config).settings, setting, "setting")
    loss = lookup(losses(config), loss_name, "loss").on(chosen.dataset)
    return Cell(
        dataset=chosen.dataset,
        recipe_name=chosen.recipe,
        recipe=config.recipes[chosen.recipe],
        noise=noise(config, noise_name),
        loss=loss.model_copy(update={"function": loss.function or loss_name}),
    )


def tuning(config: Config, loss: str) -> Tuning:
    """The tuning protocol; ConfigError that names the loss which needs it when there is none."""
    protocol = scale(config).tuning
    if protocol is None:
        _, file = study_files(config, NAME)
        raise ConfigError(
            f"loss {loss!r} is `tuned`, but scale {config.settings.scale!r} declares no tuning; "
            f"add `tuning` to {file}"
        )
    return protocol


def tuned_cell(config: Config, setting: str, loss: str) -> Cell:
    """The cell in which a loss is tuned: under the tuning noise, on as much data as it allows.

    ConfigError where that is less than an example of each class, or cannot be split.
    """
    protocol = tuning(config, loss)
    found = cell(config, setting, protocol.noise, loss)
    dataset, (_, file) = config.datasets[found.dataset], study_files(config, NAME)
    if protocol.train is not None and protocol.train < len(dataset.classes):
        raise ConfigError(
            f"{file}: tuning.train: {protocol.train} is not allowed: {found.dataset} "
            f"has {len(dataset.classes)} classes"
        )
    part = protocol.train if (protocol.train or dataset.train) < dataset.train else None
    counts = [count for count in (part, found.recipe.train) if count is not None]
    count = min(counts, default=None)
    given = count or dataset.train
    held_out = round(given * protocol.validation)
    if not 0 < held_out < given:
        raise ConfigError(
            f"{file}: tuning.validation: {protocol.validation} is not allowed: of "
            f"{given} examples of {found.dataset} it leaves none on one side"
        )
    check_batch(
        config.recipes[found.recipe_name],
        given - held_out,
        f"the tuning part of {found.dataset}",
        f"{config.root}/recipes.yaml: {found.recipe_name}",
    )
    recipe = found.recipe.model_copy(update={"train": count})
    return found.model_copy(update={"recipe": recipe})


def label_seeds(config: Config) -> tuple[int, ...]:
    """The seeds for which noisy labels are drawn: those of the trainings and of the tuning."""
    protocol = scale(config).tuning
    return tuple(sorted({*scale(config).seeds, *(protocol.seeds if protocol else ())}))


def human_file(dataset: Dataset, noise: Noise) -> File | None:
    """The raw file with human annotations that a noise needs."""
    return dataset.human_file if noise.kind == "human" else None


def asymmetric(dataset: Dataset) -> str | list[list[int]]:
    """The map of asymmetric noise as JSON: `blocks`, or pairs of a class and its mistaken one."""
    if isinstance(dataset.asymmetric, str):
        return dataset.asymmetric
    return [list(pair) for pair in sorted(dataset.asymmetric.items())]


def selected_cells(config: Config, select: Select) -> Iterator[tuple[str, str, str]]:
    """The (setting, noise, loss) names that a selection needs; none for a group of no cells."""
    if select.losses is None or select.cells is None:
        return
    names = group(config, select.losses)
    for cells in scale(config).cells.get(select.cells, ()):
        yield from itertools.product(cells.settings, cells.noises, names)


@once
def cells_read(config: Config) -> dict[str, dict[tuple[str, str, str], None]]:
    """For every kind of file, the cells of which an artefact or a claim reads it, in order."""
    found: dict[str, dict[tuple[str, str, str], None]] = {name: {} for name in READABLE}
    for select, reads in drawn.reading(config, NAME):
        for file in drawn.known(NAME, reads, READABLE):
            found[file].update(dict.fromkeys(selected_cells(config, select)))
    return found


def trainings(config: Config) -> Iterator[tuple[str, str, str]]:
    """The cells of which a file of a training is read, or one that is made from it."""
    read = cells_read(config)
    yield from {cell: None for name in RUN_FILES for cell in read[name]}


def tunings(config: Config) -> Iterator[tuple[str, str]]:
    """The (setting, loss) that are tuned: `tuned` losses of which a file is read."""
    read = cells_read(config)
    cells = [*trainings(config), *read["tuning.json"], *read["cost.json"]]
    for setting, loss in dict.fromkeys((setting, loss) for setting, _, loss in cells):
        if losses(config)[loss].on(scale(config).settings[setting].dataset).tuned:
            yield setting, loss


def run_file(config: Config, setting: str, noise: str, loss: str, seed: int, name: str) -> str:
    """A file of one training."""
    return paths(config).study(NAME, "runs", setting, noise, loss, f"seed{seed}", name)


def labels_file(config: Config, dataset: str, noise: str, seed: int) -> str:
    """The noisy labels of one seed."""
    return paths(config).study(NAME, "labels", dataset, noise, f"seed{seed}.npz")


def tuning_file(config: Config, setting: str, loss: str, suffix: str = "json") -> str:
    """What was chosen for a loss (json), and the accuracy of all that was tried (csv)."""
    return paths(config).study(NAME, "tuning", setting, f"{loss}.{suffix}")


def cost_file(config: Config, setting: str) -> str:
    """What a training step of a setting costs with each loss."""
    return paths(config).study(NAME, "cost", f"{setting}.json")
