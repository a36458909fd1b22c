"""Figures: from frames of records to PDF, SVG, PNG and the plotted data."""

from __future__ import annotations

from firstorder.config import Config
from firstorder.paths import FIGURE_FORMATS
from firstorder.publish import (
    figures_kernels,  # noqa: F401  (registers its figures)
    figures_linearized,  # noqa: F401
    figures_nads,  # noqa: F401
    figures_symmetrization,  # noqa: F401
    needs,
    registry,
    style,
)


def build(config: Config, study: str, artefact_id: str) -> None:
    """Make one figure: PDF, SVG, PNG and the plotted data as CSV."""
    declared = needs.artefact(config, study, artefact_id)
    where = f"{study}.yaml: artefacts.{artefact_id}.draw"
    draw = registry.lookup(declared.draw, where)
    with style.house():
        drawing = draw(config, declared)
    paths = needs.paths_of(config)
    style.save(drawing, {s: paths.figure(study, artefact_id, s) for s in FIGURE_FORMATS})
