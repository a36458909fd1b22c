"""All claims of the chosen studies, judged and written as CSV, Markdown and HTML."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from math import isfinite
from typing import TYPE_CHECKING, Any

import pandas as pd

from firstorder import files
from firstorder.publish import claims_page, grid, registry, spreadsheets
from firstorder.publish.claims_page import LOOK, SAID, Study
from firstorder.publish.numerals import PLURAL
from firstorder.publish.verdict import (
    FAILS,
    HOLDS,
    JUDGED,
    NOT_RESOLVED,
    NOT_RUN,
    TERMS,
    Effect,
    Verdict,
    not_run,
)

if TYPE_CHECKING:
    from firstorder.jobs.context import Context
    from firstorder.jobs.job import Files, Spec

SHORT = {HOLDS: "holds", FAILS: "FAILS", NOT_RESOLVED: "unclear", NOT_RUN: "not run"}
DECLARED = ["study", "claim", "title", "where", "by", "since", "history"]
COLUMNS = [*DECLARED, "status", "verdict", "margin", "flip", "effects"]


def claims(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Judge every claim and write claims.csv, claims.md and claims.html."""
    frame, studies = judge(spec, inputs), _of_studies(spec)
    caption = (
        f"Scale {spec['scale']}: {spec['data']}. Effects are measured from the "
        "results of this scale; a claim that fails here need not fail on the papers' data."
    )
    files.write_text(outputs["csv"], spreadsheets.csv(frame))
    files.write_text(outputs["md"], _markdown(studies, frame, caption))
    behind = {(claim["study"], claim["claim"]): claim for claim in spec["claims"]}
    files.write_text(outputs["html"], claims_page.page(studies, frame, behind, caption))


def judge(spec: Spec, inputs: Files) -> pd.DataFrame:
    """One row per claim, as declared and with its status, verdict, margin, flip probability and
    effects (JSON: name, value, low, high, threshold, direction, unit, seeds, examples)."""
    rows: list[dict[str, Any]] = []
    for claim in spec["claims"]:
        found = _verdict(claim, inputs)
        effects = [_plain(effect) for effect in found.effects]
        rows.append(
            {
                **{name: claim[name] for name in DECLARED},
                "history": "; ".join(claim["history"]),
                "status": found.status,
                "verdict": found.text,
                "margin": found.margin,
                "flip": found.flip,
                "effects": json.dumps(effects, ensure_ascii=False),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _plain(effect: Effect) -> dict[str, Any]:
    """An effect as JSON-able values; numbers that are not finite as null."""
    numbers = {
        name: float(value) if isfinite(value := getattr(effect, name)) else None
        for name in ("value", "low", "high", "threshold")
    }
    words = {name: getattr(effect, name) for name in ("name", "direction", "unit", "note")}
    return {**words, **numbers, "seeds": effect.seeds, "examples": effect.examples}


def _verdict(claim: Spec, inputs: Files) -> Verdict:
    """The verdict on one claim; `not run` where the scale lacks what it selects."""
    if not claim["available"]:
        return not_run("This scale does not run what the claim is about.")
    own = {name: inputs[f"{claim['study']}/{name}"] for name in claim["files"]}
    found = registry.call(claim, own)
    assert isinstance(found, Verdict), claim["function"]
    return found


def verify(
    spec: Spec, frame: pd.DataFrame, width: int = 100, *, only_failed: bool = False
) -> tuple[str, int]:
    """The verdicts as lines for a terminal of `width` columns, and how many claims fail.

    With `only_failed` those that hold or are not run are only counted.
    """
    known = _of_studies(spec)
    lines = [f"Scale {spec['scale']}: {spec['data']}"]
    names = frame["claim"].str.len().max() + 2
    shown = frame[frame["status"].isin((FAILS, NOT_RESOLVED))] if only_failed else frame
    for study, part in _studies(shown):
        lines += ["", known[study].title]
        for row in part.to_dict("records"):
            start = f"{row['claim']:<{names}}{SHORT[row['status']]:<9}"
            for text in (row["title"], row["verdict"]):
                margin = " " * len(start)
                lines += textwrap.wrap(text, width, initial_indent=start, subsequent_indent=margin)
                start = margin
    lines += ["", *_counts(frame)]
    return "\n".join(lines), int((frame["status"] == FAILS).sum())


def _of_studies(spec: Spec) -> dict[str, Study]:
    """Every study that claims something, by name."""
    return {
        claim["study"]: Study(claim["study_title"], f"Rebuilt from: {claim['study_paper']}")
        for claim in spec["claims"]
    }


def _counts(frame: pd.DataFrame) -> Iterator[str]:
    """How many claims have each verdict; those that fail or are not resolved by name."""
    for status in LOOK:
        named = list(frame.loc[frame["status"] == status, "claim"])
        names = f": {', '.join(named)}" if status in (FAILS, NOT_RESOLVED) and named else ""
        yield f"{len(named):3} {PLURAL.get(status, status)}{names}"


def _studies(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for study, part in frame.groupby("study", sort=False):
        yield str(study), part


def _markdown(studies: dict[str, Study], frame: pd.DataFrame, caption: str) -> str:
    lines = ["# Claims", "", grid.markdown_text(f"{JUDGED} {TERMS}"), ""]
    for study, part in _studies(frame):
        lines += [
            f"## {grid.markdown_text(studies[study].title)}",
            "",
            grid.markdown_text(studies[study].source),
            "",
            "| | Claim | Who says it | Verdict | Measured |",
        ]
        lines.append("| --- | --- | --- | --- | --- |")
        for row in part.to_dict("records"):
            said = ", ".join(each for each in (SAID[row["by"]], row["where"]) if each)
            before = map(grid.markdown_text, (row["claim"], row["title"], said))
            cells = (*before, f"**{row['status']}**", grid.markdown_text(row["verdict"]))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, grid.markdown_text(caption), ""])
