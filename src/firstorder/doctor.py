"""`firstorder doctor`: is this machine ready for the chosen scale?"""

from __future__ import annotations

import getpass
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from firstorder.config import File
from firstorder.errors import DataError
from firstorder.jobs import forecast
from firstorder.jobs.job import Job
from firstorder.jobs.plan import Plan

PACKAGES = ("snakemake", "torch", "torchvision", "numpy", "pandas", "matplotlib", "typst")
GIB = 1024
REACH_SECONDS = 5.0
NEW_HOME = "export HOME=$PWD/.snakemake/home; unset XDG_CACHE_HOME (`make` does)"


@dataclass(frozen=True)
class Finding:
    """One line of the report; `mend` says what to do where something is missing."""

    text: str
    mend: str = ""


def examine(plan: Plan) -> tuple[str, bool]:
    """A readable report, and whether the machine is ready.

    Environment, devices, data, disk, and the size and time of the work. Sources of data that are
    not in place are asked whether they answer.
    """
    config, jobs = plan.config, list(plan.jobs().values())
    title = f"scale {config.settings.scale}: {config.scale.data}; meant for {config.scale.hardware}"
    sections = {
        "environment": list(_environment()),
        "device": list(_device(config.settings.device, jobs)),
        "data": list(_data(jobs)),
        "disk": list(_disk(config.settings.results, jobs)),
        "work": [Finding(line) for line in work(plan)],
    }
    lines = [title]
    for name, findings in sections.items():
        lines += ["", name]
        said: set[str] = set()
        for finding in findings:
            lines.append(f"  {'!!' if finding.mend else '  '} {finding.text}")
            if finding.mend and finding.mend not in said:
                lines.append(f"     -> {finding.mend}")
                said.add(finding.mend)
    missing = [f for findings in sections.values() for f in findings if f.mend]
    what = "thing is" if len(missing) == 1 else "things are"
    verdict = f"{len(missing)} {what} missing" if missing else "ready"
    return "\n".join([*lines, "", verdict]), not missing


def _environment() -> Iterator[Finding]:
    yield Finding(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            yield Finding(f"{package} is not installed", "make env")
    yield Finding(", ".join(f"{name} {version}" for name, version in found.items()))
    if os.environ.get("PYTHONPATH"):
        yield Finding(
            f"PYTHONPATH is {os.environ['PYTHONPATH']}: packages there go before the locked ones",
            "unset PYTHONPATH (`make` does)",
        )
    yield from _home()


def _home() -> Iterator[Finding]:
    """Whether Snakemake finds what it asks of an account: home, folder for its cache, name."""
    home = os.path.expanduser("~")  # `~` itself where neither HOME nor the system names one
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path(home, ".cache"))
    there = next((each for each in (cache, *cache.parents) if each.exists()), Path("."))
    if home == "~":
        yield Finding(f"user {os.getuid()} has no home folder, which Snakemake needs", NEW_HOME)
    elif not cache.is_absolute() or not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        yield Finding(f"Snakemake cannot write its cache, {cache}", NEW_HOME)
    try:
        getpass.getuser()
    except (KeyError, OSError):
        yield Finding(
            f"user {os.getuid()} has no name, for which Snakemake asks",
            "export USER=user (`make` does)",
        )


