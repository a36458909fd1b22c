"""Figures: tangent kernels, at initialisation and in training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from firstorder.bounds import Index
from firstorder.config import Some
from firstorder.publish import measures, style
from firstorder.publish.registry import Results, figure
from firstorder.publish.style import Drawing
from firstorder.studies.linearized import frames
from firstorder.studies.linearized.labels import ARMS, by_model, target
from firstorder.studies.linearized.settings import ModelName

LOOKS = style.looks(ARMS)
# One kernel has one colour.
LOOKS["retrained-scaled"] = replace(LOOKS["retrained-scaled"], color=LOOKS["retrained"].color)


@figure("end-alignment", reads=("alignment.csv",))
def end_alignment(results: Results) -> Drawing:
    """Alignment of the trained kernel with the initial eigenfunctions, one curve per trained task.

    Log-log; grey: alignment at initialisation; a ring marks the trained index j, whose colour goes
    from dark to light. Rows: models, columns: training and test part. The first seed.
    """
    alignment = frames.of_file(results, "alignment.csv")
    data = alignment[(alignment["seed"] == alignment["seed"].min())]
    data = data[data["part"].isin(("train", "test"))]
    if data.empty:
        return _nothing(data)
    models, parts = by_model(data), {"train": "training part", "test": "test part"}
    colors = style.graded(data["task"])
    figure, axes = style.panels(len(models), 2, height=2.6, sharex=True, sharey="row")
    for (label, part), row in zip(models, axes, strict=True):
        for (name, title), each in zip(parts.items(), row, strict=True):
            _spikes(each, part[part["part"] == name], colors)
            each.set_title(f"{label}, {title}")
            style.log_values(each, "x")
            style.log_values(each)
        row[0].set_ylabel("Alignment A(uₖ)")
    for each in axes[-1]:
        each.set_xlabel("Index k of the initial eigenfunction")
    style.legend_below(figure, axes[0], f"one seed ({data['seed'].iloc[0]}), trained on task j")
    return Drawing(figure, data)


def _nothing(data: pd.DataFrame) -> Drawing:
    """A figure that says why there is nothing to see."""
    figure, axes = style.panels(1, 1)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, "Every network diverged.", ha="center", va="center")
    return Drawing(figure, data)


def _spikes(axes: Axes, part: pd.DataFrame, colors: dict[int, str]) -> None:
    for task, line in part.groupby("task", sort=True):
        color = colors[int(str(task))]
        axes.plot(line["k"], line["trained"], color=color, linewidth=0.9, label=f"j = {task}")
        spike = line[line["k"] == task]
        axes.plot(
            spike["k"],
            spike["trained"],
            linestyle="none",
            marker="o",
            markersize=6.5,
            markerfacecolor="none",
            markeredgecolor=color,
            markeredgewidth=1.4,
        )
    initial = part.drop_duplicates("k").sort_values("k")
    axes.plot(
        initial["k"], initial["initial"], color="#999999", linewidth=1.2, label="initialisation"
    )


@figure("kernel-spectrum", reads=("spectrum.npz",))
def kernel_spectrum(results: Results) -> Drawing:
    """Eigenvalues over the first one, and the share of the trace in the leading ones."""
    data = frames.spectra(results)
    largest = data.groupby(["model", "seed"])["eigenvalue"].transform("max")
    data = data.assign(relative=data["eigenvalue"] / largest)
    look = style.looks(data["label"])
    figure, axes = style.panels(1, 2, height=2.7)
    for (label, seed), line in data.groupby(["label", "seed"], sort=False):
        first = seed == data["seed"].min()
        drawn = {**look[str(label)].line, "linewidth": 1.4 if first else 0.8}
        positive = line[line["relative"] > 0]
        axes[0, 0].plot(
            positive["k"], positive["relative"], label=str(label) if first else "", **drawn
        )
        axes[0, 1].plot(line["k"], line["cumulative"], **drawn)
    style.log_values(axes[0, 0])
    axes[0, 0].set_ylabel("Eigenvalue λₖ / λ₁")
    axes[0, 1].set_ylabel("Share of the trace in the first k (%)")
    style.percent(axes[0, 1])
    for each in axes[0]:
        each.set_xscale("log")
        each.set_xlabel("Eigenvalue index k")
    style.legend_below(figure, axes[0], _lines(data["seed"].nunique()))
    return Drawing(figure, data)


def _lines(seeds: int) -> str:
    return "one seed" if seeds == 1 else f"one line each of n = {seeds} seeds, the first wider"


@figure("kernel-evolution", reads=("evolution.csv", "energy.csv"))
def kernel_evolution(results: Results) -> Drawing:
    """How the kernel turns towards its training target.

    Left: alignment over trace per epoch, relative to initialisation, on the training part (lines)
    and the test part (dashes). Right: energy of the target in the leading K eigenvectors at
    initialisation, half-way and the end. Rows: models. Mean over seeds.
    """
    evolution = frames.of_file(results, "evolution.csv")
    energy = frames.of_file(results, "energy.csv")
    keys = ["label", "family", "task", "part", "seed"]
    start = evolution.sort_values("epoch").groupby(keys)["relative"].transform("first")
    evolution = evolution.assign(growth=evolution["relative"] / start)
    growth = measures.over_seeds(evolution, ["label", "family", "task", "part", "epoch"], "growth")
    share = measures.over_seeds(
        energy, ["label", "family", "task", "moment", "components"], "energy"
    )
    models = by_model(growth)
    look = style.looks(growth["family"] + " " + growth["task"].astype(str))
    figure, axes = style.panels(len(models), 2, height=2.35)
    for (label, part), row in zip(models, axes, strict=True):
        for (family, task, name), line in part.groupby(["family", "task", "part"], sort=False):
            own = look[f"{family} {task}"]
            row[0].plot(
                line["epoch"],
                line["mean"],
                color=own.color,
                marker=own.marker,
                markevery=0.2,
                linestyle="-" if name == "train" else style.LINES[1],
                label=target(results, str(family), task),
            )
        row[0].set_title(f"{label}: alignment with the target\n(dashed: test part)")
        row[0].set_ylabel("Alignment / trace\n(initially 1)")
        style.log_values(row[0])
        _energies(row[1], share[share["label"] == label], look)
        row[1].set_title(f"{label}: energy of the target\n(dotted: start, dashed: half-way)")
    for each in axes[:, 0]:
        style.epochs(each)
    style.legend_below(figure, axes[0], style.seeds(growth["count"], "mean"))
    data = pd.concat([growth.assign(metric="growth"), share.assign(metric="energy")])
    return Drawing(figure, data.reset_index(drop=True))


def _energies(axes: Axes, share: pd.DataFrame, look: dict[str, style.Look]) -> None:
    moments = {"init": style.LINES[2], "mid": style.LINES[1], "end": "-"}
    for (family, task, moment), line in share.groupby(["family", "task", "moment"], sort=False):
        own = look[f"{family} {task}"]
        drawn: dict[str, Any] = {**own.points, "linestyle": moments[str(moment)], "markersize": 3}
        axes.plot(line["components"], line["mean"], **drawn)
    style.log_index(axes, share["components"])
    axes.set_xlabel("Leading eigenvectors K")
    axes.set_ylabel("Energy in the first K (%)")
    style.percent(axes)


CURVES = ("network", "linear0", "retrained", "retrained-scaled")
SOLVED = {"converged0": "linear0", "retrained-converged": "retrained"}
"""Arms without epochs, and whose colour they have."""


@figure(
    "rotated-kernel",
    reads=("network.csv", "linear0.csv", "retrained.csv", "retrained-scaled.csv",
           "converged0.csv", "retrained-converged.csv"),
)  # fmt: skip
def rotated_kernel(
    results: Results, *, model: ModelName | None = None, tasks: Some[Index] | None = None
) -> Drawing:
    """Training loss and test accuracy per epoch: network, linear on initial and trained kernel.

    Rows: one task each, of one model. Default: the first model, also where the scale lacks
    `model`, and at most two tasks that all arms trained. Means over seeds, in a band of their range
    (loss) or of one standard deviation (accuracy). Short lines at the right are the converged
    linear models.
    """
    family = frames.first_family(results)
    runs = frames.runs(results, *CURVES, *SOLVED, family=family)
    models = list(runs["model"])
    runs = runs[runs["model"] == (model if model in models else models[0])]
    common = set.intersection(*(set(runs[runs["arm"] == arm]["task"]) for arm in CURVES))
    wanted = _spaced(sorted(common), 2) if tasks is None else list(tasks)
    runs = runs[runs["task"].isin(wanted)]
    keys = ["label", "task", "arm", "epoch"]
    named = {n: measures.over_seeds(runs, keys, n) for n in ("train_loss", "test_accuracy")}
    ends = runs.groupby(keys, sort=False)["train_loss"].agg(["min", "max"]).reset_index()
    named["train_loss"] = named["train_loss"].merge(ends, on=keys)
    data = pd.concat([part.assign(metric=name) for name, part in named.items()], ignore_index=True)
    shown = sorted(set(runs["task"]))
    figure, axes = style.panels(len(shown), 2, height=2.1, sharex=True)
    for task, row in zip(shown, axes, strict=True):
        for (name, part), each in zip(named.items(), row, strict=True):
            for arm, line in part[part["task"] == task].groupby("arm", sort=False):
                if arm in SOLVED:
                    if name == "test_accuracy":
                        _at_the_end(each, float(line["mean"].iloc[0]), str(arm))
                    continue
                spread = (line["min"], line["max"]) if name == "train_loss" else line["std"]
                look, label = LOOKS[str(arm)], ARMS[str(arm)]
                style.band(each, line["epoch"], line["mean"], spread, look, label)
            each.set_title(f"{part['label'].iloc[0]}, {target(results, family, task)}")
            each.set_ylabel("Training loss" if name == "train_loss" else "Test accuracy (%)")
        losses = named["train_loss"]
        if not style.spanning(row[0], losses.loc[losses["task"] == task, "mean"]):
            row[0].set_ylim(bottom=0.0, top=min(row[0].get_ylim()[1], 1.5))
        style.accuracies(row[1:], data.loc[data["metric"] == "test_accuracy", "mean"],
                         data.loc[data["metric"] == "test_accuracy", "std"])  # fmt: skip
    for each in axes[-1]:
        style.epochs(each)
    mark = "mean ± standard deviation (loss: mean and range)"
    style.legend_below(figure, axes[0], style.seeds(data["count"], mark))
    return Drawing(figure, data)


def _at_the_end(axes: Axes, value: float, arm: str) -> None:
    """A short line at the right end of an axis."""
    color = LOOKS[SOLVED[arm]].color
    axes.axhline(
        value, xmin=0.9, color=color, linewidth=2.4, solid_capstyle="butt", label=ARMS[arm]
    )


def _spaced(values: list[int], number: int) -> list[int]:
    """`number` values spread over a sorted list, its ends avoided where it is long enough."""
    if len(values) <= number:
        return values
    return [values[round((i + 1) * (len(values) - 1) / (number + 1))] for i in range(number)]
