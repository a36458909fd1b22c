"""A table as people read it: laid out from its tidy frame, written as Markdown, LaTeX or HTML.

The tidy frame has one row per number, in reading order. Its columns:

    section, row, column    where the number stands, as printed
    corner                  the heading of the rows
    mean, std, n            the rebuilt number, full digits; std with n - 1, empty for n = 1
    text, best              as printed, and whether it is the best of its column
    published, published_std, published_text, source
    difference, agreement   rebuilt minus published; `agrees`, `differs`, or why not compared

and any further keys. Layout needs only the printed columns, so the paper is set from the CSV.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

import pandas as pd

from firstorder.errors import DataError

SYMBOLS = {"alpha": "α", "beta": "β"}
"""How parameters of losses are printed; others by their name."""

COLUMNS = ("section", "row", "corner", "column", "text")
"""What every tidy frame has."""

TEXTS = dict.fromkeys((*COLUMNS, "published_text", "source", "agreement"), str)
"""Columns of text, for a reader of the CSV: a label may look like a number."""


@dataclass(frozen=True)
class Text:
    """One cell."""

    text: str
    bold: bool = False
    faint: bool = False
    source: str = ""
    """Where a published number is from."""


@dataclass(frozen=True)
class Section:
    """A block of rows under its own header."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    labels: int
    """How many leading columns are labels; the others hold numbers."""


def sections(frame: pd.DataFrame) -> list[Section]:
    """Lay out a tidy frame; a row beside published numbers takes a line for each kind it has."""
    titled = frame.assign(section=_column(frame, "section"))
    return [_section(str(title), part) for title, part in titled.groupby("section", sort=False)]


def _section(title: str, part: pd.DataFrame) -> Section:
    columns = list(dict.fromkeys(part["column"].astype(str)))
    compared = _column(part, "published_text").str.len().gt(0).any()
    rows: list[tuple[Text, ...]] = []
    for label, line in part.groupby("row", sort=False):
        cells = {str(cell["column"]): cell for cell in line.to_dict("records")}
        numbers = [_rebuilt(cells.get(column)) for column in columns]
        if not compared:
            rows.append((Text(str(label)), *numbers))
            continue
        published = [_faint(cells.get(column), "published_text") for column in columns]
        differences = [_difference(cells.get(column)) for column in columns]
        named = str(label)
        for what, found in (
            (Text("rebuilt"), numbers),
            (Text("published", faint=True), published),
            (Text("difference", faint=True), differences),
        ):
            if any(cell.text for cell in found):
                rows.append((Text(named), what, *found))
                named = ""  # it stands before the first line
    corner = str(part["corner"].iloc[0])
    header = (corner, "", *columns) if compared else (corner, *columns)
    return Section(title, header, tuple(rows), labels=2 if compared else 1)


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    if name not in frame:
        return pd.Series([""] * len(frame), index=frame.index, dtype=str)
    return frame[name].astype(object).fillna("").astype(str)


def _rebuilt(cell: dict | None) -> Text:
    if cell is None or not isinstance(cell["text"], str):
        return Text("")
    return Text(cell["text"], bold=cell.get("best") is True)


def _faint(cell: dict | None, name: str) -> Text:
    value, source = (cell.get(name), cell.get("source")) if cell else (None, None)
    if not isinstance(value, str) or not value:
        return Text("", faint=True)
    return Text(value, faint=True, source=source if isinstance(source, str) else "")


def _difference(cell: dict | None) -> Text:
    if cell is None or pd.isna(cell.get("difference")):
        return Text("", faint=True)
    differs = " (differs)" if cell["agreement"] == "differs" else ""
    return Text(signed(cell["difference"]) + differs, faint=True)


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, with a true minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def markdown(laid_out: list[Section], title: str, caption: str) -> str:
    """A Markdown page: a heading, one table per section, the caption."""
    lines = [f"# {markdown_text(title)}", ""]
    for section in laid_out:
        if section.title:
            lines += [f"## {markdown_text(section.title)}", ""]
        rule = ["---"] * section.labels + ["---:"] * (len(section.header) - section.labels)
        for row in [map(markdown_text, section.header), rule]:
            lines.append(f"| {' | '.join(row)} |")
        for cells in section.rows:
            lines.append("| " + " | ".join(_markdown_cell(cell) for cell in cells) + " |")
        lines.append("")
    return "\n".join([*lines, BLOCK.sub(r"\\", markdown_text(caption)), ""])


