"""Labels and titles of the configuration appear as they are written, whatever is in them."""

from __future__ import annotations

from xml.etree import ElementTree

import made_up_trainings as made_up
import pytest

from firstorder.config import Config
from firstorder.publish import spreadsheets, style

LABELS = {
    "ce": "$x$", "gce": r"$\frac{1}{$", "sgce": "_a_", "mae": "=1+1", "unhinged": "50 % #1 a^b & c",
}  # fmt: skip
TITLE = "@images | $y | <b>*bold*</b>"
MARKDOWN = {
    "ce": r"\$x\$", "gce": r"\$\\frac{1}{\$", "sgce": r"\_a\_", "mae": "=1+1",
    "unhinged": "50 % #1 a^b & c",
}  # fmt: skip
LATEX = {
    "ce": r"\$x\$", "gce": r"\$\textbackslash{}frac\{1\}\{\$", "sgce": r"\_a\_", "mae": "=1+1",
    "unhinged": r"50 \% \#1 a\textasciicircum{}b \& c",
}  # fmt: skip


@pytest.fixture
def hostile(tiny: Config) -> Config:
    made_up.edit("losses.yaml", {f"{name}.label": label for name, label in LABELS.items()})
    return made_up.edit("datasets.yaml", {"cifar10.title": TITLE})


@pytest.mark.parametrize(
    "artefact",
    [name for name, entry in made_up.ARTEFACTS.items() if entry["kind"] == "figure"],
)
def test_a_figure_shows_labels_as_they_are_written(
    hostile: Config, monkeypatch: pytest.MonkeyPatch, artefact: str
) -> None:
    monkeypatch.setitem(style.RC, "svg.fonttype", "none")
    made = made_up.make(hostile, artefact)
    drawn = " ".join(each.text or "" for each in ElementTree.parse(made["svg"]).iter())
    data = spreadsheets.read_csv(made["csv"])
    labels = set(data["label"]) if "label" in data else {TITLE}
    assert labels & {*LABELS.values(), TITLE} or any("$x$" in text for text in labels)
    assert not {text for text in labels if text not in drawn}


def test_a_table_shows_labels_as_they_are_written_in_every_format(hostile: Config) -> None:
    made = made_up.make(hostile, "accuracy-symmetric")
    assert set(LABELS.values()) <= set(spreadsheets.read_csv(made["csv"])["row"])
    assert "'=1+1" in made["csv"].read_text()
    rows = {line.split(" | ")[0].removeprefix("| ") for line in made["md"].read_text().split("\n")}
    assert {MARKDOWN[name] for name in ("ce", "gce", "sgce", "unhinged")} <= rows
    rows = {line.split(" & ")[0] for line in made["tex"].read_text().split("\n")}
    assert {LATEX[name] for name in ("ce", "gce", "sgce", "mae")} <= rows
    assert LATEX["unhinged"] in made["tex"].read_text()
    assert "&lt;b&gt;" in made["html"].read_text() and "<b>" not in made["html"].read_text()
