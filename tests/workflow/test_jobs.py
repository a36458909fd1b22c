"""The rules are the plan: every job of Snakemake is a job of the plan, and the other way round."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from projects import ROOT, Project

from . import jobs


def planned_by_snakemake(project: Project, scale: str) -> jobs.Listed:
    """The jobs of a scale as Snakemake plans them, asked of a process of its own."""
    script = str(Path(jobs.__file__))
    found: jobs.Listed = json.loads(project.run(sys.executable, script, f"scale={scale}").stdout)
    return found


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_rules_are_look_ups_of_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: str
) -> None:
    for name in ("config", "paper"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    found = planned_by_snakemake(Project(tmp_path), scale)
    expected = jobs.of_plan({"scale": scale}, found)
    assert Counter(job["rule"] for job in found) == Counter(job["rule"] for job in expected)
    for one, other in zip(found, expected, strict=True):
        assert one == other


def test_a_job_that_asks_for_more_is_noticed(toy: Project) -> None:
    """The comparison itself can fail."""
    found = planned_by_snakemake(toy, "smoke")
    assert found == jobs.of_plan({"scale": "smoke"}, found)
    toy.edit("studies/toy/smoke.yaml", lambda scale: scale.update(power=2.0))
    assert found != jobs.of_plan({"scale": "smoke"}, found)
