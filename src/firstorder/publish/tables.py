"""Tables: from frames of records to a tidy table and its four formats."""

from __future__ import annotations

import pandas as pd

from firstorder import files
from firstorder.config import Config
from firstorder.publish import (
    grid,
    needs,
    registry,
    tables_linearized,  # noqa: F401  (registers its tables)
    tables_symmetrization,  # noqa: F401
)

EMPTY = "Nothing of this table is run at this scale."


def build(config: Config, study: str, artefact_id: str) -> None:
    """Make one table: CSV (tidy, full digits), Markdown, LaTeX and HTML."""
    declared = needs.artefact(config, study, artefact_id)
    where = f"{study}.yaml: artefacts.{artefact_id}.draw"
    table = registry.lookup(declared.draw, where)(config, declared)
    paths = needs.paths_of(config)
    frame, notes = table.frame, table.notes
    if frame.empty:  # a scale may declare fewer losses or tasks
        frame, notes = pd.DataFrame(columns=grid.COLUMNS), (EMPTY,)
    caption = " ".join([needs.caption(config, study, artefact_id), *notes])
    laid_out = grid.sections(frame)
    label = f"{study}-{artefact_id}"
    pages = {
        "csv": frame.to_csv(index=False, lineterminator="\n"),
        "md": grid.markdown(laid_out, declared.title, caption),
        "tex": grid.latex(laid_out, declared.title, caption, label),
        "html": grid.webpage(laid_out, declared.title, caption),
    }
    for suffix, text in pages.items():
        files.write_text(paths.table(study, artefact_id, suffix), text)
