"""Running one job: the step's function on the job's own values, and a note of what it took."""

from __future__ import annotations

import resource
import sys
import time
from importlib import import_module

from firstorder import files
from firstorder.jobs import forecast, provenance
from firstorder.jobs.job import Job
from firstorder.jobs.paths import paths
from firstorder.jobs.plan import Plan
from firstorder.jobs.study import steps


def run(plan: Plan, job: Job) -> None:
    """Run `job`. Raises UserError for what the user can mend."""
    module, _, name = steps(plan.config)[job.step].run.rpartition(":")
    context = plan.context(job)
    began = time.perf_counter()
    getattr(import_module(module), name)(job.spec, job.inputs, job.outputs, context)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    files.write_json(
        forecast.usage_file(paths(plan.config).root, job),
        {
            "step": job.step,
            "spec": files.digest(dict(job.spec)),
            "device": provenance.device(context.device),
            "seconds": time.perf_counter() - began,
            "cpu_seconds": spent.ru_utime + spent.ru_stime,
            "peak_memory_bytes": spent.ru_maxrss * unit,
        },
    )
