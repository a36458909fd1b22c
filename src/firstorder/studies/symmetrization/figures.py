"""Figures of the study of symmetrized losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from firstorder.config import Some
from firstorder.errors import ConfigError, DataError
from firstorder.publish import grid, style
from firstorder.publish.looks import loss_look
from firstorder.publish.registry import Results, figure
from firstorder.publish.style import Drawing
from firstorder.studies.symmetrization import frames
from firstorder.studies.symmetrization.settings import FamilyName
from firstorder.studies.symmetrization.variants import NORMS


def loss_looks(results: Results, shown: list[str]) -> dict[str, style.Look]:
    """Looks of losses, the same in every figure."""
    return {name: loss_look(frames.named(results, name)) for name in shown}


def _headings(results: Results) -> dict[str, str]:
    """The heading of every setting."""
    return frames.printed(results, "heading", "setting")


def _noises(results: Results) -> dict[str, str]:
    """How every noise is printed."""
    return frames.printed(results, "noise_label", "noise")


@figure("learning-curves", reads=("history.csv", "summary.json"))
def learning_curves(results: Results) -> Drawing:
    """Test accuracy and the share of wrong labels fitted against the epoch, by noise and loss."""
    histories, runs = frames.histories(results), frames.runs(results)
    if histories.empty:
        raise DataError("learning-curves: every training diverged in its first epoch")
    keys = ["setting", "dataset", "noise", "kind", "rate", "loss", "label", "epoch"]
    shown = ["test_accuracy", "wrong_fitted"]
    columns = {f"{n}_{what}": (n, what) for n in shown for what in ("mean", "std", "count")}
    data = histories.groupby(keys, sort=False, dropna=False).agg(**columns).reset_index()
    look = loss_looks(results, list(data["loss"]))
    headings, noises = _headings(results), _noises(results)
    groups = list(data.groupby(["setting", "noise"], sort=False))
    figure, axes = style.panels(2, len(groups), height=2.15, sharex="col", sharey="row")
    for (_, part), top, bottom in zip(groups, axes[0], axes[1], strict=True):
        first = part.iloc[0]
        noise = noises[first["noise"]]
        top.set_title(f"{headings[first['setting']]}\n{frames.with_kind(noise, first['kind'])}")
        for loss, line in part.groupby("loss", sort=False):
            _curve(top, line, "test_accuracy", look[str(loss)])
            _curve(bottom, line, "wrong_fitted", look[str(loss)])
        style.epochs(bottom)
        style.percent(bottom)
    style.accuracies(axes[0], data["test_accuracy_mean"], data["test_accuracy_std"])
    axes[0, 0].set_ylabel("Test accuracy (%)")
    axes[1, 0].set_ylabel("Wrong labels fitted (%)")
    counts = data["test_accuracy_count"]
    said = style.seeds(counts[counts > 0]) + frames.diverged(runs, "drawn up to then")
    style.legend_below(figure, axes[0], said)
    return Drawing(figure, data)


def _curve(axes: Axes, line: pd.DataFrame, name: str, look: style.Look) -> None:
    line = line[line[f"{name}_count"] > 0]  # not every epoch is evaluated
    mean, std = line[f"{name}_mean"], line[f"{name}_std"]
    few: dict[str, Any] = {"marker": look.marker, "markersize": 3, "markevery": 0.15}
    style.band(axes, line["epoch"], mean, std, look, line["label"].iloc[0], **few)


def _accuracy(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean and spread of the last test accuracy over seeds; diverged runs count as they ended."""
    grouped = runs.groupby(keys, sort=False, dropna=False)
    data = grouped["last_accuracy"].agg(["mean", "std", "count"]).reset_index()
    diverged = grouped["status"].agg(lambda status: int((status == "diverged").sum()))
    return data.assign(diverged=diverged.to_numpy())


def _trainings(data: pd.DataFrame) -> str:
    """What a mark shows, and how many trainings diverged, for the title of a legend."""
    failed = int(data["diverged"].sum())
    said = f"; diverged: {failed}, by the last accuracy they had" if failed else ""
    return style.seeds(data["count"]) + said


