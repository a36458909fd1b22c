"""The LaTeX form of a table: compiles with pdflatex, fits 5.5 inches, prints digits as asked."""

from __future__ import annotations

import re
import unicodedata

import pandas as pd

from firstorder.publish.grid import Section, Text

TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "→": r"$\to$",
    "ε": r"$\varepsilon$", "ϵ": r"$\epsilon$",
    "†": r"$\dagger$", "·": r"$\cdot$", "‖": r"$\|$", "∈": r"$\in$", "\u2113": r"$\ell$",
    "²": "$^2$", "³": "$^3$", "≠": r"$\neq$", "≈": r"$\approx$", "√": r"$\surd$", "∞": r"$\infty$",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "…": r"\ldots{}",
    "\u2013": "--", "\u2014": "---", "\u201c": "``", "\u201d": "''", "\u2018": "`",
    "\u2019": "'",
}  # fmt: skip
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0308": '"',
    "\u030a": "r ", "\u030c": "v ", "\u0327": "c ",
}  # fmt: skip
"""Combining characters, as the commands that set them."""
GREEK = re.compile(r"GREEK (?P<size>SMALL|CAPITAL) LETTER (?P<name>\w+)")
LATIN = {
    "ALPHA": "A", "BETA": "B", "EPSILON": "E", "ZETA": "Z", "ETA": "H", "IOTA": "I", "KAPPA": "K",
    "MU": "M", "NU": "N", "OMICRON": "O", "RHO": "P", "TAU": "T", "CHI": "X",
}  # fmt: skip
"""Greek capitals that LaTeX has as Latin ones."""

TEXT_WIDTH = "5.5in"
"""What a LaTeX table fits into: the text of NeurIPS and ICLR."""


def latex(laid_out: list[Section], title: str, caption: str, label: str) -> str:
    """A LaTeX table for the packages booktabs and graphicx, at most 5.5 inches wide.

    The sources of published numbers are footnotes below it.
    """
    lines = ["% needs \\usepackage{booktabs,graphicx}", "\\begin{table}", "\\centering"]
    lines.append(f"\\caption{{\\textbf{{{tex(title)}.}} {tex(caption)}}}")
    lines.append(f"\\label{{tab:{label}}}")
    cells = (cell for section in laid_out for row in section.rows for cell in row)
    sources = list(dict.fromkeys(cell.source for cell in cells if cell.source))
    for section in laid_out:
        lines += _latex_section(section, sources)
    if sources:
        notes = " ".join(f"{_mark(n)}\\,{tex(each)}." for n, each in enumerate(sources))
        lines.append(f"\\parbox{{{TEXT_WIDTH}}}{{\\footnotesize {notes}}}")
    return "\n".join([*lines, "\\end{table}", ""])


def _mark(number: int) -> str:
    """The mark of a footnote: a, b, ... z, then numbers."""
    return f"$^{{{chr(ord('a') + number) if number < 26 else number}}}$"


def _latex_section(section: Section, sources: list[str]) -> list[str]:
    numbers = len(section.header) - section.labels
    lines = [
        # As wide as it is where that fits, else scaled down to the text.
        "\\resizebox{\\ifdim\\width>" + f"{TEXT_WIDTH} {TEXT_WIDTH}\\else\\width\\fi}}{{!}}{{%",
        f"\\begin{{tabular}}{{{'l' * section.labels}{'r' * numbers}}}",
        "\\toprule",
    ]
    if section.title:
        width = len(section.header)
        lines += [f"\\multicolumn{{{width}}}{{c}}{{{tex(section.title)}}} \\\\", "\\midrule"]
    lines += [" & ".join(tex(cell) for cell in section.header) + " \\\\", "\\midrule"]
    for row in section.rows:
        lines.append(" & ".join(_latex_cell(cell, sources) for cell in row) + " \\\\")
    return [*lines, "\\bottomrule", "\\end{tabular}}\\par", ""]


def _latex_cell(cell: Text, sources: list[str]) -> str:
    text = tex(cell.text)
    if cell.bold:
        return f"\\textbf{{{text}}}"
    mark = _mark(sources.index(cell.source)) if cell.source else ""
    return f"\\textit{{{text}}}{mark}" if cell.faint and text else text


def tex(text: str) -> str:
    """`text` on one line, with LaTeX's special characters escaped."""
    # A line break or a rule would take a bracket or a star that follows for its own.
    start = "{}" if text.lstrip().startswith(("[", "*")) else ""
    return start + "".join(_character(each) for each in " ".join(text.split()))


def _character(one: str) -> str:
    """A character as pdflatex can print it without more packages; what it cannot, by its number."""
    if one in TEX or one.isascii():
        return TEX.get(one, one)
    if greek := GREEK.fullmatch(unicodedata.name(one, "")):
        name = greek["name"]
        if name in LATIN and (greek["size"] == "CAPITAL" or name == "OMICRON"):
            letter = LATIN[name]
            return f"${letter if greek['size'] == 'CAPITAL' else letter.lower()}$"
        command = name.replace("LAMDA", "LAMBDA").lower()  # as Unicode spells it
        return f"$\\{command if greek['size'] == 'SMALL' else command.capitalize()}$"
    kind, *codes = unicodedata.decomposition(one).split() or [""]
    if kind in ("<sub>", "<super>"):
        body = "".join(chr(int(code, 16)) for code in codes)
        return f"${'_' if kind == '<sub>' else '^'}{{{body.replace('−', '-')}}}$"
    apart = unicodedata.normalize("NFD", one)
    base, mark = apart[0], apart[1:]
    if base.isascii() and mark in ACCENTS:
        return f"\\{ACCENTS[mark]}{base}"
    return f"[U+{ord(one):04X}]"


PRINTED = re.compile(r"(?P<sign>[+−]?)[\d.]++( ± [\d.]++)?(?P<rest>(?!×|,\d).*)")
"""A number as tables print it: sign, digits, spread, what follows; none with a power of ten."""


def reprinted(frame: pd.DataFrame, digits: int | None = None, std: bool = True) -> pd.DataFrame:
    """A tidy frame with another number of decimals, or without standard deviations.

    Texts that are not a mean in its own digits (`diverged`, `0.012`) with no spread stay when
    only the spread is left out.
    """
    if (digits is None and std) or frame.empty:
        return frame
    changed = frame.copy()
    for text, mean, spread in (("text", "mean", "std"), ("published_text", "published",
                               "published_std")):  # fmt: skip
        if text in frame and mean in frame:
            again = [
                _reprint(row[text], row[mean], row.get(spread), digits, std)
                for row in frame.to_dict("records")
            ]
            changed[text] = pd.Series(again, index=frame.index, dtype=object)
    return changed


def _reprint(text: object, mean: float, spread: object, digits: int | None, std: bool) -> object:
    found = PRINTED.fullmatch(text) if isinstance(text, str) else None
    if found is None or pd.isna(mean):
        return text
    decimals = digits
    if decimals is None:
        decimals = len(re.split(r"[ ±(†]", str(text))[0].partition(".")[2])
    sign = "+" if found["sign"] == "+" else ""
    said = f"{mean:{sign}.{decimals}f}".replace("-", "−")
    if std and found[2] and isinstance(spread, float):
        said += f" ± {spread:.{decimals}f}"
    return said + found["rest"]
