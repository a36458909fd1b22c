"""Figures of the study of symmetrized losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from firstorder.config import Artefact, Config, Loss, loss_group, losses, variant_names
from firstorder.errors import ConfigError
from firstorder.publish import grid, records, style
from firstorder.publish.registry import register
from firstorder.publish.style import Drawing
from firstorder.publish.table import data_title, noise_label

KINDS = {
    "symmetric": "symmetric noise",
    "asymmetric": "asymmetric noise",
    "pairflip": "pair-flip noise",
    "instance": "instance noise",
    "human": "human noise",
}


def loss_looks(config: Config, shown: list[str]) -> dict[str, style.Look]:
    """Looks of losses, the same in every figure.

    The losses of the learning curves come first, so that each of them has a colour of its own.
    """
    groups = config.studies.symmetrization.losses
    return style.looks([*groups.get("curves", ()), *groups.get("comparison", ()), *shown])


def _title(config: Config, setting: str, dataset: str) -> str:
    same = [s for s in config.scale.symmetrization.settings.values() if s.dataset == dataset]
    title = data_title(config, dataset)
    return f"{title} ({setting})" if len(same) > 1 else title


@register("learning-curves")
def learning_curves(config: Config, declared: Artefact) -> Drawing:
    """Test accuracy and the share of wrong labels fitted against the epoch, by noise and loss."""
    histories = records.symmetrization_histories(config, declared.select)
    keys = ["setting", "dataset", "noise", "kind", "rate", "loss", "label", "epoch"]
    shown = ["test_accuracy", "wrong_fitted"]
    columns = {f"{n}_{what}": (n, what) for n in shown for what in ("mean", "std", "count")}
    data = histories.groupby(keys, sort=False, dropna=False).agg(**columns).reset_index()
    look = loss_looks(config, list(data["loss"]))
    groups = list(data.groupby(["setting", "noise"], sort=False))
    figure, axes = style.panels(2, len(groups), height=2.15, sharex="col", sharey="row")
    for (_, part), top, bottom in zip(groups, axes[0], axes[1], strict=True):
        first = part.iloc[0]
        noise = noise_label(config, first["noise"], first["kind"], first["rate"])
        what = "clean labels" if noise == "clean" else f"{noise} {KINDS[first['kind']]}"
        top.set_title(f"{_title(config, first['setting'], first['dataset'])}\n{what}")
        for loss, line in part.groupby("loss", sort=False):
            _curve(top, line, "test_accuracy", look[str(loss)])
            _curve(bottom, line, "wrong_fitted", look[str(loss)])
        style.epochs(bottom)
        style.percent(bottom)
    style.accuracies(axes[0], data["test_accuracy_mean"])
    axes[0, 0].set_ylabel("Test accuracy (%)")
    axes[1, 0].set_ylabel("Wrong labels fitted (%)")
    style.legend_below(figure, axes[0])
    return Drawing(figure, data)


def _curve(axes: Axes, line: pd.DataFrame, name: str, look: style.Look) -> None:
    line = line[line[f"{name}_count"] > 0]  # not every epoch is evaluated
    mean, std = line[f"{name}_mean"], line[f"{name}_std"].fillna(0.0)
    style.band(axes, line["epoch"], mean, std, look, line["label"].iloc[0])


@register("loss-shapes")
def loss_shapes(config: Config, declared: Artefact) -> Drawing:
    """Loss and size of its gradient in the scores, against p_y with the other classes equal.

    Options: losses (a group), classes (K, default 10), points (default 199). Each loss is shifted
    to zero at equal scores. Computed from the definitions: no run is needed.
    """
    options = declared.options
    classes, points = int(options.get("classes", 10)), int(options.get("points", 199))
    known, names = losses(config), loss_group(config, str(options.get("losses", "comparison")))
    data = pd.concat([_shape(name, known[name], classes, points) for name in names])
    look = loss_looks(config, list(names))
    figure, axes = style.panels(1, 2, height=3.1)
    for name, line in data.groupby("loss", sort=False):
        drawn = {
            **look[str(name)].points,
            "markevery": (points // 12, points // 6),
            "markersize": 3.2,
        }
        axes[0, 0].plot(line["probability"], line["value"], label=line["label"].iloc[0], **drawn)
        axes[0, 1].plot(line["probability"], line["gradient"], **drawn)
    shown = ("Loss, zero at equal scores", "Norm of the gradient in the scores")
    for each, what in zip(axes[0], shown, strict=True):
        each.axvline(1.0 / classes, color="#888888", linewidth=0.8, linestyle=(0, (1, 2)))
        each.set_xlabel("Probability $p_y$ of the label")
        each.set_ylabel(what)
        each.set_xlim(0.0, 1.0)
    axes[0, 1].set_ylim(bottom=0.0)
    style.legend_below(figure, axes[0])
    return Drawing(figure, data.reset_index(drop=True))


def _shape(name: str, loss: Loss, classes: int, points: int) -> pd.DataFrame:
    """Value and gradient norm of one loss along p_y, in float64."""
    import torch  # here, so that the figures that need no torch need not wait for it

    from firstorder.losses import build

    built = build(loss.function or name, num_classes=classes, **loss.parameters)
    p = torch.linspace(0.0, 1.0, points + 2, dtype=torch.float64)[1:-1]
    p = torch.cat([p, torch.tensor([1.0 / classes], dtype=torch.float64)])
    rest = ((1.0 - p) / (classes - 1)).unsqueeze(1).expand(-1, classes - 1)
    scores = torch.cat([p.unsqueeze(1), rest], dim=1).log().requires_grad_()
    values = built.values(scores)[:, 0]
    (gradient,) = torch.autograd.grad(values.sum(), scores)
    shifted = (values - values[-1]).detach()
    return pd.DataFrame(
        {
            "loss": name,
            "label": loss.label,
            "probability": p[:-1].numpy(),
            "value": shifted[:-1].numpy(),
            "gradient": gradient.norm(dim=1)[:-1].numpy(),
        }
    )


def _accuracy(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean and spread of the last test accuracy over seeds; diverged runs count as they ended."""
    grouped = runs.groupby(keys, sort=False, dropna=False)
    data = grouped["last_accuracy"].agg(["mean", "std", "count"]).reset_index()
    diverged = grouped["status"].agg(lambda status: int((status == "diverged").sum()))
    return data.assign(diverged=diverged.to_numpy())


