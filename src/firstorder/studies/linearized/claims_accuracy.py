"""Claims about networks and their linearizations: test accuracy on the tasks."""

from __future__ import annotations

import pandas as pd

from firstorder.bounds import Correlation, Difference, Index, Positive, Share
from firstorder.config import Range
from firstorder.publish.measures import spearman
from firstorder.publish.numerals import of_all
from firstorder.publish.registry import Results, claim
from firstorder.publish.statistics import average, effect, rank_correlation, resample
from firstorder.publish.verdict import Effect, Verdict, missing, not_run
from firstorder.studies.linearized import cells as of_tasks
from firstorder.studies.linearized import frames
from firstorder.studies.linearized.cells import all_examples, correct, labels
from firstorder.studies.linearized.judging import (
    LINEAR,
    LOST,
    POINTS,
    TOO_FEW,
    arm_correlations,
    counts,
    for_each,
    gaps,
    index_correlations,
    or_lost,
    verdict,
)
from firstorder.studies.linearized.labels import ARMS, KINDS
from firstorder.studies.linearized.settings import Reference


@claim("accuracy-falls", reads=("linear.json", "linear.npz", "converged.npz", "ridge.npz"))
def accuracy_falls(results: Results, *, correlation: Correlation = -0.9) -> Verdict:
    """E5: test accuracy of the linearization falls with the index."""
    cells = correct(results, *LINEAR)
    drawn = resample(cells)
    above = of_tasks.over_majority(cells, frames.tasks(results, "linear"))
    return verdict(
        "Spearman's correlation of index and test accuracy of the linearization",
        index_correlations(drawn, cells, "linear", correlation, "below"),
        beside=[
            ("Of the excess over the larger class",
             index_correlations(resample(above), above, "linear")),
            *((_start(ARMS[arm]), index_correlations(drawn, cells, arm)) for arm in LINEAR[1:]),
        ],
        lacking=TOO_FEW,
    )  # fmt: skip


def _start(text: str) -> str:
    """A text as the start of a sentence."""
    return text[0].upper() + text[1:]


@claim("kernel-ranks-tasks", reads=("network.npz", "linear.npz", "converged.npz"))
def kernel_ranks_tasks(results: Results, *, correlation: Correlation = 0.9) -> Verdict:
    """E6: the initial kernel ranks the tasks for the network too.

    `correlation`: the least, of the index with the network's accuracy (negative) and of the
    network's accuracy with its linearization's.
    """
    cells = correct(results, "network", "linear", "converged")
    drawn = resample(cells)
    falls = index_correlations(drawn, cells, "network", -correlation, "below")
    alike = arm_correlations(drawn, cells, "network", "linear", correlation)
    return verdict(
        "Spearman's correlation of the network's test accuracy with the index, then with that of "
        "its linearization",
        [*falls, *alike],
        beside=[("With the converged", arm_correlations(drawn, cells, "network", "converged"))],
        lacking=TOO_FEW,
    )


@claim("linear-wins", reads=("network.npz", "linear.npz", "converged.npz", "ridge.npz"))
def linear_wins(
    results: Results, *, gap: Difference = 0.02, lowest: Index = 3, share: Positive = 15
) -> Verdict:
    """E7: on eigenfunction tasks the linearization beats the network.

    For tasks from `lowest` to the number of examples over `share`, by more than `gap`.
    """
    cells = correct(results, "network", *LINEAR)
    cells = of_tasks.within(cells, lowest, all_examples(results) / share)
    drawn = resample(cells)
    return verdict(
        "Mean test accuracy of the linearization, trained by the recipe, minus the network's",
        gaps(drawn, cells, "linear", "network", POINTS * gap),
        beside=[(_start(ARMS[arm]), gaps(drawn, cells, arm, "network")) for arm in LINEAR[1:]],
        lacking="No eigenfunction task within the claim's range is run at this scale.",
    )


@claim(
    "trained-kernel-is-the-network",
    reads=(
        "network.npz",
        "linear0.npz",
        "retrained.npz",
        "converged0.npz",
        "retrained-converged.npz",
    ),
)
def trained_kernel_is_the_network(
    results: Results, *, tasks: Range[Index] = (3, 300), close: Share = 0.03
) -> Verdict:
    """E21: linear training on the trained kernel generalises like the network, not like itself.

    To within `close` on average over `tasks` from one to another index, and below the initial
    kernel.
    """
    arms = ("network", "linear0", "retrained", "converged0", "retrained-converged")
    cells = of_tasks.within(correct(results, *arms), *tasks)
    drawn = resample(cells)
    alike = gaps(drawn, cells, "retrained", "network", POINTS * close)
    alike = [each.against(POINTS * close, "within") for each in alike]
    below = gaps(drawn, cells, "linear0", "retrained", 0.0)
    return verdict(
        "Mean test accuracy on the trained kernel minus the network's, then on the initial minus "
        "the trained kernel",
        [*alike, *below],
        beside=[
            ("Converged, minus the network's", gaps(drawn, cells, "retrained-converged",
                                                     "network")),
            ("Converged, initial minus trained", gaps(drawn, cells, "converged0",
                                                       "retrained-converged")),
        ],
        lacking="No task within the claim's range is trained on the trained kernel.",
    )  # fmt: skip


