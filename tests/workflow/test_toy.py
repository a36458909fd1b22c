"""A study that `src/` does not know runs with the engine as it is; and what the engine promises."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from projects import ROOT, Project

from firstorder.errors import ConfigError
from firstorder.jobs import plan

MEAN = "results/smoke/toy/digits.json"
TABLE = "results/smoke/tables/toy-pixels.csv"
RAW = "resources/raw/notes.bin"
RECEIPT = "results/smoke/datasets/raw/raw/notes.bin.json"


def test_no_source_names_the_toy() -> None:
    named = [path for path in (ROOT / "src").rglob("*.py") if "toy" in path.read_text()]
    assert named == []


def test_its_table_and_claim_are_made(finished_toy: Project) -> None:
    mean = json.loads((finished_toy.folder / MEAN).read_text())["mean"]
    table = list(csv.DictReader((finished_toy.folder / TABLE).open()))
    assert [row["text"] for row in table] == [f"{mean:.2f}"]
    claims = list(csv.DictReader((finished_toy.folder / "results/smoke/claims.csv").open()))
    assert [(row["study"], row["claim"], row["status"]) for row in claims] == [
        ("toy", "T1", "holds")
    ]


def test_its_results_are_in_the_manifest_the_paper_and_the_crate(finished_toy: Project) -> None:
    root = finished_toy.folder / "results/smoke"
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["version"] == 3 and set(manifest["results"]) == {"toy-pixels"}
    assert manifest["jobs"]["measure/digits"]["outputs"] == [MEAN]
    assert manifest["missing"] == []
    paper = json.loads((root / "paper.json").read_text())
    assert [study["title"] for study in paper["studies"]] == ["How dark are the digits?"]
    assert [each["id"] for each in paper["studies"][0]["artefacts"]] == ["toy-pixels"]
    assert [each["claim"] for each in paper["studies"][0]["claims"]] == ["T1"]
    assert (root / "paper.pdf").read_bytes().startswith(b"%PDF")
    assert "#toy-pixels" in (root / "ro-crate-metadata.json").read_text()


def test_paper_and_page_print_what_the_table_step_adds_to_a_caption(finished_toy: Project) -> None:
    root = finished_toy.folder / "results/smoke"
    paper = json.loads((root / "paper.json").read_text())
    embedded = re.search(r'id="data">(.*)</script>', (root / "index.html").read_text())
    assert embedded
    page = json.loads(embedded[1])
    for (artefact,) in (paper["studies"][0]["artefacts"], page["artefacts"]):
        caption = artefact["caption"]
        assert caption.startswith("Mean over all training images. Scale smoke; data: ")
        assert caption.endswith("Bold: none. Published: [a] <nobody> & nowhere.")


def test_it_is_listed_explained_verified_and_forecast(finished_toy: Project) -> None:
    assert "The mean pixel (nowhere)" in finished_toy.firstorder("list").stdout
    chain = finished_toy.firstorder("explain", TABLE).stdout
    assert MEAN in chain and "measure digits" in chain and "all unchanged" in chain
    assert "T1" in finished_toy.firstorder("verify", "--strict").stdout
    assert "measure" in finished_toy.firstorder("doctor").stdout
    assert "measure" in finished_toy.firstorder("--help").stdout
    assert "DATASET" in finished_toy.firstorder("measure", "--help").stdout


def test_it_may_be_chosen_on_the_command_line(toy: Project) -> None:
    toy.edit("config.yaml", lambda value: value.update(studies=["symmetrization"]))
    toy.snakemake("--config", "studies=[toy]", "--", MEAN)
    (toy.folder / MEAN).unlink()
    toy.firstorder("measure", "digits", "--set", "studies=[toy]")
    assert (toy.folder / MEAN).is_file()


def test_a_verb_of_a_study_that_cannot_be_imported_is_told_why_it_is_unknown(toy: Project) -> None:
    toy.edit("config.yaml", lambda value: value.update(studies=["symmetrization"]))
    (toy.folder / "toy/__init__.py").write_text("import no_such_module")
    done = toy.firstorder("measure", "digits", "--set", "studies=[toy]", check=False)
    assert done.returncode == 2 and "no such command 'measure'; " in done.stderr
    assert "study 'toy': toy cannot be imported: ModuleNotFoundError" in done.stderr
    assert "prepare " in toy.firstorder("--help").stdout, "an unfinished study hides no other verb"


def test_rules_that_are_missing_are_one_line(toy: Project) -> None:
    (toy.folder / "toy/rules.smk").unlink()
    done = toy.snakemake("--dry-run", check=False)
    said = [each for each in done.stderr.splitlines() if not each.startswith("Using workflow")]
    assert done.returncode == 1 and len(said) == 1, done.stderr
    assert said[0].startswith("firstorder: study 'toy' has no rules: write workflow/rules/toy.smk")


def test_nothing_runs_twice_however_the_folder_is_spelled(finished_toy: Project) -> None:
    for results in ("results", "./results", "results/", f"{finished_toy.folder}/results"):
        assert finished_toy.planned("--config", f"results={results}") == {}, results


def test_a_change_is_seen_however_the_folder_is_spelled(made_toy: Project) -> None:
    made_toy.edit("studies/toy/smoke.yaml", lambda scale: scale.update(power=2.0))
    expected = made_toy.planned()
    assert expected["measure"] == expected["table"] == 1 and "prepare" not in expected
    for results in ("./results", "results/", f"{made_toy.folder}/results"):
        assert made_toy.planned("--config", f"results={results}") == expected, results


def test_a_project_copied_without_its_times_plans_nothing(
    finished_toy: Project, tmp_path: Path
) -> None:
    copied = Project(tmp_path / "copied")
    shutil.copytree(finished_toy.folder, copied.folder, copy_function=shutil.copy)
    newest_first = sorted((copied.folder / "results").rglob("*"), reverse=True)
    for age, path in enumerate(newest_first):  # every input newer than what was made from it
        os.utime(path, (1e9 + age, 1e9 + age))
    assert copied.planned() == {}


def test_checksums_are_compared_whatever_the_size() -> None:
    """Kernels of gigabytes are known by their checksums too (the other half of the test above)."""
    profile = (ROOT / "profiles/default/config.yaml").read_text()
    (line,) = (each for each in profile.splitlines() if each.startswith("max-checksum-file-size"))
    assert int(line.partition(":")[2]) >= 10**12


@pytest.mark.parametrize("target", [MEAN, TABLE, "results/smoke/datasets/digits.safetensors"])
def test_a_deleted_file_is_missing_and_made_again(made_toy: Project, target: str) -> None:
    before = made_toy.tree("results/smoke")
    (made_toy.folder / target).unlink()
    done = made_toy.firstorder("explain", TABLE, check=False)
    assert done.returncode == 1
    assert f"MISSING: {target}" in done.stdout and "1 MISSING" in done.stdout
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert made_toy.planned()
    made_toy.snakemake(target)
    name = target.removeprefix("results/smoke/")
    assert made_toy.tree("results/smoke")[name] == before[name]
    assert made_toy.firstorder("explain", TABLE).returncode == 0


def test_a_changed_file_is_told_with_an_exit_status(made_toy: Project) -> None:
    path = made_toy.folder / MEAN
    path.write_text(path.read_text().replace("0.", "0.1", 1))
    done = made_toy.firstorder("explain", TABLE, check=False)
    assert done.returncode == 1
    assert f"CHANGED since: {MEAN}" in done.stdout and "1 CHANGED" in done.stdout


def test_a_changed_record_is_believed_by_no_job(made_toy: Project) -> None:
    path = made_toy.folder / MEAN
    path.write_text(path.read_text().replace("0.", "0.1", 1))
    done = made_toy.firstorder("table", "toy", "pixels", check=False)
    assert done.returncode == 1
    assert f"{MEAN}: not what `measure/digits` wrote" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def with_raw_file(made_toy: Project) -> Project:
    """The finished project with a dataset of one raw file, placed by hand, and its receipt."""
    content = b"placed by hand"
    place = made_toy.folder / RAW
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    file = {"name": place.name, "sha256": hashlib.sha256(content).hexdigest()}

    def add(known: dict) -> None:
        known["raw"] = {**known["digits"], "reader": "idx", "files": [file]}

    made_toy.edit("datasets.yaml", add)
    made_toy.snakemake(RECEIPT)
    return made_toy


def test_a_placed_raw_file_outlives_every_kind_of_rerun(with_raw_file: Project) -> None:
    project, place = with_raw_file, with_raw_file.folder / RAW
    content, receipt = place.read_bytes(), json.loads((with_raw_file.folder / RECEIPT).read_text())
    assert receipt == {"path": RAW, "sha256": hashlib.sha256(content).hexdigest()}

    md5 = hashlib.md5(content).hexdigest()
    project.edit("datasets.yaml", lambda known: known["raw"]["files"][0].update(md5=md5))
    project.snakemake(RECEIPT)
    assert place.read_bytes() == content

    wrong = "0" * 32
    project.edit("datasets.yaml", lambda known: known["raw"]["files"][0].update(md5=wrong))
    assert project.snakemake(RECEIPT, check=False).returncode != 0
    assert place.read_bytes() == content, "a file that is not what is declared is left to its owner"

    project.edit("datasets.yaml", lambda known: known["raw"]["files"][0].update(md5=md5))
    project.snakemake("--forceall", RECEIPT)
    assert place.read_bytes() == content
    project.snakemake("--delete-all-output", RECEIPT)
    assert not (project.folder / RECEIPT).exists()
    assert place.read_bytes() == content


def test_a_raw_file_that_is_not_what_its_receipt_says_is_not_used(with_raw_file: Project) -> None:
    (with_raw_file.folder / RAW).write_bytes(b"another")
    done = with_raw_file.firstorder("prepare", "raw", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{RAW}: not the file that {RECEIPT} names" in done.stderr


def test_a_table_of_an_unknown_study_is_told_which_are_known(toy: Project) -> None:
    with pytest.raises(ConfigError, match=r"studies: study 'nope' is unknown; allowed: toy$"):
        plan.make("config", {}).job("table", "nope", "pixels")


@pytest.mark.parametrize("study", ["studies", "artefacts.pixels.options.digit", "no code"])
def test_a_mistake_is_one_line_before_anything_is_planned(toy: Project, study: str) -> None:
    if study == "studies":
        toy.edit("config.yaml", lambda value: value.update(studies=["toys"]))
        expected = "studies: 'toys' is unknown; did you mean 'toy'?"
    elif study == "no code":
        shutil.rmtree(toy.folder / "toy")
        expected = "study 'toy' has no code: write src/firstorder/studies/toy/"
    else:
        file = "studies/toy/study.yaml"
        toy.edit(file, lambda value: value["artefacts"]["pixels"].update(options={"digit": 2}))
        expected = "artefacts.pixels.options.digit: mean_pixel has no such option; did you mean"
    done = toy.snakemake("--dry-run", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert len([line for line in said.splitlines() if expected in line]) == 1, said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('reads=("mean",)', "reads=MEAN", r"toy\.\S+: reads: write a tuple of texts in its place"),
        ('reads=("mean",)', 'reads=("mean")', r"toy\.\S+: reads: write a tuple of texts"),
        ("    for name, artefact", "    for name, artefakt", r"toy/\S+, line \d+: NameError"),
        ('"toy.steps:measure", (', '"toy.steps:measures", (', r"step 'measure': run: toy\.steps:m"),
        ("return sorted({(", "return 1 / 0 or sorted({(", r"toy/\S+, line \d+: ZeroDivisionError"),
    ],
)
def test_a_mistake_in_a_study_of_ones_own_is_one_line(
    toy: Project, before: str, after: str, said: str
) -> None:
    (file,) = (f for f in toy.folder.glob("toy/*.py") if before in f.read_text())
    file.write_text(file.read_text().replace(before, after, 1))
    done = toy.firstorder("plan", check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert re.search(said, done.stderr)


def test_results_that_cannot_be_written_are_one_line(toy: Project) -> None:
    toy.edit("config.yaml", lambda value: value.update(results="/proc/nowhere"))
    done = toy.snakemake(check=False)
    said = [each for each in done.stderr.splitlines() if not each.startswith("Using workflow")]
    assert done.returncode == 1 and len(said) == 1, done.stderr
    assert said[0].startswith("firstorder: ") and "/proc/nowhere" in said[0]


def test_a_job_refuses_values_that_its_study_makes_since_it_was_planned(
    toy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spec is made in every process, by code that no digest holds."""
    monkeypatch.setenv(plan.VARIABLE, plan.freeze(plan.make("config", {})).path)
    study = toy.folder / "toy/__init__.py"
    study.write_text(study.read_text().replace(".power}", ".power + 1}"))
    command = (sys.executable, "-m", "firstorder.cli", "measure", "digits")
    done = subprocess.run(command, cwd=toy.folder, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "measure/digits was planned with other values than" in done.stderr
    assert "no such file; `snakemake" in toy.firstorder("measure", "digits", check=False).stderr


def test_what_a_report_says_of_a_table_makes_no_table_again(made_toy: Project) -> None:
    made_toy.edit(
        "studies/toy/study.yaml", lambda study: study["artefacts"]["pixels"].update(where="here")
    )
    planned = made_toy.planned()
    assert "table" not in planned and {"manifest", "paper", "page"} <= set(planned)
    made_toy.snakemake("--until", "table")
    made_toy.snakemake("--touch")
    made_toy.snakemake("all", "--report", "report.html")
    assert "The mean pixel</strong> (here)" in (made_toy.folder / "report.html").read_text()
