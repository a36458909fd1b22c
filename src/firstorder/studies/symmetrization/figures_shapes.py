"""The figure of the losses themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from firstorder.publish import style
from firstorder.publish.registry import Results, figure
from firstorder.publish.style import Drawing
from firstorder.studies.symmetrization.figures import loss_looks


@figure("loss-shapes")
def loss_shapes(results: Results, *, classes: int = 10, points: int = 199) -> Drawing:
    """Loss and size of its gradient in the scores, against p_y with the other classes equal.

    Each loss is shifted to zero at equal scores. Computed from the definitions: no run is needed.
    """
    defined = results.spec["definitions"]
    data = pd.concat([_shape(each, classes, points) for each in defined])
    look = loss_looks(results, [each["loss"] for each in defined])
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
        each.set_xlabel("Probability of the label")
        each.set_ylabel(what)
        each.set_xlim(0.0, 1.0)
    axes[0, 1].set_ylim(bottom=0.0)
    style.legend_below(figure, axes[0])
    return Drawing(figure, data.reset_index(drop=True))


def _shape(loss: Mapping[str, Any], classes: int, points: int) -> pd.DataFrame:
    """Value and gradient norm of one loss along p_y, in float64."""
    import torch  # here, so that the figures that need no torch need not wait for it

    from firstorder.losses import build

    built = build(loss["function"], num_classes=classes, **loss["parameters"])
    p = torch.linspace(0.0, 1.0, points + 2, dtype=torch.float64)[1:-1]
    p = torch.cat([p, torch.tensor([1.0 / classes], dtype=torch.float64)])
    rest = ((1.0 - p) / (classes - 1)).unsqueeze(1).expand(-1, classes - 1)
    scores = torch.cat([p.unsqueeze(1), rest], dim=1).log().requires_grad_()
    values = built.values(scores)[:, 0]
    (gradient,) = torch.autograd.grad(values.sum(), scores)
    shifted = (values - values[-1]).detach()
    return pd.DataFrame(
        {
            "loss": loss["loss"],
            "label": loss["label"],
            "probability": p[:-1].numpy(),
            "value": shifted[:-1].numpy(),
            "gradient": gradient.norm(dim=1)[:-1].numpy(),
        }
    )
