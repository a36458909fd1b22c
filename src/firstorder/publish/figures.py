"""The step that draws a figure: from records to PDF, SVG, PNG and the plotted data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstorder.publish import registry, style

if TYPE_CHECKING:
    from firstorder.jobs.context import Context
    from firstorder.jobs.job import Files, Spec


def figure(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Make one figure: PDF, SVG, PNG and the plotted data as CSV."""
    with style.house():
        drawing = registry.call(spec, inputs)
    style.save(drawing, dict(outputs))
