"""The look of all figures."""

from __future__ import annotations

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
