"""How long jobs take: as measured here, else as measured elsewhere, else as declared.

The ledger holds what every job took. The forecast looks there for the same step with the same
spec, at any scale below the results folder, on the same kind of device. Jobs that went on from an
earlier run took more than their last run and do not count. For what was never run here,
config/measured.csv has the mean of each step at each scale on another machine.
"""

from __future__ import annotations

import csv
import os
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from firstorder import files
from firstorder.config import Config
from firstorder.errors import ConfigError
from firstorder.jobs import ledger
from firstorder.jobs.job import Job

START_SECONDS = 0.5
"""Of a job before it computes, started warm: process and data."""
ELSEWHERE = "measured.csv"
"""In the folder of the configuration: what jobs took on other machines."""
DRIVER = "/dev/nvidiactl"
"""There where NVIDIA's driver is loaded and, in a container, handed on."""
COLUMNS = ("scale", "step", "device", "jobs", "seconds")
"""Of that table: the mean seconds of the jobs of a step, of `device` (cpu: or cuda: and a name)."""


@dataclass(frozen=True)
class Work:
    """Some jobs of one step."""

    step: str
    jobs: int
    measured: int
    """How many of them were run here before."""
    elsewhere: str
    """The device that the others were measured on; empty where they have declared times."""
    seconds: float
    """Of one core, or of one GPU for steps that use one."""
    gpu: bool
    megabytes: int
    """Of memory, asked for by the largest."""
    disk_megabytes: int

    @property
    def declared(self) -> int:
        """How many have the time that a scheduler is asked for, which is a limit."""
        return 0 if self.elsewhere else self.jobs - self.measured


def work(jobs: Iterable[Job], config: Config, device: str) -> list[Work]:
    """What jobs will take, by step, in the order of the steps; `device`: cpu or cuda.

    Raises ConfigError where the table of measured times is not as `keep` writes it.
    """
    known = _usage(config.settings.results, device)
    elsewhere = {
        row["step"]: (row["device"], float(row["seconds"]))
        for row in _table(Path(config.root, ELSEWHERE))
        if row["scale"] == config.settings.scale and row["device"].startswith(device)
    }
    by_step: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_step[job.step].append(job)
    return [
        _of_step(step, own, known, device, *elsewhere.get(step, ("", None)))
        for step, own in by_step.items()
    ]


def _of_step(
    step: str,
    jobs: list[Job],
    known: dict[tuple[str, str], list[float]],
    device: str,
    elsewhere: str,
    usual: float | None,
) -> Work:
    seconds, measured = 0.0, 0
    for job in jobs:
        found = known.get((step, job.spec_digest))
        threads = job.demand.threads if device == "cpu" or not job.demand.gpu else 1
        other = 60.0 * job.demand.minutes if usual is None else usual
        each = statistics.median(found) if found else other
        seconds += START_SECONDS + each * threads
        measured += bool(found)
    return Work(
        step,
        len(jobs),
        measured,
        elsewhere,
        seconds,
        device == "cuda" and any(job.demand.gpu for job in jobs),
        max(job.demand.megabytes for job in jobs),
        sum(job.demand.disk_megabytes for job in jobs),
    )


def device(config: Config) -> str:
    """What jobs will compute on, cpu or cuda, without a context on the GPU or an import of torch.

    A head without a GPU plans for machines that have one, where it is told so.
    """
    setting = config.settings.device
    found = setting == "auto" and Path(DRIVER).exists()
    return "cuda" if setting == "cuda" or found else "cpu"


def expected(jobs: Iterable[Job], config: Config) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of a job of each step that was measured, and of the others at most."""
    found = work(jobs, config, device(config))
    each = {step.step: step.seconds / step.jobs for step in found}
    limits = {step.step: each[step.step] for step in found if step.declared}
    return {step: seconds for step, seconds in each.items() if step not in limits}, limits


def keep(config: Config) -> Path:
    """Write what the jobs of the scale took here to the table of measured times; its path."""
    scale, path = config.settings.scale, Path(config.root, ELSEWHERE)
    took: dict[tuple[str, str], list[float]] = defaultdict(list)
    for entry in ledger.entries(config.settings.results, scale):
        if not entry.resumed:
            took[entry.step, entry.device].append(entry.seconds)
    rows = [
        row
        for row in _table(path)
        if row["scale"] != scale or (row["step"], row["device"]) not in took
    ]
    for (step, device), seconds in took.items():
        mean = f"{statistics.mean(seconds):.2f}"
        values = (scale, step, device, str(len(seconds)), mean)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    rows.sort(key=lambda row: (row["scale"], row["step"], row["device"]))
    files.write_csv(path, rows, COLUMNS)
    return path


def _table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: {error}; `firstorder plan --keep` writes it") from None
    for line, row in enumerate(rows, 2):
        try:
            good = tuple(row) == COLUMNS and float(row["seconds"]) >= 0
        except (TypeError, ValueError):
            good = False
        if not good:
            raise ConfigError(
                f"{path}: line {line}: not {','.join(COLUMNS)}; `firstorder plan --keep` writes it"
            )
    return rows


def _usage(results: str, device: str) -> dict[tuple[str, str], list[float]]:
    """Seconds of jobs that ran on a kind of device, by step and spec."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for entry in ledger.entries(results):
        if entry.device.startswith(device) and not entry.resumed:
            found[entry.step, entry.spec].append(entry.seconds)
    return found


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86400:.1f} days"
