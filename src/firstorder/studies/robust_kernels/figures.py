"""Figures: accuracy against noise, losses along their paths, kernels that turn."""

from __future__ import annotations

from typing import Any

import pandas as pd

from firstorder.publish import style
from firstorder.publish.looks import loss_look
from firstorder.publish.registry import Results, figure
from firstorder.publish.style import Drawing, Look
from firstorder.studies.robust_kernels import frames


@figure("accuracy-under-noise", reads=("accuracy.csv", "predicted.csv"))
def accuracy_under_noise(results: Results) -> Drawing:
    """Measured and predicted test accuracy against the rate; a row a kernel, a column a sampler."""
    measured = frames.of_kernels(results, "accuracy.csv", frames.MEASURED)
    predicted = frames.of_kernels(results, "predicted.csv", frames.PREDICTED)
    keys = ["title", "sampler", "rate"]
    mean = (
        measured.groupby([*keys, "classifier"], sort=False)["accuracy"]
        .agg(["mean", "std", "count"])
        .reset_index()
    )
    line = predicted.groupby(keys, sort=False)["accuracy"].mean().reset_index()
    mean, line = mean.sort_values("rate"), line.sort_values("rate")
    titles = list(dict.fromkeys(measured["title"]))
    drawn, axes = style.panels(len(titles), 2, height=2.5, sharex=True, sharey=True)
    names = frames.classifiers(results)
    looks = style.looks(names.values())
    for row, title in zip(axes, titles, strict=True):
        for panel, (sampler, said) in zip(row, frames.SAMPLERS.items(), strict=True):
            own = mean[(mean["title"] == title) & (mean["sampler"] == sampler)]
            told = line[(line["title"] == title) & (line["sampler"] == sampler)]
            panel.plot(
                told["rate"], told["accuracy"], color="#777777", linewidth=3.5, alpha=0.55,
                label="mean classifier, predicted from two moments", solid_capstyle="round",
            )  # fmt: skip
            for name, label in names.items():
                one = own[own["classifier"] == name]
                more: dict[str, Any] = {"linestyle": "none"} if name == "mean" else {}
                style.whiskers(
                    panel, one["rate"], one["mean"], one["std"], looks[label], label, **more
                )
            panel.set_title(f"{title}: {said}" if len(titles) > 1 else f"Labels {_drawn(said)}")
            style.percent(panel)
            style.percent(panel, "x", high=0.9)
        row[0].set_ylabel("Test accuracy (%)")
    for panel in axes[-1]:
        panel.set_xlabel("Noise rate (%)")
    style.legend_below(drawn, axes.flat, style.seeds(mean["count"], unit="draw"))
    told = line.rename(columns={"accuracy": "mean"}).assign(classifier="mean, predicted")
    return Drawing(drawn, pd.concat([mean, told], ignore_index=True))


def _drawn(said: str) -> str:
    return f"in {said}" if said.startswith("exact") else said


@figure("paths", reads=("paths.csv",))
def paths(results: Results) -> Drawing:
    """Test accuracy and wrong labels fitted along the steps; a row a kernel and rate."""
    frame = frames.of_kernels(results, "paths.csv", frames.PATHS)
    metrics = {"test_accuracy": "Test accuracy (%)", "wrong_fitted": "Wrong labels fitted (%)"}
    mean = (
        frame.groupby(["title", "rate", "loss", "step"], sort=False)[list(metrics)]
        .mean()
        .reset_index()
    )
    panels = list(dict.fromkeys(zip(mean["title"], mean["rate"], strict=True)))
    drawn, axes = style.panels(len(panels), 2, height=2.3, sharex=True)
    labels = frames.labels(results)
    looks = {label: loss_look(slug) for slug, label in labels.items()}
    one_kernel = mean["title"].nunique() == 1
    for row, (title, rate) in zip(axes, panels, strict=True):
        own = mean[(mean["title"] == title) & (mean["rate"] == rate) & (mean["step"] > 0)]
        for panel, (metric, said) in zip(row, metrics.items(), strict=True):
            for place, (slug, label) in enumerate(labels.items()):
                one = own[own["loss"] == slug]
                # Marks at steps of its own: lines of several losses coincide.
                marks = (place, len(labels))
                panel.plot(one["step"], one[metric], label=label, markevery=marks,
                           **looks[label].points)  # fmt: skip
            noise = f"{100 * rate:.0f} % noise"
            panel.set_title(noise if one_kernel else f"{title}, {noise}")
            style.log_values(panel, "x")
            panel.set_ylabel(said)
        style.accuracies([row[0]], own["test_accuracy"])
        style.percent(row[1], high=max(0.1, float(own["wrong_fitted"].max())))
    for panel in axes[-1]:
        panel.set_xlabel("Steps of gradient descent")
    seeds = frame.groupby(["title", "rate", "loss"], sort=False)["seed"].nunique()
    style.legend_below(drawn, axes.flat, style.seeds(seeds, "mean", "kernel and draw"))
    return Drawing(drawn, mean)


@figure("rotation", reads=("rotation.csv",))
def rotation(results: Results) -> Drawing:
    """rho by epoch (mean and range over seeds), and at the end against test accuracy."""
    frame = frames.of_networks(results).dropna(subset=["rho"])
    last = frames.ends(results)
    titles = list(dict.fromkeys(frame["title"]))
    drawn, axes = style.panels(len(titles), 2, height=2.6)
    labels = frames.labels(results)
    looks = {label: loss_look(slug) for slug, label in labels.items()}
    for row, title in zip(axes, titles, strict=True):
        for slug, label in labels.items():
            own = frame[(frame["title"] == title) & (frame["loss"] == slug)]
            _by_epoch(row[0], own, looks[label], label)
            end = last[(last["title"] == title) & (last["loss"] == slug)]
            row[1].plot(
                end["rho"], end["test_accuracy"], linestyle="none", label=label,
                color=looks[label].color, marker=looks[label].marker,
            )  # fmt: skip
        row[0].set_ylabel("ρ, clean over noise")
        style.log_values(row[0])
        row[1].set_xlabel("ρ at the end")
        style.log_values(row[1], "x")
        row[1].set_ylabel("Test accuracy (%)")
        style.accuracies([row[1]], last.loc[last["title"] == title, "test_accuracy"])
        if len(titles) > 1:
            row[0].set_title(title)
            row[1].set_title(title)
        style.epochs(row[0])
    seeds = frame.groupby(["title", "loss"], sort=False)["seed"].nunique()
    said = f"left: {style.seeds(seeds, 'mean and range')}; right: one mark a seed"
    lost = frames.without_end(results, last).values()
    without = dict.fromkeys(each for losses in lost for each in losses.values())
    if without:
        said += f"; without ρ at the end: {', '.join(without)}"
    style.legend_below(drawn, axes.flat, said)
    return Drawing(drawn, frame)


def _by_epoch(panel: Any, own: pd.DataFrame, look: Look, label: str) -> None:
    rho = own.groupby("epoch")["rho"].agg(["mean", "min", "max"])
    ends = (rho["min"], rho["max"])
    style.band(panel, rho.index, rho["mean"], ends, look, label, marker=look.marker)
