"""The steps that both studies share: raw files and prepared datasets."""

from __future__ import annotations

from pathlib import Path

from firstorder.config import Config, Dataset, File, lookup
from firstorder.errors import ConfigError
from firstorder.paths import Paths


def paths(config: Config) -> Paths:
    """The paths of a configuration."""
    settings = config.settings
    return Paths(settings.results, settings.resources, settings.scale)


def fetch(config: Config, dataset: str, name: str) -> None:
    """Place the raw file `name` of `dataset` below `resources/`, verified."""
    from firstorder.data import fetch as download

    declared = lookup(config.datasets, dataset, "dataset")
    download.fetch(
        dataset,
        _raw_file(declared, dataset, name),
        declared.folders,
        Path(paths(config).raw(dataset, name)),
        declared.help,
    )


def prepare(config: Config, dataset: str) -> None:
    """Decode the raw files of `dataset` into one file of tensors."""
    from firstorder.data import prepare as decode

    where = paths(config)
    decode.prepare(
        dataset,
        lookup(config.datasets, dataset, "dataset"),
        Path(where.raw(dataset, "x")).parent,
        Path(where.dataset(dataset)),
    )


def _raw_file(declared: Dataset, dataset: str, name: str) -> File:
    known = {file.name: file for file in declared.files}
    if declared.human_file is not None:
        known[declared.human_file.name] = declared.human_file
    if name not in known:
        raise ConfigError(
            f"{dataset} has no raw file {name!r}; it has {', '.join(known) or 'none'}"
        )
    return known[name]
