"""The plan of a workflow run: the configuration and the code digests it was planned with.

The head process freezes both into one file, named by its content, and hands its path to every
job. A job reads its configuration from there, so that an edit while it waits in a queue cannot
reach it, and refuses to start when the code it would run is not the code that was planned:
otherwise Snakemake would record the planned digest for a result of other code.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstorder import config as configuration
from firstorder import digest, files
from firstorder.config import Artefact, Cell, Config, LinearizedStudy, load
from firstorder.errors import CodeChangedError, ConfigError

VARIABLE = "FIRSTORDER_PLAN"
FOLDER = ".snakemake/plans"
STUDY = {
    "symmetrization": "firstorder.studies.symmetrization",
    "linearized": "firstorder.studies.linearized",
}


@dataclass(frozen=True)
class Plan:
    """A frozen configuration with the digests that belong to it."""

    config: Config
    codes: dict[str, str]
    path: str

    def code(self, *entries: str) -> str:
        """The digest of `entries` as planned; computed when the plan is still being made."""
        key = " ".join(entries)
        if key not in self.codes:
            self.codes[key] = digest.code(*entries)
        return self.codes[key]

    def check(self, *entries: str) -> str:
        """The digest of `entries` now; refuses when it is not the planned one."""
        current = digest.code(*entries)
        planned = self.codes.get(" ".join(entries), current)
        if planned != current:
            raise CodeChangedError(
                f"this job was planned with code {planned}, but the source tree now holds "
                f"{current} for {entries[0]}; start the workflow again"
            )
        return current


def make(root: str | Path, overrides: dict[str, Any]) -> Plan:
    """The plan of this process: the head's when a head handed one over, else a new one."""
    inherited = os.environ.get(VARIABLE)
    if inherited and Path(inherited).is_file():
        return read(inherited)
    config = load(root, overrides)
    check_functions(config)
    return Plan(config=config, codes={}, path="")


def of_job(overrides: dict[str, Any]) -> Plan:
    """The plan of a command: that of the workflow run it belongs to, else one of its own.

    `overrides` are the keys of config.yaml that the command line gives. A plan that says
    otherwise belongs to another run and is refused.
    """
    inherited = os.environ.get(VARIABLE)
    if not inherited:
        config = load("config", overrides)
        check_functions(config)
        return Plan(config=config, codes={}, path="")
    plan = read(inherited)
    for key, value in overrides.items():
        planned = getattr(plan.config.settings, key, None)
        if planned != value:
            raise ConfigError(
                f"{VARIABLE}: {inherited} was planned with {key} {planned!r}, not {value!r}; "
                f"unset {VARIABLE} to run by hand"
            )
    return plan


def freeze(plan: Plan) -> Plan:
    """Write `plan` below `.snakemake/`, unless it was read from there, and hand it to all jobs."""
    if plan.path:
        return plan
    for entries in all_entries(plan.config):
        plan.code(*entries)
    value = {"config": plan.config.model_dump(mode="json"), "codes": plan.codes}
    path = f"{FOLDER}/{files.digest(json.dumps(value))}.json"
    if not Path(path).is_file():
        # Not sorted: artefacts, claims and losses appear in the order of their declaration.
        files.write_text(path, json.dumps(value, allow_nan=False))
    os.environ[VARIABLE] = path
    return Plan(config=plan.config, codes=plan.codes, path=path)


