"""The workflow on a real SLURM: requests, preemption, and requests that grow on retry.

One cluster of one node for all tests, started in a temporary folder on loopback. Skipped, with
the reason, where SLURM's daemons are not installed or may not be started.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT, Project, environment, make_project

from firstorder.jobs import plan
from firstorder.jobs.plan import Plan

from .cluster import Cluster, UnavailableError, cluster, missing

if REASON := missing():
    pytest.skip(REASON, allow_module_level=True)
# Limits are for a machine that others load; alone, a test takes a minute or two. The first that
# hangs must end, and say so, before .ci/run gives up on all of them.
PATIENCE = 900.0
pytestmark = pytest.mark.timeout(PATIENCE + 60)

# The profile is that of the project; only how often SLURM is asked is quicker than on a real one.
QUICK = ("--slurm-init-seconds-before-status-checks", "1")
# As in docs/cluster.md: three trainings after one another in one allocation with one GPU.
GROUPED = (
    *("--groups", "train=trainings", "--group-components", "trainings=3"),
    *("--cores", "2", "--resources", "gpu=1", "--set-resource-scopes", "gpu=local"),
)
RUNS = "results/tiny/symmetrization/runs/digits/symmetric-0.0"
LABELS = "results/tiny/symmetrization/labels/digits/symmetric-0.0/seed1.npz"
CHECKPOINTS = "results/tiny/checkpoints"
LOGS = "results/tiny/logs/train/digits/symmetric-0.0"
TARGET = f"{RUNS}/ce/seed1/summary.json"
SCALE = "studies/symmetrization/tiny.yaml"

# Steps of seconds, which run where Snakemake runs.
LOCAL = {"all", "corrupt", "table", "figure", "claims", "manifest", "crate", "paper", "page"}

Jobs = dict[str, dict[str, str]]
"""Jobs as SLURM knows them: id -> fields of `scontrol show job`."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ExitStack() as stack:
        try:
            running = stack.enter_context(cluster(tmp_path_factory.mktemp("slurm")))
        except UnavailableError as refusal:
            pytest.skip(str(refusal))
        yield running


