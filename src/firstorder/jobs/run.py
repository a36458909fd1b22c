"""Running one job: its inputs checked, the step's function on the job's values, an entry."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path

from firstorder import own
from firstorder.errors import DataError, UserError
from firstorder.jobs import ledger, provenance
from firstorder.jobs.job import Job
from firstorder.jobs.paths import paths
from firstorder.jobs.plan import Plan


def run(plan: Plan, job: Job) -> None:
    """Run `job`. Raises UserError for what the user can mend."""
    module, _, name = plan.steps()[job.step].run.rpartition(":")
    root = paths(plan.config).root
    context = plan.context(job)
    ledger.check(root, job, plan.makers())
    began = time.perf_counter()
    with own.blaming(UserError):
        getattr(import_module(module), name)(job.spec, job.inputs, job.outputs, context)
    seconds = time.perf_counter() - began
    for path in job.outputs.values():
        if not Path(path).is_file():
            raise DataError(f"{path}: `{job.step}` did not write it")
    device, resumed = provenance.device(context.device), bool(context.resumed)
    ledger.write(root, job, context.code, device, seconds, resumed)