@figure("accuracy-by-noise", reads=("summary.json",))
def accuracy_by_noise(results: Results) -> Drawing:
    """Last test accuracy against the noise rate, one line per loss.

    One panel for every setting and way of drawing labels: a line joins rates of one noise alone.
    """
    runs = frames.runs(results).dropna(subset="rate")  # files of labels have a rate of their own
    if runs.empty:
        raise DataError("accuracy-by-noise: no noise of the selection has a rate; select others")
    keys = ["setting", "dataset", "kind", "drawn", "noise", "rate", "loss", "label"]
    data = _accuracy(runs, keys)
    look, headings = loss_looks(results, list(data["loss"])), _headings(results)
    groups = list(data.groupby(["setting", "drawn"], sort=False))
    figure, axes = style.panels(
        1, len(groups), height=3.0, width=min(style.WIDE, 4.2 * len(groups))
    )
    for ((setting, drawn), part), each in zip(groups, axes[0], strict=True):
        for loss, line in part.groupby("loss", sort=False):
            line = line.sort_values("rate")
            label = line["label"].iloc[0]
            style.whiskers(each, line["rate"], line["mean"], line["std"], look[str(loss)], label)
        each.set_title(headings[str(setting)])
        each.set_xlabel(f"Rate of {drawn} (%)")
        style.percent(each, "x", 0.0, float(part["rate"].max()) or 1.0)
        each.set_xticks(sorted(set(part["rate"])))
    style.accuracies(axes[0], data["mean"], data["std"])
    axes[0, 0].set_ylabel("Test accuracy, last epoch (%)")
    style.legend_below(figure, axes[0], _trainings(data))
    return Drawing(figure, data)


@figure("sensitivity", reads=("summary.json",))
def sensitivity(results: Results, *, variants: Some[FamilyName]) -> Drawing:
    """Last test accuracy against a loss parameter, one line per noise, one panel per family.

    `variants` names families of variants of one parameter; the selection's loss group has them
    all.
    """
    runs = frames.runs(results)
    parts = []
    for name in variants:
        members = {each["loss"]: each for each in frames.variants(results, name)}
        part = runs[runs["loss"].isin(members)]
        if part.empty:
            continue  # a scale may run fewer losses
        one = next(iter(members.values()))
        if one["parameter"] is None:
            raise ConfigError(f"study.yaml: variants.{name}: needs `vary: parameter`")
        values = [float(members[loss]["value"]) for loss in part["loss"]]
        named = {"family": one["base_label"], "parameter": one["parameter"]}
        parts.append(part.assign(**named, value=values))
    keys = ["setting", "dataset", "family", "parameter", "value", "noise", "kind", "rate"]
    data = _accuracy(pd.concat(parts), keys)
    groups = list(data.groupby(["setting", "family"], sort=False))
    look, headings, noises = style.looks(data["noise"]), _headings(results), _noises(results)
    width = min(style.WIDE, 3.6 * len(groups))
    figure, axes = style.panels(1, len(groups), height=2.7, width=width, sharey=True)
    for ((setting, family), part), each in zip(groups, axes[0], strict=True):
        for noise, line in part.groupby("noise", sort=False):
            line = line.sort_values("value")
            label = frames.with_kind(noises[str(noise)], line["kind"].iloc[0])
            own = look[str(noise)]
            style.band(
                each, line["value"], line["mean"], line["std"], own, label, marker=own.marker
            )
        each.set_title(f"{family}, {headings[str(setting)]}")
        parameter = part["parameter"].iloc[0]
        each.set_xlabel(f"Parameter {grid.SYMBOLS.get(parameter, parameter)}")
        if part["value"].min() > 0 and part["value"].max() / part["value"].min() > 20:
            style.log_values(each, "x")
    style.accuracies(axes[0], data["mean"], data["std"])
    axes[0, 0].set_ylabel("Test accuracy, last epoch (%)")
    style.legend_below(figure, axes[0], _trainings(data))
    return Drawing(figure, data)


