"""How long Snakemake takes to plan a grid of trainings, and how much memory.

    python tests/benchmarks/bench_dag.py [--runs 500 5000 20000] [--profile]

Plans the paper scale with more noise rates and more variants of a loss, in a temporary folder;
nothing is trained. Prints CPU seconds and peak memory of `snakemake --dry-run`, and what the
package itself takes of it with --profile.
"""

from __future__ import annotations

import argparse
import math
import os
import pstats
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (1, 2, 3)
SETTINGS = ("cifar10", "cifar100")


@dataclass(frozen=True)
class Measured:
    """One dry run: trainings, jobs, seconds (wall and CPU), peak memory in MiB."""

    trainings: int
    jobs: int
    wall: float
    cpu: float
    memory: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[500, 5000, 20000])
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'trainings':>10} {'jobs':>8} {'wall s':>8} {'CPU s':>8} {'MiB':>8} {'ms/job':>8}")
        for runs in (0, *arguments.runs):
            project = Path(folder) / str(runs)
            trainings = write_project(project, runs)
            done = measure(project, trainings)
            print(
                f"{done.trainings:>10,} {done.jobs:>8,} {done.wall:>8.1f} {done.cpu:>8.1f} "
                f"{done.memory:>8.0f} {1e3 * done.cpu / done.jobs:>8.2f}",
                flush=True,
            )
        if arguments.profile:
            profile(Path(folder) / str(arguments.runs[-1]))


def write_project(folder: Path, runs: int) -> int:
    """Write a configuration of about `runs` trainings; their number. 0: the paper scale itself."""
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copytree(ROOT / "paper", folder / "paper")
    edit(folder / "config/config.yaml", lambda value: value.update(scale="paper", device="cpu"))
    scale_file = folder / "config/scales/paper.yaml"
    if runs:
        side = max(2, round(math.sqrt(runs / len(SEEDS) / len(SETTINGS))))
        edit(folder / "config/studies/symmetrization.yaml", lambda study: _vary(study, side))
        edit(scale_file, lambda scale: _widen(scale, side))
    from firstorder import config as configuration

    config = configuration.load(folder / "config")
    return len(list(configuration.all_cells(config))) * len(config.scale.symmetrization.seeds)


def _vary(study: dict[str, Any], values: int) -> None:
    """Declare `values` variants of one loss."""
    study["variants"]["grid"] = {
        "losses": ["gce"],
        "vary": "parameter",
        "parameter": "q",
        "values": [round(0.01 + 0.98 * step / values, 4) for step in range(values)],
        "slug": "{loss}-q{value}",
        "label": "{label}, q = {value}",
    }
    for artefact in study["artefacts"].values():
        if artefact.get("select", {}).get("cells") == "symmetric":
            artefact["select"]["losses"] = "grid"
    for claim in study["claims"].values():
        claim.pop("select", None)


def _widen(scale: dict[str, Any], rates: int) -> None:
    """Train at `rates` rates of symmetric noise, and little else of the first study."""
    study = scale["symmetrization"]
    study["seeds"] = list(SEEDS)
    noises = [f"symmetric-{round(0.8 * step / rates, 4)}" for step in range(rates)]
    study["cells"]["symmetric"] = {"settings": list(SETTINGS), "noises": noises}


def edit(path: Path, change: Any) -> None:
    """Change a YAML file in place."""
    value = yaml.safe_load(path.read_text())
    change(value)
    path.write_text(yaml.safe_dump(value, allow_unicode=True, sort_keys=False))


def command(folder: Path) -> list[str]:
    """The arguments of a dry run in `folder`, after `python`."""
    return [
        *("-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(folder), "--cores", "2", "--dry-run", "--quiet", "rules", "reason"),
    ]


def measure(folder: Path, trainings: int) -> Measured:
    """Plan the workflow of a folder in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key != "FIRSTORDER_PLAN"}
    with (folder / "output").open("w") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command(folder)],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    text = (folder / "output").read_text()
    if process.returncode:
        sys.exit(text[-3000:])
    (jobs,) = set(re.findall(r"^total +(\d+)$", text, re.MULTILINE))
    return Measured(
        trainings, int(jobs), wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**10
    )


def profile(folder: Path) -> None:
    """Print the functions in which a dry run spends its time."""
    target = folder / "profile"
    subprocess.run(
        [sys.executable, "-m", "cProfile", "-o", str(target), *command(folder)],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    statistics = pstats.Stats(str(target)).sort_stats("cumulative")
    statistics.print_stats(r"firstorder|snakemake/(dag|jobs|rules|io)", 30)


if __name__ == "__main__":
    main()