def _markdown_cell(cell: Text) -> str:
    text = markdown_text(cell.text)
    if cell.bold:
        return f"**{text}**"
    return f"*{text}*" if cell.faint and text else text


MARKS = re.compile(
    r"[\\`*|$]|#(?=#*$)|(?<!\w)_|_(?!\w)|~(?=~)|<(?=[\w/!?])|&(?=#?\w+;)|\](?=[(\[:])"
)
"""What Markdown would not print: emphasis, code, cells, formulas, ends of headings, HTML, links."""
BLOCK = re.compile(r"^(?=[#>+=-])")
"""Where a paragraph would become a heading, a quotation or a list."""


def markdown_text(text: str) -> str:
    """A text on one line, as Markdown that prints it literally."""
    return MARKS.sub(r"\\\g<0>", " ".join(text.split()))


PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; margin: 2rem auto; max-width: 72rem;
  padding: 0 1rem; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .75rem; text-align: left; vertical-align: top; }
th.number, td.number { text-align: right; white-space: nowrap; }
thead th { border-bottom: 1.5px solid #1b1b1b; } table { border-top: 1.5px solid #1b1b1b;
  border-bottom: 1.5px solid #1b1b1b; }
tr.first td { border-top: 1px solid #ddd; }
.faint { color: #6b6b6b; font-size: .9em; }
.holds { color: #00684a; } .fails { color: #a33600; } .open { color: #7a5c00; }
.none { color: #6b6b6b; font-style: italic; } td code { overflow-wrap: anywhere; }
p.caption { max-width: 46rem; color: #444; }
</style>
</head>
<body>
<h1>$title</h1>
$body
<p class="caption">$caption</p>
</body>
</html>
""")


def webpage(laid_out: list[Section], title: str, caption: str) -> str:
    """A page that stands alone, with its style inside."""
    body = "\n".join(_html_section(section) for section in laid_out)
    return page(title, body, html.escape(caption))


def page(title: str, body: str, caption: str) -> str:
    """A page around ready HTML."""
    return PAGE.substitute(title=html.escape(title), body=body, caption=caption)


CAPTION = re.compile(r'<p class="caption">(.*)</p>\n</body>', re.DOTALL)


def read_caption(path: Path) -> str:
    """The caption in a file that `webpage` wrote, as it was: with the notes of its table."""
    try:
        found = CAPTION.search(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run the workflow to make it") from None
    if found is None:
        raise DataError(f"{path}: not a table's page; delete it and run again")
    return html.unescape(found[1])


def _html_section(section: Section) -> str:
    kinds = [""] * section.labels + [' class="number"'] * (len(section.header) - section.labels)
    head = "".join(
        f'<th scope="col"{kind}>{html.escape(cell)}</th>'
        for kind, cell in zip(kinds, section.header, strict=True)
    )
    rows = []
    for cells in section.rows:
        inside = "".join(
            f"<td{kind}>{_html_cell(cell)}</td>" for kind, cell in zip(kinds, cells, strict=True)
        )
        first = ' class="first"' if cells[0].text else ""
        rows.append(f"<tr{first}>{inside}</tr>")
    title = f"<h2>{html.escape(section.title)}</h2>\n" if section.title else ""
    body = "\n".join(rows)
    return (
        f'{title}<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _html_cell(cell: Text) -> str:
    text = html.escape(cell.text)
    if cell.bold:
        return f"<strong>{text}</strong>"
    return f'<span class="faint">{text}</span>' if cell.faint and text else text
