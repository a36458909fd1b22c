"""The replication report: paper.json from the files of results, then a PDF set from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from firstorder import config as configuration
from firstorder import files
from firstorder.config import Artefact, Config, LinearizedStudy, SymmetrizationStudy
from firstorder.errors import DataError
from firstorder.publish import grid, needs

SOURCE = "paper/main.typ"


def build(config: Config, source: str = SOURCE) -> None:
    """Write paper.json and paper.pdf of the scale; equal results give equal bytes."""
    import typst

    target = needs.paths_of(config).paper
    report = str(Path(target).with_suffix(".json"))
    files.write_json(report, contents(config))
    root = os.path.commonpath([Path(p).resolve() for p in (source, report)])
    inputs = {"report": _below(root, report), "root": _below(root, str(Path(report).parent)) + "/"}
    try:
        pdf = typst.compile(
            str(Path(source).resolve()), root=root, sys_inputs=inputs, ignore_system_fonts=True
        )
    except typst.TypstError as error:
        raise DataError(f"{source}: {' '.join(str(error).split())}") from None
    assert isinstance(pdf, bytes)
    files.write_bytes(target, pdf)


def _below(root: str, path: str) -> str:
    """A path as the typesetter knows it: absolute from its root."""
    return "/" + str(Path(path).resolve().relative_to(root))


def contents(config: Config) -> dict[str, Any]:
    """All that the report prints, besides its prose."""
    verdicts = _claims(config)
    return {
        "scale": config.settings.scale,
        "data": config.scale.data,
        "studies": [_study(config, name, verdicts) for name in config.settings.studies],
    }


def _study(config: Config, name: str, verdicts: pd.DataFrame) -> dict[str, Any]:
    declared: SymmetrizationStudy | LinearizedStudy = config.studies.linearized
    if name == "symmetrization":
        declared = config.studies.symmetrization
    own = verdicts[verdicts["study"] == name]
    counts = own["status"].value_counts()
    listed = ", ".join(f"{number} {status}" for status, number in counts.items())
    return {
        "name": name,
        "title": declared.title,
        "paper": declared.paper.strip(),
        "verdicts": f"{declared.title}: of {len(own)} claims, {listed}." if len(own) else "",
        "artefacts": [
            _artefact(config, name, artefact_id, artefact)
            for study, artefact_id, artefact in configuration.artefacts(config)
            if study == name
        ],
        "claims": own[["claim", "title", "where", "status", "verdict"]].to_dict("records"),
    }


def _artefact(config: Config, study: str, name: str, declared: Artefact) -> dict[str, Any]:
    paths, caption = needs.paths_of(config), needs.caption(config, study, name)
    common = {
        "id": f"{study}-{name}",
        "kind": declared.kind,
        "title": declared.title,
        "place": declared.where,
        "caption": caption,
    }
    own = paths.artefact(study, name, declared.kind)
    below = {Path(path).suffix[1:]: str(Path(path).relative_to(paths.root)) for path in own}
    for path in own:
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file; run the workflow to make it")
    if declared.kind == "figure":
        return {**common, "image": below["svg"], "data": below["csv"]}
    frame = pd.read_csv(paths.table(study, name), dtype={"text": str, "row": str, "column": str})
    sections = [
        {
            "title": section.title,
            "header": section.header,
            "labels": section.labels,
            "rows": [[vars(cell) for cell in row] for row in section.rows],
        }
        for section in grid.sections(frame)
    ]
    return {**common, "sections": sections, "data": below["csv"]}


def _claims(config: Config) -> pd.DataFrame:
    path = needs.paths_of(config).claims("csv")
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file; run the workflow to make it")
    return pd.read_csv(path)
