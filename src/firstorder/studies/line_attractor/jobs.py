"""The jobs of the study: what each of its steps computes, from what, into what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from firstorder.config import Config, ConfigError, File, lookup
from firstorder.data.steps import own_digest
from firstorder.jobs.job import Demand, Files, Job
from firstorder.jobs.paths import paths
from firstorder.jobs.study import Step, step
from firstorder.studies.line_attractor import grid
from firstorder.studies.line_attractor.settings import NAME, declared, scale

MODULE = f"firstorder.studies.{NAME}"


def _fetched(config: Config, corpus: str, file: str) -> Files:
    return {"receipt": grid.receipt(config, corpus, file)}


def raw_names(config: Config, corpus: str) -> tuple[str, ...]:
    """The raw files of a corpus: those declared, or another container that is in place."""
    entry = lookup(declared(config).corpora, corpus, "corpus")
    own = tuple(file.name for file in entry.files)
    if not all(_raw(config, corpus, name).exists() for name in own):
        for name in entry.in_place:
            if _raw(config, corpus, name).exists():
                return (name,)
    return own


def _raw(config: Config, corpus: str, name: str) -> Path:
    return Path(paths(config).raw(corpus, name))


def _fetch_job(config: Config, corpus: str, file: str) -> Job:
    entry = lookup(declared(config).corpora, corpus, "corpus")
    known = {each.name: each for each in entry.files}
    known |= {name: File(name=name) for name in entry.in_place}
    if file not in known:
        raise ConfigError(f"{corpus} has no raw file {file!r}; it has {', '.join(known) or 'none'}")
    found, path = known[file], _raw(config, corpus, file)
    # Texts in another container are known by their content.
    own = {} if file in entry.in_place else own_digest(found, path.parent, entry.folders)
    return Job(
        step="fetch_text",
        key=(corpus, file),
        spec={"dataset": corpus, "file": found.model_dump(mode="json", exclude={"urls"}), **own},
        inputs={},
        outputs=_fetched(config, corpus, file),
        code=(),
        demand=Demand(megabytes=500, minutes=60),
        aside={
            "path": str(path),
            "urls": found.urls,
            "folders": entry.folders,
            "help": entry.help,
        },
    )


def _every_file(config: Config) -> Iterator[tuple[str, str]]:
    for corpus in _corpora(config):
        for name in raw_names(config, corpus):
            yield corpus, name


def _corpora(config: Config) -> list[str]:
    """The corpora of which anything is read."""
    return grid.corpora_read(config, grid.READABLE)


def _corpus_outputs(names: tuple[str, ...]) -> Any:
    def outputs(config: Config, corpus: str) -> Files:
        return {name: grid.corpus_file(config, corpus, name) for name in names}

    return outputs


def _of_seeds(names: tuple[str, ...]) -> Callable[[Config, str, str], Files]:
    def outputs(config: Config, corpus: str, cell: str) -> Files:
        return {
            f"{seed}/{name}": grid.seed_file(config, corpus, cell, seed, name)
            for seed in scale(config).seeds
            for name in names
        }

    return outputs


_texts = _corpus_outputs(grid.TEXTS)
_counted = _corpus_outputs(grid.COUNTED)
_trained = _of_seeds(grid.TRAINED)
_found = _of_seeds(grid.FOUND)
_read = _of_seeds(grid.READ)
_searched = _of_seeds(("weights.safetensors",))
_analysed = _of_seeds(("weights.safetensors", "untrained.safetensors", "points.npz"))
CLASSES = ("classes", "class_min_count")
"""What the choice of words by the bag of words reads of the settings of texts."""
OF_READER = {
    "synthetic": {"train", "test", "validation", "longest"},
    "sst": {"min_count", "max_size", "longest"},
}
OF_RAW = {"train", "test", "validation", "min_count", "max_size", "longest"}
"""What each reader, or every other, reads of the settings of texts."""


def _read_job(config: Config, corpus: str) -> Job:
    entry = lookup(declared(config).corpora, corpus, "corpus")
    text = grid.set_of(config, corpus).text
    names = raw_names(config, corpus)
    content = entry.content if set(names) & set(entry.in_place) else None
    return Job(
        step="read_text",
        key=(corpus,),
        spec={
            "reader": entry.reader,
            "files": list(names),
            **({} if entry.reader in OF_READER else {"content": content}),
            **text.model_dump(mode="json", include=OF_READER.get(entry.reader, OF_RAW)),
        },
        inputs={name: grid.receipt(config, corpus, name) for name in names},
        outputs=_texts(config, corpus),
        code=(f"{MODULE}.read:read_text",),
        demand=Demand(megabytes=8000 if entry.reader == "yelp" else 3000, minutes=60),
        aside={"data": True},
    )


def _count_job(config: Config, corpus: str) -> Job:
    entry = lookup(declared(config).corpora, corpus, "corpus")
    text, true = grid.set_of(config, corpus).text, entry.reader == "synthetic"
    read = {"bag"} if true else {"bag", *CLASSES}
    return Job(
        step="count_words",
        key=(corpus,),
        spec={"valences": true, **text.model_dump(mode="json", include=read)},
        inputs={"documents": grid.corpus_file(config, corpus, "documents.npz")},
        outputs=_counted(config, corpus),
        code=(f"{MODULE}.words:count_words",),
        demand=Demand(megabytes=4000, minutes=60),
    )


def _network(config: Config, corpus: str, cell: str) -> Any:
    """The settings of a network's corpus; ConfigError where the scale does not train it."""
    found = grid.set_of(config, corpus)
    if cell not in found.cells:
        raise ConfigError(f"{corpus} has no cell {cell!r}; it has {', '.join(found.cells)}")
    return found


