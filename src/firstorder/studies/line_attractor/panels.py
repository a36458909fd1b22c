"""The panels that the figures are made of, each a function (axes, arrays of dynamics.npz).

Each returns the plotted numbers as a tidy frame with a column `panel`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from firstorder.publish import style

POSITIVE, NEGATIVE, NEUTRAL, MODE = "#009E73", "#D55E00", "#8A8A8A", "#0072B2"
GREY = "#B5B5B5"
OF_CLASS = {"positive": POSITIVE, "negative": NEGATIVE, "neutral": NEUTRAL}
MARKED = ("#E69F00", "#CC79A7", "#56B4E9")
"""The three marked points: low, middle and high theta."""
NAMES = ("low θ", "middle θ", "high θ")
AXIS = "PC {} of states"

Arrays = dict[str, np.ndarray]
Panel = Callable[[Axes, Arrays], pd.DataFrame]


def tidy(panel: str, **columns: Any) -> pd.DataFrame:
    """Columns of one panel."""
    frame = pd.DataFrame(columns)
    frame.insert(0, "panel", panel)
    return frame


def plane(axes: Axes) -> None:
    """Label the axes of the plane of all drawings."""
    axes.set_xlabel(AXIS.format(1))
    axes.set_ylabel(AXIS.format(2))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(3))


def variance(axes: Axes, found: Arrays) -> pd.DataFrame:
    """2a: cumulative share of the states' variance, trained against untrained."""
    parts = []
    for name, colour in (("state_shares", "#000000"), ("untrained_shares", GREY)):
        total = np.cumsum(found[name])
        label = "trained" if name == "state_shares" else "untrained"
        index = np.arange(1, len(total) + 1)
        axes.plot(index, total, color=colour, label=label, marker="o", markersize=2.5)
        parts.append(tidy("variance", network=label, component=index, cumulative_share=total))
    axes.set_xlabel("Principal components of states")
    axes.set_xlim(0, min(20, len(found["state_shares"])) + 0.5)
    style.percent(axes)
    axes.set_ylabel("Cumulative variance (%)")
    axes.legend(loc="lower right")
    return pd.concat(parts)


def states(axes: Axes, found: Arrays) -> pd.DataFrame:
    """2b: density of states by label, one trajectory each, the readout."""
    density = found["density"].astype(float)
    strength = np.sqrt(density / density.max(axis=(1, 2), keepdims=True))
    image = np.ones((*density.shape[1:], 3))
    for level, colour in zip(strength, (NEGATIVE, POSITIVE), strict=True):
        rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        image *= 1 - 0.75 * level[..., None] * (1 - rgb)
    x, y = found["density_x"], found["density_y"]
    extent = (x[0], x[-1], y[0], y[-1])
    axes.imshow(image.transpose(1, 0, 2), origin="lower", extent=extent, aspect="auto", zorder=0.5)
    axes.grid(False)
    parts = []
    for name in ("positive", "negative"):
        path = found[f"path_{name}"]
        axes.plot(*path.T, color=OF_CLASS[name], linewidth=0.8, label=f"one {name}")
        axes.plot(*path[-1], color=OF_CLASS[name], marker="o", markersize=3.5)
        parts.append(tidy("states", line=name, x=path[:, 0], y=path[:, 1]))
    axes.plot(
        *found["start"], color="black", marker="x", linestyle="", label="initial state", zorder=3
    )
    boundary(axes, found, extent)
    paths = np.concatenate([found["path_positive"], found["path_negative"]])
    low, high = paths.min(0), paths.max(0)
    axes.set_xlim(min(x[0], low[0]), max(x[-1], high[0]))
    axes.set_ylim(min(y[0], low[1]), max(y[-1], high[1]))
    plane(axes)
    return pd.concat(parts)


def boundary(axes: Axes, found: Arrays, extent: tuple[float, ...]) -> None:
    """The line of zero readout, dashed, and the direction of the readout."""
    readout, offset = found["readout"], float(found["offset"])
    length = np.linalg.norm(readout)
    foot = -offset * readout / length**2
    across = np.array([-readout[1], readout[0]]) / length
    span = 2 * max(extent[1] - extent[0], extent[3] - extent[2])
    line = np.array([foot - span * across, foot + span * across])
    axes.plot(*line.T, color="black", linestyle="--", linewidth=0.9, label="readout = 0")
    end = 0.18 * (extent[1] - extent[0]) * readout / length
    axes.annotate(
        "",
        xy=tuple(foot + end),
        xytext=tuple(foot),
        arrowprops={"arrowstyle": "-|>", "color": "black"},
    )
    axes.plot([], [], color="black", marker=">", label="readout vector")  # the arrow has no label


