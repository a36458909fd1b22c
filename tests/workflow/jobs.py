"""All jobs of a project, as Snakemake plans them and as the plan has them, in one form.

    python tests/workflow/jobs.py [KEY=VALUE ...]

prints those of Snakemake for the project in the working folder as JSON, sorted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SNAKEFILE = Path(__file__).resolve().parents[2] / "Snakefile"
Listed = list[dict[str, Any]]


def of_snakemake(changes: dict[str, Any]) -> Listed:
    """Every job that leads to the default target; `changes` are keys of config.yaml."""
    from snakemake.api import ConfigSettings, DAGSettings, OutputSettings, SnakemakeApi
    from snakemake.settings.types import Quietness, ResourceSettings

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        settings = ResourceSettings(cores=16)  # more than any job asks for
        opened = api.workflow(
            settings, config_settings=ConfigSettings(config=changes), snakefile=SNAKEFILE
        )
        opened.dag(DAGSettings(forceall=True))
        workflow = opened._workflow
        workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        return _sorted(_planned(job) for job in workflow.dag.jobs if job.output)


def _planned(job: Any) -> dict[str, Any]:
    return {
        "rule": job.rule.name,
        "wildcards": dict(job.wildcards.items()),
        "inputs": sorted(map(str, job.input)),
        "outputs": sorted(map(str, job.output)),
        "spec": job.params.spec,
        "code": job.params.code,
        "threads": job.threads,
        **{name: job.resources.get(name) for name in RESOURCES},
    }


RESOURCES = ("gpu", "mem_mb", "runtime")
"""What a job asks of a scheduler, where its rule declares it."""


def of_plan(changes: dict[str, Any], listed: Listed) -> Listed:
    """Every job of the plan; resources only of the rules that declare them in `listed`."""
    from firstorder.jobs import plan

    made = plan.make("config", changes)
    declared = {
        job["rule"]: [name for name in RESOURCES if job[name] is not None] for job in listed
    }
    found = []
    for job in made.jobs().values():
        asked = {
            "gpu": int(job.demand.gpu),
            "mem_mb": job.demand.megabytes,
            "runtime": job.demand.minutes,
        }
        known = declared.get(job.step, ())
        found.append(
            {
                "rule": job.step,
                "wildcards": dict(zip(made.steps()[job.step].keys, job.key, strict=True)),
                "inputs": sorted(job.inputs.values()),
                "outputs": sorted(job.outputs.values()),
                "spec": job.spec_digest,
                "code": made.code(job),
                "threads": job.demand.threads,
                **{name: asked[name] if name in known else None for name in RESOURCES},
            }
        )
    return _sorted(found)


def _sorted(jobs: Iterable[dict[str, Any]]) -> Listed:
    return sorted(jobs, key=lambda job: (job["rule"], list(job["wildcards"].values())))


if __name__ == "__main__":
    found = of_snakemake(dict(each.split("=", 1) for each in sys.argv[1:]))
    print(json.dumps(found, sort_keys=True))
