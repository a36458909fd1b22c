"""The workflow on a real SLURM: requests, preemption, and requests that grow on retry.

One cluster of one node for all tests, started in a temporary folder on loopback. Skipped, with
the reason, where SLURM's daemons are not installed or cannot be started.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.slurm.cluster import Cluster, cluster, missing
from tests.workflow.conftest import ROOT, Project, environment, make_project

REASON = missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

# The profile is that of the project; only how often SLURM is asked is quicker than on a real one.
QUICK = (
    *("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"),
    *("--latency-wait", "10", "--jobs", "4"),
)
RUN = "results/tiny/symmetrization/runs/digits/symmetric-0.0/ce/seed1"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


def submit(project: Project, slurm: Cluster, *targets: str) -> subprocess.Popen[str]:
    """Start the workflow on the cluster."""
    log = open(project.folder / "snakemake.log", "w")  # noqa: SIM115
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--directory", str(project.folder), "--profile", str(ROOT / "profiles/slurm")),
            *QUICK,
            *targets,
        ],
        cwd=project.folder,
        env={**slurm.environment, **{key: environment()[key] for key in ("PATH",)}}
        | {"PATH": f"{environment()['PATH']}:/usr/sbin:/sbin"},
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], project: Project, seconds: float) -> str:
    """Wait for a workflow; its output. Kills it, and fails, when it takes longer."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"not done in {seconds:g} s:\n{(project.folder / 'snakemake.log').read_text()}")
    text = (project.folder / "snakemake.log").read_text()
    assert process.returncode == 0, text[-6000:]
    return text


def wait_for(what: str, found: Callable[[], object], seconds: float = 60) -> None:
    """Wait until `found` is true."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.2)


def jobs(slurm: Cluster) -> dict[str, dict[str, str]]:
    """Every job that SLURM knows: id -> fields of `scontrol show job`."""
    text = slurm.ask("scontrol", "show", "job", "--oneliner")
    found = {}
    for line in text.splitlines():
        fields = dict(re.findall(r"(\S+?)=(\S*)", line))
        if "JobId" in fields:
            found[fields["JobId"]] = fields
    return found


def train_for_long(project: Project, **recipe: object) -> None:
    """A training of some seconds that saves its state often."""
    project.edit("config.yaml", lambda value: value.update(checkpoint_seconds=0.2))
    project.edit("recipes.yaml", lambda value: value["tiny"].update(recipe))
    project.edit(
        "scales/tiny.yaml", lambda value: value["symmetrization"].update(seeds=[1], losses={})
    )


def test_the_whole_tiny_scale_runs_through_slurm_with_the_requests_of_its_rules(
    slurm: Cluster, tmp_path: Path
) -> None:
    project = make_project(tmp_path)
    before = set(jobs(slurm))
    finish(submit(project, slurm), project, 420)
    assert (project.folder / "results/tiny/paper.pdf").read_bytes().startswith(b"%PDF")
    submitted = {job: fields for job, fields in jobs(slurm).items() if job not in before}
    by_rule: dict[str, list[dict[str, str]]] = {}
    for fields in submitted.values():
        rule = re.search(r"rule_(\w+?)[/_]", fields.get("StdOut", ""))
        by_rule.setdefault(rule.group(1) if rule else "?", []).append(fields)
    training = by_rule["train"]
    assert training
    for fields in training:
        assert fields["Partition"] == "gpu"
        assert "gres/gpu=1" in fields["ReqTRES"]
        assert "mem=2005M" in fields["ReqTRES"], fields["ReqTRES"]
        assert fields["JobState"] == "COMPLETED"
    assert not {"table", "figure", "paper", "labels"} & set(by_rule), "tiny rules run locally"
    assert all("gpu" not in fields["ReqTRES"] for fields in by_rule.get("spectrum", []))


def test_a_cancelled_training_is_retried_and_goes_on_where_it_was(
    slurm: Cluster, tmp_path: Path
) -> None:
    undisturbed = make_project(tmp_path / "undisturbed")
    train_for_long(undisturbed, epochs=4000)
    undisturbed.snakemake(f"{RUN}/summary.json")

    project = make_project(tmp_path / "cancelled")
    train_for_long(project, epochs=4000)
    before = set(jobs(slurm))
    process = submit(project, slurm, f"{RUN}/summary.json")
    checkpoints = project.folder / "results/tiny/checkpoints"
    wait_for("a checkpoint", lambda: list(checkpoints.glob("*.safetensors")), 90)
    running = [
        job
        for job, fields in jobs(slurm).items()
        if job not in before and fields["JobState"] == "RUNNING" and fields["Partition"] == "gpu"
    ]
    (job,) = running
    slurm.ask("scancel", job)
    finish(process, project, 240)
    for name in ("history.csv", "weights.safetensors"):
        assert (project.folder / RUN / name).read_bytes() == (
            undisturbed.folder / RUN / name
        ).read_bytes()
    attempts = [job for job in jobs(slurm) if job not in before]
    assert len(attempts) >= 2
    assert jobs(slurm)[job]["JobState"] == "CANCELLED"
    log = (project.folder / "results/tiny/logs/train/digits/symmetric-0.0/ce.log").read_text()
    assert "resumed" in log, log


def test_a_job_that_needs_more_memory_than_it_asked_for_is_retried_with_more(
    slurm: Cluster, tmp_path: Path
) -> None:
    project = make_project(tmp_path)
    train_for_long(project, epochs=400, memory_mb=220)
    before = set(jobs(slurm))
    finish(submit(project, slurm, f"{RUN}/summary.json"), project, 300)
    asked = [
        int(match.group(1))
        for job, fields in sorted(jobs(slurm).items(), key=lambda item: int(item[0]))
        if job not in before
        and fields["Partition"] == "gpu"
        and (match := re.search(r"mem=(\d+)M", fields["ReqTRES"]))
    ]
    assert asked == sorted(asked) and asked[-1] > asked[0], asked
    assert json.loads((project.folder / RUN / "summary.json").read_text())["status"] == "finished"
