"""The workflow on a real SLURM: requests, preemption, and requests that grow on retry.

One cluster of one node for all tests, started in a temporary folder on loopback. Skipped, with
the reason, where SLURM's daemons are not installed or cannot be started.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.slurm.cluster import Cluster, cluster, missing
from tests.workflow.conftest import ROOT, Project, environment, make_project

REASON = missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

# The profile is that of the project; only how often SLURM is asked is quicker than on a real one.
QUICK = ("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1")
RUNS = "results/tiny/symmetrization/runs/digits/symmetric-0.0"
CHECKPOINTS = "results/tiny/checkpoints"
LOGS = "results/tiny/logs/train/digits/symmetric-0.0"

Jobs = dict[str, dict[str, str]]
"""Jobs as SLURM knows them: id -> fields of `scontrol show job`."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


def make(folder: Path, device: str) -> Project:
    """A tiny project with the profiles of this one."""
    project = make_project(folder)
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    project.edit("config.yaml", lambda value: value.update(device=device))
    return project


def slow(project: Project, **recipe: Any) -> None:
    """Make the trainings long, and let them save their state often."""
    project.edit("config.yaml", lambda value: value.update(checkpoint_seconds=0.5))
    project.edit("recipes.yaml", lambda value: value["tiny"].update(recipe))
    project.edit(
        "scales/tiny.yaml", lambda value: value["symmetrization"].update(seeds=[1], losses={})
    )


@contextmanager
def submitted(
    project: Project, slurm: Cluster, *arguments: str
) -> Iterator[Callable[[float], str]]:
    """A workflow on the cluster; what is given waits for its end and returns what it printed."""
    output = project.folder / "snakemake.log"
    with open(output, "w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
                *("--profile", "profiles/slurm", *QUICK, *arguments),
            ],
            cwd=project.folder,
            env=slurm.environment(environment()),
            stdout=log,
            stderr=subprocess.STDOUT,
        )

        def finish(seconds: float) -> str:
            try:
                process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                pytest.fail(f"not done in {seconds:g} s:\n{output.read_text()[-6000:]}")
            assert process.returncode == 0, output.read_text()[-6000:]
            return output.read_text()

        try:
            yield finish
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()


