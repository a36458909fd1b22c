"""The page of a scale: what was reproduced, every table and curve, and the runs behind a number.

One file that opens without a network. It knows no study: it is drawn from the published CSVs, the
claims, the manifest, the ledger, and what jobs say of themselves.
"""

from __future__ import annotations

import html
import json
import math
import shlex
from importlib.resources import files as package_files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import pandas as pd

from firstorder import files
from firstorder.errors import DataError
from firstorder.jobs import ledger
from firstorder.publish import grid, looks, origins, spreadsheets
from firstorder.publish.manifest import read as read_manifest
from firstorder.publish.verdict import JUDGED, TERMS

if TYPE_CHECKING:
    from firstorder.jobs.context import Context
    from firstorder.jobs.job import Files, Spec

ROWS = 20_000
"""A figure's data beyond this many rows stay in their file."""
SCRIPTS = ("elements", "address", "origin", "overview", "claims", "tables", "curves", "draw")
"""The parts of the page's program, in the order in which they define what the next ones use."""
SHOWN_DIGITS = 6
"""Significant digits of numbers on the page; the files beside it have all."""


def page(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Write index.html of the scale. Raises DataError for a file that is missing or damaged."""
    folder = Path(inputs["manifest"]).parent
    files.write_text(outputs["page"], render(contents(spec, inputs, folder)))


def render(content: dict[str, Any]) -> str:
    """The page around its content, with program and style inside."""
    assets = package_files("firstorder.publish") / "assets"
    texts = [(assets / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    data = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Template((assets / "page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(f"firstorder, results of scale {content['scale']}"),
        style=(assets / "page.css").read_text(encoding="utf-8"),
        # Nothing within the data may end the element that holds them.
        data=data.replace("<", "\\u003c"),
        script='"use strict";\n' + "\n".join(texts),
    )


def contents(spec: Spec, inputs: Files, folder: Path) -> dict[str, Any]:
    """All that the page shows; the results lie below `folder`."""
    manifest = read_manifest(inputs["manifest"])
    paths = sorted({p for job in manifest["jobs"].values() for p in job["inputs"] + job["outputs"]})
    number = {path: index for index, path in enumerate(paths)}
    position = {name: index for index, name in enumerate(manifest["jobs"])}
    maker = {p: name for name, job in manifest["jobs"].items() for p in job["outputs"]}
    claims = _claims(spec, inputs, manifest, number)
    artefacts = [_artefact(each, folder, manifest, number) for each in spec["artefacts"]]
    return {
        "scale": spec["scale"],
        "data": spec["data"],
        "about": _about(spec, manifest),
        "studies": spec["studies"],
        "cautions": cautions(spec, manifest, claims),
        "meaning": f"{JUDGED} {TERMS}",
        "claims": claims,
        "artefacts": artefacts,
        "looks": _looks(artefacts),
        "files": [
            {
                **_place(path, folder),
                "sha256": manifest["files"].get(path, "")[:16],
                "job": position[maker[path]] if path in maker else None,
            }
            for path in paths
        ],
        "jobs": [_job(name, job, folder, number) for name, job in manifest["jobs"].items()],
    }


def cautions(spec: Spec, manifest: dict[str, Any], claims: list[dict[str, Any]]) -> list[str]:
    """What a reader should know before believing a number, in sentences."""
    said = [f"The data of this scale: {spec['data']}. What fails here may hold on other data."]
    counted: dict[tuple[int, ...], list[str]] = {}
    for study in spec["studies"]:
        counted.setdefault(tuple(study["seeds"]), []).append(f"“{study['title']}”")
    for seeds, titles in sorted(counted.items()):
        if seeds:
            said.append(f"{', '.join(titles)}: {_few(seeds)}.")
    for status, what in (("not resolved", "are not resolved"), ("not run", "are not run at all")):
        count = sum(claim["status"] == status for claim in claims)
        if count:
            said.append(f"{count} of {len(claims)} claims {what} at this scale.")
    if manifest["missing"]:
        count = len(manifest["missing"])
        gone = "1 file of runs was" if count == 1 else f"{count} files of runs were"
        said.append(f"{gone} removed since they were made.")
    if manifest["dirty"]:
        said.append("The code was changed since its commit.")
    return said


def _few(seeds: tuple[int, ...]) -> str:
    """Numbers of seeds, in order, in words."""
    fewest, most = seeds[0], seeds[-1]
    if most == 1:
        return "one seed and no spread over seeds"
    if fewest == 1:
        return f"up to {most} seeds; artefacts whose caption names one seed show no spread"
    return f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"


def _about(spec: Spec, manifest: dict[str, Any]) -> str:
    commit = f"commit {manifest['commit'][:12]}" + (" with changes" if manifest["dirty"] else "")
    return f"Data: {spec['data']}. Published on {manifest['device']}, {commit}."


def _place(path: str, folder: Path) -> dict[str, str]:
    """Where a file is: `below` the page, or at a `path` elsewhere."""
    whole, root = Path(path).absolute(), folder.absolute()
    below = whole.is_relative_to(root)
    return {"below": whole.relative_to(root).as_posix()} if below else {"path": path}


def _job(name: str, job: dict[str, Any], folder: Path, number: dict[str, int]) -> dict[str, Any]:
    step, *key = name.split("/")
    entry = ledger.read(ledger.place(str(folder), name))
    at = [f"--scale={folder.name}", f"--results={folder.parent.as_posix()}"]
    return {
        "name": name,
        "step": step,
        "command": shlex.join(["firstorder", step, *at, *key]),
        "log": f"logs/{name}.log",
        "spec": job["spec"],
        "code": job["code"],
        "entries": job["entries"],
        "inputs": sorted({number[path] for path in job["inputs"]}),
        "outputs": [number[path] for path in job["outputs"]],
        "seconds": _rounded(entry.seconds) if entry else None,
        "device": entry.device if entry else None,
        "raw": _raw(job["receipt"]) if job["receipt"] else None,
    }


def _raw(path: str) -> dict[str, str] | None:
    """The raw file that a receipt is about."""
    try:
        receipt = files.read_json(path)
        return {"path": receipt["path"], "sha256": receipt["sha256"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _artefact(
    each: Spec, folder: Path, manifest: dict[str, Any], number: dict[str, int]
) -> dict[str, Any]:
    name = "/".join((each["kind"], *each["key"]))
    read = manifest["jobs"][name]["inputs"]
    frame = _frame(folder / each["files"]["csv"], each["kind"])
    names = [
        (label, number[path])
        for label, path in zip(each["names"], read, strict=True)
        if label is not None
    ]
    shown = {k: each[k] for k in ("id", "study", "kind", "title", "where", "files")}
    if each["kind"] == "table":
        caption = grid.read_caption(folder / each["files"]["html"])
    else:
        caption = each["caption"]
    return {
        **shown,
        "caption": caption,
        "function": each["function"],
        "job": list(manifest["jobs"]).index(name),
        "frame": _columns(frame) if len(frame) <= ROWS else None,
        "names": names,
        "titles": origins.titles(each["selected"]),
        "aliases": origins.aliases(each["selected"], [label for label, _ in names]),
    }


def _frame(path: Path, kind: str) -> pd.DataFrame:
    try:
        return spreadsheets.read_csv(path, dtype=grid.TEXTS if kind == "table" else {})
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run the workflow to make it") from None
    except (ValueError, pd.errors.ParserError):
        raise DataError(f"{path}: not a CSV file; delete it and run again") from None


def _columns(frame: pd.DataFrame) -> dict[str, Any]:
    """A frame by columns; texts once each, by number."""
    found: dict[str, Any] = {}
    for name in map(str, frame.columns):
        column = frame[name]
        if pd.api.types.is_bool_dtype(column):
            found[name] = [bool(value) for value in column]
        elif pd.api.types.is_numeric_dtype(column):
            found[name] = [_rounded(value) for value in column.tolist()]
        else:
            codes, texts = pd.factorize(column.astype(object).fillna(""))
            found[name] = {"texts": [_plain(text) for text in texts], "codes": codes.tolist()}
    return {"length": len(frame), "columns": found}


def _looks(artefacts: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """How curves of a loss are drawn, by its name and by its label: as in the figures."""
    found: dict[str, dict[str, str]] = {}
    for each in artefacts:
        columns = each["frame"]["columns"] if each["frame"] else {}
        names, labels = columns.get("loss"), columns.get("label")
        if not isinstance(names, dict):
            continue
        coded = list(zip(names["codes"], labels["codes"], strict=True)) if labels else []
        texts = {names["texts"][a]: labels["texts"][b] for a, b in coded if labels}
        for name in names["texts"]:
            look = looks.loss_look(name)
            drawn = {"color": look.color, "marker": look.marker, "dash": _dash(look.linestyle)}
            found |= {key: drawn for key in (name, texts.get(name, name))}
    return found


def _dash(linestyle: Any) -> str:
    """A line style of matplotlib as SVG's `stroke-dasharray`, of lines two pixels wide."""
    return "" if linestyle == "-" else " ".join(f"{2 * length:g}" for length in linestyle[1])


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool) else str(value)


