"""Claims about labelled images: networks, their linearizations and trained kernels."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from firstorder.bounds import Index
from firstorder.publish.numerals import of_all
from firstorder.publish.registry import Results, claim
from firstorder.publish.statistics import Resampled, effect, resample
from firstorder.publish.verdict import Effect, Verdict, missing, not_run
from firstorder.studies.linearized.cells import Cells, Name, correct, gap, labels, tried, within
from firstorder.studies.linearized.cells import pairs as paired
from firstorder.studies.linearized.judging import (
    FEW_LEFT,
    LINEAR,
    LOST,
    POINTS,
    for_each,
    gaps,
    on_pairs,
    verdict,
)

ENOUGH = "No training set of {:,} examples is run at this scale."


def _sizes(cells: Cells, label: str) -> set[int]:
    """The sizes of the training sets of a model."""
    return {size for _, size in tried(cells, label, "network")}


@claim("network-wins", reads=("network.npz", "linear.npz", "converged.npz", "ridge.npz"))
def network_wins(results: Results, *, lowest: Index = 10_000) -> Verdict:
    """E14: on labelled images and enough of them a convolutional network beats its linearization.

    Enough: `lowest` training examples. The linearization is the converged one.
    """
    cells = correct(results, "network", *LINEAR)
    most = {label: max(_sizes(cells, label)) for label in labels(cells)}
    cells = cells.where(lambda name: name.task == most[name.label] and name.task >= lowest)
    ahead = partial(gaps, resample(cells), cells, "network")

    return verdict(
        "With the most training examples the network is ahead of the converged linearization by",
        ahead("converged", 0.0),
        beside=[("Of the recipe's by", ahead("linear")),
                ("Of ridge regression by", ahead("ridge"))],
        lacking=ENOUGH.format(lowest),
    )  # fmt: skip


@claim("gap-grows", reads=("network.npz", "linear.npz", "converged.npz", "ridge.npz"))
def gap_grows(results: Results) -> Verdict:
    """E15: the gap between network and converged linearization grows with the training set.

    Slope of the gap against the logarithm (base 10) of the training-set size, by model.
    """
    cells = correct(results, "network", *LINEAR)
    drawn = resample(cells)

    def slopes(arm: str, threshold: float) -> list[Effect]:
        def of_model(label: str) -> Effect | None:
            known, pairs = tried(cells, label, "network", arm), paired(cells, label, "network", arm)
            if len(pairs) < 2:
                lost = FEW_LEFT if pairs else LOST
                return missing(lost, label) if len(known) >= 2 else None
            own, said = on_pairs(drawn, cells, pairs)
            said += of_all(len(pairs), len(known), "tasks")
            return _slope(own, label + said, pairs, threshold)

        return for_each(cells, of_model)

    return verdict(
        "For ten times the examples the network's lead over the converged linearization grows by",
        slopes("converged", 0.0),
        beside=[("Over the recipe's by", slopes("linear", float("nan"))),
                ("Over ridge regression by", slopes("ridge", float("nan")))],
        lacking="Too few training-set sizes are run at this scale.",
    )  # fmt: skip


def _slope(drawn: Resampled, name: str, pairs: list[tuple[Name, Name]], threshold: float) -> Effect:
    """Least-squares slope of a gap against the logarithm (base 10) of the training-set size."""
    place = np.log10([float(name.task) for name, _ in pairs])
    weights = (place - place.mean()) / np.square(place - place.mean()).sum()
    return effect(
        drawn,
        lambda means: sum(w * (means[a] - means[b])
                          for w, (a, b) in zip(weights, pairs, strict=True)),
        threshold=threshold,
        scale=POINTS,
        unit="points",
        name=name,
    )  # fmt: skip


@claim("gap-by-architecture", reads=("network.npz", "linear.npz", "converged.npz", "ridge.npz"))
def gap_by_architecture(results: Results) -> Verdict:
    """E16: the gap grows from MLP to LeNet to ResNet-18 (in the models' order).

    On the largest training set that all of them have; the linearization is the converged one.
    """
    cells = correct(results, "network", *LINEAR)
    order = [row["label"] for row in results.spec["models"]]
    present = [label for label in order if label in labels(cells)]
    sizes = [_sizes(cells, label) for label in present]
    common = set.intersection(*sizes) if sizes else set()
    if len(present) < 2 or not common:
        return not_run("Fewer than two architectures are run on the same number of examples.")
    size = max(common)
    cells = within(cells, size, size)
    drawn = resample(cells)

    def steps(arm: str, threshold: float) -> list[Effect]:
        at = {label: paired(cells, label, "network", arm) for label in present}
        effects = []
        for a, b in pairwise(present):
            name = f"from {a} to {b}"
            if not (at[a] and at[b]):
                effects.append(missing(LOST, name))
                continue
            own, said = on_pairs(drawn, cells, [*at[a], *at[b]])
            effects.append(
                effect(
                    own,
                    lambda means, a=a, b=b: gap(at[b])(means) - gap(at[a])(means),  # type: ignore[misc]
                    threshold=threshold,
                    scale=POINTS,
                    unit="points",
                    name=name + said,
                )
            )
        return effects

    return verdict(
        f"With {size:,} training examples the network's lead over the converged linearization "
        "grows",
        steps("converged", 0.0),
        beside=[("Over the recipe's", steps("linear", float("nan"))),
                ("The lead itself", gaps(drawn, cells, "network", "converged"))],
    )  # fmt: skip


@claim(
    "trained-kernel-wins",
    reads=(
        "linear0.npz",
        "retrained.npz",
        "retrained-scaled.npz",
        "converged0.npz",
        "retrained-converged.npz",
    ),
)
def trained_kernel_wins(results: Results) -> Verdict:
    """E22: on labelled images the trained kernel beats the initial one; both converged."""
    arms = ("linear0", "retrained", "retrained-scaled", "converged0", "retrained-converged")
    cells = correct(results, *arms)
    drawn = resample(cells)
    return verdict(
        "Test accuracy on the trained minus that on the initial kernel, converged",
        gaps(drawn, cells, "retrained-converged", "converged0", 0.0),
        beside=[
            ("By the recipe at equal trace", gaps(drawn, cells, "retrained-scaled", "linear0")),
            ("By the recipe at their own traces", gaps(drawn, cells, "retrained", "linear0")),
        ],
        lacking="No linear training on a trained kernel of labelled images is run at this scale.",
    )