@claim("random-labels", reads=("random.npz",))
def random_labels(results: Results, *, near: Share = 0.05) -> Verdict:
    """Negative control: trained on random labels, a network is at chance on test images.

    On average over tasks and seeds within `near` of one half.
    """
    cells = correct(results, "random")
    drawn = resample(cells)

    def from_chance(label: str) -> Effect:
        names = of_tasks.of(cells, label, "random")
        known = of_tasks.tried(cells, label, "random")
        if not names:
            return missing(LOST, label)
        own = average(*names)
        return effect(
            drawn, lambda means: own(means) - 0.5, threshold=POINTS * near, direction="within",
            scale=POINTS, unit="points",
            name=label + of_all(len(names), len(known), "tasks"),
        )  # fmt: skip

    return verdict(
        "Test accuracy after training on random labels, minus one half",
        for_each(cells, from_chance),
        lacking="The control on random labels is not run at this scale.",
    )


@claim(
    "alignment-ranks",
    reads=(
        "network.csv",
        "network.json",
        "network.npz",
        "linear.csv",
        "linear.json",
        "linear.npz",
        "converged.npz",
    ),
)
def alignment_ranks(results: Results, *, correlation: Correlation = 0.8) -> Verdict:
    """Over tasks of all kinds, the alignment with the initial kernel ranks the test accuracies.

    `correlation`: the least, of accuracy and alignment over trace times training examples. The
    tasks are taken as a sample of all.
    """
    data = frames.ranked_tasks(results)
    ratio = data.groupby(["label", "family", "task"])["ratio"].mean().to_dict()
    architecture = dict(zip(data["label"], data["architecture"], strict=True))
    cells = correct(results, "network", "linear", "converged")
    drawn = resample(cells)

    def ranked(arm: str, threshold: float) -> list[Effect]:
        effects = []
        for each in dict.fromkeys(architecture.values()):
            tried = [n for n in cells.tried if n.arm == arm and architecture[n.label] == each]
            names = [n for n in tried if n in cells]
            name = f"{ARMS[arm]} {each}"
            found = rank_correlation(
                drawn, names, numbers=[ratio[n.label, n.family, n.task] for n in names],
                threshold=threshold, name=name + of_all(len(names), len(tried), "tasks"),
                indices="sampled",
            )  # fmt: skip
            effects.append(or_lost(found, name, len(names), len(tried)))
        return effects

    within = [
        _without_interval(f"{ARMS[arm]}, {KINDS[kind]}", value)
        for (kind, arm), value in _within_kinds(data).items()
    ]
    return verdict(
        "Spearman's correlation of alignment and test accuracy over all tasks of an architecture",
        [*ranked("network", correlation), *ranked("linear", correlation)],
        beside=[("Of the converged", ranked("converged", float("nan"))),
                ("Mean over models and seeds of that within one kind of task", within)],
        lacking=TOO_FEW,
    )  # fmt: skip


def _without_interval(name: str, value: float) -> Effect:
    return Effect(value, value, value, name=name)


def _within_kinds(data: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Mean over models and seeds of the rank correlation within a kind of task, by kind and arm."""
    keys = ["kind", "arm", "model", "seed"]
    each = data.groupby(keys, sort=False)[["ratio", "test_accuracy"]].apply(
        lambda part: spearman(part["ratio"], part["test_accuracy"])
    )
    means = each.groupby(level=["kind", "arm"], sort=False).mean().dropna().reset_index(name="rho")
    return {(row["kind"], row["arm"]): float(row["rho"]) for row in means.to_dict("records")}


@claim("reference-shape", reads=("network.npz", "linear.npz", "retrained.npz"))
def reference_shape(
    results: Results,
    *,
    reference: Reference,
    tasks: Range[Index] = (1, 1000),
    correlation: Correlation = 0.9,
) -> Verdict:
    """The curves have the shape of a reference measurement, index by index.

    Over the common indices within `tasks`: every arm falls as the reference does (as in the
    table), and the linearization stays above the network on average.
    """
    arms = ("linear", "network", "retrained")
    known = {
        (arm, int(task)): value
        for task, *values in reference
        for arm, value in zip(arms, values, strict=True)
        if tasks[0] <= task <= tasks[1]
    }
    cells = correct(results, *arms).where(lambda name: (name.arm, name.task) in known)
    drawn = resample(cells)
    falls = []
    for label in labels(cells):
        for arm in arms:
            names = of_tasks.of(cells, label, arm)
            tried = of_tasks.tried(cells, label, arm)
            found = rank_correlation(
                drawn, names, numbers=[known[arm, name.task] for name in names],
                threshold=correlation, name=ARMS[arm] + of_all(len(names), len(tried), "tasks"),
            )  # fmt: skip
            falls.append(or_lost(found, ARMS[arm], len(names), len(tried)))
    if not any(counts(each) for each in falls):
        return not_run(TOO_FEW)
    above = gaps(drawn, cells, "linear", "network", 0.0)
    return verdict(
        "Spearman's correlation with the reference, then the linearization minus the network",
        [*falls, *above],
    )