@register("accuracy-by-noise")
def accuracy_by_noise(config: Config, declared: Artefact) -> Drawing:
    """Last test accuracy against the noise rate, one line per loss, one panel per setting."""
    runs = records.symmetrization_runs(config, declared.select)
    data = _accuracy(runs, ["setting", "dataset", "kind", "rate", "loss", "label"])
    look = loss_looks(config, list(data["loss"]))
    groups = list(data.groupby(["setting", "dataset"], sort=False))
    figure, axes = style.panels(
        1, len(groups), height=3.0, width=min(style.WIDE, 4.2 * len(groups))
    )
    for ((setting, dataset), part), each in zip(groups, axes[0], strict=True):
        for loss, line in part.groupby("loss", sort=False):
            line = line.sort_values("rate")
            label = line["label"].iloc[0]
            style.whiskers(each, line["rate"], line["mean"], line["std"], look[str(loss)], label)
        each.set_title(_title(config, str(setting), str(dataset)))
        each.set_xlabel(f"Rate of {KINDS[part['kind'].iloc[-1]]} (%)")
        style.percent(each, "x", 0.0, float(part["rate"].max()))
    style.accuracies(axes[0], data["mean"], data["std"])
    axes[0, 0].set_ylabel("Test accuracy, last epoch (%)")
    style.legend_below(figure, axes[0])
    return Drawing(figure, data)


@register("sensitivity")
def sensitivity(config: Config, declared: Artefact) -> Drawing:
    """Last test accuracy against a loss parameter, one line per noise, one panel per family.

    Options: variants (names of families of variants of one parameter; the selection's loss group
    has them all).
    """
    study, known = config.studies.symmetrization, losses(config)
    runs = records.symmetrization_runs(config, declared.select)
    parts = []
    for family in declared.options["variants"]:
        parameter = study.variants[family].parameter
        if parameter is None:
            raise ConfigError(f"symmetrization.yaml: variants.{family}: needs `vary: parameter`")
        part = runs[runs["loss"].isin(loss_group(config, family))]
        values = pd.Series(
            [
                known[loss].on(dataset).parameters[parameter]
                for loss, dataset in zip(part["loss"], part["dataset"], strict=True)
            ],
            index=part.index,
        )
        base = config.losses[study.variants[family].losses[0]].label
        parts.append(part.assign(family=base, parameter=parameter, value=values.astype(float)))
    keys = ["setting", "dataset", "family", "parameter", "value", "noise", "kind", "rate"]
    data = _accuracy(pd.concat(parts), keys)
    groups = list(data.groupby(["setting", "family"], sort=False))
    look = style.looks(data["noise"])
    width = min(style.WIDE, 3.6 * len(groups))
    figure, axes = style.panels(1, len(groups), height=2.7, width=width, sharey=True)
    for ((setting, family), part), each in zip(groups, axes[0], strict=True):
        for noise, line in part.groupby("noise", sort=False):
            line, first = line.sort_values("value"), line.iloc[0]
            label = noise_label(config, str(noise), first["kind"], first["rate"])
            spread = line["std"].fillna(0.0)
            style.band(
                each,
                line["value"],
                line["mean"],
                spread,
                look[str(noise)],
                label,
                marker=look[str(noise)].marker,
            )
        each.set_title(f"{family}, {_title(config, str(setting), part['dataset'].iloc[0])}")
        name = grid.SYMBOLS.get(part["parameter"].iloc[0], part["parameter"].iloc[0])
        each.set_xlabel(f"Parameter {name}")
        if part["value"].min() > 0 and part["value"].max() / part["value"].min() > 20:
            style.log_values(each, "x")
    style.accuracies(axes[0], data["mean"], data["std"])
    axes[0, 0].set_ylabel("Test accuracy, last epoch (%)")
    style.legend_below(figure, axes[0])
    return Drawing(figure, data)


