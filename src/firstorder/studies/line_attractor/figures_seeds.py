"""Figures over all seeds: tolerances, contextual effects, the words that modify others."""

from __future__ import annotations

import numpy as np
import pandas as pd

from firstorder.publish import style
from firstorder.publish.registry import Results, figure
from firstorder.publish.style import Drawing
from firstorder.studies.line_attractor import frames, panels
from firstorder.studies.line_attractor.figures import heading, one_seed

QUANTITIES = {
    "found": "Points found",
    "distinct": "Distinct points",
    "share": "First PC of the points (%)",
    "tau1": "Slowest mode (tokens)",
}
KEPT_WORDS = 12
"""Words that are named in the plane of displacements."""


@figure("tolerances", reads=("dynamics.json",))
def tolerances(results: Results) -> Drawing:
    """What the search finds at every tolerance: means over seeds, bars over all of them."""
    data = frames.tolerances(results)
    keys = ["corpus", "title", "cell", "label", "tolerance"]
    for name in QUANTITIES:
        data[name] = data[name].astype(float)
    shown = data.groupby(keys, sort=False)[list(QUANTITIES)].agg(["mean", "min", "max", "count"])
    shown.columns = pd.Index(["_".join(map(str, each)) for each in shown.columns.to_flat_index()])
    shown = shown.reset_index()
    titles = list(dict.fromkeys(data["title"]))
    figure, axes = style.panels(len(titles), 4, height=2.0, width=8.4, sharex=True)
    look = style.looks(data["label"])
    for row, title in zip(axes, titles, strict=True):
        of = shown[shown["title"] == title]
        for each, (name, label) in zip(row, QUANTITIES.items(), strict=True):
            for cell, line in of.groupby("label", sort=False):
                mean, least, most = (line[f"{name}_{what}"] for what in ("mean", "min", "max"))
                own = look[str(cell)]
                style.whiskers(each, line["tolerance"], mean, (least, most), own, str(cell))
            each.set_xscale("log")
            each.invert_xaxis()
            each.set_ylabel(label)
            if name == "share":
                style.percent(each)
            else:
                style.spanning(each, of[f"{name}_mean"])
        row[0].set_title(title)
    for each in axes[-1]:
        each.set_xlabel("Tolerance of q")
    counts = shown[[f"{name}_count" for name in QUANTITIES]].to_numpy()
    drawn = counts[counts > 0]  # of no points there is no share and no mode
    style.legend_below(figure, axes[0, :1], style.seeds(drawn, "mean and range"))
    return Drawing(figure, shown)


@figure("negation", reads=("dynamics.npz",))
def negation(results: Results) -> Drawing:
    """Input projections of words k tokens after "not".

    Means over seeds, bands of one deviation; dashed: before it.
    """
    rows, read = [], dict[str, bool]()
    for keys in frames.networks(results):
        found = frames.arrays(results, keys, "negation", "negation_before", "points")
        read[heading(keys)] = read.get(heading(keys), False) or len(found["points"]) > 0
        for column, name in enumerate(panels.OF_CLASS):
            before = found["negation_before"][column]
            for k, value in enumerate(found["negation"][:, column]):
                rows.append({**keys, "words": name, "k": k, "effect": value, "before": before})
    data = pd.DataFrame(rows)
    networks = list(data.groupby(["corpus", "cell"], sort=False))
    figure, axes = style.panels(
        1, len(networks), height=2.3, width=min(style.WIDE, 2.4 * len(networks) + 1), sharey="row"
    )
    for each, (_, part) in zip(axes[0], networks, strict=True):
        for words, line in part.groupby("words", sort=False):
            by_k = line.groupby("k")["effect"]
            colour = panels.OF_CLASS[str(words)]
            look = style.Look(colour, "o", "-")
            mean = by_k.mean()
            style.band(each, mean.index, mean, by_k.std(), look, f"{words} words")
            each.axhline(line["before"].mean(), color=colour, linestyle="--", linewidth=0.8)
        each.set_title(heading(frames.Keys(part.iloc[0])).replace(", ", "\n"))
        each.set_xlabel("Tokens after “not”")
    axes[0, 0].set_ylabel("Mean l₁ · J_inp x")
    axes[0, 0].plot([], [], color="black", linestyle="--", linewidth=0.8, label="before “not”")
    known = data[data["effect"].notna()]
    counts = known.groupby(["corpus", "cell"], sort=False)["seed"].nunique()
    without = ", ".join(name for name, some in read.items() if not some)
    said = style.seeds(counts) + (f"; without fixed points to read: {without}" if without else "")
    style.legend_below(figure, axes[0, :1], said)
    return Drawing(figure, data.drop(columns=["title", "reader"]))


@figure("modifiers", reads=("dynamics.npz", "dynamics.json"))
def modifiers(results: Results) -> Drawing:
    """The words that change the effects of others most, and where they move the state."""
    keys = frames.first(results)
    listed = frames.record(results, keys)["modifiers"]
    moved = frames.arrays(results, keys, "modifiers")["modifiers"]
    figure, axes = style.panels(1, 2, height=3.0)
    left, right = axes[0]
    strengths = np.array([each["strength"] for each in listed], float)
    words = [each["word"] for each in listed]
    place = np.arange(len(words))[::-1]
    left.barh(place, strengths, color="#555555", height=0.7)
    left.set_yticks(place, words)
    left.tick_params(axis="y", labelsize=6)
    left.set_xlabel("Relative change of input projections")
    left.set_title(f"{heading(keys)}: strongest modifiers")
    right.scatter(*moved.T, color=panels.MODE, s=10)
    right.set_xlabel("PC 1 of displacements")
    right.set_ylabel("PC 2 of displacements")
    right.margins(0.15)
    right.autoscale_view()  # or the limits would be found only when it is drawn
    at = (right.transData + right.transAxes.inverted()).transform(moved)
    for index in panels.legible(at[:KEPT_WORDS], at):
        right.annotate(
            words[index], moved[index], textcoords="offset points", xytext=(4, 0), va="center",
            fontsize=6.5,
        )  # fmt: skip
    right.set_title("Where they move the state")
    style.legend_below(figure, [], one_seed(keys["seed"]))
    data = pd.DataFrame({"word": words, "strength": strengths, "x": moved[:, 0], "y": moved[:, 1]})
    return Drawing(figure, data)
