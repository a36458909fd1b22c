"""The study of line attractors: what recurrent networks that read sentiment do at fixed points.

Nothing here imports torch, pandas or matplotlib: planning imports it in every process.
"""

from __future__ import annotations

from firstorder.jobs.study import Study
from firstorder.studies.line_attractor import settings
from firstorder.studies.line_attractor.check import check
from firstorder.studies.line_attractor.jobs import STEPS
from firstorder.studies.line_attractor.selection import protocol, select

STUDY = Study(
    name=settings.NAME,
    declared=settings.Declared,
    scale=settings.Scale,
    check=check,
    steps=STEPS,
    select=select,
    protocol=protocol,
)
