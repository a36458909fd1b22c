"""The jobs of tables and figures of the made-up study, run without a workflow."""

from __future__ import annotations

from importlib import import_module

from firstorder.config import Config
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files
from firstorder.jobs.study import steps


def draw(config: Config, kind: str, artefact: str) -> Files:
    """Make a table or figure; its files by format."""
    step = steps(config)[kind]
    job = step.job(config, "linearized", artefact)
    module, _, name = step.run.rpartition(":")
    getattr(import_module(module), name)(job.spec, job.inputs, job.outputs, Context())
    return job.outputs
