"""The plan of a workflow run: the configuration, and the digests of the jobs and of their code.

The head process freezes them into one file, named by its content, and hands its path to every
job. A job reads its configuration from there, so that an edit while it waits in a queue cannot
reach it, and refuses to start when the code it would run is not the code that was planned, or
when the source tree makes another job of the configuration: otherwise Snakemake would record
the planned digests for a result of other code or other values.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from firstorder import files
from firstorder.config import Config, load, of_plain, plain
from firstorder.config.validation import check
from firstorder.errors import CodeChangedError, ConfigError
from firstorder.jobs import code, ledger
from firstorder.jobs.context import Context
from firstorder.jobs.functions import check_losses_and_recipes
from firstorder.jobs.job import Job
from firstorder.jobs.paths import paths
from firstorder.jobs.study import SHARED, Step, find, steps
from firstorder.own import blaming, names, parse

VARIABLE = "FIRSTORDER_PLAN"
FOLDER = ".snakemake/plans"


@dataclass(frozen=True)
class Plan:
    """A configuration with the digests that belong to it."""

    config: Config
    codes: dict[str, str]
    digests: dict[str, str] = field(default_factory=dict, repr=False)
    """Of every job, by its name in the ledger; none where the plan was made for one command."""
    path: str = ""
    """Where it is frozen; empty for one that was made here."""
    _makers: dict[str, Sequence[str]] = field(default_factory=dict, repr=False)
    _made: dict[tuple[str, ...], Job] = field(default_factory=dict, repr=False)
    """Jobs that were asked for; planning asks for each a dozen times."""

    def code(self, job: Job) -> str:
        """The digest of a job's code as planned; computed when the plan is still being made."""
        key = " ".join(job.code)
        if key not in self.codes:
            self.codes[key] = code.code(*job.code)
        return self.codes[key]

    def job(self, step: str, *key: str) -> Job:
        """One job. Raises ConfigError for a step or key that does not exist."""
        if (step, *key) not in self._made:
            known = self.steps()
            if step not in known:
                chosen = ", ".join(self.config.settings.studies)
                raise ConfigError(
                    f"{self.config.root}/config.yaml: studies: {chosen} has no step {step!r}; add "
                    "the study that has it"
                )
            self._made[step, *key] = known[step].make(self.config, *key)
        return self._made[step, *key]

    def steps(self) -> dict[str, Step]:
        """All steps, by name."""
        return steps(self.config)

    def jobs(self) -> dict[tuple[str, ...], Job]:
        """All jobs that the artefacts and claims of the configuration lead to: (step, *key)."""
        with blaming(ConfigError):
            keys = (
                (step.name, *key)
                for step in self.steps().values()
                for key in step.every(self.config)
            )
            return {key: self.job(*key) for key in keys}

    def makers(self) -> ledger.Makers:
        """Which job makes a file, for all outputs of all jobs."""
        if not self._makers:
            for job in self.jobs().values():
                maker = ledger.name(job)
                self._makers.update({path: (maker, name) for name, path in job.outputs.items()})
        return self._makers

    def context(self, job: Job) -> Context:
        """The circumstances in which a job runs; refuses code or values that were not planned."""
        current, planned = code.code(*job.code), self.code(job)
        if planned != current:
            raise CodeChangedError(
                f"this job was planned with code {planned}, but the source tree now holds "
                f"{current} for {job.step}; start the workflow again"
            )
        name = ledger.name(job)
        # Snakemake can be asked for a job that no artefact leads to: of it nothing was frozen.
        if self.digests.get(name, job.digest) != job.digest:
            raise CodeChangedError(
                f"{name} was planned with other values than the source tree and the data now make "
                "of the configuration; start the workflow again"
            )
        settings = self.config.settings
        return Context(
            code=current,
            device=settings.device,
            checkpoints=Path(paths(self.config).checkpoints),
            checkpoint_seconds=settings.checkpoint_seconds,
            aside=job.aside,
        )