def read(path: str | Path) -> Plan:
    """Read a frozen plan."""
    try:
        value = json.loads(Path(path).read_text())
        return Plan(Config.model_validate(value["config"]), value["codes"], str(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such plan; start the workflow again to make one") from None
    except (ValueError, KeyError):
        raise ConfigError(f"{path}: not a plan; start the workflow again to make one") from None


OTHER = {
    "prepare": ("firstorder.studies.data:prepare",),
    "labels": ("firstorder.studies.symmetrization:labels",),
    "manifest": ("firstorder.publish.manifest:build",),
    "crate": ("firstorder.publish.crate:build",),
    "paper": ("firstorder.publish.paper:build",),
}
"""The code of verbs that is the same for all their jobs."""

TANGENT_VERBS = ("kernel", "spectrum", "tangent", "networks", "rotation", "nads")


def all_entries(config: Config) -> Iterator[tuple[str, ...]]:
    """The entries of every kind of job of a workflow run."""
    yield from OTHER.values()
    for names in configuration.all_cells(config):
        cell = configuration.cell(config, *names)
        yield cell_entries("train", cell)
        yield cell_entries("tune", cell)
        yield evaluation_entries(cell)
    models = {
        model for family in config.scale.linearized.families.values() for model in family.models
    }
    for model, verb in itertools.product(sorted(models), TANGENT_VERBS):
        yield tangent_entries(verb, config.studies.linearized, model)
    for _, _, artefact in configuration.artefacts(config):
        yield artefact_entries(config, artefact)
    yield claim_entries(config)


def cell_entries(verb: str, cell: Cell) -> tuple[str, ...]:
    """The code of a training verb of the symmetrization study: its own, its loss, its model."""
    loss = _loss_entries(cell.loss.function or cell.loss_name)
    return (f"{STUDY['symmetrization']}:{verb}", *loss, *_registered("models", cell.recipe.model))


def evaluation_entries(cell: Cell) -> tuple[str, ...]:
    """The code that tests the trained networks of a cell."""
    return ("firstorder.studies.evaluation:evaluate", *_registered("models", cell.recipe.model))


def _loss_entries(function: str) -> tuple[str, ...]:
    """The code of a loss: registered by name, or a file or module of the user."""
    return (function,) if ":" in function else _registered("losses", function)


def tangent_entries(verb: str, study: LinearizedStudy, model: str) -> tuple[str, ...]:
    """The code of a verb of the linearized study: its own and its model's."""
    return (f"{STUDY['linearized']}:{verb}", *_registered("models", study.models[model].model))


def artefact_entries(config: Config, artefact: Artefact) -> tuple[str, ...]:
    """The code of a table or figure: how it is built, what draws it, the losses that it draws."""
    module = {"table": "firstorder.publish.tables", "figure": "firstorder.publish.figures"}
    group = artefact.options.get("losses")
    known = configuration.losses(config)
    drawn = configuration.loss_group(config, group) if isinstance(group, str) else ()
    functions = dict.fromkeys(known[name].function or name for name in drawn)
    return (
        f"{module[artefact.kind]}:build",
        *_registered("publish", artefact.draw),
        *itertools.chain.from_iterable(map(_loss_entries, functions)),
    )


def claim_entries(config: Config) -> tuple[str, ...]:
    """The code of all claims of the chosen studies."""
    predicates = sorted(
        {
            claim.predicate
            for study in config.settings.studies
            for claim in getattr(config.studies, study).claims.values()
        }
    )
    found = (_registered("publish", name) for name in predicates)
    return ("firstorder.publish.claims:build", *itertools.chain.from_iterable(found))


def _registered(package: str, name: str) -> tuple[str, ...]:
    known = digest.registry(f"firstorder.{package}")
    if name not in known:
        what = {
            "losses": "loss function",
            "models": "model",
            "publish": "function to draw or judge",
        }
        raise ConfigError(
            f"{what[package]} {name!r} is unknown; {configuration.choose(name, sorted(known))}"
        )
    return known[name]


def check_functions(config: Config) -> None:
    """Refuse losses, models and drawing functions that do not exist, before any job is planned.

    What is registered is read from the source, since importing it would import torch.
    """
    for name, loss in config.losses.items():
        function = loss.function or name
        if ":" in function:
            source = function.rpartition(":")[0]
            if source.endswith(".py") and not Path(source).is_file():
                raise ConfigError(f"losses.yaml: {name}.function: {source} does not exist")
            continue
        allowed = digest.keywords(_registered("losses", function)[0])
        given: dict[str, Mapping[str, Any]] = {"parameters": loss.parameters}
        given["choices"] = loss.choices
        for dataset, change in loss.datasets.items():
            given[f"datasets.{dataset}.parameters"] = change.parameters
        for where, parameters in given.items():
            for key in parameters:
                if key not in allowed:
                    raise ConfigError(
                        f"losses.yaml: {name}.{where}.{key}: unknown parameter of {function}; "
                        f"{configuration.choose(key, list(allowed))}"
                    )
    list(all_entries(config))
