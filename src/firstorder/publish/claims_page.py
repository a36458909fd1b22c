"""claims.html: every claim with its verdict, failures first, and links to what is behind it."""

from __future__ import annotations

import html
import json
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pandas as pd

from firstorder.publish import grid
from firstorder.publish.numerals import counted, number
from firstorder.publish.verdict import FAILS, HOLDS, JUDGED, NOT_RESOLVED, NOT_RUN, TERMS

ORDER = (FAILS, NOT_RESOLVED, HOLDS, NOT_RUN)
"""In which verdicts are listed."""
LOOK = {HOLDS: "holds", FAILS: "fails", NOT_RESOLVED: "open", NOT_RUN: "none"}
SAID = {
    "paper": "stated by the paper",
    "peer": "suggested by other work",
    "project": "expected by this project",
}
"""Who states a claim."""
SIGN = {"above": "> ", "below": "< ", "within": "within ±"}
SHOWN = 4
"""More measured numbers than this are folded."""
COLUMNS = {"": 7, "Claim": 24, "Verdict": 8, "Measured": 41, "Behind it": 20}
"""Percent of the width."""
FILTER = """<p><label>Filter <input type="search" id="filter"></label>
<label>Verdict <select id="verdict"><option value="">all</option>{options}</select></label></p>
<script>
const rows = [];
function filter() {{
  const words = document.getElementById("filter").value.toLowerCase();
  const verdict = document.getElementById("verdict").value;
  for (const row of rows)
    row.hidden = !row.textContent.toLowerCase().includes(words)
      || (verdict !== "" && row.dataset.verdict !== verdict);
}}
addEventListener("DOMContentLoaded", () => {{
  rows.push(...document.querySelectorAll("tbody tr"));
  for (const id of ["filter", "verdict"])
    document.getElementById(id).addEventListener("input", filter);
}});
</script>"""


class Study(NamedTuple):
    """What stands above the claims of a study."""

    title: str
    source: str
    """The paper, and how it is known."""


def page(
    studies: dict[str, Study],
    frame: pd.DataFrame,
    behind: dict[tuple[str, str], dict[str, Any]],
    caption: str,
) -> str:
    """The page of the judged claims (see `judge.judge`).

    `behind` is (study, claim) -> function, and `related`: id, kind and title of tables and figures
    that are made from the same files.
    """
    options = "".join(f"<option>{html.escape(status)}</option>" for status in ORDER)
    ranks = {status: rank for rank, status in enumerate(ORDER)}
    meaning = f'<p class="caption">{html.escape(f"{JUDGED} {TERMS}")}</p>'
    parts = [_tally(frame), meaning, FILTER.format(options=options)]
    head = "".join(f'<th style="width: {share}%">{name}</th>' for name, share in COLUMNS.items())
    for study, part in frame.groupby("study", sort=False):
        ordered = part.sort_values("status", key=lambda s: s.map(ranks), kind="stable")
        listed: list[dict[str, Any]] = ordered.to_dict("records")  # type: ignore[assignment]
        rows = [_row(row, behind[str(study), row["claim"]]) for row in listed]
        parts.append(
            f"<h2>{html.escape(studies[str(study)].title)}</h2>\n"
            f'<p class="faint">{html.escape(studies[str(study)].source)}</p>\n'
            f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
            + "\n".join(rows)
            + "\n</tbody></table></div>"
        )
    return grid.page("Claims", "\n".join(parts), html.escape(caption))


def _tally(frame: pd.DataFrame) -> str:
    counts = frame["status"].value_counts()
    said = [
        f'<strong class="{LOOK[status]}">{counted(counts[status], status)}</strong>'
        for status in ORDER
        if status in counts
    ]
    whole = '<a href="index.html">all results of the scale</a>'
    return f'<p id="tally">{", ".join(said)} of {len(frame)} claims; {whole}</p>'


def _row(row: dict[str, Any], behind: dict[str, Any]) -> str:
    anchor = html.escape(f"{row['study']}-{row['claim']}", quote=True)
    who = [SAID.get(row["by"], row["by"]), row["where"]]
    who += [f"since {row['since']}"] if row["since"] else []
    who += [row["history"]] if row["history"] else []
    measured = [
        f'<div class="faint">{html.escape(effect(each))}</div>'
        for each in json.loads(row["effects"])
    ]
    effects = "".join(measured)
    if len(measured) > SHOWN:
        said = f"{len(measured)} measured numbers"
        effects = f'<details><summary class="faint">{said}</summary>{effects}</details>'
    status = str(row["status"])
    return (
        f'<tr class="first" id="{anchor}" data-verdict="{html.escape(status, quote=True)}">'
        f'<td><a href="#{anchor}">{html.escape(row["claim"])}</a></td>'
        f"<td>{html.escape(row['title'])}<br>"
        f'<span class="faint">{html.escape("; ".join(filter(None, who)))}</span></td>'
        f'<td class="{LOOK[row["status"]]}"><strong>{html.escape(status)}</strong></td>'
        f"<td>{html.escape(row['verdict'])}{effects}</td>"
        f"<td>{_links(row, behind)}</td></tr>"
    )


def effect(value: dict[str, Any]) -> str:
    """A measured number with its interval and the threshold of its claim."""
    name = f"{value['name'].replace('_', ' ')}: " if value["name"] else ""
    if value["value"] is None:
        return f"{name}not measured" + (f" ({value['note']})" if value["note"] else "")
    said = name + number(value["value"], 4)
    if None not in (value["low"], value["high"]) and value["low"] != value["high"]:
        said += f" [{number(value['low'], 4)}, {number(value['high'], 4)}]"
    said += f" {value['unit']}" if value["unit"] else ""
    if value["threshold"] is not None:
        said += f"; claimed {SIGN[value['direction']]}{number(value['threshold'], 4)}"
    return said


def _links(row: dict[str, Any], behind: dict[str, Any]) -> str:
    """To tables and figures of the same runs, to the runs and data, and the code by name."""
    found = []
    for each in behind["related"]:
        path = f"{each['kind']}s/{each['id']}." + ("html" if each["kind"] == "table" else "svg")
        found.append(f'<a href="{html.escape(path, quote=True)}">{html.escape(each["title"])}</a>')
    query = urlencode({"view": "claims", "study": row["study"], "claim": row["claim"]})
    found.append(f'<a href="index.html#{html.escape(query, quote=True)}">runs and data</a>')
    found.append(f'<code class="faint">{html.escape(behind["function"])}</code>')
    return "<br>".join(found)