@figure("score-norms", reads=("summary.json",))
def score_norms(results: Results, *, variants: FamilyName) -> Drawing:
    """Last test accuracy and largest score of the losses without and with score normalisation.

    `variants` names the family of variants that vary score_norm.
    """
    members = frames.variants(results, variants)
    runs = frames.runs(results)
    kinds = {each["loss"]: (each["base_label"], str(each["value"])) for each in members}
    runs = runs[runs["loss"].isin(kinds)]
    runs = runs.assign(
        base=[kinds[loss][0] for loss in runs["loss"]],
        norm=[kinds[loss][1] for loss in runs["loss"]],
    )
    keys = ["setting", "dataset", "noise", "kind", "rate", "base", "norm"]
    data = _accuracy(runs, keys)
    data["score_max"] = runs.groupby(keys, sort=False, dropna=False)["score_max"].max().to_numpy()
    groups = list(data.groupby(["setting", "noise"], sort=False))
    look = style.looks(str(each["value"]) for each in members)
    headings, noises = _headings(results), _noises(results)
    figure, axes = style.panels(2, len(groups), height=1.9, sharey="row", sharex="col")
    for (_, part), top, bottom in zip(groups, axes[0], axes[1], strict=True):
        first, bases = part.iloc[0], list(dict.fromkeys(part["base"]))
        for offset, (norm, line) in enumerate(part.groupby("norm", sort=False)):
            at = [bases.index(base) + 0.22 * (offset - 1) for base in line["base"]]
            points: dict[str, Any] = {
                "color": look[str(norm)].color,
                "marker": look[str(norm)].marker,
            }
            top.errorbar(
                at,
                line["mean"],
                yerr=line["std"].fillna(0.0),
                linestyle="none",
                capsize=2,
                label=NORMS[str(norm)],
                **points,
            )
            bottom.plot(at, line["score_max"], linestyle="none", **points)
        said = frames.with_kind(noises[first["noise"]], first["kind"])
        top.set_title(f"{headings[first['setting']]}\n{said}")
        bottom.set_xticks(range(len(bases)), bases)
        bottom.set_xlim(-0.5, len(bases) - 0.5)
    style.accuracies(axes[0], data["mean"], data["std"])
    style.log_values(axes[1, 0])
    axes[0, 0].set_ylabel("Test accuracy (%)")
    axes[1, 0].set_ylabel("Largest |score|")
    style.legend_below(figure, axes[0], _trainings(data))
    return Drawing(figure, data)


@figure("cost-bars", reads=("cost.json",))
def cost_bars(results: Results) -> Drawing:
    """Measured time of a training step, per loss and setting: median and quartiles of rounds."""
    keys = ["setting", "dataset", "device", "loss", "label"]
    rounds = frames.costs(results).groupby(keys, sort=False)["milliseconds"]
    data = (
        rounds.quantile(np.array([0.25, 0.5, 0.75]))
        .unstack()
        .set_axis(["low", "median", "high"], axis=1)
    )
    data = data.assign(count=rounds.size()).reset_index()
    groups = list(data.groupby(["setting", "device"], sort=False))
    headings = _headings(results)
    height = 0.9 + 0.21 * data["loss"].nunique()
    width = min(style.WIDE, 4.5 * len(groups))
    figure, axes = style.panels(1, len(groups), height=height, width=width, sharey=True)
    for ((setting, device), part), each in zip(groups, axes[0], strict=True):
        at = np.arange(len(part))
        each.barh(
            at,
            part["median"],
            xerr=[part["median"] - part["low"], part["high"] - part["median"]],
            color=style.OKABE_ITO[2],
            height=0.62,
            error_kw={"elinewidth": 0.9, "capsize": 2},
        )
        each.set_yticks(at, part["label"])
        each.grid(visible=False, axis="y")
        each.set_title(f"{headings[str(setting)]}, {str(device).removeprefix('cpu: ')}")
        each.set_xlabel("Time per training step (ms)")
        each.set_xlim(left=0.0, right=1.05 * float(part["high"].max()))
    axes[0, 0].invert_yaxis()
    style.legend_below(figure, [], f"quartiles of {data['count'].max()} rounds by turns")
    return Drawing(figure, data)