def make(root: str | Path, overrides: dict[str, Any], *, head: bool = True) -> Plan:
    """The plan of a process of Snakemake: a new one in the head, that of the head in its jobs.

    Snakemake starts itself again for jobs on other machines. A plan that was left in the
    environment of a head is nobody's.
    """
    inherited = os.environ.get(VARIABLE)
    if inherited and not head:
        return read(inherited)
    return Plan(config=_checked(root, overrides), codes={})


def of_job(overrides: dict[str, Any]) -> Plan:
    """The plan of a command: that of the workflow run it belongs to, else one of its own.

    `overrides` are the keys of config.yaml that the command line gives. A plan that says
    otherwise belongs to another run and is refused.
    """
    inherited = os.environ.get(VARIABLE)
    if not inherited:
        return Plan(config=_checked("config", overrides), codes={})
    plan = read(inherited)
    settings = plan.config.settings
    given = check(type(settings), {**settings.model_dump(), **overrides}, "the command line")
    for key in overrides:
        planned, value = getattr(settings, key), getattr(given, key)
        if planned != value:
            raise ConfigError(
                f"{VARIABLE}: {inherited} was planned with {key} {planned!r}, not {value!r}; "
                f"unset {VARIABLE} to run by hand"
            )
    return plan


def _checked(root: str | Path, overrides: dict[str, Any]) -> Config:
    """A configuration whose functions exist and take the options that they are given."""
    with blaming(ConfigError):  # a study of the user's own has functions that are called here
        config = load(root, overrides, find, check_losses_and_recipes)
        for module in SHARED:
            import_module(module).check(config)
        for step in steps(config).values():
            _check_run(step)
    return config


def _check_run(step: Step) -> None:
    """Refuse a step of a user's study whose function is not in its file."""
    module, _, name = step.run.rpartition(":")
    if code.is_ours(module):
        return
    path = code.file_of(step.run)
    if path is None or name not in names(parse(path)):
        raise ConfigError(f"step {step.name!r}: run: {step.run}: no such function")


def freeze(plan: Plan) -> Plan:
    """Write `plan` below `.snakemake/`, unless it was read from there, and hand it to all jobs."""
    if plan.path:
        return plan
    _check_places(plan.makers())
    for job in plan.jobs().values():
        plan.code(job)
        plan.digests[ledger.name(job)] = job.digest
    value = {
        "config": plain(plan.config),
        "codes": plan.codes,
        "digests": plan.digests,
        "makers": dict(plan.makers()),
    }
    # Not sorted: artefacts, claims and losses appear in the order of their declaration.
    text = json.dumps(value, allow_nan=False)
    path = f"{FOLDER}/{files.text_digest(text)}.json"
    if not Path(path).is_file():
        files.write_text(path, text)
    os.environ[VARIABLE] = path
    return replace(plan, path=path)


def _check_places(outputs: Collection[str]) -> None:
    """Raise ConfigError where a file is in the place of a folder of results, or a folder of a file.

    Snakemake looks at all of them before it says anything, and ends with a traceback.
    """
    for folder in dict.fromkeys(map(os.path.dirname, outputs)):
        if taken := files.in_the_way(folder):
            place, what = taken
            raise ConfigError(f"{place}: {what} where results have a folder; move it away")
    for output in outputs:
        if os.path.isdir(output):
            raise ConfigError(f"{output}: a folder where a result is written; move it away")


def read(path: str | Path) -> Plan:
    """Read a frozen plan. Raises ConfigError when it is not what was frozen."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        if files.text_digest(text) != Path(path).stem:
            raise ValueError
        value = json.loads(text)
        return Plan(
            config=of_plain(value["config"], find),
            codes=value["codes"],
            digests=value["digests"],
            path=str(path),
            _makers=value["makers"],
        )
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such plan; start the workflow again to make one") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{path}: not the plan that was made; start the workflow again to make one"
        ) from None
