"""The replication report: paper.json from the files of results, then a PDF set from it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from firstorder import __version__, files
from firstorder.errors import DataError
from firstorder.jobs import provenance
from firstorder.publish import grid, protocol, spreadsheets
from firstorder.publish.verdict import FAILS, HOLDS, NOT_RESOLVED, NOT_RUN, TERMS

if TYPE_CHECKING:
    from firstorder.jobs.context import Context
    from firstorder.jobs.job import Files, Spec


COUNTED: dict[str, tuple[str, str]] = {
    HOLDS: ("holds", "hold"),
    FAILS: ("fails", "fail"),
    NOT_RESOLVED: ("is not resolved", "are not resolved"),
    NOT_RUN: ("is not run", "are not run"),
}
"""A verdict after the number of its claims: one, several."""


def paper(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Write paper.json and paper.pdf of the scale; equal results give equal bytes."""
    import typst

    source, report = inputs["source"], outputs["contents"]
    folder = Path(report).parent
    files.write_json(report, contents(spec, folder))
    root = os.path.commonpath([Path(p).resolve() for p in (source, report)])
    places = {"report": _below(root, report), "root": _below(root, str(folder)) + "/"}
    try:
        pdf = typst.compile(
            str(Path(source).resolve()), root=root, sys_inputs=places, ignore_system_fonts=True
        )
    except RuntimeError as error:
        raise DataError(f"{source}: {' '.join(str(error).split())}") from None
    assert isinstance(pdf, bytes)
    files.write_bytes(outputs["paper"], pdf)


def _below(root: str, path: str) -> str:
    """A path as the typesetter knows it: absolute from its root."""
    return "/" + str(Path(path).resolve().relative_to(root))


def contents(spec: Spec, folder: Path) -> dict[str, Any]:
    """All that the report prints, besides its prose; the results lie below `folder`."""
    verdicts = _claims(folder)
    commit, dirty = provenance.source()
    return {
        "version": __version__,
        "commit": commit[:12] + (" with changes" if dirty else ""),
        "date": provenance.committed(),
        "device": provenance.device("cpu"),
        "tally": _tally(verdicts, spec, folder),
        "terms": TERMS,
        "scale": spec["scale"],
        "data": spec["data"],
        "studies": [_study(study, verdicts, folder) for study in spec["studies"]],
    }


def _tally(verdicts: pd.DataFrame, spec: Spec, folder: Path) -> dict[str, int]:
    """How many claims have each verdict, and how many numbers agree with published ones."""
    counted = {each.replace(" ", "_"): int((verdicts["status"] == each).sum()) for each in COUNTED}
    compared: Counter[str] = Counter()
    for study in spec["studies"]:
        for artefact in study["artefacts"]:
            if artefact["kind"] == "table":
                frame = spreadsheets.read_csv(folder / artefact["files"]["csv"])
                if "agreement" in frame:
                    compared.update(frame["agreement"].dropna().astype(str))
    judged = compared["agrees"] + compared["differs"]
    return {"claims": len(verdicts), **counted, "compared": judged, "agrees": compared["agrees"]}


def _study(study: Spec, verdicts: pd.DataFrame, folder: Path) -> dict[str, Any]:
    own = verdicts[verdicts["study"] == study["name"]]
    counts = own["status"].value_counts()
    listed = ", ".join(
        f"{number} {COUNTED[str(status)][number > 1]}" for status, number in counts.items()
    )
    kinds = [artefact["kind"] for artefact in study["artefacts"]]
    # The first table and the first figure stand in the text, the others in the appendix.
    main = {kinds.index(kind) for kind in ("table", "figure") if kind in kinds}
    return {
        **{name: study[name] for name in ("name", "title", "paper", "protocol")},
        "columns": list(protocol.COLUMNS),
        "verdicts": f"{study['title']}: of {len(own)} claims, {listed}." if len(own) else "",
        "artefacts": [
            {**_artefact(artefact, folder), "main": index in main}
            for index, artefact in enumerate(study["artefacts"])
        ],
        "claims": own[["study", "claim", "title", "where", "status", "verdict"]].to_dict("records"),
    }


def _artefact(artefact: Spec, folder: Path) -> dict[str, Any]:
    shown = ("id", "study", "kind", "title", "where", "code", "claims")
    common = {name: artefact[name] for name in shown}
    below = artefact["files"]
    for path in below.values():
        if not (folder / path).is_file():
            raise DataError(f"{folder / path}: no such file; run the workflow to make it")
    if artefact["kind"] == "figure":
        caption = artefact["caption"]
        return {**common, "caption": caption, "image": below["svg"], "data": below["csv"]}
    frame = spreadsheets.read_csv(folder / below["csv"], dtype=grid.TEXTS)
    sections = [
        {
            "title": section.title,
            "header": section.header,
            "labels": section.labels,
            "rows": [[vars(cell) for cell in row] for row in section.rows],
        }
        for section in grid.sections(frame)
    ]
    caption = grid.read_caption(folder / below["html"])
    return {**common, "caption": caption, "sections": sections, "data": below["csv"]}


def _claims(folder: Path) -> pd.DataFrame:
    path = folder / "claims.csv"
    if not path.is_file():
        raise DataError(f"{path}: no such file; run the workflow to make it")
    return spreadsheets.read_csv(path)
