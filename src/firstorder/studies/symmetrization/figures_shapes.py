"""The figure of the losses themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pandas as pd

from firstorder.bounds import Bound
from firstorder.publish import grid, style
from firstorder.publish.registry import Results, figure
from firstorder.publish.style import Drawing
from firstorder.studies.symmetrization import frames
from firstorder.studies.symmetrization.figures import loss_looks


@figure("loss-shapes", reads=("tuning.json",))
def loss_shapes(
    results: Results, *, points: Annotated[int, Bound(ge=12, le=100_000)] = 199
) -> Drawing:
    """Loss and size of its gradient in the scores, against p_y with the other classes equal.

    Each loss is shifted to zero at equal scores. One row for every setting, with the number of
    classes and the parameters of the tables: where tuning chooses a parameter, with the chosen.
    """
    chosen = frames.chosen(results)
    defined = [_with_chosen(each, chosen) for each in results.spec["definitions"]]
    data = pd.concat([_shape(each, points) for each in defined])
    look = loss_looks(results, [each["loss"] for each in defined])
    headings = frames.printed(results, "heading", "setting")
    settings = list(data.groupby("setting", sort=False))
    figure, axes = style.panels(len(settings), 2, height=2.7, sharex=True)
    shown = ("Loss, zero at equal scores", "Norm of the gradient\nin the scores")
    for (setting, part), row in zip(settings, axes, strict=True):
        classes = part["classes"].iloc[0]
        for name, line in part.groupby("loss", sort=False):
            drawn = {
                **look[str(name)].points,
                "markevery": (points // 12, points // 6),
                "markersize": 3.2,
            }
            row[0].plot(line["probability"], line["value"], label=line["label"].iloc[0], **drawn)
            row[1].plot(line["probability"], line["gradient"], **drawn)
        for each, what in zip(row, shown, strict=True):
            each.axvline(1.0 / classes, color="#888888", linewidth=0.8, linestyle=(0, (1, 2)))
            each.set_ylabel(what)
            each.set_xlim(0.0, 1.0)
        row[0].set_title(f"{headings[str(setting)]}, {classes} classes")
        row[1].set_ylim(bottom=0.0)
    for each in axes[-1]:
        each.set_xlabel("Probability of the label")
    style.legend_below(figure, axes[0], _told(defined))
    return Drawing(figure, data.reset_index(drop=True))


def _with_chosen(loss: Mapping[str, Any], chosen: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """A definition with the parameters that tuning chose, which are listed under `chosen`."""
    found = chosen.get((loss["setting"], loss["loss"]), {})
    own = {name: found[name] for name in loss["parameters"] if name in found}
    return {**loss, "parameters": {**loss["parameters"], **own}, "chosen": own}


def _told(defined: list[dict[str, Any]]) -> str:
    """The parameters that were chosen, for the legend's title; of several settings each."""
    several = len({each["setting"] for each in defined}) > 1
    told = [
        f"{each['label']} {grid.SYMBOLS.get(name, name)} = {value:g}"
        + (f" ({each['setting']})" if several else "")
        for each in defined
        for name, value in each["chosen"].items()
    ]
    return f"Chosen by tuning: {', '.join(told)}" if told else ""


def _shape(loss: Mapping[str, Any], points: int) -> pd.DataFrame:
    """Value and gradient norm of one loss along p_y, in float64."""
    import torch  # here, so that the figures that need no torch need not wait for it

    from firstorder.losses import build

    classes = loss["classes"]
    built = build(loss["function"], num_classes=classes, **loss["parameters"])
    p = torch.linspace(0.0, 1.0, points + 2, dtype=torch.float64)[1:-1]
    p = torch.cat([p, torch.tensor([1.0 / classes], dtype=torch.float64)])
    rest = ((1.0 - p) / (classes - 1)).unsqueeze(1).expand(-1, classes - 1)
    scores = torch.cat([p.unsqueeze(1), rest], dim=1).log().requires_grad_()
    values = built.values(scores)[:, 0]
    (gradient,) = torch.autograd.grad(values.sum(), scores)
    shifted = (values - values[-1]).detach()
    parameters = ", ".join(f"{name}={value}" for name, value in loss["parameters"].items())
    return pd.DataFrame(
        {
            "setting": loss["setting"],
            "classes": classes,
            "loss": loss["loss"],
            "label": loss["label"],
            "parameters": parameters,
            "probability": p[:-1].numpy(),
            "value": shifted[:-1].numpy(),
            "gradient": gradient.norm(dim=1)[:-1].numpy(),
        }
    )
