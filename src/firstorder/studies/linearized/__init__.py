"""Linearized networks: tangent kernels, trainings in function space, rotations of the kernel."""

from firstorder.jobs.study import Study
from firstorder.studies.linearized.grid import protocol, select
from firstorder.studies.linearized.jobs import STEPS
from firstorder.studies.linearized.settings import LinearizedScale, LinearizedStudy, check

STUDY = Study(
    name="linearized",
    declared=LinearizedStudy,
    scale=LinearizedScale,
    check=check,
    steps=STEPS,
    select=select,
    protocol=protocol,
)
