"""The look of all figures."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

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


def test_the_legend_shows_line_and_mark_of_a_label_that_has_them_in_different_panels() -> None:
    with style.house():
        figure, axes = style.panels(1, 2)
        axes[0, 0].plot([0, 1], [0, 1], label="both", linestyle="--")
        axes[0, 1].plot([0, 1], [0, 1], label="both", linestyle="none", marker="s")
        axes[0, 1].plot([0, 1], [0, 1], label="both", linestyle="none", marker="o")
        style.legend_below(figure, axes[0])
        lines = figure.legends[0].findobj(Line2D)
    assert len(figure.legends[0].get_texts()) == 1
    assert {line.get_linestyle() for line in lines} >= {"--", "None"}
    assert {line.get_marker() for line in lines} == {"None", "s"}


def test_a_loss_looks_the_same_in_every_figure_and_no_two_look_alike() -> None:
    names = [f"loss{number}" for number in range(16)]
    looks = style.looks(names)
    assert style.looks(names[:5])["loss3"] == looks["loss3"]
    assert len({(look.color, str(look.linestyle)) for look in looks.values()}) == len(names)


def whole(figure: Figure) -> bool:
    """Whether every text lies within the figure, and no two titles touch."""
    texts: list[Text] = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    ends = [corner for box in boxes for corner in box.get_points()]
    titles = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    (left, low), (right, high) = figure.bbox.get_points()
    inside = all(left - 1 <= x <= right + 1 and low - 1 <= y <= high + 1 for x, y in ends)
    return inside and not any(a.overlaps(b) for a, b in itertools.combinations(titles, 2))


def test_long_titles_are_wrapped_and_never_cut() -> None:
    with style.house():
        figure, axes = style.panels(1, 4)
        for each in axes[0]:
            each.plot([0, 1], [0, 1], label="a line")
            each.set_title("A dataset with a long name (20 epochs, constant)\n40 % symmetric noise")
        style.legend_below(figure, axes[0])
        figure.draw_without_rendering()
        assert not whole(figure)
        style.lay_out(figure)
        assert whole(figure)


@pytest.mark.parametrize("words", range(6, 16))
def test_a_title_a_little_longer_than_its_panel_ends_within_the_figure(words: int) -> None:
    with style.house():
        figure, axes = style.panels(1, 1)
        axes[0, 0].plot([0, 1], [0, 1])
        axes[0, 0].set_title("heading " * words)
        axes[0, 0].set_xlabel("quantity " * words)
        axes[0, 0].set_ylabel("measure " * words)
        style.lay_out(figure)
        assert whole(figure)


def test_a_figure_says_how_many_seeds_a_mark_stands_for() -> None:
    assert style.seeds([1, 1]) == "one seed"
    assert style.seeds([5, 5]) == "mean ± standard deviation, n = 5 seeds"
    assert style.seeds([1, 10], "mean", "draw") == "mean, n = 1 to 10 draws"


def test_an_axis_is_logarithmic_where_values_span_decades() -> None:
    scales = []
    for values in ([0.5, 0.9], [1e-3, 0.5], [0.0, 1e-3, 0.5], [float("nan")]):
        _, axes = style.panels(1, 1)
        axes[0, 0].plot(values)
        style.spanning(axes[0, 0], values)
        scales.append(axes[0, 0].get_yscale())
    assert scales == ["linear", "log", "symlog", "linear"]


@pytest.mark.parametrize("draw", [style.band, style.whiskers])
def test_a_spread_is_one_deviation_or_lies_between_the_ends_it_is_given(
    draw: Callable[..., None],
) -> None:
    x, mean = pd.Series([0.0, 1.0]), pd.Series([1.0, 4.0])
    deviation, ends = pd.Series([2.0, np.nan]), (pd.Series([0.25, 3.0]), pd.Series([4.0, 5.0]))
    look = style.looks(["a"])["a"]
    with style.house():
        _, axes = style.panels(1, 2)
        for panel, spread in zip(axes[0], (deviation, ends), strict=True):
            draw(panel, x, mean, spread, look, "a")
    drawn = [
        {float(y) for each in panel.collections for path in each.get_paths()
         for y in path.vertices[:, 1]}
        for panel in axes[0]
    ]  # fmt: skip
    assert drawn == [{-1.0, 3.0, 4.0}, {0.25, 4.0, 3.0, 5.0}]


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


@pytest.mark.parametrize(
    ("high", "labels"),
    [(0.1, ["0", "2.5", "5", "7.5", "10"]), (1.0, ["0", "25", "50", "75", "100"])],
)
def test_a_tick_in_percent_is_not_rounded_to_another_number(high: float, labels: list[str]) -> None:
    axes = Figure().subplots()
    style.percent(axes, "x", 0.0, high)
    axes.set_xticks([high * quarter / 4 for quarter in range(5)])
    axes.figure.canvas.draw()
    assert [each.get_text() for each in axes.get_xticklabels()] == labels


def test_an_axis_of_indices_names_its_ends_and_powers_of_ten_before_others() -> None:
    ticks = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    drawn = {}
    for columns in (1, 2, 4):
        figure, axes = style.panels(1, columns)
        axes[0, 0].plot(ticks, ticks)
        style.log_index(axes[0, 0], ticks)
        style.lay_out(figure)
        labels = [each for each in axes[0, 0].get_xticklabels() if each.get_text()]
        boxes = [each.get_window_extent() for each in labels]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        drawn[columns] = {int(each.get_text()) for each in labels}
    assert drawn[1] == set(ticks)
    assert drawn[2] > drawn[4] == {1, 10, 100, 1000}
