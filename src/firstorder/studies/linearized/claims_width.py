"""Claims about wider networks: how close they come to their linearizations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firstorder.publish.numerals import of_all
from firstorder.publish.registry import Results, claim
from firstorder.publish.statistics import Resampled, effect, resample
from firstorder.publish.verdict import Effect, Verdict, missing
from firstorder.studies.linearized.cells import Cells, Name, correct, labels, tried
from firstorder.studies.linearized.cells import pairs as paired
from firstorder.studies.linearized.judging import LOST, POINTS, on_pairs, verdict


@claim("closer-with-width", reads=("network.npz", "linear.npz", "converged.npz"))
def closer_with_width(results: Results) -> Verdict:
    """The wider a network, the closer its test accuracy is to its linearization's.

    Mean absolute difference over tasks, of the widest less the narrowest model of every
    architecture (in the models' order), on the tasks that both have.
    """
    cells = correct(results, "network", "linear", "converged")
    drawn = resample(cells)

    def narrower(arm: str, threshold: float) -> list[Effect]:
        effects = []
        for architecture, (first, last) in _ends(results, cells).items():
            near, far = (
                {pair[0].task: pair for pair in paired(cells, label, "network", arm)}
                for label in (last, first)
            )
            known = {t for _, t in tried(cells, last, "network", arm)}
            known &= {t for _, t in tried(cells, first, "network", arm)}
            common = sorted(set(near) & set(far))
            if not common:
                effects += [missing(LOST, architecture)] * bool(known)
                continue
            both = [*(near[t] for t in common), *(far[t] for t in common)]
            own, said = on_pairs(drawn, cells, both)
            said += of_all(len(common), len(known), "tasks")
            effects.append(_change(own, near, far, common, threshold, architecture + said))
        return effects

    return verdict(
        "Change of the mean difference in test accuracy from the narrowest to the widest network",
        [each.against(0.0, "below") for each in narrower("linear", 0.0)],
        beside=[("From the converged linearization", narrower("converged", float("nan")))],
        lacking="No architecture is run in several widths at this scale.",
    )


def _ends(results: Results, cells: Cells) -> dict[str, tuple[str, str]]:
    """The labels of the narrowest and the widest model of every architecture with several."""
    present = labels(cells)
    widths: dict[str, list[str]] = {}
    for row in results.spec["models"]:
        if row["label"] in present:
            widths.setdefault(row["architecture"], []).append(row["label"])
    return {name: (each[0], each[-1]) for name, each in widths.items() if len(each) > 1}


def _change(
    drawn: Resampled,
    near: dict[int, tuple[Name, Name]],
    far: dict[int, tuple[Name, Name]],
    tasks: Sequence[int],
    threshold: float,
    name: str,
) -> Effect:
    return effect(
        drawn,
        lambda means: np.mean(
            [abs(means[near[t][0]] - means[near[t][1]]) - abs(means[far[t][0]] - means[far[t][1]])
             for t in tasks],
            axis=0,
        ),
        threshold=threshold,
        scale=POINTS,
        unit="points",
        name=name,
    )  # fmt: skip
