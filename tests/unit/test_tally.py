"""The last screen of a run."""

from __future__ import annotations

from pathlib import Path

from projects import Project

from firstorder import files
from firstorder.jobs import plan
from firstorder.jobs.paths import paths
from firstorder.publish import tally


def test_a_run_ends_with_its_verdicts_and_what_there_is(toy: Project) -> None:
    known = paths(plan.make("config", {}).config)
    files.write_text(known.claims("csv"), "claim,status\nT1,holds\nT2,fails\nT3,holds\n")
    said = "\n".join(tally.lines(known))
    assert "2 hold, 1 fails" in said and "fails: T2" in said
    assert f"explain {known.claims('csv')}" in said
    assert known.page not in said and "tables" not in said
    Path(known.paper).touch()
    files.write_text(f"{known.root}/tables/toy-pixels.csv", "a\n")
    said = "\n".join(tally.lines(known))
    assert f"explain {known.paper}" in said and f"{known.root}/tables/" in said


def test_a_run_of_one_table_names_no_claims_and_nothing_to_explain(toy: Project) -> None:
    known = paths(plan.make("config", {}).config)
    assert tally.lines(known) == []
    files.write_text(f"{known.root}/tables/toy-pixels.csv", "a\n")
    assert tally.lines(known) == [f"tables   {known.root}/tables/"]