def fixed_points(axes: Axes, found: Arrays) -> pd.DataFrame:
    """2c: fixed points by their coordinate along the manifold; inset: their variance."""
    points, theta = found["points"], found["theta"]
    drawn = axes.scatter(points[:, 0], points[:, 1], c=theta, cmap="viridis", s=8, linewidths=0)
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02, aspect=25)
    bar.set_label("θ")
    bar.set_ticks([-1, 0, 1])
    around(axes, found)
    plane(axes)
    inset = axes.inset_axes((*emptiest(axes, points), *INSET))
    shares = found["point_shares"][:5]
    inset.bar(np.arange(1, len(shares) + 1), shares, color="#555555", width=0.7)
    inset.set_ylim(0, 1)
    inset.set_xticks([1, len(shares)])
    inset.set_yticks([0, 1], ["0", "1"])
    inset.tick_params(labelsize=5.5, pad=1, length=2)
    inset.grid(False)
    inset.set_title("variance by PC", fontsize=5.5, fontweight="normal", pad=2)
    return tidy("fixed points", x=points[:, 0], y=points[:, 1], theta=theta)


INSET = (0.26, 0.22)
"""Width and height of an inset, as shares of its axes."""
CORNERS = ((0.09, 0.68), (0.68, 0.68), (0.09, 0.12), (0.68, 0.12))
"""Where an inset may begin; the first of the emptiest is taken."""


def emptiest(axes: Axes, points: np.ndarray) -> tuple[float, float]:
    """The corner of `axes` whose inset hides the fewest of `points` (N, 2), labels included."""
    axes.apply_aspect()
    x, y = (axes.transData + axes.transAxes.inverted()).transform(points).T

    def hidden(corner: tuple[float, float]) -> int:
        (left, low), (width, height), edge = corner, INSET, 0.12
        across = (x > left - edge) & (x < left + width + edge / 2)
        up = (y > low - edge) & (y < low + height + edge)
        return int((across & up).sum())

    return min(CORNERS, key=hidden)


def legible(
    at: np.ndarray, points: np.ndarray, width: float = 0.2, height: float = 0.05
) -> list[int]:
    """Which of the labels right of `at` (N, 2) can be read, the first before those they overlap.

    A label is left out, too, where it would hide one of the `points` (M, 2).
    """
    kept: list[int] = []
    for index, place in enumerate(at):
        apart = np.abs(at[kept] - place) >= (width, height)
        right, above = (points - place).T
        hidden = (right > 0) & (right < width) & (abs(above) < height / 2)
        if apart.any(axis=-1).all() and not hidden.any():
            kept.append(index)
    return kept


def around(axes: Axes, found: Arrays, margin: float = 0.12) -> None:
    """Limits that show the states and all fixed points."""
    for low, high, values, set_limits in (
        (*found["density_x"][[0, -1]], found["points"][:, 0], axes.set_xlim),
        (*found["density_y"][[0, -1]], found["points"][:, 1], axes.set_ylim),
    ):
        low, high = min(low, values.min()), max(high, values.max())
        set_limits(low - margin * (high - low), high + margin * (high - low))


def marked_points(axes: Axes, found: Arrays) -> pd.DataFrame:
    """3a: fixed points, three marked."""
    points = found["points"]
    axes.scatter(points[:, 0], points[:, 1], color=GREY, s=8, linewidths=0)
    for which, colour, name in zip(found["marked"], MARKED, NAMES, strict=True):
        axes.plot(*points[which], color=colour, marker="o", markersize=6, label=name, linestyle="")
    around(axes, found)
    plane(axes)
    at = points[found["marked"]]
    return tidy("marked points", point=NAMES, x=at[:, 0], y=at[:, 1])


def spectra(axes: Axes, found: Arrays) -> pd.DataFrame:
    """3b: eigenvalues of the recurrent Jacobian at the marked points, and the unit circle."""
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(turn), np.sin(turn), color="black", linewidth=0.7)
    parts = []
    for values, colour, name in zip(found["eigenvalues"], MARKED, NAMES, strict=True):
        axes.plot(*values.T, color=colour, marker="o", markersize=2.5, linestyle="", alpha=0.75)
        parts.append(tidy("spectra", point=name, real=values[:, 0], imaginary=values[:, 1]))
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel("Re λ")
    axes.set_ylabel("Im λ")
    return pd.concat(parts)


def time_constants(axes: Axes, found: Arrays) -> pd.DataFrame:
    """3c: the three slowest time constants along the manifold."""
    theta = found["theta"]
    parts = []
    for mode, colour in enumerate(("#000000", "#0072B2", "#56B4E9")):
        tau = found["tau"][:, mode]
        axes.plot(theta, tau, ".", color=colour, markersize=3, label=f"mode {mode + 1}")
        parts.append(tidy("time constants", theta=theta, mode=mode + 1, tau=tau))
    style.log_values(axes)
    axes.set_xlabel("θ")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylabel("Time constant (tokens)")
    axes.legend(loc="best", handletextpad=0.1, borderaxespad=0.2)
    return pd.concat(parts)


def all_modes(axes: Axes, found: Arrays) -> pd.DataFrame:
    """3d: time constants of all modes at the marked points."""
    parts = []
    for tau, colour, name in zip(found["tau_marked"], MARKED, NAMES, strict=True):
        rank = np.arange(1, len(tau) + 1)
        axes.plot(rank, tau, color=colour, marker="o", markersize=2, linewidth=0.8)
        parts.append(tidy("all modes", point=name, rank=rank, tau=tau))
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.05)
    axes.set_xlabel("Mode, slowest first")
    axes.set_ylabel("Time constant (tokens)")
    return pd.concat(parts)


def inputs(axes: Axes, found: Arrays, which: int = 1) -> pd.DataFrame:
    """4a: what words do at one of the marked points, class means as arrows, l₁ in blue."""
    parts, reach = [], 0.0
    for name in ("neutral", "negative", "positive"):
        moved = found[f"inputs_{name}"][which]
        axes.scatter(moved[:, 0], moved[:, 1], color=OF_CLASS[name], s=5, linewidths=0, alpha=0.55)
        reach = max(reach, float(np.quantile(np.linalg.norm(moved, axis=1), 0.95)))
        parts.append(tidy("inputs", point=NAMES[which], words=name, x=moved[:, 0], y=moved[:, 1]))
    left = found["left"][which]
    left = 1.15 * reach * left / np.linalg.norm(left)
    axes.plot(*np.array([-left, left]).T, color=MODE, linewidth=1.2, label="l₁", zorder=1.5)
    for name in ("neutral", "negative", "positive"):
        mean = found[f"inputs_{name}"][which].mean(0)
        arrow(axes, mean, OF_CLASS[name])
        axes.plot([], [], color=OF_CLASS[name], marker="o", linestyle="", label=f"{name} words")
    limit = 1.3 * reach
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-limit, limit)
    axes.set_aspect("equal", adjustable="box")
    plane(axes)
    axes.set_xlabel("PC 1 (centred)")
    axes.set_ylabel("PC 2")
    return pd.concat(parts)


def arrow(axes: Axes, end: np.ndarray, colour: str) -> None:
    """An arrow from the origin, its rim dark so that it is seen among points of its colour."""
    axes.quiver(
        0, 0, *end, color=colour, edgecolor="black", linewidth=0.5, angles="xy",
        scale_units="xy", scale=1, width=0.016, zorder=3,
    )  # fmt: skip


def right_vectors(axes: Axes, found: Arrays) -> pd.DataFrame:
    """4b: fixed points with the right vectors of their slowest mode."""
    points, right = found["points"], found["right"]
    few = found["theta"].argsort()[:: -(-len(points) // 30)]
    span = np.ptp(points[:, 0])
    axes.scatter(points[:, 0], points[:, 1], color=GREY, s=8, linewidths=0)
    axes.quiver(
        *points[few].T, *(0.18 * span * right[few]).T, color=MODE, angles="xy",
        scale_units="xy", scale=1, width=0.006, zorder=3,
    )  # fmt: skip
    around(axes, found)
    plane(axes)
    return tidy(
        "right vectors", x=points[few, 0], y=points[few, 1], right_x=right[few, 0],
        right_y=right[few, 1],
    )  # fmt: skip


def effects(axes: Axes, found: Arrays) -> pd.DataFrame:
    """4c: mean input projection of each class over the fixed points."""
    values = found["effects"][:, :3]
    bins = np.linspace(*_limits(values), 41).tolist()
    parts = []
    for column, name in enumerate(OF_CLASS):
        axes.hist(
            values[:, column], bins=bins, color=OF_CLASS[name], alpha=0.7, label=f"{name} words"
        )
        parts.append(tidy("effects", words=name, effect=values[:, column]))
    axes.set_xlabel("Mean l₁ · J_inp x")
    axes.set_ylabel("Fixed points")
    return pd.concat(parts)


def _limits(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(values, (0.005, 0.995))
    return 1.15 * min(low, -1e-9), 1.15 * max(high, 1e-9)


def overlap(axes: Axes, found: Arrays) -> pd.DataFrame:
    """4d: overlap of the slowest mode with the manifold, and of random vectors."""
    bins = np.linspace(-1, 1, 41).tolist()
    parts = []
    for name, colour in (("null", GREY), ("overlap", MODE)):
        label = "random vectors" if name == "null" else "slowest mode"
        axes.hist(found[name], bins=bins, density=True, color=colour, alpha=0.8, label=label)
        parts.append(tidy("overlap", of=label, cosine=found[name]))
    axes.set_xlabel("r₁ · m")
    axes.set_ylabel("Density")
    return pd.concat(parts)


HEADROOM = 0.45
"""Share of a panel above what it shows, for an inset: a path leaves no corner free."""


def predicted(axes: Axes, found: Arrays) -> pd.DataFrame:
    """5a: a trajectory and its linear predictions, each of one step; inset: its middle."""
    path, linear = found["path_positive"], found["predicted"]
    ends = np.stack([path[:-1], linear], axis=1)
    gaps = np.full((len(linear), 1, 2), np.nan)  # after every step
    steps = np.concatenate([ends, gaps], axis=1).reshape(-1, 2)

    def draw(on: Axes, size: float) -> None:
        on.plot(*path.T, color="black", linewidth=size, label="network")
        dashed = (0, (2, 1))
        on.plot(*steps.T, color="#C00000", linestyle=dashed, linewidth=size, label="linear step")

    draw(axes, 0.8)
    low, high = axes.get_ylim()
    axes.set_ylim(low, low + (high - low) / (1.0 - HEADROOM))
    inset = axes.inset_axes((0.4, 1.02 - HEADROOM, 0.58, HEADROOM - 0.04))
    inset.spines[:].set_visible(True)
    draw(inset, 1.0)
    middle = path[len(path) // 2 : len(path) // 2 + 6]
    pad = 0.15 * np.ptp(middle, axis=0).max()
    inset.set_xlim(middle[:, 0].min() - pad, middle[:, 0].max() + pad)
    inset.set_ylim(middle[:, 1].min() - pad, middle[:, 1].max() + pad)
    inset.set_xticks([])
    inset.set_yticks([])
    axes.indicate_inset_zoom(inset, edgecolor="#555555", linewidth=0.6)
    plane(axes)
    return tidy(
        "predicted", x=path[1:, 0], y=path[1:, 1], linear_x=linear[:, 0], linear_y=linear[:, 1]
    )


def errors(axes: Axes, found: Arrays) -> pd.DataFrame:
    """5b: relative errors of one linear step."""
    values = found["errors"]
    top = float(np.quantile(values, 0.99))
    axes.hist(np.minimum(values, top), bins=40, color="#555555")
    axes.axvline(float(np.median(values)), color="#C00000", label="median")
    style.percent(axes, "x", 0.0, top)
    axes.set_xlabel("Error of one linear step (%)")
    axes.set_ylabel("Steps of test documents")
    return tidy("errors", error=values)


def relaxation(axes: Axes, found: Arrays) -> pd.DataFrame:
    """Relative speed of states left without input: median and quartiles."""
    low, middle, high = found["relaxation"].T
    index = np.arange(1, len(middle) + 1)
    axes.plot(index, middle, color="black")
    axes.fill_between(index, low, high, color="black", alpha=0.15, linewidth=0)
    style.log_values(axes)
    axes.set_xlabel("Steps without input")
    axes.set_ylabel("Relative change in a step")
    return tidy("relaxation", step=index, low=low, median=middle, high=high)
