"""Tables, figures and claims as jobs: what they read, what they print, the code that makes them."""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from firstorder.config import Artefact, Claim, Config, ConfigError, choose, study_files
from firstorder.jobs import code, signature
from firstorder.jobs import study as studies
from firstorder.jobs.study import Selected
from firstorder.own import texts

FOLDER = "published"
"""Of published numbers, below the folder of the configuration."""


@dataclass(frozen=True)
class Source:
    """The function of a table, figure or claim, as its source says."""

    entry: str
    reads: tuple[str, ...]
    either: tuple[str, ...]
    """Options of which exactly one is given; none where each stands alone."""


@cache
def source(study: str, kind: str, name: str) -> Source | None:
    """The function that `study`, or the project for all studies, registers; None when absent."""
    for package in (studies.find(study).package, "firstorder.publish"):
        found = [e for e in code.registry(package) if (e.decorator, e.name) == (kind, name)]
        if len(found) > 1:
            places = " and ".join(each.entry for each in found)
            raise ConfigError(f"{kind} {name!r} is registered twice: {places}")
        for each in found:
            given = {key: each.keywords.get(key) for key in ("reads", "either")}
            reads, either = (_names(value, f"{each.entry}: {key}") for key, value in given.items())
            return Source(each.entry, reads, either)
    return None


def _names(written: ast.expr | None, where: str) -> tuple[str, ...]:
    """The names that a decorator lists, which is read and not run."""
    try:
        found = ast.literal_eval(written) if written else ()
    except ValueError:  # it is the name of a constant
        found = None
    if not isinstance(found, tuple | list) or not all(isinstance(each, str) for each in found):
        raise ConfigError(f"{where}: write a tuple of texts in its place, such as ('a.csv',)")
    return tuple(found)


def function(study: str, kind: str, name: str, where: str) -> Source:
    """The same; ConfigError at `where` when there is none."""
    found = source(study, kind, name)
    if found is None:
        packages = (studies.find(study).package, "firstorder.publish")
        known = {e.name for p in packages for e in code.registry(p) if e.decorator == kind}
        raise ConfigError(f"{where}: {name!r} is unknown; {choose(name, sorted(known))}")
    return found


def check(config: Config) -> None:
    """Refuse functions that do not exist, and options that they do not take."""
    for study in studies.chosen(config):
        declared, (file, _) = config.studies[study.name].declared, study_files(config, study.name)
        for name, artefact in declared.artefacts.items():
            where = f"{file}: artefacts.{name}"
            found = function(study.name, artefact.kind, artefact.draw, f"{where}.draw")
            signature.check(found.entry, artefact.options, f"{where}.options")
            if artefact.published:
                _check_published(published(config, artefact.published), f"{where}.published")
        for name, claim in declared.claims.items():
            where = f"{file}: claims.{name}"
            found = function(study.name, "claim", claim.predicate, f"{where}.predicate")
            signature.check(found.entry, claim.options, f"{where}.options")
            given = {option for option, value in claim.options.items() if value} & {*found.either}
            if found.either and len(given) != 1:
                raise ConfigError(
                    f"{where}.options: {claim.predicate} needs either {' or '.join(found.either)}"
                )


def _check_published(path: Path, where: str) -> None:
    """Refuse published numbers that cannot be read as a table, before anything is trained."""
    if not path.is_file():
        raise ConfigError(f"{where}: {path} does not exist")
    try:
        heading, *rows = csv.reader(io.StringIO(path.read_text("utf-8"), newline=""), strict=True)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason}); save it so") from None
    except (csv.Error, ValueError) as error:
        raise ConfigError(f"{path}: not a table of comma-separated values ({error})") from None
    for number, row in enumerate(rows, start=2):
        if row and len(row) != len(heading):
            raise ConfigError(
                f"{path}: row {number}: {len(row)} fields instead of {len(heading)}; quote texts "
                "with commas"
            )
        for name, text in zip(heading, row, strict=False):
            if name in ("mean", "std", "n") and not _is_number(text):
                raise ConfigError(f"{path}: row {number}: {name}: {text!r} is no number")


def _is_number(text: str) -> bool:
    """Whether a cell holds a number, or nothing."""
    try:
        float(text or 0)
    except ValueError:
        return False
    return True


def called(entry: Artefact[Any] | Claim[Any]) -> tuple[str, str]:
    """Kind and name of the function behind an artefact or a claim."""
    return (entry.kind, entry.draw) if isinstance(entry, Artefact) else ("claim", entry.predicate)


def reading(config: Config, study: str) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """What every artefact and claim of a study selects, and the files that it reads of it."""
    own = config.studies[study].declared
    for entry in (*own.artefacts.values(), *own.claims.values()):
        found = source(study, *called(entry))
        yield entry.select, found.reads if found else ()


def known(study: str, reads: Iterable[str], readable: Iterable[str]) -> tuple[str, ...]:
    """The files that a function of a study reads; ConfigError for one that is not `readable`."""
    read, names = tuple(reads), list(readable)
    for file in read:
        if file not in names:
            raise ConfigError(f"{study}: reads: {file!r}: {choose(file, names)}")
    return read


def named(
    study: str, entry: Artefact[Any] | Claim[Any], kind: str, *, complete: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """The options of an artefact or a claim that its function types as `kind`, with their texts.

    Such as `LossName`, which is a text that names a loss, or nested lists of them. `complete`:
    also those that are not given, with their defaults.
    """
    found = source(study, *called(entry))
    for option in signature.mentioning(found.entry, kind) if found else ():
        if option in entry.options:
            yield option, [*texts(entry.options[option])]
        elif found and complete:
            yield option, [*texts(signature.default(found.entry, option))]


def published(config: Config, name: str) -> Path:
    """The file of the published numbers called `name`."""
    return config.root / FOLDER / f"{name}.csv"


def resolve(
    config: Config, study: str, kind: str, name: str, select: Any
) -> tuple[Source, Selected]:
    """The function of an artefact or a claim, and the results that it draws on."""
    found = function(study, kind, name, study)
    return found, studies.find(study).select(config, select, found.reads)


def artefacts(config: Config) -> Iterator[tuple[str, str, Artefact[Any]]]:
    """Every (study, name, artefact) of which the scale runs what it reads."""
    for study in studies.chosen(config):
        for name, each in config.studies[study.name].declared.artefacts.items():
            if resolve(config, study.name, each.kind, each.draw, each.select)[1].available:
                yield study.name, name, each


def spec(found: Source, selected: Selected, options: dict[str, Any]) -> dict[str, Any]:
    """What `registry.call` needs."""
    return {"function": found.entry, "options": options, "selected": dict(selected.spec)}


def caption(text: str, scale: str, selected: Selected) -> str:
    """A caption with the scale, data and seeds behind it."""
    sentences = [" ".join(text.split()), f"Scale {scale}; data: {selected.data}"]
    seeds = ", ".join(map(str, selected.seeds))
    sentences[-1] += f"; seeds {seeds}." if seeds else "."
    return " ".join(sentences)
