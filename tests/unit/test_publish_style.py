"""The look of all figures."""

from __future__ import annotations

import itertools

from matplotlib.figure import Figure
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