def _rounded(value: float) -> float | int | None:
    """A number with the digits of the page; None where there is none."""
    if isinstance(value, int):
        return value
    if not math.isfinite(value):
        return None
    return (
        int(value)
        if value.is_integer() and abs(value) < 1e15
        else float(f"{value:.{SHOWN_DIGITS}g}")
    )


def _claims(
    spec: Spec, inputs: Files, manifest: dict[str, Any], number: dict[str, int]
) -> list[dict[str, Any]]:
    """The claims as judged, in the order of their declaration, with what is behind them."""
    frame = spreadsheets.read_csv(inputs["claims"], dtype=str, na_values=[])
    behind = {(each["study"], each["claim"]): each for each in spec["claims"]}
    read = dict(zip(spec["claim_files"], manifest["jobs"]["claims"]["inputs"], strict=True))
    rows: list[dict[str, Any]] = []
    declared: list[dict[str, str]] = frame.to_dict("records")  # type: ignore[assignment]
    for row in declared:
        own = behind[row["study"], row["claim"]]
        rows.append(
            {
                **{k: v for k, v in row.items() if k not in ("margin", "flip", "effects")},
                **{k: _number(row.get(k, "")) for k in ("margin", "flip")},
                "effects": json.loads(row["effects"]),
                "code": own["function"],
                "related": own["related"],
                "files": sorted({number[read[name]] for name in own["files"]}),
            }
        )
    return rows


def _number(text: str) -> float | int | None:
    return _rounded(float(text)) if text else None
