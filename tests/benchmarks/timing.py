"""Seconds of jobs that take turns, and the lines of the table that `make bench` prints."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import torch

ENOUGH = 1.0
"""Seconds that a job is given in a turn."""

ABSENT = "not installed: pip install --group peers"


@dataclass(frozen=True)
class Timing:
    """Wall seconds of the repetitions of one job."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def times(self, factor: float) -> Timing:
        """The same job, `factor` times as long."""
        return Timing(tuple(factor * value for value in self.seconds))

    def __str__(self) -> str:
        low, high = min(self.seconds), max(self.seconds)
        return f"{_short(self.median)} ({_short(low)}-{_short(high)}) s"


def other_process() -> ProcessPoolExecutor:
    """A process for a peer that computes with torch: it shares only the number of threads.

    There freed memory goes back to the system, as the peer's users have it. The engine keeps it
    (`firstorder.memory.keep_freed`), and would do so for both.
    """
    return ProcessPoolExecutor(
        1, get_context("spawn"), torch.set_num_threads, (torch.get_num_threads(),)
    )


def alternate(jobs: dict[str, Callable[[], Any]], repetitions: int = 5) -> dict[str, Timing]:
    """Time the jobs in turns, after one that warms up, so that a disturbance meets all of them.

    A job that takes less than ENOUGH is called several times in its turn, of which the median
    counts: its first call would find caches and heap as the job before it left them.
    """
    calls = {
        name: math.ceil(ENOUGH / max(_seconds(job, 1), ENOUGH / 7)) for name, job in jobs.items()
    }
    turns = [
        {name: _seconds(job, calls[name]) for name, job in jobs.items()} for _ in range(repetitions)
    ]
    return {name: Timing(tuple(turn[name] for turn in turns)) for name in jobs}


def _seconds(job: Callable[[], Any], calls: int) -> float:
    seconds = []
    for _ in range(calls):
        _wait()
        began = time.perf_counter()
        job()
        _wait()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _wait() -> None:
    """Wait for the GPU, where one is in use: a job returns before its work there is done."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Line:
    """One line of the table: an item, a peer, the two times and what the ratio should be."""

    item: str
    peer: str
    ours: str
    theirs: str
    ratio: str
    note: str = ""


def compare(
    item: str, ours: Timing, peers: dict[str, Timing], notes: dict[str, str] | None = None
) -> Iterable[Line]:
    """A line for every peer: the median ratio of turns, and its range."""
    for name, theirs in peers.items():
        if len(theirs.seconds) == len(ours.seconds):
            ratios = [b / a for a, b in zip(ours.seconds, theirs.seconds, strict=True)]
        else:
            ratios = [value / ours.median for value in theirs.seconds]
        ratio = f"{_short(statistics.median(ratios))} ({_short(min(ratios))}-{_short(max(ratios))})"
        yield Line(item, name, str(ours), str(theirs), ratio, (notes or {}).get(name, ""))


def absent(item: str, peer: str) -> Line:
    """The line of a peer that is not installed."""
    return Line(item, peer, "", "", "", ABSENT)


def print_header() -> None:
    print(f"{'item':<34}{'compared with':<42}{'ours':<24}{'theirs':<24}{'ratio':<20}note")


def print_line(line: Line) -> None:
    print(
        f"{line.item:<34}{line.peer:<42}{line.ours:<24}{line.theirs:<24}{line.ratio:<20}"
        f"{line.note}".rstrip(),
        flush=True,
    )


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
