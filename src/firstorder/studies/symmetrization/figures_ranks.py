"""Which losses can be told apart over all (dataset, noise) cells: a critical-difference diagram."""

from __future__ import annotations

import pandas as pd

from firstorder.errors import DataError
from firstorder.publish import style
from firstorder.publish.registry import Results, figure
from firstorder.publish.statistics import critical_difference
from firstorder.publish.statistics.paired import cells_needed, ranking
from firstorder.publish.style import Drawing
from firstorder.studies.symmetrization import frames


@figure("critical-difference", reads=("summary.json",))
def ranks(results: Results) -> Drawing:
    """Mean ranks of the losses by last test accuracy; bars join losses that are not told apart.

    The cells are the units: seeds are averaged before, a training that diverged counting as 0.
    Cells that miss a loss are left out.
    """
    runs = frames.runs(results)
    accuracy = runs["last_accuracy"].mask(runs["status"] == "diverged", 0.0)
    means = runs.assign(accuracy=accuracy).pivot_table(
        index=["setting", "noise"], columns="label", values="accuracy", sort=False
    )
    means = means[list(dict.fromkeys(runs["label"]))].dropna()
    if min(means.shape) < 2 or means.shape[1] < 3:
        raise DataError("critical-difference: fewer than 2 cells or 3 losses; select more")
    found = ranking({str(label): list(means[label]) for label in means})
    over = f"{found.cells} cells of a dataset and a noise, {style.seeds(_seeds(runs), 'mean')} each"
    needed = cells_needed(len(found.methods))
    if found.cells < needed:
        over += f"; {needed} are needed before this test can tell any two losses apart"
    over += frames.diverged(runs, "counting as 0")
    figure, axes = style.panels(1, 1, height=critical_difference.height(found), width=style.WIDE)
    critical_difference.draw(axes[0, 0], found)
    style.legend_below(figure, [], over)
    place = {name: number for number, group in enumerate(found.groups) for name in group}
    data = pd.DataFrame(
        {
            "label": found.methods,
            "rank": found.ranks,
            "cells": found.cells,
            "friedman": found.statistic,
            "p": found.p,
            "last_group": [place.get(name, -1) for name in found.methods],
        }
    )
    return Drawing(figure, data)


def _seeds(runs: pd.DataFrame) -> pd.Series:
    """The number of seeds of every cell and loss."""
    return runs.groupby(["setting", "noise", "loss"])["seed"].nunique()
