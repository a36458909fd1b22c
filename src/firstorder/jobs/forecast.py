"""How long jobs take: as measured where the same was run before, else as declared.

The ledger holds what every job took. The forecast looks there for the same step with the same
spec, at any scale below the results folder, on the same kind of device.
"""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from firstorder import files
from firstorder.jobs import ledger
from firstorder.jobs.job import Job

START_SECONDS = 0.5
"""Of a job before it computes, started warm: process and data."""


@dataclass(frozen=True)
class Work:
    """Some jobs of one step."""

    step: str
    jobs: int
    measured: int
    """How many of them were run before."""
    seconds: float
    """Of one core, or of one GPU for steps that use one."""
    gpu: bool
    megabytes: int
    """Of memory, asked for by the largest."""
    disk_megabytes: int


def work(jobs: Iterable[Job], results: str, device: str) -> list[Work]:
    """What jobs will take, by step, in the order of the steps; `device`: cpu or cuda."""
    known = _usage(results, device)
    by_step: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_step[job.step].append(job)
    return [_of_step(step, own, known, device) for step, own in by_step.items()]


def _of_step(
    step: str, jobs: list[Job], known: dict[tuple[str, str], list[float]], device: str
) -> Work:
    seconds, measured = 0.0, 0
    for job in jobs:
        found = known.get((step, files.digest(dict(job.spec))))
        threads = job.demand.threads if device == "cpu" or not job.demand.gpu else 1
        each = statistics.median(found) if found else 60.0 * job.demand.minutes
        seconds += START_SECONDS + each * threads
        measured += bool(found)
    return Work(
        step,
        len(jobs),
        measured,
        seconds,
        device == "cuda" and any(job.demand.gpu for job in jobs),
        max(job.demand.megabytes for job in jobs),
        sum(job.demand.disk_megabytes for job in jobs),
    )


def _usage(results: str, device: str) -> dict[tuple[str, str], list[float]]:
    """Seconds of jobs that ran on a kind of device, by step and spec."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for entry in ledger.entries(results):
        if entry.device.startswith(device):
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
