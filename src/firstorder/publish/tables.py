"""The step that makes a table: from records to a tidy frame and its four formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from firstorder import files
from firstorder.publish import grid, latex, registry, spreadsheets

if TYPE_CHECKING:
    from firstorder.jobs.context import Context
    from firstorder.jobs.job import Files, Spec

EMPTY = "Nothing of this table is run at this scale."


def table(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Make one table: CSV (tidy, full digits), Markdown, LaTeX and HTML."""
    made = registry.call(spec, inputs)
    frame, notes = made.frame, made.notes
    if frame.empty:  # a scale may declare fewer losses or tasks
        frame, notes = pd.DataFrame(columns=grid.COLUMNS), (EMPTY,)
    title, caption = spec["title"], " ".join([spec["caption"], *notes])
    laid_out = grid.sections(frame)
    pages = {
        "csv": spreadsheets.csv(frame),
        "md": grid.markdown(laid_out, title, caption),
        "tex": latex.latex(
            grid.sections(latex.reprinted(frame, **spec["latex"])), title, caption, spec["label"]
        ),
        "html": grid.webpage(laid_out, title, caption),
    }
    for suffix, text in pages.items():
        files.write_text(outputs[suffix], text)
