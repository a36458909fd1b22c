"""A step reads its spec and its inputs, nothing else, and leaves nothing of its spec unread."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import pytest
from projects import ROOT, SHRUNK, Project, make_project

from firstorder import files
from firstorder.jobs import code, plan
from firstorder.jobs.job import Job
from firstorder.jobs.plan import Plan
from firstorder.jobs.study import known_steps

from .traced import Place, followed, leaves, traced

UNREAD = {
    r"(table|figure) .*:selected\..*|claims:claims\.\*\.selected\..*": (
        "a selection has one form for all functions of a study; each reads what it prints"
    ),
    r"claims:claims\.\*\.options\..*": "a claim on what the tiny scale does not run is not called",
    r"corrupt:noise\.annotation": "human labels are of datasets that must be downloaded",
}
"""Places (`group:place`, a pattern) that may stay unread, with the reason."""


@dataclass
class Traces:
    """What the jobs of a project read."""

    declared: dict[str, set[Place]] = field(default_factory=lambda: defaultdict(set))
    """Group of jobs -> places of its specs."""
    read: dict[str, set[Place]] = field(default_factory=lambda: defaultdict(set))
    outside: list[tuple[str, str]] = field(default_factory=list)
    """(job, file) that was opened and is neither an input nor an output of the job."""


def group(job: Job) -> str:
    """What is compared: a step, or the function of a table or figure."""
    return " ".join((job.step, str(job.spec.get("function", "")).rpartition(":")[2])).strip()


def ordered(jobs: dict[tuple[str, ...], Job]) -> Iterator[Job]:
    """Jobs after those that make their inputs."""
    makers = {path: job for job in jobs.values() for path in job.outputs.values()}
    done: set[int] = set()

    def visit(job: Job) -> Iterator[Job]:
        if id(job) in done:
            return
        done.add(id(job))
        for path in job.inputs.values():
            if path in makers:
                yield from visit(makers[path])
        yield job

    for job in jobs.values():
        yield from visit(job)


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Traces:
    """Every job of a tiny project, run in this process on a spec that notes its reads."""
    folder = tmp_path_factory.mktemp("traced")
    project: Project = make_project(folder, tuple(SHRUNK))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        return trace(plan.make("config", {}))


def trace(made: Plan) -> Traces:
    found, opened = Traces(), []
    here, source = str(Path.cwd().resolve()), str(ROOT)
    watching = [True]

    def hook(event: str, arguments: tuple) -> None:
        if watching[0] and event == "open" and isinstance(arguments[0], str | os.PathLike):
            path = os.path.abspath(os.fspath(arguments[0]))
            if path.startswith(here + os.sep):
                opened.append(os.path.relpath(path, here))
            elif path.startswith(source + os.sep) and not is_code(path):
                opened.append(path)

    sys.addaudithook(hook)
    try:
        with followed():
            for job in ordered(made.jobs()):
                log: set[Place] = set()
                context = made.context(job)
                module, _, name = made.steps()[job.step].run.rpartition(":")
                opened.clear()
                spec = traced(dict(job.spec), log)
                getattr(import_module(module), name)(spec, job.inputs, job.outputs, context)
                found.declared[group(job)] |= set(leaves(dict(job.spec)))
                found.read[group(job)] |= log
                allowed = {*job.inputs.values(), *job.outputs.values()}
                allowed |= {str(path) for entry in job.code for path in data_of(entry)}
                # The manifest's business is the hashes of all files: it is told their names.
                for listed in job.spec.get("jobs", ()) if job.step == "manifest" else ():
                    allowed |= {*listed["inputs"], *listed["outputs"]}
                found.outside += [
                    ("/".join((job.step, *job.key)), path)
                    for path in dict.fromkeys(opened)
                    if path not in allowed and not harmless(path, allowed)
                ]
    finally:
        watching[0] = False
    return found


def is_code(path: str) -> bool:
    """Whether Python, or a package that is installed here, opens a file of the source."""
    return path.endswith(".py") or any(
        each in ("__pycache__", ".venv") or each.endswith(".egg-info") for each in Path(path).parts
    )


def data_of(entry: str) -> list[Path]:
    """The files of a code entry that is a folder."""
    module, _, name = entry.rpartition(":")
    folder = code.SOURCE.joinpath(*module.split("."), name)
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def harmless(path: str, own: set[str]) -> bool:
    """Checkpoints, the temporary names of a job's own files, and where Snakemake has Python look.

    Another test may have imported Snakemake in this process.
    """
    folders = {os.path.dirname(each) for each in own}
    hidden = os.path.basename(path).startswith(".")
    looked_at = path == ".snakemake/pip-deployments" or "/checkpoints/" in path
    return looked_at or (hidden and os.path.dirname(path) in folders)


@pytest.mark.timeout(1800)
def test_every_step_is_traced(traces: Traces) -> None:
    traced_steps = {name.split()[0] for name in traces.declared}
    # The data of the tiny project are bundled, or made.
    assert traced_steps == set(known_steps()) - {"fetch", "fetch_text", "toy", "measure"}


@pytest.mark.timeout(1800)
def test_a_step_leaves_nothing_of_its_spec_unread(traces: Traces) -> None:
    unread = {
        f"{name}:{'.'.join(place)}"
        for name, declared in traces.declared.items()
        for place in declared - traces.read[name]
    }
    known = {place for place in unread if any(re.fullmatch(each, place) for each in UNREAD)}
    assert sorted(unread - known) == []
    for each in UNREAD:
        assert any(re.fullmatch(each, place) for place in known), f"{each}: all is read now"


@pytest.mark.timeout(1800)
def test_a_step_opens_no_file_besides_its_inputs_and_outputs(traces: Traces) -> None:
    noted = {
        (job, path)
        for job, path in traces.outside
        if job in ("page", "crate") and "/ledger/" in path
    }
    assert noted, "the page says of every number what its job took"
    assert set(traces.outside) == noted


FORBIDDEN = {"Config", "load", "of_plain", "settings", "Settings", "Scale", "StudyConfig"}
"""What a configuration is read with."""


@pytest.mark.parametrize("name", sorted(set(known_steps()) - {"measure"}))
def test_no_code_that_a_step_reaches_knows_the_configuration(name: str) -> None:
    module, _, function = known_steps()[name].run.rpartition(":")
    reached = code.reach((module, function))
    assert (module, function) in reached
    for where, definition in reached:
        known = code._module(where)
        for statement in known.definitions[definition]:
            mentioned = {each.id for each in ast.walk(statement) if is_name(each)}
            bound = {each: known.imports[each] for each in mentioned & set(known.imports)}
            for local in ast.walk(statement):
                if isinstance(local, ast.Import | ast.ImportFrom):
                    bound |= code._imports(local)
            for source, attribute in bound.values():
                place = f"{where}:{definition}"
                assert source not in ("firstorder.jobs.paths", "firstorder.jobs.plan"), place
                if source.startswith("firstorder.config"):
                    assert attribute is not None and attribute not in FORBIDDEN, place


def is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name)


def test_a_value_that_nobody_reads_is_noticed() -> None:
    log: set[Place] = set()
    spec = traced({"a": 1, "b": {"c": [1, 2], "d": {}}, "e": {"f": 1}}, log)
    assert spec["b"]["c"][0] == 1 and dict(spec["b"])["d"] == {}
    assert set(leaves({"a": 1, "b": {"c": [1, 2], "d": {}}, "e": {"f": 1}})) - log == {
        ("a",),
        ("e", "f"),
    }
    files.digest({"x": [1]})
