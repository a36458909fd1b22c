"""The study that joins the two papers: robust losses on tangent kernels.

Nothing here imports torch, pandas or matplotlib: planning imports it in every process.
"""

from __future__ import annotations

from firstorder.jobs.study import Study
from firstorder.studies.robust_kernels import settings
from firstorder.studies.robust_kernels.grid import protocol, select
from firstorder.studies.robust_kernels.jobs import STEPS
from firstorder.studies.robust_kernels.settings import check

STUDY = Study(
    name=settings.NAME,
    declared=settings.Declared,
    scale=settings.Scale,
    check=check,
    steps=STEPS,
    select=select,
    protocol=protocol,
)
