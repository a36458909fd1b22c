"""Checks that span files: unknown corpora and cells, tolerances that are not kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from firstorder.config import Config, ConfigError, check_printed, lookup
from firstorder.jobs.paths import paths
from firstorder.studies.line_attractor import grid
from firstorder.studies.line_attractor.jobs import CLASSES, OF_RAW, OF_READER
from firstorder.studies.line_attractor.settings import Corpus, Select, Set, declared, scale

FILES = {"synthetic": 0, "sst": 3, "imdb": 1, "yelp": 1, "csv": 2}
"""How many raw files each reader reads."""
SPLITS = {"sst": ["train", "dev", "test"], "csv": ["train", "test"]}
"""What the files of a reader with several are called, before the dot, in their order."""


def check(config: Config, study_file: Path, scale_file: Path) -> None:
    """Refuse a configuration whose parts do not fit together, naming file, key and mend."""
    study = declared(config)
    cells: dict[str, str] = {str(name): label for name, label in study.cells.items()}
    for name, corpus in study.corpora.items():
        _check_corpus(corpus, f"{study_file}: corpora.{name}")
    for kind, entries in (("artefacts", study.artefacts), ("claims", study.claims)):
        for name, entry in entries.items():
            where = f"{study_file}: {kind}.{name}.select"
            for corpus_name in entry.select.corpora or ():
                lookup(study.corpora, corpus_name, "corpus", f"{where}.corpora")
            for cell in entry.select.cells or ():
                lookup(cells, cell, "cell", f"{where}.cells")
    for name, chosen in scale(config).corpora.items():
        where = f"{scale_file}: corpora.{name}"
        corpus = lookup(study.corpora, name, "corpus", where)
        _check_set(corpus, chosen, where)
        if corpus.reader == "csv":
            _check_own(config, name, corpus, f"{study_file}: corpora.{name}")
        for cell in chosen.cells:
            lookup(cells, cell, "cell", f"{where}.cells")
    for kind, entries in (("artefacts", study.artefacts), ("claims", study.claims)):
        for name, entry in entries.items():
            check_printed(_printed(config, entry.select), f"{study_file}: {kind}.{name}.select")


def _printed(config: Config, select: Select) -> Iterator[tuple[str, str, str]]:
    """What a selection prints: (`corpora` or `cells`, the text, the name of one)."""
    study = declared(config)
    for corpus, cell in grid.networks(config, select):
        yield "corpora", study.corpora[corpus].title, corpus
        yield "cells", study.cells[cell], cell  # type: ignore[index]


def _check_corpus(corpus: Corpus, where: str) -> None:
    if len(corpus.files) != FILES[corpus.reader]:
        raise ConfigError(
            f"{where}.files: {len(corpus.files)} given; the reader {corpus.reader} reads "
            f"{FILES[corpus.reader]}"
        )
    names = [file.name for file in corpus.files]
    expected = SPLITS.get(corpus.reader, [])
    if expected and [name.partition(".")[0] for name in names] != expected:
        raise ConfigError(
            f"{where}.files: {', '.join(names)}; the reader {corpus.reader} reads "
            f"{', '.join(expected)}, called so and in this order"
        )
    if corpus.in_place and corpus.content is None:
        raise ConfigError(f"{where}.content: missing: what is in place is verified by it")


def _check_own(config: Config, name: str, corpus: Corpus, where: str) -> None:
    """Refuse texts of the user's own that are not there, before anything is planned."""
    from firstorder.data.locate import places  # with numpy, which few configurations need

    for file in corpus.files:
        path = Path(paths(config).raw(name, file.name))
        folders = places(path.parent, corpus.folders)
        if not file.urls and not any((folder / file.name).exists() for folder in folders):
            raise ConfigError(f"{where}.files: {path}: no such file; place it there")


def _check_set(corpus: Corpus, chosen: Set, where: str) -> None:
    search, text = chosen.search, chosen.text
    if search.tolerance not in search.tolerances:
        kept = ", ".join(f"{value:g}" for value in search.tolerances)
        raise ConfigError(
            f"{where}.search.tolerance: {search.tolerance:g} is not kept; kept are {kept}"
        )
    if corpus.reader == "synthetic" and None in (text.train, text.test):
        raise ConfigError(f"{where}.text: say how many documents to draw: train and test")
    read = OF_READER.get(corpus.reader, OF_RAW) | {"bag"}
    read |= set() if corpus.reader == "synthetic" else set(CLASSES)
    if unread := sorted(text.model_fields_set - read):
        raise ConfigError(
            f"{where}.text: the reader {corpus.reader} reads no {', '.join(unread)}; leave it out"
        )
    if corpus.reader != "sst" and text.train is not None and text.train * text.validation < 1:
        raise ConfigError(
            f"{where}.text.validation: {text.validation:g} of {text.train} documents is less than "
            "one; raise it or train"
        )
