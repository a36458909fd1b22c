"""Figures of the linearized study: accuracy and training on its tasks."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from firstorder.config import Artefact, Config
from firstorder.publish import measures, records, style
from firstorder.publish.arms import ARMS, by_model
from firstorder.publish.registry import register
from firstorder.publish.style import Drawing

LOOKS = style.looks(ARMS)


def _line(axes: Axes, line: pd.DataFrame, arm: str) -> None:
    """Mean over seeds with error bars of one standard deviation, against the task."""
    style.whiskers(axes, line["task"], line["mean"], line["std"], LOOKS[arm], ARMS[arm])


@register("eigenfunction-accuracy")
def eigenfunction_accuracy(config: Config, declared: Artefact) -> Drawing:
    """Test accuracy of network and linearization on eigenfunction tasks against the index.

    One panel per model; horizontal marks are the accuracies on the binary task of labelled images
    with the most training examples; the dotted line is the share of the larger class.
    """
    select, arms = declared.select, ("network", "linear")
    last = records.last_epochs(records.linearized_runs(config, select, "eigenfunctions", *arms))
    curves = measures.over_seeds(last, ["label", "arm", "task"], "test_accuracy")
    tasks = records.linearized_tasks(config, select, "eigenfunctions", "network")
    majority = measures.over_seeds(tasks, ["label", "task"], "majority_test").assign(arm="majority")
    binary = records.last_epochs(records.linearized_runs(config, select, "binary", *arms))
    if not binary.empty:
        binary = binary[binary["task"] == binary["task"].max()]
        binary = measures.over_seeds(binary, ["label", "arm", "task"], "test_accuracy")
    data = pd.concat(
        [
            curves.assign(family="eigenfunctions"),
            majority.assign(family="eigenfunctions"),
            binary.assign(family="binary"),
        ],
        ignore_index=True,
    )
    models = by_model(curves)
    figure, axes = style.panels(1, len(models), height=2.9, sharey=True)
    for (label, part), each in zip(models, axes[0], strict=True):
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
        _index_axis(each, part["task"], label)
        style.percent(each, low=0.45)
    axes[0, 0].set_ylabel("Test accuracy (%)")
    style.legend_below(figure, axes[0])
    return Drawing(figure, data)


def _index_axis(
    axes: Axes, tasks: pd.Series, title: str, what: str = "Eigenfunction index"
) -> None:
    style.log_index(axes, tasks)
    axes.set_xlabel(what)
    axes.set_title(title)


@register("training-metrics")
def training_metrics(config: Config, declared: Artefact) -> Drawing:
    """How hard a task is to fit, against the eigenfunction index.

    Columns: training loss after some epochs, steps until the minibatch loss is below 0.01 (marks
    at the top: not reached by every seed), squared distance of the weights from initialisation.
    Rows: models. Means over seeds.
    Options: epochs (default 5, 15, 50).
    """
    epochs = list(declared.options.get("epochs", (5, 15, 50)))
    arms = ("network", "linear")
    runs = records.linearized_runs(config, declared.select, "eigenfunctions", *arms)
    tasks = records.linearized_tasks(config, declared.select, "eigenfunctions", *arms)
    early = runs[runs["epoch"].isin(epochs)]
    loss = measures.over_seeds(early, ["label", "arm", "task", "epoch"], "train_loss")
    steps = measures.over_seeds(tasks, ["label", "arm", "task"], "steps_to_0.01")
    steps["mean"] = steps["mean"].where(steps["count"] == tasks["seed"].nunique())
    distance = measures.over_seeds(records.last_epochs(runs), ["label", "arm", "task"], "distance")
    named = {"train_loss": loss, "steps_to_0.01": steps, "distance": distance}
    data = pd.concat([part.assign(metric=name) for name, part in named.items()], ignore_index=True)
    models = by_model(distance)
    figure, axes = style.panels(len(models), 3, height=2.15, sharex=True)
    for (label, _), row in zip(models, axes, strict=True):
        _early_losses(row[0], loss[loss["label"] == label], epochs)
        _steps(row[1], steps[steps["label"] == label])
        for arm, line in distance[distance["label"] == label].groupby("arm", sort=False):
            row[2].plot(line["task"], line["mean"], **LOOKS[str(arm)].points)
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
    style.legend_below(figure, axes[0])
    return Drawing(figure, data)


def _early_losses(axes: Axes, losses: pd.DataFrame, epochs: list[int]) -> None:
    for (arm, epoch), line in losses.groupby(["arm", "epoch"], sort=False):
        look = LOOKS[str(arm)]
        dashes = style.LINES[epochs.index(line["epoch"].iloc[0]) % len(style.LINES)]
        axes.plot(
            line["task"],
            line["mean"],
            color=look.color,
            marker=look.marker,
            linestyle=dashes,
            label=f"{ARMS[str(arm)]}, {epoch} epochs",
        )


def _steps(axes: Axes, steps: pd.DataFrame) -> None:
    for arm, line in steps.groupby("arm", sort=False):
        look, reached = LOOKS[str(arm)], line["mean"].notna()
        axes.plot(line["task"], line["mean"], **look.points)
        never = line["task"][~reached]
        if never.empty:
            continue
        axes.plot(
            never,
            [1.0] * len(never),
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            linestyle="none",
            marker=look.marker,
            markerfacecolor="none",
            markeredgecolor=look.color,
        )
    if steps["mean"].notna().any():
        style.log_values(axes)
    axes.set_ylabel("Steps (open: not reached)")


@register("binary-size")
def binary_size(config: Config, declared: Artefact) -> Drawing:
    """Test accuracy of network and linearization against training-set size, one panel per model."""
    runs = records.linearized_runs(config, declared.select, "binary", "network", "linear")
    data = measures.over_seeds(records.last_epochs(runs), ["label", "arm", "task"], "test_accuracy")
    models = by_model(data)
    figure, axes = style.panels(1, len(models), height=2.7, sharey=True)
    for (label, part), each in zip(models, axes[0], strict=True):
        for arm, line in part.groupby("arm", sort=False):
            _line(each, line, str(arm))
        _index_axis(each, part["task"], label, "Training examples")
    style.accuracies(axes[0], data["mean"], data["std"])
    axes[0, 0].set_ylabel("Test accuracy (%)")
    style.legend_below(figure, axes[0])
    return Drawing(figure, data)


@register("alignment-accuracy")
def alignment_accuracy(config: Config, declared: Artefact) -> Drawing:
    """Test accuracy against the target's alignment with the initial kernel; rank correlations."""
    arms = ("network", "linear")
    last = records.last_epochs(
        records.linearized_runs(config, declared.select, "eigenfunctions", *arms)
    )
    tasks = records.linearized_tasks(config, declared.select, "eigenfunctions", *arms)
    keys = ["model", "seed", "arm", "task"]
    data = last.merge(tasks[[*keys, "relative_alignment"]], on=keys)
    models = by_model(data)
    figure, axes = style.panels(1, len(models), height=2.7, sharey=True)
    for (label, part), each in zip(models, axes[0], strict=True):
        found = []
        for arm, dots in part.groupby("arm", sort=False):
            look = LOOKS[str(arm)]
            each.plot(
                dots["relative_alignment"],
                dots["test_accuracy"],
                linestyle="none",
                marker=look.marker,
                color=look.color,
                alpha=0.8,
                label=ARMS[str(arm)],
            )
            rho = measures.spearman(dots["relative_alignment"], dots["test_accuracy"])
            found.append(f"{ARMS[str(arm)]} {rho:.2f}")
        each.set_title(f"{label}\n" + r"Spearman $\rho$: " + ", ".join(found), fontsize=8)
        style.log_values(each, "x")
        each.set_xlabel("Alignment of the target / trace")
        style.percent(each, low=0.45)
    axes[0, 0].set_ylabel("Test accuracy (%)")
    style.legend_below(figure, axes[0])
    return Drawing(figure, data)


