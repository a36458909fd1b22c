"""What the configuration has dropped is listed and deleted, and nothing else."""

from __future__ import annotations

from projects import Project


def test_a_finished_run_has_no_orphans(made_toy: Project) -> None:
    assert made_toy.firstorder("orphans").stdout == ""


def test_files_of_what_was_removed_are_listed_and_deleted(made_toy: Project) -> None:
    made_toy.edit(
        "studies/toy/study.yaml",
        lambda study: study["artefacts"].update(renamed=study["artefacts"].pop("pixels")),
    )
    before = made_toy.tree("results/smoke")
    listed = made_toy.firstorder("orphans").stdout.splitlines()
    tables = [f"results/smoke/tables/toy-pixels.{end}" for end in ("csv", "html", "md", "tex")]
    own = ["results/smoke/ledger/table/toy/pixels.json", "results/smoke/logs/table/toy/pixels.log"]
    assert listed == sorted([*own, *tables])
    assert made_toy.firstorder("orphans", "--delete").stdout.splitlines() == listed
    gone = set(before) - set(made_toy.tree("results/smoke"))
    assert {f"results/smoke/{each}" for each in gone} == set(listed)


def test_a_target_that_nobody_makes_is_one_line_of_snakemake(made_toy: Project) -> None:
    done = made_toy.snakemake("results/smoke/tables/toy-pixel.html", check=False)
    said = [each for each in done.stderr.splitlines() if not each.startswith("Using workflow")]
    assert done.returncode == 1
    assert said == ["firstorder: toy has no table 'pixel'; did you mean 'pixels'? allowed: pixels"]
