"""All claims of the chosen studies, judged and written as CSV, Markdown and HTML."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from firstorder import files
from firstorder.publish import grid, registry
from firstorder.publish.verdict import FAILS, HOLDS, NOT_RUN, Verdict, not_run

if TYPE_CHECKING:
    from firstorder.jobs.context import Context
    from firstorder.jobs.job import Files, Spec

LOOK = {HOLDS: "holds", FAILS: "fails", NOT_RUN: "open"}
SHORT = {HOLDS: "holds", FAILS: "FAILS", NOT_RUN: "not run"}
COLUMNS = ["study", "claim", "title", "where", "status", "verdict", "effects"]


def claims(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Judge every claim and write claims.csv, claims.md and claims.html."""
    frame, titles = judge(spec, inputs), _titles(spec)
    caption = (
        f"Scale {spec['scale']}: {spec['data']}. Effects are measured from the "
        "results of this scale; a claim that fails here need not fail on the papers' data."
    )
    files.write_text(outputs["csv"], frame.to_csv(index=False, lineterminator="\n"))
    files.write_text(outputs["md"], _markdown(titles, frame, caption))
    body = "\n".join(_html(titles[study], part) for study, part in _studies(frame))
    files.write_text(outputs["html"], grid.page("Claims", body, html.escape(caption)))


def judge(spec: Spec, inputs: Files) -> pd.DataFrame:
    """One row per claim: study, claim, title, where, status, verdict, effects (JSON)."""
    rows: list[dict[str, Any]] = []
    for claim in spec["claims"]:
        found = _verdict(claim, inputs)
        effects = {key: _plain(value) for key, value in found.effects.items()}
        rows.append(
            {
                **{name: claim[name] for name in COLUMNS[:4]},
                "status": found.status,
                "verdict": found.text,
                "effects": json.dumps(effects, ensure_ascii=False),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _plain(value: float) -> float | None:
    return float(value) if pd.notna(value) else None


def _verdict(claim: Spec, inputs: Files) -> Verdict:
    """The verdict on one claim; `not run` where the scale lacks what it selects."""
    if not claim["available"]:
        return not_run("This scale does not run what the claim is about.")
    own = {name: inputs[f"{claim['study']}/{name}"] for name in claim["files"]}
    found = registry.call(claim, own)
    assert isinstance(found, Verdict), claim["function"]
    return found


def verify(spec: Spec, frame: pd.DataFrame, width: int = 100) -> tuple[str, int]:
    """The verdicts as lines for a terminal of `width` columns, and how many claims fail."""
    titles = _titles(spec)
    lines = [f"Scale {spec['scale']}: {spec['data']}"]
    names = frame["claim"].str.len().max() + 2
    for study, part in _studies(frame):
        lines += ["", titles[study]]
        for row in part.to_dict("records"):
            start = f"{row['claim']:<{names}}{SHORT[row['status']]:<9}"
            for text in (row["title"], row["verdict"]):
                margin = " " * len(start)
                lines += textwrap.wrap(text, width, initial_indent=start, subsequent_indent=margin)
                start = margin
    lines += ["", *_counts(frame)]
    return "\n".join(lines), int((frame["status"] == FAILS).sum())


def _titles(spec: Spec) -> dict[str, str]:
    """The title of every study that claims something."""
    return {claim["study"]: claim["study_title"] for claim in spec["claims"]}


def _counts(frame: pd.DataFrame) -> Iterator[str]:
    """How many claims hold, fail and were not run; those that fail by name."""
    for status in LOOK:
        named = list(frame.loc[frame["status"] == status, "claim"])
        names = f": {', '.join(named)}" if status == FAILS and named else ""
        verb = {HOLDS: "hold", FAILS: "fail"}.get(status, status)
        yield f"{len(named):3} {verb}{names}"


def _studies(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for study, part in frame.groupby("study", sort=False):
        yield str(study), part


def _markdown(titles: dict[str, str], frame: pd.DataFrame, caption: str) -> str:
    lines = ["# Claims", ""]
    for study, part in _studies(frame):
        lines += [f"## {titles[study]}", "", "| | Claim | Verdict | Measured |"]
        lines.append("| --- | --- | --- | --- |")
        for row in part.to_dict("records"):
            cells = (row["claim"], row["title"], f"**{row['status']}**", row["verdict"])
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join([*lines, caption, ""])


def _html(title: str, part: pd.DataFrame) -> str:
    rows = []
    for row in part.to_dict("records"):
        claim, title, where = (html.escape(row[name]) for name in ("claim", "title", "where"))
        status, measured = html.escape(row["status"]), html.escape(row["verdict"])
        rows.append(
            f'<tr class="first"><td>{claim}</td><td>{title}<br><span class="faint">{where}</span>'
            f'</td><td class="{LOOK[row["status"]]}"><strong>{status}</strong></td>'
            f"<td>{measured}</td></tr>"
        )
    head = "<th></th><th>Claim</th><th>Verdict</th><th>Measured</th>"
    return (
        f'<h2>{html.escape(title)}</h2>\n<div class="wide"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )
