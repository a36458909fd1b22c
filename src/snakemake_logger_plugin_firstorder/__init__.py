"""What a run shows: a line a job, with the time left; of a failed job, the end of its log.

Snakemake finds this plugin by the name of the package; `profiles/default` asks for it. Every
detail is in Snakemake's own log below `.snakemake/log/`, and in the log of each job.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from logging import ERROR, LogRecord
from pathlib import Path
from statistics import mean
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from firstorder import terminal
from firstorder.jobs.forecast import duration

EXPECTED: dict[str, float] = {}
"""Rule -> seconds of a job, by the forecast; the workflow enters them when it starts."""
LIMITS: dict[str, float] = {}
"""Of rules that were never measured: rule -> seconds that a scheduler is asked for."""
TAIL = 12
"""Lines of a failed job's log that are shown."""
MANY, QUICK = 100, 2.0
"""In a run of more jobs than this, those that took fewer seconds are counted and have no line."""
SILENT = {
    LogEvent.JOB_STARTED, LogEvent.PROGRESS, LogEvent.RESOURCES_INFO,
    LogEvent.WORKFLOW_STARTED, LogEvent.RULEGRAPH, LogEvent.DEBUG_DAG,
}  # fmt: skip
CHATTER = (
    "Building DAG of jobs", "Select jobs to execute", "Execute ", "Using shell", "Provided ",
    "Assuming unrestricted", "Rules claiming more", "Job stats", "Complete log", "Elapsed time",
    "host:", "Conda environments: ignored", "Singularity containers: ignored", "Using workflow",
    "Using profile", "Finished jobid", "Removing output files of failed", "Shutting down",
    "Exiting because a job execution failed", "At least one job did not complete", "Trying to",
)  # fmt: skip
"""Beginnings of messages that say nothing to somebody who waits."""


class LogHandler(LogHandlerBase):
    """Writes to the terminal; state: the jobs under way and what those of each rule took."""

    def __post_init__(self) -> None:
        terminal.any_text()  # here and in what the workflow itself prints, such as the tally
        self.began = time.monotonic()
        self.started: dict[int, tuple[float, str, str]] = {}
        """Number of a job -> when it started, its rule, how it is called."""
        self.waiting: Counter[str] = Counter()
        """Rule -> jobs that have not finished."""
        self.took: dict[str, list[float]] = {}
        self.total = self.done = 0

    def emit(self, record: LogRecord) -> None:
        event, values = getattr(record, "event", None), record.__dict__
        if event == LogEvent.RUN_INFO:
            self._plan(values.get("stats") or {})
            if self.common_settings.dryrun:
                self._say(str(record.msg))
        elif event == LogEvent.JOB_INFO:
            self._start(values)
        elif event == LogEvent.JOB_FINISHED:
            self._finish(values.get("job_id"))
        elif event == LogEvent.SHELLCMD:  # passes the filter only with --printshellcmds
            self._say(f"    {values.get('shellcmd') or values.get('cmd') or ''}")
        elif event == LogEvent.JOB_ERROR:
            self._fail(values)
        elif event in SILENT:
            return
        elif record.msg and (record.levelno >= ERROR or not str(record.msg).startswith(CHATTER)):
            text = str(record.getMessage()).strip()
            if text and not text.startswith(CHATTER):
                self._say(text)

    def _plan(self, stats: dict[str, Any]) -> None:
        self.waiting = Counter({k: int(v) for k, v in stats.items() if k not in ("total", "all")})
        self.total = sum(self.waiting.values())

    def _start(self, values: dict[str, Any]) -> None:
        rule, wildcards = values["rule_name"], values.get("wildcards") or {}
        called = " ".join((rule, *map(str, wildcards.values())))
        if self.common_settings.dryrun:
            if rule != "all":
                reason = " ".join(str(values.get("reason") or "").split())
                self._say(f"{called}  ({reason[:80]}{'...' if len(reason) > 80 else ''})")
            return
        self.started[values["jobid"]] = (time.monotonic(), rule, called)

    def _finish(self, number: int | None) -> None:
        if number not in self.started:
            return
        began, rule, called = self.started.pop(number)
        seconds = time.monotonic() - began
        self.took.setdefault(rule, []).append(seconds)
        self.waiting[rule] -= 1
        self.done += 1
        if rule == "all" or not self.total:
            return
        if self.total > MANY and seconds < QUICK and self.done < self.total:
            return
        width = len(str(self.total))
        share = 100 * self.done // self.total
        left, bound = self._left()
        rest = f"   {bound}{duration(left)} left" if self.done < self.total and left >= 1 else ""
        self._say(
            f"[{self.done:{width}}/{self.total} {share:3}%] {called:<52} {seconds:6.1f} s{rest}"
        )

    def _left(self) -> tuple[float, str]:
        """Seconds until the end, by what jobs of each rule took here or else by the forecast.

        Jobs that have only a limit will need the share of it that others needed of theirs; until
        one of those has finished, the time is "at most ".
        """
        took = {rule: mean(seconds) for rule, seconds in self.took.items()}
        seen = took.keys() & LIMITS.keys()
        share = sum(took[rule] for rule in seen) / sum(LIMITS[rule] for rule in seen) if seen else 1
        known = {rule: share * limit for rule, limit in LIMITS.items()} | EXPECTED | took
        other = mean(took.values())
        work = sum(
            count * known.get(rule, other) for rule, count in self.waiting.items() if count > 0
        )
        spent = sum(sum(seconds) for seconds in self.took.values())
        side_by_side = spent / max(time.monotonic() - self.began, 1e-9)
        bound = "at most " if not seen and any(self.waiting[rule] > 0 for rule in LIMITS) else ""
        return work / max(side_by_side, len(self.started) + 1), bound

    def _fail(self, values: dict[str, Any]) -> None:
        _, _, called = self.started.pop(values.get("jobid", -1), (0.0, "", values["rule_name"]))
        self._say(f"FAILED  {called}")
        for path in values.get("log") or ():
            try:
                lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
            except OSError:
                continue
            self._say(f"  {path}:")
            for line in lines[-TAIL:]:
                self._say(f"    {line}")

    def _say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    @property
    def stream(self) -> Any:
        return sys.stdout if self.common_settings.dryrun else sys.stderr

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return False

    @property
    def has_formatter(self) -> bool:
        return False

    @property
    def needs_rulegraph(self) -> bool:
        return False
