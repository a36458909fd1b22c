"""The figure of neural anisotropy directions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from firstorder.publish import measures, style
from firstorder.publish.registry import Results, figure
from firstorder.publish.style import Drawing
from firstorder.studies.linearized import frames
from firstorder.studies.linearized.labels import ARMS, SHOWN

DASHES = dict(zip(SHOWN, style.LINES, strict=False))


@figure("nads", reads=("nads.npz", "network.csv", "linear.csv", "converged.csv"))
def nads(results: Results) -> Drawing:
    """Neural anisotropy directions: images, spectra, and accuracy on their linear tasks.

    Top: images of the directions of the tasks, one row per model (first seed; blue and red are
    the two signs). Bottom: squared singular values over the first, and test accuracy by index.
    """
    found = list(frames.arrays(results, "nads.npz", "singular_values", "directions"))
    seed = min(keys["seed"] for keys, _ in found)
    found = [(keys, arrays) for keys, arrays in found if keys["seed"] == seed]
    runs = frames.runs(results, *DASHES)
    curves = measures.over_seeds(
        frames.last_epochs(runs), ["label", "arm", "task"], "test_accuracy"
    )
    indices = sorted(set(runs["task"]))[:10]
    figure = Figure(figsize=(style.WIDE, 1.0 * len(found) + 2.7), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.0 * len(found), 2.7), squeeze=False)[
        :, 0
    ]
    images = top.subplots(len(found), len(indices), squeeze=False)
    spectra = []
    for number, (keys, arrays) in enumerate(found):
        _images(images[number], arrays["directions"], indices, keys["label"], first=number == 0)
        squared = np.asarray(arrays["singular_values"], dtype=float) ** 2
        spectra.append(
            pd.DataFrame(
                {
                    "label": keys["label"],
                    "task": np.arange(1, len(squared) + 1),
                    "mean": squared / squared[0],
                }
            )
        )
    spectrum = pd.concat(spectra, ignore_index=True)
    left, right = bottom.subplots(1, 2)
    look = style.looks(spectrum["label"])
    for label, line in spectrum.groupby("label", sort=False):
        left.plot(line["task"], line["mean"], label=str(label), **look[str(label)].line)
        for arm, part in curves[curves["label"] == label].groupby("arm", sort=False):
            style.whiskers(
                right,
                part["task"],
                part["mean"],
                part["std"],
                look[str(label)],
                f"{label}, {ARMS[str(arm)]}",
                linestyle=DASHES[str(arm)],
                markerfacecolor=look[str(label)].color if arm == "network" else "none",
            )
    style.log_values(left)
    left.set_ylabel("σⱼ² / σ₁²")
    right.set_ylabel("Test accuracy (%)")
    style.accuracies([right], curves["mean"], curves["std"])
    for each in (left, right):
        style.log_values(each, "x")
        each.set_xlabel("Index of the direction")
    handles, labels = right.get_legend_handles_labels()
    bottom.legend(
        handles, labels, loc="outside lower center", ncols=2, handlelength=3.0,
        title=f"images and spectra: seed {seed}; accuracy: {style.seeds(curves['count'])}",
        title_fontsize=style.RC["legend.fontsize"],
    )  # fmt: skip
    data = pd.concat([spectrum.assign(metric="spectrum"), curves.assign(metric="test_accuracy")])
    return Drawing(figure, data.reset_index(drop=True))


def _images(
    row: np.ndarray, directions: np.ndarray, indices: list[int], label: str, first: bool
) -> None:
    side = round(directions.shape[1] ** 0.5)
    for each, index in zip(row, indices, strict=True):
        image = directions[index - 1].reshape(side, side)
        limit = np.abs(image).max()
        each.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        each.set_xticks([])
        each.set_yticks([])
        each.spines[:].set_visible(False)
        if first:
            each.set_title(str(index), fontweight="normal", pad=3)
    row[0].set_ylabel(label)
