"""The look of all figures."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from firstorder.publish import style


def test_the_legend_stays_within_the_figure() -> None:
    with style.house():
        figure, axes = style.panels(1, 2)
        for number in range(11):
            axes[0, 0].plot([0, 1], [0, number], label=f"A loss with a long name, number {number}")
        style.legend_below(figure, axes[0])
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_a_loss_looks_the_same_in_every_figure_and_no_two_look_alike() -> None:
    names = [f"loss{number}" for number in range(16)]
    looks = style.looks(names)
    assert style.looks(names[:5])["loss3"] == looks["loss3"]
    assert len({(look.color, str(look.linestyle)) for look in looks.values()}) == len(names)


@pytest.mark.parametrize("log", [False, True])
def test_labels_are_drawn_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: bool
) -> None:
    monkeypatch.setitem(style.RC, "svg.fonttype", "none")
    labels = ["$x$", r"$\frac{1}{$", "$", "_hidden", "a_b^c", "#1 & 50 %", r"\alpha", "{}", "<b>"]
    with style.house():
        figure, axes = style.panels(1, 1)
        for number, label in enumerate(labels):
            axes[0, 0].plot([1, 2], [1, number], label=label)
        axes[0, 0].set_title(labels[0])
        if log:
            style.log_values(axes[0, 0], "x")
        else:
            axes[0, 0].set_xticks([1, 2], labels[1:3])
        style.legend_below(figure, axes[0])
    paths = {suffix: str(tmp_path / f"figure.{suffix}") for suffix in ("pdf", "svg", "png", "csv")}
    style.save(style.Drawing(figure, pd.DataFrame({"label": labels})), paths)
    drawn = [each.text for each in ElementTree.parse(paths["svg"]).iter() if each.text]
    for label in labels:
        assert any(text.strip("\u200b\n ") == label for text in drawn), label


def test_powers_of_ten_are_drawn_without_formulas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(style.RC, "svg.fonttype", "none")
    with style.house():
        figure, axes = style.panels(1, 2)
        axes[0, 0].plot([0, 1], [1e-4, 1e3])
        axes[0, 0].set_yscale("log")
        axes[0, 1].plot([0, 1], [2e-5, 9e-5])
        axes[0, 1].set_yscale("log")
    paths = {suffix: str(tmp_path / f"figure.{suffix}") for suffix in ("pdf", "svg", "png", "csv")}
    style.save(style.Drawing(figure, pd.DataFrame()), paths)
    drawn = {(each.text or "").strip() for each in ElementTree.parse(paths["svg"]).iter()}
    assert {"10⁻⁴", "10⁰", "10²", "2×10⁻⁵", "3×10⁻⁵"} <= drawn
    assert not any("$" in text for text in drawn)
