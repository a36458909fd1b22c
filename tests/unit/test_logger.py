"""What a run shows of its jobs."""

from __future__ import annotations

from logging import INFO, LogRecord
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_firstorder as plugin

Said = pytest.CaptureFixture[str]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until a test changes it."""
    now = [0.0]
    monkeypatch.setattr(plugin.time, "monotonic", lambda: now[0])
    return now


def send(handler: plugin.LogHandler, event: LogEvent, **values: Any) -> None:
    record = LogRecord("snakemake", INFO, "", 0, "", (), None)
    record.__dict__ |= {"event": event, **values}
    handler.emit(record)


def run(handler: plugin.LogHandler, clock: list[float], count: int, seconds: float) -> None:
    """Jobs one after the other, numbered from what was done before."""
    for number in range(handler.done, handler.done + count):
        send(
            handler,
            LogEvent.JOB_INFO,
            jobid=number,
            rule_name="train",
            wildcards={"loss": f"loss{number}"},
        )
        clock[0] += seconds
        send(handler, LogEvent.JOB_FINISHED, job_id=number)


def handler_of(total: int) -> plugin.LogHandler:
    settings = SimpleNamespace(dryrun=False, nocolor=True, quiet=set(), show_failed_logs=False)
    handler = plugin.LogHandler(common_settings=settings, settings=None)
    send(handler, LogEvent.RUN_INFO, stats={"train": total, "all": 1, "total": total + 1})
    return handler


def test_a_job_has_a_line_with_what_is_left(clock: list[float], capsys: Said) -> None:
    run(handler_of(4), clock, 2, seconds=30.0)
    first, second = (" ".join(line.split()) for line in capsys.readouterr().err.splitlines())
    assert first == "[1/4 25%] train loss0 30.0 s 2 minutes left"
    assert second == "[2/4 50%] train loss1 30.0 s 60 seconds left"


def test_of_many_jobs_the_quick_ones_are_counted(clock: list[float], capsys: Said) -> None:
    handler = handler_of(500)
    run(handler, clock, 300, seconds=0.5)
    assert capsys.readouterr().err == ""
    run(handler, clock, 1, seconds=3.0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("[301/500  60%] train loss300 ")
    run(handler, clock, 199, seconds=0.5)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("[500/500 100%] train loss499 ")


def test_of_few_jobs_the_quick_ones_have_a_line(clock: list[float], capsys: Said) -> None:
    run(handler_of(50), clock, 50, seconds=0.5)
    assert len(capsys.readouterr().err.splitlines()) == 50


def test_before_a_rule_ran_its_jobs_take_what_the_forecast_says(
    clock: list[float], capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "EXPECTED", {"fit": 600.0, "train": 1.0})
    handler = handler_of(2)
    send(handler, LogEvent.RUN_INFO, stats={"train": 2, "fit": 3, "all": 1, "total": 6})
    send(handler, LogEvent.JOB_INFO, jobid=99, rule_name="fit", wildcards={})
    run(handler, clock, 1, seconds=60.0)
    # Two side by side: of three of 600 s and one of 60 s, as this one took.
    assert capsys.readouterr().err.rstrip().endswith("60.0 s   16 minutes left")


def test_limits_are_scaled_by_what_jobs_needed_of_theirs(
    clock: list[float], capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "EXPECTED", {"train": 30.0})
    monkeypatch.setattr(plugin, "LIMITS", {"fit": 3600.0, "rotate": 36000.0})
    handler = handler_of(2)
    stats = {"train": 2, "fit": 1, "rotate": 1, "all": 1, "total": 5}
    send(handler, LogEvent.RUN_INFO, stats=stats)
    run(handler, clock, 1, seconds=30.0)
    assert capsys.readouterr().err.rstrip().endswith("30.0 s   at most 11.0 hours left")
    send(handler, LogEvent.JOB_INFO, jobid=99, rule_name="fit", wildcards={})
    clock[0] += 36.0
    send(handler, LogEvent.JOB_FINISHED, job_id=99)
    # A hundredth of its limit: rotate is taken to need 360 s, and train another 30 s.
    assert capsys.readouterr().err.rstrip().endswith("36.0 s   6 minutes left")
