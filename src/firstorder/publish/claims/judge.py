"""All claims of the chosen studies, judged and written as CSV, Markdown and HTML."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Iterator
from typing import Any

import pandas as pd

from firstorder import files
from firstorder.config import Claim, Config
from firstorder.publish import grid, needs, registry
from firstorder.publish.claims.verdict import FAILS, HOLDS, NOT_RUN, Verdict, not_run

LOOK = {HOLDS: "holds", FAILS: "fails", NOT_RUN: "open"}
SHORT = {HOLDS: "holds", FAILS: "FAILS", NOT_RUN: "not run"}


def build(config: Config) -> None:
    """Judge every claim and write claims.csv, claims.md and claims.html."""
    frame, paths = judge(config), needs.paths_of(config)
    caption = (
        f"Scale {config.settings.scale}: {config.scale.data}. Effects are measured from the "
        "results of this scale; a claim that fails here need not fail on the papers' data."
    )
    files.write_text(paths.claims("csv"), frame.to_csv(index=False, lineterminator="\n"))
    files.write_text(paths.claims("md"), _markdown(config, frame, caption))
    body = "\n".join(_html(config, study, part) for study, part in _studies(frame))
    page = grid.page("Claims", body, html.escape(caption))
    files.write_text(paths.claims("html"), page)


def judge(config: Config) -> pd.DataFrame:
    """One row per claim: study, claim, title, where, status, verdict, effects (JSON)."""
    rows: list[dict[str, Any]] = []
    for study in config.settings.studies:
        for name, claim in needs.claims(config, study).items():
            found = verdict(config, study, name, claim)
            effects = {key: _plain(value) for key, value in found.effects.items()}
            rows.append(
                {
                    "study": study,
                    "claim": name,
                    "title": claim.title,
                    "where": claim.where,
                    "status": found.status,
                    "verdict": found.text,
                    "effects": json.dumps(effects, ensure_ascii=False),
                }
            )
    columns = ["study", "claim", "title", "where", "status", "verdict", "effects"]
    return pd.DataFrame(rows, columns=columns)


def _plain(value: float) -> float | None:
    return float(value) if pd.notna(value) else None


def verdict(config: Config, study: str, name: str, claim: Claim) -> Verdict:
    """The verdict on one claim; `not run` where the scale lacks what it selects."""
    if not needs.available(config, study, claim.select):
        return not_run("This scale does not run what the claim is about.")
    predicate = registry.lookup(claim.predicate, f"{study}.yaml: claims.{name}.predicate")
    return predicate(config, claim)


def verify(config: Config, width: int = 100) -> tuple[str, int]:
    """The verdicts as lines for a terminal of `width` columns, and how many claims fail."""
    frame = judge(config)
    lines = [f"Scale {config.settings.scale}: {config.scale.data}"]
    names = frame["claim"].str.len().max() + 2
    for study, part in _studies(frame):
        lines += ["", _title(config, study)]
        for row in part.to_dict("records"):
            start = f"{row['claim']:<{names}}{SHORT[row['status']]:<9}"
            for text in (row["title"], row["verdict"]):
                margin = " " * len(start)
                lines += textwrap.wrap(text, width, initial_indent=start, subsequent_indent=margin)
                start = margin
    lines += ["", *_counts(frame)]
    return "\n".join(lines), int((frame["status"] == FAILS).sum())


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


def _title(config: Config, study: str) -> str:
    if study == "symmetrization":
        return config.studies.symmetrization.title
    return config.studies.linearized.title


def _markdown(config: Config, frame: pd.DataFrame, caption: str) -> str:
    lines = ["# Claims", ""]
    for study, part in _studies(frame):
        lines += [f"## {_title(config, study)}", "", "| | Claim | Verdict | Measured |"]
        lines.append("| --- | --- | --- | --- |")
        for row in part.to_dict("records"):
            cells = (row["claim"], row["title"], f"**{row['status']}**", row["verdict"])
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join([*lines, caption, ""])


def _html(config: Config, study: str, part: pd.DataFrame) -> str:
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
        f'<h2>{html.escape(_title(config, study))}</h2>\n<div class="wide"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )
