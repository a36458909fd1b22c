"""Figures of the study. Each shows the first seed that has a line of fixed points, or says else."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from firstorder.config import Count
from firstorder.publish import style
from firstorder.publish.registry import Results, figure
from firstorder.publish.style import Drawing
from firstorder.studies.line_attractor import frames, panels
from firstorder.studies.line_attractor.frames import Keys

ALL = (
    "state_shares", "untrained_shares", "density", "density_x", "density_y", "readout", "offset",
    "start", "path_positive", "path_negative", "predicted", "points", "theta", "marked",
    "point_shares", "eigenvalues", "tau", "tau_marked", "right", "left", "effects",
    "inputs_positive", "inputs_negative", "inputs_neutral", "overlap", "null", "errors",
    "relaxation",
)  # fmt: skip


def _first(results: Results) -> tuple[Keys, panels.Arrays]:
    """The first training and what the panels draw of it."""
    keys = frames.first(results)
    return keys, frames.arrays(results, keys, *ALL)


def heading(keys: Keys) -> str:
    """A network as a title."""
    return f"{keys['label']}, {keys['title']}"


def one_seed(*seeds: object) -> str:
    """What a figure of one training says of it, or of one training of each of its networks."""
    if len(set(seeds)) == 1:
        return f"one seed ({seeds[0]})"
    return f"one seed each ({', '.join(map(str, seeds))})"


@figure("activity", reads=("dynamics.npz",))
def activity(results: Results) -> Drawing:
    """Figure 1: the activity of every unit along a positive and a negative document."""
    keys = frames.first(results)
    found = frames.arrays(results, keys, "activity_positive", "activity_negative")
    figure, axes = style.panels(1, 2, height=2.3, sharey=True)
    parts = []
    for each, name in zip(axes[0], ("positive", "negative"), strict=True):
        values = found[f"activity_{name}"][1:]
        order = np.argsort(-values.std(0))
        each.plot(np.arange(1, len(values) + 1), values, color="black", alpha=0.15, linewidth=0.5)
        for unit, colour in zip(order[:4], style.OKABE_ITO[1:], strict=False):
            each.plot(np.arange(1, len(values) + 1), values[:, unit], color=colour, linewidth=0.9)
        each.set_title(f"{heading(keys)}: a {name} document")
        each.set_xlabel("Token")
        frame = pd.DataFrame(values, columns=[f"unit{i + 1}" for i in range(values.shape[1])])
        frame.insert(0, "document", name)
        frame.insert(1, "token", np.arange(1, len(values) + 1))
        parts.append(frame)
    axes[0, 0].set_ylabel("Activity of units")
    style.legend_below(figure, [], one_seed(keys["seed"]))
    return Drawing(figure, pd.concat(parts))


def _drawn(
    results: Results, rows: int, columns: int, drawn: dict[str, panels.Panel], height: float
) -> Drawing:
    """Panels with titles, of the first training."""
    keys, found = _first(results)
    figure, axes = style.panels(rows, columns, height=height)
    parts = []
    for each, (title, panel) in zip(axes.flat, drawn.items(), strict=True):
        parts.append(panel(each, found))
        each.set_title(title)
    figure.suptitle(f"{heading(keys)}, {one_seed(keys['seed'])}", fontsize=8.5)
    return Drawing(figure, pd.concat(parts, ignore_index=True))


@figure("low-dimensional", reads=("dynamics.npz",))
def low_dimensional(results: Results) -> Drawing:
    """Figure 2: variance of states, states in the plane, fixed points."""
    drawn: dict[str, panels.Panel] = {
        "States are low-dimensional": panels.variance,
        "States in the plane": panels.states,
        "Fixed points": panels.fixed_points,
    }
    made = _drawn(results, 1, 3, drawn, 2.5)
    style.legend_below(made.figure, made.figure.axes[1:2])
    return made


@figure("spectra", reads=("dynamics.npz",))
def spectra(results: Results) -> Drawing:
    """Figure 3: eigenvalues and time constants at fixed points."""
    drawn: dict[str, panels.Panel] = {
        "Three fixed points": panels.marked_points,
        "Eigenvalues there": panels.spectra,
        "Slowest modes along the manifold": panels.time_constants,
        "All modes of the three": panels.all_modes,
    }
    made = _drawn(results, 2, 2, drawn, 2.4)
    style.legend_below(made.figure, made.figure.axes[:1])
    return made


@figure("integration", reads=("dynamics.npz",))
def integration(results: Results) -> Drawing:
    """Figure 4: what words do at fixed points, and along which direction the slowest mode shows."""
    drawn: dict[str, panels.Panel] = {
        f"Inputs at {name}": partial(panels.inputs, which=i) for i, name in enumerate(panels.NAMES)
    }
    drawn |= {
        "Slowest right vectors": panels.right_vectors,
        "Input projections": panels.effects,
        "Overlap with the manifold": panels.overlap,
    }
    made = _drawn(results, 2, 3, drawn, 2.4)
    style.legend_below(made.figure, [made.figure.axes[0], made.figure.axes[5]])
    return made


@figure("linear-steps", reads=("dynamics.npz",))
def linear_steps(results: Results) -> Drawing:
    """Figure 5: one linear step against the network's, and states left alone."""
    drawn: dict[str, panels.Panel] = {
        "A document": panels.predicted,
        "All test steps": panels.errors,
        "States left alone": panels.relaxation,
    }
    made = _drawn(results, 1, 3, drawn, 2.6)
    style.legend_below(made.figure, made.figure.axes[:2])
    return made


@figure("networks", reads=("dynamics.npz",))
def networks(results: Results, *, most: Count = 4) -> Drawing:
    """Figure 6: inputs, projections, right vectors and overlaps of several networks.

    At most `most`, evenly from the selection.
    """
    rows = results.spec["rows"]
    chosen = rows[:: -(-len(rows) // most)]
    figure, axes = style.panels(4, len(chosen), height=1.75, width=max(3.6, 1.75 * len(chosen)))
    drawn = (panels.inputs, panels.effects, panels.right_vectors, panels.overlap)
    parts, seeds = [], []
    for column, row in enumerate(chosen):
        keys = frames.with_points(results, row)
        seeds.append(keys["seed"])
        found = frames.arrays(results, keys, *ALL)
        axes[0, column].set_title(f"{row['label']}\n{row['title']}")
        for each, panel in zip(axes[:, column], drawn, strict=True):
            parts.append(panel(each, found).assign(corpus=row["corpus"], cell=row["cell"]))
            if column:
                each.set_ylabel("")
    style.legend_below(figure, [axes[0, 0], axes[3, 0]], one_seed(*seeds))
    return Drawing(figure, pd.concat(parts, ignore_index=True))


@figure("pair", reads=("dynamics.npz",))
def pair(results: Results) -> Drawing:
    """F-pair: two sequences that differ by two tokens, in the plane."""
    rows = results.spec["rows"]
    figure, axes = style.panels(
        1, len(rows), height=2.5, width=min(style.WIDE, 2.7 * len(rows) + 1)
    )
    parts, seeds = [], []
    names = ("pair_first", "pair_second", "pair_places", "readout", "offset")
    for each, row in zip(axes[0], rows, strict=True):
        keys = frames.with_points(results, row)
        seeds.append(keys["seed"])
        found = frames.arrays(results, keys, *names)
        parts.append(_pair(each, found).assign(corpus=row["corpus"], cell=row["cell"]))
        each.set_title(heading(row))
    style.legend_below(figure, axes[0, :1], one_seed(*seeds))
    return Drawing(figure, pd.concat(parts, ignore_index=True))


def _pair(axes: Axes, found: panels.Arrays) -> pd.DataFrame:
    parts = []
    for name, label in (("first", "positive"), ("second", "negative")):
        path, colour = found[f"pair_{name}"], panels.OF_CLASS[label]
        axes.plot(*path.T, color=colour, linewidth=0.9, label=f"with two {label} words", zorder=2)
        axes.plot(*path[-1], color=colour, marker="o", markersize=4)
        places = found["pair_places"] + 1
        axes.plot(*path[places].T, color=colour, marker="D", markersize=3.5, linestyle="")
        index = np.arange(len(path))
        parts.append(panels.tidy("pair", sequence=label, token=index, x=path[:, 0], y=path[:, 1]))
    axes.plot(*found["pair_first"][0], color="black", marker="x", label="start", linestyle="")
    axes.plot(
        [],
        [],
        color="black",
        marker="D",
        markersize=3.5,
        linestyle="",
        label="after a changed word",
    )
    both = np.concatenate([found["pair_first"], found["pair_second"]])
    low, high = both.min(0), both.max(0)
    pad = 0.1 * (high - low)
    panels.boundary(axes, found, (low[0], high[0], low[1], high[1]))
    axes.set_xlim(low[0] - pad[0], high[0] + pad[0])
    axes.set_ylim(low[1] - pad[1], high[1] + pad[1])
    panels.plane(axes)
    return pd.concat(parts)


@figure("eight-panels", reads=("dynamics.npz",))
def eight_panels(results: Results) -> Drawing:
    """Figures 7 to 18: one network on one corpus."""
    drawn: dict[str, panels.Panel] = {
        "Variance of states": panels.variance,
        "States": panels.states,
        "Fixed points": panels.fixed_points,
        "Time constants": panels.time_constants,
        "Inputs": panels.inputs,
        "Input projections": panels.effects,
        "Slowest right vectors": panels.right_vectors,
        "Overlap with manifold": panels.overlap,
    }
    made = _drawn(results, 2, 4, drawn, 2.2)
    made.figure.set_figwidth(9.5)
    axes = made.figure.axes
    style.legend_below(made.figure, [axes[1], axes[4], axes[7]])
    return made
