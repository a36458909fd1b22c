"""The study of symmetrized losses under label noise.

Nothing here imports torch, pandas or matplotlib: planning imports it in every process.
"""

from __future__ import annotations

from firstorder.jobs.study import Study
from firstorder.studies.symmetrization import settings
from firstorder.studies.symmetrization.check import check
from firstorder.studies.symmetrization.jobs import STEPS
from firstorder.studies.symmetrization.selection import protocol, select

STUDY = Study(
    name=settings.NAME,
    declared=settings.Declared,
    scale=settings.Scale,
    check=check,
    steps=STEPS,
    select=select,
    protocol=protocol,
)