@pytest.fixture(scope="module")
def prepared(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one long training on CPUs that often saves its state: all but the training."""
    project = make(tmp_path_factory.mktemp("prepared") / "project", device="cpu")
    project.edit("config.yaml", lambda value: value.update(checkpoint_seconds=0.5))
    project.edit("recipes.yaml", lambda value: value["tiny"].update(epochs=1000, batch=8))
    project.edit(SCALE, lambda value: value.update(seeds=[1], losses={}))
    project.snakemake(LABELS)
    return project


@pytest.fixture(scope="module")
def undisturbed(prepared: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same, trained without a scheduler."""
    project = copied(prepared, tmp_path_factory.mktemp("undisturbed") / "project")
    project.snakemake(TARGET)
    return project


def make(folder: Path, device: str) -> Project:
    """A tiny project with the profiles of this one."""
    project = make_project(folder)
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    project.edit("config.yaml", lambda value: value.update(device=device))
    return project


def copied(project: Project, folder: Path) -> Project:
    """A copy of a project, with what it has computed."""
    shutil.copytree(project.folder, folder, symlinks=True)
    return Project(folder)


@contextmanager
def submitted(project: Project, slurm: Cluster, *arguments: str) -> Iterator[Callable[[], None]]:
    """A workflow on the cluster; what is given waits for its end."""
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

        def finish() -> None:
            try:
                process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                pytest.fail(f"not done in {PATIENCE:g} s:\n{output.read_text()[-6000:]}")
            assert process.returncode == 0, output.read_text()[-6000:]

        try:
            yield finish
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
                for job in jobs(slurm, project):
                    slurm.ask("scancel", job)


def wait_for(what: str, found: Callable[[], object], seconds: float = PATIENCE / 3) -> None:
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


def requests(fields: dict[str, str]) -> tuple[str, str, int, int, int]:
    """What a job asked for: partition, GPUs, CPUs, MiB of memory, minutes."""
    memory = re.search(r"mem=(\d+)M", fields["TRES"])
    assert memory, fields["TRES"]
    hours, minutes, _ = fields["TimeLimit"].split(":")
    gpus = fields.get("TresPerJob", "")
    cpus = int(fields["NumCPUs"])
    return fields["Partition"], gpus, cpus, int(memory[1]), 60 * int(hours) + int(minutes)


def declared(made: Plan, comment: str) -> tuple[str, str, int, int, int]:
    """What the job of a comment declares for its first attempt, in the form of `requests`."""
    rule, wildcards = comment.removeprefix("rule_").split("_wildcards_")
    found = [
        job.demand
        for job in made.jobs().values()
        if job.step == rule
        and re.sub(r"\W", "_", "_".join(job.key)) == re.sub(r"\W", "_", wildcards)
    ]
    assert len(found) == 1, (comment, len(found))
    partition = ("gpu", "gres:gpu:1") if found[0].gpu else ("cpu", "")
    return *partition, found[0].threads, found[0].megabytes, found[0].minutes


def plain(name: str) -> str:
    """A name as comments of SLURM jobs may hold it."""
    return re.sub(r"\W", "_", name)


def outcomes(slurm: Cluster, project: Project) -> list[tuple[str, str]]:
    """How the jobs of a project ended, and how often SLURM put them back into the queue."""
    return [(fields["JobState"], fields["Restarts"]) for fields in jobs(slurm, project).values()]


def resumed(project: Project) -> int:
    """After how many steps the training last went on from a checkpoint; 0 before it says so."""
    try:
        log = (project.folder / LOGS / "ce.log").read_text()
    except FileNotFoundError:  # Snakemake removes the log of an attempt when the next one begins.
        return 0
    found = re.findall(r"after (\d+) steps", log)
    return int(found[-1]) if found else 0


def assert_same(project: Project, undisturbed: Project) -> None:
    """The training has the same bytes as without a scheduler and its disturbances."""
    for name in ("history.csv", "weights.safetensors"):
        ours, theirs = (it.folder / RUNS / "ce/seed1" / name for it in (project, undisturbed))
        assert ours.read_bytes() == theirs.read_bytes(), name
    assert json.loads((project.folder / TARGET).read_text())["status"] == "finished"


def test_every_kind_of_job_runs_through_slurm_with_the_requests_of_its_rule(
    slurm: Cluster, tmp_path: Path
) -> None:
    """One cell and one family; more of them are the same rules with other values."""
    project = make(tmp_path / "project", device="auto")

    def shrink(scale: dict[str, Any]) -> None:
        scale.update(seeds=[1], losses={"comparison": ["ce", "unhinged"]})
        scale["cells"]["symmetric"]["noises"] = ["symmetric-0.4"]

    project.edit(SCALE, shrink)
    table = "results/tiny/tables/symmetrization-accuracy-symmetric.html"
    family = "results/tiny/linearized/mlp/photo_patches/seed1/runs/eigenfunctions"
    targets = (table, f"{family}/linear.csv", f"{family}/retrained.csv")
    planned = {rule: n for rule, n in project.planned(*targets).items() if rule not in LOCAL}
    with submitted(project, slurm, *targets) as finish:
        finish()
    for target in targets:
        assert (project.folder / target).stat().st_size > 0, target
    ended = jobs(slurm, project).values()
    rules = Counter(re.split("rule_|_wildcards_", fields["Comment"])[1] for fields in ended)
    once = ("compute_kernel", "decompose", "linearize", "fit", "rotate")
    assert rules == planned == {"prepare": 2, "train": 2, **dict.fromkeys(once, 1)}
    assert {fields["JobState"] for fields in ended} == {"COMPLETED"}
    made = plan.make(project.folder / "config", {})
    for fields in ended:
        assert requests(fields) == declared(made, fields["Comment"]), fields["Comment"]


def test_a_training_goes_on_where_it_was_after_a_requeue_and_after_a_cancellation(
    slurm: Cluster, prepared: Project, undisturbed: Project, tmp_path: Path
) -> None:
    project = copied(prepared, tmp_path / "project")
    checkpoints = project.folder / CHECKPOINTS
    with submitted(project, slurm, TARGET) as finish:
        wait_for("a checkpoint", lambda: list(checkpoints.glob("*.safetensors")))
        (first,) = jobs(slurm, project)
        slurm.ask("scontrol", "requeue", first)
        # SLURM holds a requeued job back for two minutes; nobody wants to wait for them here.
        wait_for("the end", lambda: jobs(slurm, project)[first]["JobState"] == "PENDING")
        slurm.ask("scontrol", "update", f"JobId={first}", "StartTime=now")
        wait_for("resumption", lambda: resumed(project) > 0)
        slurm.ask("scancel", first)
        finish()
    assert_same(project, undisturbed)
    assert outcomes(slurm, project) == [("CANCELLED", "1"), ("COMPLETED", "0")]
    # With device=cpu nothing asks for a GPU.
    assert {requests(fields)[:2] for fields in jobs(slurm, project).values()} == {("cpu", "")}
    assert resumed(project) > 0


def test_a_job_over_its_memory_or_time_is_retried_with_more(
    slurm: Cluster, prepared: Project, undisturbed: Project, tmp_path: Path
) -> None:
    greedy, stuck = (copied(prepared, tmp_path / name) for name in ("greedy", "stuck"))
    greedy.edit("recipes.yaml", lambda value: value["tiny"].update(memory_mb=400))
    with (
        submitted(stuck, slurm, TARGET) as finish_stuck,
        submitted(greedy, slurm, TARGET) as finish_greedy,
    ):
        checkpoints = stuck.folder / CHECKPOINTS
        wait_for("a checkpoint", lambda: list(checkpoints.glob("*.safetensors")))
        (first,) = jobs(slurm, stuck)
        # Like a file system that hangs: the job does nothing until its time is over, which is
        # cut to a minute here.
        slurm.ask("scancel", "--signal=STOP", first)
        slurm.ask("scontrol", "update", f"JobId={first}", "TimeLimit=1")
        finish_greedy()
        finish_stuck()
    for project in (greedy, stuck):
        assert_same(project, undisturbed)
    asked = [requests(fields)[3] for fields in jobs(slurm, greedy).values()]
    assert len(asked) > 1 and asked == [407 * attempt for attempt in range(1, len(asked) + 1)]
    assert "exceeded memory limit" in (slurm.folder / "slurmd.log").read_text()
    assert outcomes(slurm, stuck) == [("TIMEOUT", "0"), ("COMPLETED", "0")]
    limits = [requests(fields)[4] for fields in jobs(slurm, stuck).values()]
    assert limits == [1, 30]
    assert resumed(stuck) > 0


def test_grouped_trainings_share_one_allocation_and_one_gpu(
    slurm: Cluster, prepared: Project, tmp_path: Path
) -> None:
    project = copied(prepared, tmp_path / "project")
    project.edit("config.yaml", lambda value: value.update(device="auto"))
    project.edit("recipes.yaml", lambda value: value["tiny"].update(epochs=3, threads=2))
    losses = ["ce", "gce", "unhinged"]
    project.edit(SCALE, lambda value: value.update(losses={"comparison": losses}))
    targets = [f"{RUNS}/{loss}/seed1/summary.json" for loss in losses]
    with submitted(project, slurm, *targets, *GROUPED) as finish:
        finish()
    for target in targets:
        assert json.loads((project.folder / target).read_text())["status"] == "finished"
    (job,) = jobs(slurm, project).values()
    assert job["JobState"] == "COMPLETED"
    # One after the other: the CPUs and memory of one, the minutes of all three.
    assert requests(job) == ("gpu", "gres:gpu:1", 2, 2007, 45)


def test_stopping_a_cluster_leaves_no_process(slurm: Cluster, tmp_path: Path) -> None:
    with cluster(tmp_path / "other") as other:
        # A process that leaves its job is lost to SLURM; the other one outlives no job.
        other.ask("sbatch", "--output", "/dev/null", "--wrap", "setsid sleep 1000 & sleep 1000")
        wait_for("the job", lambda: len(other.processes_of_jobs()) >= 4)
    assert [process.poll() is None for process in other.processes] == [False] * 3
    wait_for("its end", lambda: not other.processes_of_jobs(), 10)