def _device(setting: str, jobs: list[Job]) -> Iterator[Finding]:
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Finding(f"{forecast.cores()} CPU cores, {memory:.0f} GiB of memory")
    needed = max((job.demand.megabytes for job in jobs), default=0) / GIB
    yield Finding(
        f"the largest job asks for {needed:.0f} GiB of memory",
        "a larger machine or a smaller scale; jobs may still fit, what they ask is generous"
        if needed > memory
        else "",
    )
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            used = "" if setting != "cpu" else ", not used: device is cpu"
            yield Finding(f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB{used}")
    elif setting == "cuda":
        yield Finding("no CUDA device, but one is asked for", "set `device: auto` in config.yaml")
    else:
        yield Finding("no CUDA device: everything runs on the CPU")


def _data(jobs: list[Job]) -> Iterator[Finding]:
    """Where raw files are or will come from."""
    for job in jobs:
        if job.step == "prepare" and not job.inputs:
            yield Finding(f"{job.key[0]}: bundled, nothing to download")
        if "receipt" in job.outputs:
            yield _source(job)


def _source(job: Job) -> Finding:
    from firstorder.data import locate, steps

    dataset, file = job.key
    place = job.aside
    path = Path(place["path"])
    if "file" not in job.spec:
        try:
            steps.in_place(job.spec, place["path"])
        except DataError as error:
            return Finding(f"{dataset}: {error}", "the files that are in place are not right")
        return Finding(f"{dataset}: in place, {path}")
    declared = File.model_validate(job.spec["file"])
    if os.path.lexists(path):  # a link to nothing is in the way
        problem = locate.state(path, declared)
        if problem is not None:
            mend = "move it away, or put the right file there"
            return Finding(f"{dataset}: {path}: {problem}", mend)
        return Finding(f"{dataset}: {file} is in place")
    found, _ = locate.copy_of(declared, locate.places(path.parent, place["folders"])[1:])
    if found is not None:
        return Finding(f"{dataset}: {file} will be taken from {found.parent}")
    if not place["urls"]:
        return Finding(f"{dataset}: {file} is missing", place["help"] or f"place it at {path}")
    answers = [url for url in place["urls"] if _answers(url)]
    if answers:
        host = urlsplit(answers[0]).hostname
        return Finding(f"{dataset}: {file} will be downloaded from {host}")
    hosts = ", ".join(dict.fromkeys(urlsplit(url).hostname or "" for url in place["urls"]))
    return Finding(
        f"{dataset}: {file} is not here; no answer from {hosts}",
        f"connect, or put the file into {Path(place['path']).parent}/",
    )


def _answers(url: str) -> bool:
    """Whether a source would send its file; only the head is asked for, if it gives that."""
    import requests

    from firstorder.data.download import FinalError, check_redirect

    options: dict[str, Any] = {"timeout": REACH_SECONDS, "hooks": {"response": check_redirect}}
    try:
        if requests.head(url, allow_redirects=True, **options).ok:
            return True
        with requests.get(url, stream=True, **options) as answer:
            return answer.ok
    except (requests.RequestException, FinalError, ValueError):  # ValueError: a header of nonsense
        return False


def _disk(results: str, jobs: list[Job]) -> Iterator[Finding]:
    root = Path(results)
    while not root.exists():
        root = root.parent if root.parent != root else Path(".")
    free = shutil.disk_usage(root).free / 2**30
    needed = sum(job.demand.disk_megabytes for job in jobs) / GIB
    text = f"{needed:.1f} GiB needed when nothing is there yet; {free:.0f} GiB free"
    yield Finding(text, "free some, or set `results` to another disk" if needed > free else "")


def work(plan: Plan) -> Iterator[str]:
    """What will be computed, and a prediction of the time, by step."""
    works = forecast.work(plan.jobs().values(), plan.config, forecast.device(plan.config))
    yield f"{'step':<22}{'jobs':>5}{'time':>14}{'on a':>6}{'memory':>10}{'disk':>10}  measured"
    for each in works:
        yield (
            f"{each.step:<22}{each.jobs:>5}{forecast.duration(each.seconds):>14}"
            f"{'GPU' if each.gpu else 'core':>6}{each.megabytes / GIB:>6.1f} GiB"
            f"{each.disk_megabytes / GIB:>6.1f} GiB  {each.measured} of {each.jobs}"
        )
    cores = sum(each.seconds for each in works if not each.gpu)
    gpus = sum(each.seconds for each in works if each.gpu)
    declared = sum(each.declared for each in works)
    together = f"together {'at most' if declared else 'about'}"
    if gpus:
        yield f"{together} {forecast.duration(gpus)} on one GPU, less with several"
    number = forecast.cores()
    yield f"{together} {forecast.duration(cores / number)} on {number} cores"
    new = [each for each in works if each.measured < each.jobs]
    if others := ", ".join(sorted({each.elsewhere for each in new if each.elsewhere})):
        yield f"what was not run here took as long elsewhere ({others})"
    if declared:
        yield f"{declared} jobs have declared times: what a scheduler is asked for, and generous"
