"""What is run: the networks of a scale, and where the files of the study lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from firstorder.config import Config, lookup
from firstorder.jobs.paths import paths
from firstorder.publish import declared as drawn
from firstorder.studies.line_attractor.settings import NAME, Select, Set, declared, scale

TRAINED = (
    "weights.safetensors",
    "untrained.safetensors",
    "history.csv",
    "summary.json",
    "correct.npz",
)
"""What a training leaves, for every seed."""
FOUND = ("points.npz",)
READ = ("dynamics.npz", "dynamics.json")
OF_SEED = (*TRAINED, *FOUND, *READ)
COUNTED = ("words.npz", "words.json")
"""What the bag of words leaves, for every corpus."""
TEXTS = ("documents.npz", "corpus.json")
OF_CORPUS = (*TEXTS, *COUNTED)
READABLE = (*OF_SEED, *OF_CORPUS)


class Network(NamedTuple):
    """Trainings that share everything but the seed: one job."""

    corpus: str
    cell: str


def set_of(config: Config, corpus: str) -> Set:
    """What the scale runs of a corpus; ConfigError where it runs nothing."""
    return lookup(scale(config).corpora, corpus, "corpus")


def networks(config: Config, select: Select) -> list[Network]:
    """The networks of a selection, in the order that it gives or else that of the declaration."""
    corpora = select.corpora or tuple(declared(config).corpora)
    cells = select.cells or tuple(declared(config).cells)
    run = scale(config).corpora
    found = [
        Network(corpus, cell)
        for corpus in corpora
        if corpus in run
        for cell in cells
        if cell in run[corpus].cells
    ]
    return found[:1] if select.one else found


def reading(config: Config) -> Iterator[tuple[Select, tuple[str, ...]]]:
    """What every artefact and claim selects, and the files that it reads of it."""
    for select, reads in drawn.reading(config, NAME):
        yield select, drawn.known(NAME, reads, READABLE)


def networks_read(config: Config, files: tuple[str, ...]) -> list[Network]:
    """The networks of which one of `files` is read."""
    found: dict[Network, None] = {}
    for select, reads in reading(config):
        if set(reads) & set(files):
            found |= dict.fromkeys(networks(config, select))
    return list(found)


def corpora_read(config: Config, files: tuple[str, ...]) -> list[str]:
    """The corpora of which one of `files` is read."""
    return list(dict.fromkeys(each.corpus for each in networks_read(config, files)))


def corpus_file(config: Config, corpus: str, name: str) -> str:
    """A file of a corpus."""
    return paths(config).study(NAME, "texts", corpus, name)


def receipt(config: Config, corpus: str, file: str) -> str:
    """What is known of a raw file that is in place."""
    return paths(config).study(NAME, "texts", corpus, "raw", f"{file}.json")


def seed_file(config: Config, corpus: str, cell: str, seed: int | str, name: str) -> str:
    """A file of one training or of its analysis."""
    return paths(config).study(NAME, "networks", corpus, cell, f"seed{seed}", name)
