"""The real Snakefile: what runs, what runs again, and what survives a kill."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from projects import ROOT, Project, environment, make_project

from firstorder import files
from firstorder.errors import ConfigError
from firstorder.jobs import plan

SCALE = "studies/symmetrization/tiny.yaml"
TIMED = re.compile(r"cost")
"""Artefacts that print measured times, which no two runs share."""


def edit_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, old
    path.write_text(text.replace(old, new, 1))


def published(project: Project) -> dict[str, bytes]:
    """The bytes of all tables and figures that depend on nothing but the configuration."""
    return {
        f"{kind}/{name}": content
        for kind in ("tables", "figures")
        for name, content in project.tree(f"results/tiny/{kind}").items()
        if not TIMED.search(name)
    }


@pytest.mark.timeout(1500)
def test_the_default_target_makes_every_artefact_the_claims_the_manifest_and_the_paper(
    finished: Project,
) -> None:
    results = finished.folder / "results/tiny"
    listed = subprocess.run(
        [sys.executable, "-m", "firstorder.cli", "list"],
        cwd=finished.folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    artefacts = [line for line in listed.splitlines() if line.startswith("results/")]
    assert artefacts
    for path in artefacts:
        assert (finished.folder / path).stat().st_size > 0, path
    assert (results / "paper.pdf").read_bytes().startswith(b"%PDF")
    assert json.loads((results / "manifest.json").read_text())["results"]
    assert (results / "claims.csv").read_text().count("\n") > 1


def test_nothing_runs_twice(finished: Project) -> None:
    assert finished.planned() == {}


def test_a_hyper_parameter_reruns_the_runs_of_its_loss_and_what_depends_on_them(
    copy: Project,
) -> None:
    copy.edit(
        "losses.yaml",
        lambda losses: losses["sgce"]["datasets"]["digits"]["parameters"].update(q=0.55),
    )
    trained = [command.split()[-1] for command in copy.commands("train")]
    # Variants inherit the value, except the one that varies it. Nothing is left to tune.
    assert set(trained) == {"sgce", "sgce-l2"}
    jobs = copy.planned()
    assert "tune" not in jobs
    assert jobs["train"] == len(trained)
    assert not {name for name in jobs if name in ("compute_kernel", "fit", "corrupt")}
    assert {"table", "figure", "claims", "manifest", "paper"} <= set(jobs)


def test_one_more_seed_trains_only_that_seed(copy: Project) -> None:
    run = "results/tiny/symmetrization/runs/digits/symmetric-0.0/ce"
    before = (copy.folder / run / "seed1/summary.json").read_text()
    copy.edit("studies/symmetrization/tiny.yaml", lambda scale: scale.update(seeds=[1, 2, 3]))
    copy.snakemake(f"{run}/seed3/summary.json")
    assert (copy.folder / run / "seed1/summary.json").read_text() == before
    assert json.loads((copy.folder / run / "seed3/summary.json").read_text())["seed"] == 3


def test_a_command_that_snakemake_prints_runs_by_hand(copy: Project) -> None:
    target = "results/tiny/symmetrization/runs/digits/symmetric-0.0/ce/seed1/summary.json"
    (copy.folder / target).unlink()
    (command,) = copy.commands("train", target)
    subprocess.run(shlex.split(command), cwd=copy.folder, env=environment(), check=True)
    assert json.loads((copy.folder / target).read_text())["status"] == "finished"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("config.yaml", "scale: tiny", "scale: huge", "'huge' is unknown"),
        ("config.yaml", "device: cpu", "devices: cpu", "devices: unknown key"),
        (
            "losses.yaml",
            "parameters: { q: 0.4 }",
            "parameters: { qq: 0.4 }",
            "parameters.qq: sgce has no such option",
        ),
        (SCALE, "symmetric-0.2", "symmetric-0.95", "takes rates in [0, 0.9]"),
        (SCALE, "- sgce", "- sgec", "did you mean 'sgce'"),
        (SCALE, "recipe: tiny\n", "recipe: none\n", "recipe 'none' is unknown"),
        ("recipes.yaml", "epochs: 3\n", "epochs: three\n", "'three' is not allowed"),
    ],
)
def test_a_bad_configuration_is_one_line_before_anything_is_planned(
    project: Project, monkeypatch: pytest.MonkeyPatch, file: str, old: str, new: str, message: str
) -> None:
    edit_text(project.folder / "config" / file, old, new)
    monkeypatch.chdir(project.folder)
    with pytest.raises(ConfigError, match=re.escape(message)) as refused:
        plan.make("config", {})
    assert len(str(refused.value).splitlines()) == 1


def test_what_is_refused_is_one_line_of_snakemake_before_the_dag(project: Project) -> None:
    edit_text(project.folder / "config" / SCALE, "- sgce", "- sgec")
    done = project.snakemake("--dry-run", check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert len([line for line in said.splitlines() if "did you mean 'sgce'" in line]) == 1, said
    assert "Traceback" not in said and "Building DAG" not in said


@pytest.mark.timeout(1500)
def test_a_killed_run_ends_with_the_same_bytes(finished: Project, tmp_path: Path) -> None:
    project = make_project(tmp_path)
    chance = random.Random(int(os.environ.get("FIRSTORDER_KILL_SEED", "0")))
    for _ in range(3):
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
                *("--directory", str(project.folder), "--cores", "2"),
            ],
            cwd=project.folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(chance.uniform(3, 14))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        project.snakemake("--unlock")
    project.snakemake()
    ours, undisturbed = published(project), published(finished)
    assert sorted(ours) == sorted(undisturbed)
    assert [name for name in ours if ours[name] != undisturbed[name]] == []


def test_a_job_refuses_code_that_it_was_not_planned_with(copy: Project) -> None:
    frozen = next((copy.folder / ".snakemake/plans").glob("*.json"))
    value = json.loads(frozen.read_text())
    value["codes"] = {key: "0" * 12 for key in value["codes"]}
    text = json.dumps(value)
    frozen = frozen.with_name(f"{files.text_digest(text)}.json")
    frozen.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "firstorder.cli", "prepare", "digits"],
        cwd=copy.folder,
        env={**environment(), "FIRSTORDER_PLAN": str(frozen)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "was planned with code 000000000000" in done.stderr
    assert "Traceback" not in done.stderr


def retrained(project: Project, run: str) -> set[str]:
    """The files of a run that are not those of before, after it was asked for again."""
    before = project.tree(run)
    project.snakemake(f"{run}/seed1/summary.json")
    after = project.tree(run)
    return {name for name in after if after[name] != before[name]}


def test_another_standardisation_trains_networks_anew(copy: Project) -> None:
    """And puts no network of the old one back beside a kernel of the new one."""
    run = "results/tiny/symmetrization/runs/digits/symmetric-0.0/ce"
    copy.edit("datasets.yaml", lambda known: known["digits"].update(mean=[0.5], std=[0.1]))
    assert "seed1/weights.safetensors" in retrained(copy, run)
    log = copy.folder / "results/tiny/logs/train/digits/symmetric-0.0/ce.log"
    assert "finished before" not in log.read_text()
    binary = copy.planned("results/tiny/linearized/mlp/digits/seed1/runs/binary/network.csv")
    assert binary["compute_kernel"] == binary["fit"] == 1


def test_another_split_of_the_tuning_tunes_anew(copy: Project) -> None:
    tuned = "results/tiny/symmetrization/tuning/digits/sgce.csv"
    before = (copy.folder / tuned).read_text()
    copy.edit(SCALE, lambda scale: scale["tuning"].update(validation=0.4, split_seed=7))
    copy.snakemake(tuned)
    assert (copy.folder / tuned).read_text() != before
    log = copy.folder / "results/tiny/logs/tune/digits/sgce.log"
    assert "before" not in log.read_text()


def test_another_title_or_scheduler_request_runs_no_step_again(copy: Project) -> None:
    copy.edit("datasets.yaml", lambda known: known["digits"].update(source="elsewhere"))
    copy.edit("recipes.yaml", lambda known: known["tiny"].update(minutes=99, memory_mb=99))
    assert copy.planned() == {}


MY_LOSS = '''
import torch

def brier(scores):
    """Squared distance to every one-hot label: (B, K)."""
    p = scores.softmax(-1)
    return 1 - 2 * p + (p * p).sum(-1, keepdim=True)
'''


def test_a_loss_of_the_user_needs_one_function_and_two_lines(copy: Project) -> None:
    (copy.folder / "mine.py").write_text(MY_LOSS)
    with (copy.folder / "config/losses.yaml").open("a") as file:
        file.write('\nbrier: { label: Brier, function: "mine.py:brier" }\n')
    edit_text(copy.folder / "config" / SCALE, "- sgce", "- sgce\n  - brier")
    jobs = copy.planned()
    trained = copy.commands("train")
    assert trained and all(line.endswith(" brier") for line in trained)
    assert jobs["train"] == len(trained)
    copy.snakemake("results/tiny/tables/symmetrization-accuracy-symmetric.csv")
    table = (copy.folder / "results/tiny/tables/symmetrization-accuracy-symmetric.csv").read_text()
    assert "Brier" in table or "brier" in table