def _minutes(config: Config, each: int) -> int:
    return 5 + each * len(scale(config).seeds)


def _train_job(config: Config, corpus: str, cell: str) -> Job:
    found = _network(config, corpus, cell)
    return Job(
        step="train_rnn",
        key=(corpus, cell),
        spec={
            "seeds": list(scale(config).seeds),
            "recipe": {"cell": cell, **found.recipe.model_dump(mode="json")},
        },
        inputs={"documents": grid.corpus_file(config, corpus, "documents.npz")},
        outputs=_trained(config, corpus, cell),
        code=(f"{MODULE}.training:train_rnn",),
        demand=Demand(
            gpu=config.settings.device != "cpu",
            megabytes=4000,
            minutes=_minutes(config, found.minutes),
        ),
    )


def _find_job(config: Config, corpus: str, cell: str) -> Job:
    found = _network(config, corpus, cell)
    return Job(
        step="find_fixed_points",
        key=(corpus, cell),
        spec={
            "seeds": list(scale(config).seeds),
            "cell": cell,
            "search": found.search.model_dump(mode="json", exclude={"tolerance"}),
        },
        inputs={
            "documents": grid.corpus_file(config, corpus, "documents.npz"),
            **_searched(config, corpus, cell),
        },
        outputs=_found(config, corpus, cell),
        code=(f"{MODULE}.steps:find_fixed_points",),
        demand=Demand(gpu=config.settings.device != "cpu", megabytes=4000, minutes=120),
    )


def _linearize_job(config: Config, corpus: str, cell: str) -> Job:
    found = _network(config, corpus, cell)
    return Job(
        step="linearize_dynamics",
        key=(corpus, cell),
        spec={
            "seeds": list(scale(config).seeds),
            "cell": cell,
            "search": found.search.model_dump(mode="json", exclude={"tolerances"}),
        },
        inputs={
            "documents": grid.corpus_file(config, corpus, "documents.npz"),
            "words": grid.corpus_file(config, corpus, "words.npz"),
            **_analysed(config, corpus, cell),
        },
        outputs=_read(config, corpus, cell),
        code=(f"{MODULE}.steps:linearize_dynamics",),
        demand=Demand(gpu=config.settings.device != "cpu", megabytes=6000, minutes=120),
    )


def _every_corpus(config: Config) -> Iterator[tuple[str]]:
    yield from ((corpus,) for corpus in _corpora(config))


def _every_count(config: Config) -> Iterator[tuple[str]]:
    files = (*grid.COUNTED, *grid.READ)
    yield from ((corpus,) for corpus in grid.corpora_read(config, files))


def _every_training(config: Config) -> Iterator[tuple[str, str]]:
    yield from grid.networks_read(config, grid.OF_SEED)


def _every_analysis(config: Config) -> Iterator[tuple[str, str]]:
    yield from grid.networks_read(config, (*grid.FOUND, *grid.READ))


def _every_reading(config: Config) -> Iterator[tuple[str, str]]:
    yield from grid.networks_read(config, grid.READ)


NETWORK = ("corpus", "cell")
PRELOAD = ("firstorder.training.sequences", "firstorder.dynamics")
STEPS = (
    Step(
        name="fetch_text",
        run="firstorder.data.steps:fetch",
        keys=("corpus", "file"),
        help="Place one raw FILE of CORPUS below resources/, verified.",
        outputs=_fetched,
        job=_fetch_job,
        every=_every_file,
    ),
    step(
        f"{MODULE}.read:read_text", ("corpus",), _texts, _read_job, _every_corpus, PRELOAD,
        help="Read the texts of CORPUS into tokens.",
    ),
    step(
        f"{MODULE}.words:count_words", ("corpus",), _counted, _count_job, _every_count, PRELOAD,
        help="Fit the bag of words of CORPUS, and choose positive, negative and neutral words.",
    ),
    step(
        f"{MODULE}.training:train_rnn", NETWORK, _trained, _train_job, _every_training, PRELOAD,
        help="Train networks of a CELL on CORPUS, for every seed.",
    ),
    step(
        f"{MODULE}.steps:find_fixed_points", NETWORK, _found, _find_job, _every_analysis, PRELOAD,
        help="Search the fixed points of the networks of a CELL on CORPUS.",
    ),
    step(
        f"{MODULE}.steps:linearize_dynamics", NETWORK,
        _read, _linearize_job, _every_reading, PRELOAD,
        help="Read the networks of a CELL on CORPUS at their fixed points.",
    ),
)  # fmt: skip