@register("model-comparison")
def model_comparison(config: Config, declared: Artefact) -> Drawing:
    """Models side by side: spectrum, and accuracy of network and linearization by index.

    For initialisations or widths that are models of their own in the study file.
    """
    arms = ("network", "linear")
    spectrum = records.spectra(config, declared.select)
    spectrum = measures.over_seeds(spectrum, ["label", "k"], "share")
    last = records.last_epochs(
        records.linearized_runs(config, declared.select, "eigenfunctions", *arms)
    )
    curves = measures.over_seeds(last, ["label", "arm", "task"], "test_accuracy")
    look = style.looks(spectrum["label"])
    figure, axes = style.panels(1, 3, height=2.6)
    for label, line in spectrum.groupby("label", sort=False):
        axes[0, 0].plot(line["k"], line["mean"], label=str(label), **look[str(label)].line)
    for each, arm in zip(axes[0, 1:], arms, strict=True):
        for label, line in curves[curves["arm"] == arm].groupby("label", sort=False):
            style.whiskers(each, line["task"], line["mean"], line["std"], look[str(label)], "")
        _index_axis(each, curves["task"], ARMS[arm].capitalize())
        style.percent(each, low=0.45)
        each.set_ylabel("Test accuracy (%)")
    style.log_values(axes[0, 0], "x")
    style.log_values(axes[0, 0])
    axes[0, 0].set_xlabel("Eigenvalue index k")
    axes[0, 0].set_ylabel("Share of the trace")
    axes[0, 0].set_title("Initial spectrum")
    style.legend_below(figure, axes[0])
    data = pd.concat([spectrum.assign(metric="share"), curves.assign(metric="test_accuracy")])
    return Drawing(figure, data.reset_index(drop=True))