def wait_for(what: str, found: Callable[[], object], seconds: float = 60) -> None:
    """Wait until `found` is true."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.2)


def jobs(slurm: Cluster, project: Project) -> Jobs:
    """The jobs of a project, in the order of submission."""
    found = {}
    for line in slurm.ask("scontrol", "show", "job", "--oneliner").splitlines():
        fields = dict(re.findall(r"(\S+?)=(\S*)", line))
        if fields.get("WorkDir") == str(project.folder):
            found[fields["JobId"]] = fields
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def trainings(slurm: Cluster, project: Project, loss: str = "") -> list[dict[str, str]]:
    """The jobs that train, in the order of submission."""
    return [
        fields
        for fields in jobs(slurm, project).values()
        if fields["Comment"].startswith("rule_train_") and fields["Comment"].endswith(loss)
    ]


def megabytes(fields: dict[str, str]) -> int:
    """The memory that a job asked for."""
    match = re.search(r"mem=(\d+)M", fields["TRES"])
    assert match, fields["TRES"]
    return int(match.group(1))


def resumed(project: Project, loss: str) -> int:
    """After how many steps a training last went on from a checkpoint."""
    found = re.findall(r"after (\d+) steps", (project.folder / LOGS / f"{loss}.log").read_text())
    return int(found[-1]) if found else 0


def smallest(scale: dict[str, Any]) -> None:
    """Leave a pair of losses and one noise of every kind; all rules still have a job."""
    study = scale["symmetrization"]
    study["seeds"] = [1]
    study["losses"] = {"comparison": ["ce", "unhinged"], "curves": ["ce"], "unhinged": ["unhinged"]}
    for cells in study["cells"].values():
        cells["noises"] = cells["noises"][:1]


def test_the_whole_tiny_scale_runs_through_slurm_with_the_requests_of_its_rules(
    slurm: Cluster, tmp_path: Path
) -> None:
    project = make(tmp_path, device="auto")
    project.edit("scales/tiny.yaml", smallest)
    with submitted(project, slurm) as finish:
        finish(400)
    assert (project.folder / "results/tiny/paper.pdf").read_bytes().startswith(b"%PDF")
    by_rule: dict[str, list[dict[str, str]]] = {}
    for fields in jobs(slurm, project).values():
        assert fields["JobState"] == "COMPLETED", fields
        rule = re.match(r"rule_(\w+?)(_wildcards|$)", fields["Comment"])
        assert rule, fields["Comment"]
        by_rule.setdefault(rule[1], []).append(fields)
    tangent = {
        f"{verb}_{family}"
        for verb in ("networks", "tangent", "rotation")
        for family in ("binary", "eigenfunctions")
    }
    assert set(by_rule) == {"prepare", "train", "kernel", "spectrum"} | tangent
    for rule, submissions in by_rule.items():
        for fields in submissions:
            computes = rule != "prepare"
            assert fields["Partition"] == ("gpu" if computes else "cpu"), rule
            assert ("gres/gpu=1" in fields["TRES"]) == computes, rule
    (training,) = trainings(slurm, project, "symmetric-0.0_ce")
    # The digits take 2 MiB as bytes: 2000 + 3 * 1 + 4 * 1 MiB and 5 + 10 minutes.
    assert megabytes(training) == 2007
    assert training["TimeLimit"] == "00:15:00"
    assert training["CPUs/Task"] == "1"


def test_a_training_goes_on_where_it_was_after_a_requeue_and_after_a_cancellation(
    slurm: Cluster, tmp_path: Path
) -> None:
    undisturbed = make(tmp_path / "undisturbed", device="cpu")
    slow(undisturbed, epochs=1000, batch=8)
    undisturbed.snakemake(f"{RUNS}/ce/seed1/summary.json")

    project = make(tmp_path / "disturbed", device="cpu")
    slow(project, epochs=1000, batch=8)
    # Made here, so that only the training is a job.
    project.snakemake("results/tiny/symmetrization/labels/digits/symmetric-0.0/seed1.npz")
    checkpoints = project.folder / CHECKPOINTS
    with submitted(project, slurm, f"{RUNS}/ce/seed1/summary.json") as finish:
        wait_for("a checkpoint", lambda: list(checkpoints.glob("*.safetensors")), 90)
        (first,) = jobs(slurm, project)
        slurm.ask("scontrol", "requeue", first)
        # SLURM holds a requeued job back for two minutes; nobody wants to wait for them here.
        wait_for("the end", lambda: jobs(slurm, project)[first]["JobState"] == "PENDING", 60)
        slurm.ask("scontrol", "update", f"JobId={first}", "StartTime=now")
        wait_for("resumption", lambda: resumed(project, "ce") > 0, 90)
        slurm.ask("scancel", first)
        finish(240)
    for name in ("history.csv", "weights.safetensors"):
        ours, theirs = (it.folder / RUNS / "ce/seed1" / name for it in (project, undisturbed))
        assert ours.read_bytes() == theirs.read_bytes(), name
    cancelled, retried = trainings(slurm, project)
    assert (cancelled["JobState"], cancelled["Restarts"]) == ("CANCELLED", "1")
    assert (retried["JobState"], retried["Restarts"]) == ("COMPLETED", "0")
    assert {fields["Partition"] for fields in (cancelled, retried)} == {"cpu"}
    assert resumed(project, "ce") > 0


def test_a_job_over_its_memory_or_time_is_retried_with_more(slurm: Cluster, tmp_path: Path) -> None:
    greedy = make(tmp_path / "greedy", device="cpu")
    slow(greedy, epochs=500, batch=8, memory_mb=400)
    stuck = make(tmp_path / "stuck", device="cpu")
    slow(stuck, epochs=500, batch=8)
    for project in (greedy, stuck):
        project.snakemake("results/tiny/symmetrization/labels/digits/symmetric-0.0/seed1.npz")
    target, minutes = f"{RUNS}/ce/seed1/summary.json", "train:runtime=attempt"
    with (
        submitted(stuck, slurm, target, "--set-resources", minutes) as finish_stuck,
        submitted(greedy, slurm, target) as finish_greedy,
    ):
        checkpoints = stuck.folder / CHECKPOINTS
        wait_for("a checkpoint", lambda: list(checkpoints.glob("*.safetensors")), 120)
        (first,) = jobs(slurm, stuck)
        # Like a file system that hangs: the job does nothing until its minute is over.
        slurm.ask("scancel", "--signal=STOP", first)
        finish_greedy(300)
        finish_stuck(300)
    for project in (greedy, stuck):
        summary = json.loads((project.folder / RUNS / "ce/seed1/summary.json").read_text())
        assert summary["status"] == "finished"
    asked = [megabytes(fields) for fields in trainings(slurm, greedy)]
    assert len(asked) > 1 and asked == [407 * attempt for attempt in range(1, len(asked) + 1)]
    assert "exceeded memory limit" in (slurm.folder / "slurmd.log").read_text()
    late, retried = trainings(slurm, stuck)
    assert (late["JobState"], late["TimeLimit"]) == ("TIMEOUT", "00:01:00")
    assert (retried["JobState"], retried["TimeLimit"]) == ("COMPLETED", "00:02:00")
    assert resumed(stuck, "ce") > 0
