"""Figures: accuracy and training on the tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from firstorder.bounds import Index
from firstorder.config import Some
from firstorder.publish import measures, style
from firstorder.publish.registry import Results, figure
from firstorder.publish.style import Drawing
from firstorder.studies.linearized import frames
from firstorder.studies.linearized.labels import ARMS, KINDS, SHOWN, by_model, headings

LOOKS = style.looks(ARMS)
KIND_LOOKS = style.looks(KINDS.values())


def _line(axes: Axes, line: pd.DataFrame, arm: str) -> None:
    """Mean over seeds with error bars of one standard deviation, against the task."""
    style.whiskers(axes, line["task"], line["mean"], line["std"], LOOKS[arm], ARMS[arm])


@figure(
    "eigenfunction-accuracy",
    reads=("network.csv", "network.json", "linear.csv", "converged.csv"),
)
def eigenfunction_accuracy(results: Results) -> Drawing:
    """Test accuracy of network and linearization on eigenfunction tasks against the index.

    One panel per model; horizontal marks are the accuracies of network and converged linearization
    on the binary task of labelled images with the most training examples (of the baselines that
    are selected); the dotted line is the share of the larger class.
    """
    last = frames.last_epochs(frames.runs(results, *SHOWN))
    curves = measures.over_seeds(last, ["label", "family", "arm", "task"], "test_accuracy")
    tasks = frames.tasks(results, "network")
    keys = ["label", "family", "task"]
    majority = measures.over_seeds(tasks, keys, "majority_test").assign(arm="majority")
    binary = _baselines(results, curves["label"])
    data = pd.concat([curves, majority, binary], ignore_index=True)
    models, names = by_model(curves), headings(results, curves)
    figure, axes = _grid(len(models), height=2.5)
    for (label, part), each in zip(models, axes, strict=True):
        for arm, line in part.groupby("arm", sort=False):
            _line(each, line, str(arm))
        chance = majority[majority["label"] == label]
        each.plot(
            chance["task"],
            chance["mean"],
            color="#777777",
            linestyle=(0, (1, 1.5)),
            label="larger class",
        )
        if not binary.empty:
            for arm, line in binary[binary["label"] == label].groupby("arm", sort=False):
                each.axhline(
                    line["mean"].iloc[0],
                    color=LOOKS[str(arm)].color,
                    linewidth=0.9,
                    linestyle=(0, (6, 3)),
                    label=f"{ARMS[str(arm)]}, binary task",
                )
        _index_axis(each, part["task"], names[label])
    style.accuracies(axes, data["mean"], data["std"])
    _label_rows(axes, "Test accuracy (%)")
    style.legend_below(figure, axes, style.seeds(curves["count"]))
    return Drawing(figure, data)


def _baselines(results: Results, labels: pd.Series) -> pd.DataFrame:
    """Accuracies on the largest task that every model has among the baselines."""
    every = frames.runs(results, *SHOWN, group="baselines")
    runs = frames.last_epochs(every[every["arm"] != "linear"] if len(every) else every)
    if runs.empty:
        return runs
    largest = runs.groupby("label")["task"].transform("max")
    runs = runs[(runs["task"] == largest) & runs["label"].isin(labels)]
    return measures.over_seeds(runs, ["label", "family", "arm", "task"], "test_accuracy")


def _grid(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """`count` panels that share their vertical axis: in one row up to three, else in two rows."""
    columns = count if count <= 3 else (count + 1) // 2
    figure, axes = style.panels(-(-count // columns), columns, height=height, sharey=True)
    for each in axes.flat[count:]:
        each.set_visible(False)
    return figure, list(axes.flat[:count])


def _label_rows(axes: list[Axes], label: str) -> None:
    """Label the vertical axis of the first panel of every row."""
    for each in axes:
        place = each.get_subplotspec()
        if place is not None and place.is_first_col():
            each.set_ylabel(label)


def _index_axis(
    axes: Axes, tasks: pd.Series, title: str, what: str = "Eigenfunction index"
) -> None:
    style.log_index(axes, tasks)
    axes.set_xlabel(what)
    axes.set_title(title)


@figure("training-metrics", reads=("network.csv", "network.json", "linear.csv", "linear.json"))
def training_metrics(results: Results, *, epochs: Some[Index] = (5, 15, 50)) -> Drawing:
    """How hard a task is to fit, against the eigenfunction index.

    Columns: training loss after some `epochs`, steps until the minibatch loss is below 0.01 (marks
    at the top: not reached by every seed), squared distance of the weights from initialisation.
    Rows: models. Means over seeds, on logarithmic axes where values span decades.
    """
    arms = ("network", "linear")
    runs, tasks = frames.runs(results, *arms), frames.tasks(results, *arms)
    early = runs[runs["epoch"].isin(list(epochs))]
    loss = measures.over_seeds(early, ["label", "arm", "task", "epoch"], "train_loss")
    steps, every = (
        measures.over_seeds(tasks, ["label", "arm", "task"], value)
        for value in ("steps_to_0.01", "seed")
    )
    steps["mean"] = steps["mean"].where(steps["count"] == every["count"])
    distance = measures.over_seeds(frames.last_epochs(runs), ["label", "arm", "task"], "distance")
    named = {"train_loss": loss, "steps_to_0.01": steps, "distance": distance}
    data = pd.concat([part.assign(metric=name) for name, part in named.items()], ignore_index=True)
    models = by_model(distance)
    figure, axes = style.panels(len(models), 3, height=2.15, sharex=True)
    for (label, _), row in zip(models, axes, strict=True):
        _early_losses(row[0], loss[loss["label"] == label], list(epochs))
        style.spanning(row[0], loss["mean"])  # of all rows: one axis for all models
        _steps(row[1], steps[steps["label"] == label])
        for arm, line in distance[distance["label"] == label].groupby("arm", sort=False):
            row[2].plot(line["task"], line["mean"], label=ARMS[str(arm)], **LOOKS[str(arm)].points)
        row[2].set_ylabel("Squared distance")
        style.log_values(row[2])
        row[0].set_ylabel(f"{label}\nTraining loss")
        for each in row:
            style.log_index(each, distance["task"])
    for each, title in zip(
        axes[0],
        ("Loss after few epochs", "Steps to loss 0.01", "Way from initialisation"),
        strict=True,
    ):
        each.set_title(title)
    for each in axes[-1]:
        each.set_xlabel("Eigenfunction index")
    style.legend_below(figure, axes[0], style.seeds(loss["count"], "mean"))
    return Drawing(figure, data)


EPOCH_MARKERS = style.MARKERS[2:]
"""Of losses after some epochs: the first two are those of network and linearization as a whole."""


def _early_losses(axes: Axes, losses: pd.DataFrame, epochs: list[int]) -> None:
    for (arm, epoch), line in losses.groupby(["arm", "epoch"], sort=False):
        place = epochs.index(line["epoch"].iloc[0])
        axes.plot(
            line["task"],
            line["mean"],
            color=LOOKS[str(arm)].color,
            marker=EPOCH_MARKERS[place % len(EPOCH_MARKERS)],
            linestyle=style.LINES[place % len(style.LINES)],
            label=f"{ARMS[str(arm)]}, {epoch} epochs",
        )


BESIDE = 5.0
"""Points between the marks of two arms that stand at the top."""


def _steps(axes: Axes, steps: pd.DataFrame) -> None:
    arms = list(steps["arm"].unique())
    for arm, line in steps.groupby("arm", sort=False):
        look, reached = LOOKS[str(arm)], line["mean"].notna()
        axes.plot(line["task"], line["mean"], label=ARMS[str(arm)], **look.points)
        never = line["task"][~reached]
        if never.empty:
            continue
        aside = BESIDE * (arms.index(arm) - (len(arms) - 1) / 2)
        axes.plot(
            never,
            [1.0] * len(never),
            transform=axes.get_xaxis_transform()
            + ScaledTranslation(aside / 72, 0.0, axes.figure.dpi_scale_trans),
            clip_on=False,
            linestyle="none",
            marker=look.marker,
            markerfacecolor="none",
            markeredgecolor=look.color,
        )
    if steps["mean"].notna().any():
        style.log_values(axes)
    else:
        axes.set_yticks([])  # marks at the top have no height
        axes.text(0.5, 0.5, "not reached by any", transform=axes.transAxes, ha="center")
    axes.set_ylabel("Steps (open: not reached)")


@figure("binary-size", reads=("network.csv", "linear.csv", "converged.csv"))
def binary_size(results: Results) -> Drawing:
    """Test accuracy of network and linearization against training-set size, one panel per model."""
    runs = frames.runs(results, *SHOWN)
    data = measures.over_seeds(frames.last_epochs(runs), ["label", "arm", "task"], "test_accuracy")
    models = by_model(data)
    figure, axes = _grid(len(models), height=2.4)
    for (label, part), each in zip(models, axes, strict=True):
        for arm, line in part.groupby("arm", sort=False):
            _line(each, line, str(arm))
        _index_axis(each, part["task"], label, "Training examples")
    style.accuracies(axes, data["mean"], data["std"])
    _label_rows(axes, "Test accuracy (%)")
    style.legend_below(figure, axes, style.seeds(data["count"]))
    return Drawing(figure, data)


@figure("alignment-accuracy", reads=("network.csv", "network.json", "linear.csv", "linear.json"))
def alignment_accuracy(results: Results) -> Drawing:
    """Test accuracy against the target's alignment with the initial kernel; rank correlations.

    They are of means over seeds, as in the claim: seeds of a task are no further tasks.
    One panel per architecture, one mark for every task, seed and width; its shape says the kind of
    task, open marks are linearizations. The horizontal axis is alignment over trace times the
    number of training examples: 1 for random labels, and what bounds the generalisation gap.
    """
    data = frames.ranked_tasks(results)
    panels = [(str(name), part) for name, part in data.groupby("architecture", sort=False)]
    figure, axes = _grid(len(panels), height=3.0)
    for (name, part), each in zip(panels, axes, strict=True):
        found = []
        for arm, dots in part.groupby("arm", sort=False):
            means = dots.groupby(["label", "family", "task"])[["ratio", "test_accuracy"]].mean()
            rho = measures.spearman(means["ratio"], means["test_accuracy"])
            said = "none" if np.isnan(rho) else f"{rho:.2f}".replace("-", "−")
            found.append(f"{ARMS[str(arm)]} {said}")
            for kind, marks in dots.groupby("kind", sort=False):
                look = KIND_LOOKS[KINDS[str(kind)]]
                each.plot(
                    marks["ratio"],
                    marks["test_accuracy"],
                    linestyle="none",
                    marker=look.marker,
                    color=look.color,
                    markerfacecolor=look.color if arm == "network" else "none",
                    alpha=0.75,
                    label=f"{KINDS[str(kind)]}, {ARMS[str(arm)]}",
                )
        each.set_title(f"{name}\nSpearman ρ: " + "\n".join(found), fontsize=8)
        style.log_values(each, "x")
        each.set_xlabel("Alignment / trace × examples")
    style.accuracies(axes, data["test_accuracy"])
    _label_rows(axes, "Test accuracy (%)")
    seeds = data.groupby(["label", "family", "arm", "task"], sort=False)["seed"].nunique()
    style.legend_below(figure, axes, style.seeds(seeds, "a mark for each task and seed"))
    return Drawing(figure, data)


@figure("model-comparison", reads=("spectrum.npz", "network.csv", "linear.csv", "converged.csv"))
def model_comparison(results: Results) -> Drawing:
    """Models side by side: spectrum, and accuracy of network and linearizations by index.

    One row per architecture that comes in several initialisations or widths, which are models of
    their own in the study file. Means over seeds, with bars of one standard deviation.
    """
    spectrum, order = frames.spectra(results), frames.model_order(results)
    last = frames.last_epochs(frames.runs(results, *SHOWN))
    spectrum, last = (
        frame.assign(architecture=frames.architectures(results, frame)).sort_values(
            "model", key=lambda names: names.map(order), kind="stable"
        )
        for frame in (spectrum, last)
    )
    keys = ["architecture", "label"]
    share = measures.over_seeds(spectrum, [*keys, "k"], "share")
    curves = measures.over_seeds(last, [*keys, "arm", "task"], "test_accuracy")
    several = curves.groupby("architecture")["label"].transform("nunique") > 1
    rows = list(curves[several].groupby("architecture", sort=False))
    figure, axes = style.panels(len(rows), 1 + len(SHOWN), height=2.2)
    look = style.looks(curves["label"][several])
    for (name, part), row in zip(rows, axes, strict=True):
        own = share[share["architecture"] == name]
        for label, line in own.groupby("label", sort=False):
            row[0].plot(line["k"], line["mean"], label=str(label), **look[str(label)].line)
        for each, arm in zip(row[1:], SHOWN, strict=True):
            for label, line in part[part["arm"] == arm].groupby("label", sort=False):
                style.whiskers(each, line["task"], line["mean"], line["std"], look[str(label)], "")
            _index_axis(each, part["task"], ARMS[arm].capitalize())
            each.set_ylabel("Test accuracy (%)")
        style.accuracies(row[1:], part["mean"], part["std"])
        style.log_values(row[0], "x")
        style.log_values(row[0])
        row[0].set_xlabel("Eigenvalue index k")
        row[0].set_ylabel("Share of the trace")
        row[0].set_title("Initial spectrum")
    style.legend_below(figure, axes[:, 0], style.seeds(curves["count"][several]))
    data = pd.concat([share.assign(metric="share"), curves.assign(metric="test_accuracy")])
    return Drawing(figure, data.reset_index(drop=True))
