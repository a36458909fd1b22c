"""What the engine knows of a study: its models, its steps, and how it selects results.

A study is a package `firstorder.studies.NAME` (or a package NAME beside `config/`, of the
user's own) with a value `STUDY`. It is found by its name; nothing else names it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from firstorder.config import Config, ConfigError, Strict
from firstorder.jobs.code import is_ours
from firstorder.jobs.job import Files, Job, Spec
from firstorder.own import given, importing


@dataclass(frozen=True)
class Step:
    """A kind of job: a verb of the command line and a rule of the workflow."""

    name: str
    """A verb, unlike that of any other step."""
    run: str
    """`module:function`; the function takes (spec, inputs, outputs, context)."""
    keys: tuple[str, ...]
    """The wildcards that tell its jobs apart."""
    help: str
    """One line for the command line."""
    outputs: Callable[..., Files]
    """(config, *key) -> name -> path. Snakemake's `{wildcard}` may stand for a key."""
    job: Callable[..., Job]
    """(config, *key) -> Job; ConfigError for a key that does not exist."""
    every: Callable[[Config], Iterable[tuple[str, ...]]]
    """The keys of all its jobs that artefacts and claims of the configuration lead to."""
    preload: tuple[str, ...] = ()
    """Modules that one process may import for all its jobs of a run (see `jobs.warm`)."""

    def make(self, config: Config, *key: str) -> Job:
        """The job of a key, with the files whose names it hands to functions of the user's.

        Such as a matrix for a loss, or weights to start a network from: they decide its result.
        """
        job = self.job(config, *key)
        theirs = {entry.rpartition(":")[0] for entry in job.code if not is_ours(entry)}
        files = {str(path) for module in theirs for path in given(module, job.spec)}
        files -= {*job.inputs.values(), *job.outputs.values()}
        return replace(job, code=(*job.code, *(f":{path}" for path in sorted(files))))


def step(
    run: str,
    keys: tuple[str, ...],
    outputs: Callable[..., Files],
    job: Callable[..., Job],
    every: Callable[[Config], Iterable[tuple[str, ...]]],
    preload: tuple[str, ...] = (),
    *,
    help: str,
) -> Step:
    """A step that is called like its function: `run` is `module:name`."""
    name = run.rpartition(":")[2]
    return Step(name, run, keys, help, outputs, job, every, preload)


@dataclass(frozen=True)
class Selected:
    """The results that an artefact or a claim draws on, as its study resolved them."""

    spec: Spec = field(default_factory=dict)
    """Rows and labels, JSON-able; no paths."""
    files: Files = field(default_factory=dict)
    """The files that are read, by names that `spec` leads to."""
    code: tuple[str, ...] = ()
    """Further entries whose code is drawn on, such as losses that are drawn by definition."""
    data: str = "none: computed from the definitions"
    """For captions."""
    datasets: tuple[str, ...] = ()
    """Titles of the datasets that `data` is about, for what says of many results what they read."""
    seeds: tuple[int, ...] = ()
    available: bool = True
    """False where the scale runs nothing of it."""


@dataclass(frozen=True)
class Study:
    """A study, as the engine sees it."""

    name: str
    declared: type[Strict]
    """Model of config/studies/NAME/study.yaml. Has title, paper, artefacts and claims."""
    scale: type[Strict]
    """Model of config/studies/NAME/SCALE.yaml."""
    check: Callable[[Config, Path, Path], None]
    """(config, study file, scale file): refuses what does not fit together."""
    steps: tuple[Step, ...]
    select: Callable[[Config, Any, tuple[str, ...]], Selected]
    """(config, selection, names of files that are read) -> what is drawn on."""
    protocol: Callable[[Config], Iterable[dict[str, str]]] = lambda config: ()
    """How networks are trained at the scale: rows of `publish.protocol`, for the paper."""
    package: str = ""
    """Where its tables, figures and claims are registered; filled in by `find`."""


@cache
def find(name: str) -> Study:
    """The study called `name`. Raises ConfigError when there is no code for it."""
    module = f"firstorder.studies.{name}"
    if find_spec(module) is None:
        module = name
        if str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        if not name.isidentifier() or find_spec(name) is None:
            raise ConfigError(
                f"study {name!r} has no code: write src/firstorder/studies/{name}/, or a package "
                f"{name}/ in the project's folder"
            )
    with importing(f"study {name!r}: {module}", ConfigError):
        study = getattr(import_module(module), "STUDY", None)
    if not isinstance(study, Study):
        raise ConfigError(f"study {name!r}: {module} defines no STUDY")
    return replace(study, package=module)


def chosen(config: Config) -> Iterator[Study]:
    """The chosen studies, in their order."""
    return (find(name) for name in config.settings.studies)


SHARED = ("firstorder.data.steps", "firstorder.publish.steps")
"""Modules with the steps that every study needs (STEPS) and what they check of a configuration
(`check`); found by name, like studies."""


def steps(config: Config) -> dict[str, Step]:
    """All steps, by name. Raises ConfigError when two have one name."""
    data, publish = (import_module(name).STEPS for name in SHARED)
    found: dict[str, Step] = {}
    for step in (*data, *(step for study in chosen(config) for step in study.steps), *publish):
        if step.name in found:
            raise ConfigError(
                f"two steps are called {step.name!r}: {found[step.name].run} and {step.run}"
            )
        found[step.name] = step
    return found


@cache
def known_steps() -> dict[str, Step]:
    """The steps of all studies of this package and of those that `config/` declares besides.

    Not of the chosen ones only: which are chosen may be said after the verb, or by a plan. One of
    the user's own that cannot be imported has none; `unusable` says why.
    """
    data, publish = (import_module(name).STEPS for name in SHARED)
    studies = [find(name) for name in _packaged()]
    for name in _own():
        with suppress(ConfigError):
            studies.append(find(name))
    own = (step for study in studies for step in study.steps)
    return {step.name: step for step in (*data, *own, *publish)}


def unusable() -> Iterator[str]:
    """Why studies that `config/` declares have no steps."""
    for name in _own():
        try:
            find(name)
        except ConfigError as error:
            yield str(error)


def _packaged() -> list[str]:
    """The studies of this package."""
    import firstorder.studies

    return [each.name for each in iter_modules(firstorder.studies.__path__) if each.ispkg]


def _own() -> list[str]:
    """The studies that `config/` declares and that are not of this package."""
    declared = {path.parent.name for path in Path("config/studies").glob("*/study.yaml")}
    return sorted(declared.difference(_packaged()))