@register("score-norms")
def score_norms(config: Config, declared: Artefact) -> Drawing:
    """Last test accuracy and largest score of the losses without and with score normalisation.

    Options: variants (name of the family of variants that vary score_norm).
    """
    family = str(declared.options["variants"])
    study = config.studies.symmetrization.variants[family]
    runs = records.symmetrization_runs(config, declared.select)
    kinds = {
        name: (config.losses[loss].label, str(value))
        for (loss, value), name in variant_names(config, family).items()
    }
    runs = runs[runs["loss"].isin(kinds)]
    runs = runs.assign(
        base=[kinds[loss][0] for loss in runs["loss"]],
        norm=[kinds[loss][1] for loss in runs["loss"]],
    )
    keys = ["setting", "dataset", "noise", "kind", "rate", "base", "norm"]
    data = _accuracy(runs, keys)
    data["score_max"] = runs.groupby(keys, sort=False, dropna=False)["score_max"].max().to_numpy()
    groups = list(data.groupby(["setting", "noise"], sort=False))
    look = style.looks(map(str, study.values))
    names = {"none": "no normalisation", "l2": "Euclidean norm", "bn": "batch norm"}
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
                label=names[str(norm)],
                **points,
            )
            bottom.plot(at, line["score_max"], linestyle="none", **points)
        noise = noise_label(config, first["noise"], first["kind"], first["rate"])
        top.set_title(f"{_title(config, first['setting'], first['dataset'])}, {noise}")
        bottom.set_xticks(range(len(bases)), bases)
        bottom.set_xlim(-0.5, len(bases) - 0.5)
    style.accuracies(axes[0], data["mean"], data["std"])
    style.log_values(axes[1, 0])
    axes[0, 0].set_ylabel("Test accuracy (%)")
    axes[1, 0].set_ylabel("Largest |score|")
    style.legend_below(figure, axes[0])
    return Drawing(figure, data)


@register("cost-bars")
def cost_bars(config: Config, declared: Artefact) -> Drawing:
    """Measured time of a training step, per loss and setting."""
    runs = records.symmetrization_runs(config, declared.select)
    runs = runs.assign(milliseconds=1e3 * runs["seconds_per_step"])
    keys = ["setting", "dataset", "device", "loss", "label"]
    data = (
        runs.groupby(keys, sort=False)["milliseconds"].agg(["mean", "std", "count"]).reset_index()
    )
    groups = list(data.groupby(["setting", "device"], sort=False))
    height = 0.9 + 0.21 * data["loss"].nunique()
    width = min(style.WIDE, 4.5 * len(groups))
    figure, axes = style.panels(1, len(groups), height=height, width=width, sharey=True)
    for ((setting, device), part), each in zip(groups, axes[0], strict=True):
        at = np.arange(len(part))
        each.barh(
            at,
            part["mean"],
            xerr=part["std"].fillna(0.0),
            color=style.OKABE_ITO[2],
            height=0.62,
            error_kw={"elinewidth": 0.9, "capsize": 2},
        )
        each.set_yticks(at, part["label"])
        each.grid(visible=False, axis="y")
        each.set_title(f"{_title(config, str(setting), part['dataset'].iloc[0])}, {device}")
        each.set_xlabel("Time per training step (ms)")
    axes[0, 0].invert_yaxis()
    return Drawing(figure, data)
