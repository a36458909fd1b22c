"""What is written into the panels of figures hides nothing."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from firstorder.studies.line_attractor import panels


@pytest.mark.parametrize("height", [0.1, 0.5, 0.9])
def test_an_inset_hides_no_point_where_a_corner_is_free(height: float) -> None:
    axes = Figure().subplots()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    points = np.column_stack([np.linspace(0, 1, 50), np.full(50, height)])
    left, low = panels.emptiest(axes, points)
    width, tall = panels.INSET
    inside = (points >= (left, low)) & (points <= (left + width, low + tall))
    assert not inside.all(axis=1).any()


def test_of_labels_that_overlap_the_first_is_written() -> None:
    at = np.array([[0.1, 0.1], [0.11, 0.11], [0.9, 0.1], [0.1, 0.5]])
    assert panels.legible(at, at[2:]) == [0, 2, 3]


def test_a_label_that_would_hide_a_point_is_not_written() -> None:
    at = np.array([[0.1, 0.1], [0.1, 0.5]])
    assert panels.legible(at, np.array([*at, (0.15, 0.51)])) == [0]


def test_the_zoom_on_a_path_stands_above_it() -> None:
    axes = Figure().subplots()
    path = np.random.default_rng(0).standard_normal((20, 2)).cumsum(0)
    panels.predicted(axes, {"path_positive": path, "predicted": path[1:] + 0.1})
    (inset,) = axes.child_axes
    foot = axes.transData.inverted().transform(inset.get_window_extent())[0, 1]
    assert foot > path[:, 1].max() + 0.1
