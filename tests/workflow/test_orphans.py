"""What the configuration has dropped is listed and deleted, and nothing else."""

from __future__ import annotations

import shutil

import pytest
from projects import ROOT, Project


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


@pytest.mark.parametrize("chosen", ["robust_kernels", "toy"])
def test_results_of_a_study_that_is_not_chosen_now_are_nobodys_orphans(
    made_toy: Project, chosen: str
) -> None:
    """Studies may be run one by one into one folder of results."""
    other = "config/studies/robust_kernels"
    shutil.copytree(ROOT / other, made_toy.folder / other)
    shutil.copytree(ROOT / "config/published", made_toy.folder / "config/published")
    studies = ("--set", f"studies=[{chosen}]")
    before = made_toy.tree("results/smoke")
    assert made_toy.firstorder("orphans", "--delete", *studies).stdout == ""
    assert made_toy.tree("results/smoke") == before
    (made_toy.folder / "results/smoke/toy/dropped.json").touch()
    listed = made_toy.firstorder("orphans", *studies).stdout.splitlines()
    assert listed == ["results/smoke/toy/dropped.json"]


def test_nothing_is_deleted_while_a_study_that_is_not_chosen_cannot_be_planned(
    made_toy: Project,
) -> None:
    shutil.copytree(made_toy.folder / "config/studies/toy", made_toy.folder / "config/studies/own")
    (made_toy.folder / "results/smoke/toy/dropped.json").touch()
    done = made_toy.firstorder("orphans", "--delete", check=False)
    assert done.returncode == 1 and done.stderr.startswith("firstorder: study 'own' has no code")
    assert (made_toy.folder / "results/smoke/toy/dropped.json").is_file()


def test_a_target_that_nobody_makes_is_one_line_of_snakemake(made_toy: Project) -> None:
    done = made_toy.snakemake("results/smoke/tables/toy-pixel.html", check=False)
    said = [each for each in done.stderr.splitlines() if not each.startswith("Using workflow")]
    assert done.returncode == 1
    assert said == ["firstorder: toy has no table 'pixel'; did you mean 'pixels'? allowed: pixels"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"results": ".", "scale": "config"}, "the project's own files lie there"),
        ({"resources": "results/smoke/raw"}, "which results do not have for themselves"),
        ({"results": ".."}, "which results do not have for themselves"),
    ],
)
def test_what_nobody_could_make_again_is_never_deleted(
    toy: Project, change: dict[str, str], reason: str
) -> None:
    """`results: ..` with a scale that is called as the project's folder, and the like."""
    scale = change.get("scale", "smoke")
    if change.get("results") == "..":
        scale = toy.folder.name
    toy.edit("scales.yaml", lambda scales: scales.update({scale: scales["smoke"]}))
    own = toy.folder / "config" / "studies" / "toy"
    (own / f"{scale}.yaml").write_bytes((own / "smoke.yaml").read_bytes())
    toy.edit("config.yaml", lambda value: value.update(change, scale=scale))
    (toy.folder / "results/smoke/raw").mkdir(parents=True)
    before = toy.tree(".")
    done = toy.firstorder("orphans", "--delete", check=False)
    assert done.returncode == 1 and reason in done.stderr
    assert toy.tree(".").items() >= before.items()
