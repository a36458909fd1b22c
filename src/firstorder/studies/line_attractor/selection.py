"""The results that a table, figure or claim draws on, and how they are printed."""

from __future__ import annotations

from collections.abc import Iterator

from firstorder.config import Config
from firstorder.jobs.study import Selected
from firstorder.publish import declared as drawn
from firstorder.publish.protocol import Row, examples, trained
from firstorder.studies.line_attractor import grid
from firstorder.studies.line_attractor.grid import Network
from firstorder.studies.line_attractor.settings import Select, declared, scale


def select(config: Config, selection: Select, reads: tuple[str, ...]) -> Selected:
    """The results that an artefact or a claim draws on.

    `spec`: rows (corpus, title, reader, cell, label), one for every network, seeds, and the
    tolerance of every corpus. Files: `corpus/cell/seed/name`, of a corpus `corpus/name`.
    """
    found = grid.networks(config, selection)
    study, own = declared(config), scale(config)
    corpora = list(dict.fromkeys(each.corpus for each in found))
    rows = [
        {
            "corpus": corpus,
            "title": study.corpora[corpus].title,
            "reader": study.corpora[corpus].reader,
            "cell": cell,
            "label": study.cells[cell],  # type: ignore[index]
        }
        for corpus, cell in found
    ]
    return Selected(
        spec={
            "rows": rows,
            "seeds": list(own.seeds),
            "tolerances": {corpus: own.corpora[corpus].search.tolerance for corpus in corpora},
        },
        files=dict(_files(config, found, reads)),
        data=_data(config, corpora) or "none",
        datasets=tuple(study.corpora[corpus].title for corpus in corpora),
        seeds=own.seeds,
        available=bool(found),
    )


def _files(
    config: Config, networks: list[Network], reads: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    for name in drawn.known(grid.NAME, reads, grid.READABLE):
        if name in grid.OF_CORPUS:
            for corpus in dict.fromkeys(each.corpus for each in networks):
                yield f"{corpus}/{name}", grid.corpus_file(config, corpus, name)
            continue
        for corpus, cell in networks:
            for seed in scale(config).seeds:
                path = grid.seed_file(config, corpus, cell, seed, name)
                yield f"{corpus}/{cell}/{seed}/{name}", path


def _data(config: Config, corpora: list[str]) -> str:
    """The corpora, with what differs from the published data."""
    titles = []
    for corpus in corpora:
        note = scale(config).corpora[corpus].note
        title = declared(config).corpora[corpus].title
        titles.append(f"{title} ({note})" if note else title)
    return ", ".join(titles)


def protocol(config: Config) -> Iterator[Row]:
    """How networks are trained on every corpus, for the paper."""
    for name, corpus in scale(config).corpora.items():
        data = examples(declared(config).corpora[name].title, corpus.text.train, corpus.text.test)
        cells = ", ".join(declared(config).cells[cell] for cell in corpus.cells)
        model = f"{cells}; {corpus.recipe.units} units"
        yield trained(name, data, model, corpus.recipe, 0.0, scale(config).seeds)
