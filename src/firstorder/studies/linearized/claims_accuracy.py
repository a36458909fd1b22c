"""Claims about networks and their linearizations: predicates over trained tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from firstorder.publish.measures import number_range, spearman
from firstorder.publish.registry import Results, claim
from firstorder.publish.verdict import Verdict, judged, not_run
from firstorder.studies.linearized import frames
from firstorder.studies.linearized.labels import ARMS, KINDS

ROUNDING = 1e-9
"""A rank correlation of few tasks may lie on its threshold but for rounding."""
TOO_FEW = "Too few tasks are run at this scale for a rank correlation."


def _last(results: Results, value: str, *arms: str) -> pd.DataFrame:
    """Means over seeds of `value` at the last epoch: rows (label, task), columns arms."""
    runs = frames.last_epochs(frames.runs(results, *arms))
    return runs.pivot_table(index=["label", "task"], columns="arm", values=value, aggfunc="mean")


def _examples(results: Results) -> int:
    """Examples of the support of the claim's first family, training and test."""
    facts = frames.family_facts(results, frames.first_family(results))
    return int(facts["train"] + facts["test"])


def _within(table: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
    tasks = table.index.get_level_values("task")
    return table[(tasks >= low) & (tasks <= high)]


def _correlations(table: pd.DataFrame, arm: str) -> pd.Series:
    """Spearman's correlation of an arm's column with the task, by model."""
    return pd.Series(
        {
            label: spearman(part.index.get_level_values("task").to_numpy(), part[arm])
            for label, part in table.groupby(level="label", sort=False)
        }
    )


def _listed(values: pd.Series) -> str:
    listed = (f"{label} {_number(value)}" for label, value in values.items())
    return ", ".join(listed)


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


@claim("accuracy-falls", reads=("network.csv", "linear.csv"))
def accuracy_falls(
    results: Results, *, arm: Literal["network", "linear"], correlation: float = -0.9
) -> Verdict:
    """E5: test accuracy of one arm falls with the index."""
    found = _correlations(_last(results, "test_accuracy", arm), arm)
    if found.isna().all():
        return not_run(TOO_FEW)
    return judged(
        bool((found <= correlation + ROUNDING).all()),
        f"Spearman's correlation of index and test accuracy: {_listed(found)}.",
        **{f"spearman_{label}": float(value) for label, value in found.items()},
    )


@claim("accuracy-falls-to-chance", reads=("nads.npz", "network.csv", "linear.csv"))
def accuracy_falls_to_chance(
    results: Results,
    *,
    arm: Literal["network", "linear"],
    correlation: float = -0.9,
    first: float | None = None,
    last: float | None = None,
    lowest: int = 600,
    of: int = 1024,
    near: float = 0.05,
) -> Verdict:
    """E12: test accuracy of one arm falls with the index of the direction, from and to an end.

    `first`, `last`: the accuracy at index 1 and at every index from `lowest` (out of `of`
    directions, scaled to inputs with fewer), to within `near`. An end that is not given is not
    looked at.
    """
    table = _last(results, "test_accuracy", arm)
    found, indices = _correlations(table, arm), table.index.get_level_values("task")
    expected = {name: end for name, end in (("first", first), ("last", last)) if end is not None}
    at = {"first": indices == 1, "last": indices >= round(_share(results, of) * lowest)}
    ends = {name: table[arm][at[name]] for name in expected}
    if found.isna().all() or any(end.empty for end in ends.values()):
        return not_run(TOO_FEW)
    off = {name: float((end - expected[name]).abs().max()) for name, end in ends.items()}
    said = "".join(
        f" At the {name} indices it is {number_range(100 * end, 1)} %, where "
        f"{100 * expected[name]:.0f} % is expected."
        for name, end in ends.items()
    )
    return judged(
        bool((found <= correlation + ROUNDING).all())
        and all(value <= near + ROUNDING for value in off.values()),
        f"Spearman's correlation of index and test accuracy: {_listed(found)}.{said}",
        **{f"spearman_{label}": float(value) for label, value in found.items()},
        **{f"{name}_off": value for name, value in off.items()},
    )


def _share(results: Results, of: int) -> float:
    """The number of directions, as a share of `of`."""
    _, arrays = next(frames.arrays(results, "nads.npz", "singular_values"))
    return len(arrays["singular_values"]) / of


@claim("kernel-ranks-tasks", reads=("network.csv", "linear.csv"))
def kernel_ranks_tasks(results: Results, *, correlation: float = 0.9) -> Verdict:
    """E6: the initial kernel ranks the tasks for the network too.

    `correlation`: the least, of the index with the network's accuracy (negative) and of the
    network's accuracy with its linearization's.
    """
    table = _last(results, "test_accuracy", "network", "linear")
    index = _correlations(table, "network")
    arms = pd.Series(
        {
            label: spearman(part["network"], part["linear"])
            for label, part in table.groupby(level="label", sort=False)
        }
    )
    if index.isna().all():
        return not_run(TOO_FEW)
    return judged(
        bool((index <= -correlation).all() and (arms >= correlation).all()),
        f"Spearman's correlation of the network's test accuracy with the index: {_listed(index)}; "
        f"with the linearization's: {_listed(arms)}.",
        **{f"index_{label}": float(value) for label, value in index.items()},
        **{f"arms_{label}": float(value) for label, value in arms.items()},
    )


@claim("linear-wins", reads=("network.csv", "linear.csv"))
def linear_wins(
    results: Results, *, gap: float = 0.02, lowest: int = 3, share: float = 15
) -> Verdict:
    """E7: on eigenfunction tasks the linearization beats the network.

    For tasks from `lowest` to the number of examples over `share`, by more than `gap`.
    """
    table = _last(results, "test_accuracy", "network", "linear")
    table = _within(table, lowest, _examples(results) / share)
    if table.empty:
        return not_run("No eigenfunction task within the claim's range is run at this scale.")
    gaps = (table["linear"] - table["network"]).groupby(level="label", sort=False).mean()
    return judged(
        bool((gaps > gap).all()),
        f"Mean test accuracy of the linearization minus the network's, in points: "
        f"{_listed(100 * gaps)}.",
        **{f"gap_{label}": float(value) for label, value in gaps.items()},
    )


@claim("slower-to-fit", reads=("network.csv", "linear.csv"))
def slower_to_fit(
    results: Results, *, epochs: Sequence[int] = (5, 15), correlation: float = 0.9
) -> Verdict:
    """E8: the training loss after few epochs grows with the index."""
    runs = frames.runs(results, "network", "linear")
    early = runs[runs["epoch"].isin(list(epochs))]
    found: dict[str, float] = {}
    for (label, arm, epoch), part in early.groupby(["label", "arm", "epoch"], sort=False):
        means = part.groupby("task")["train_loss"].mean()
        found[f"{label}, {arm}, {epoch}"] = spearman(means.index.to_numpy(), means)
    values = pd.Series(found, dtype=float)
    if values.isna().all():
        return not_run(TOO_FEW)
    return judged(
        bool((values >= correlation).all()),
        f"Spearman's correlation of index and training loss is {number_range(values, 2)} over "
        f"{len(values)} combinations of model, arm and epoch.",
        least=float(values.min()),
        median=float(values.median()),
    )


@claim("more-steps", reads=("network.json", "linear.json"))
def more_steps(results: Results) -> Verdict:
    """E9: steps until a minibatch has loss 0.01 grow with the index, or it is never reached."""
    tasks = frames.tasks(results, "network", "linear")
    taken = tasks.astype({"steps_to_0.01": float})
    steps = taken.groupby(["label", "arm", "task"], sort=False)["steps_to_0.01"].agg(
        lambda values: values.mean() if values.notna().all() else np.inf
    )
    found = {
        key: part.to_numpy() for key, part in steps.groupby(level=["label", "arm"], sort=False)
    }
    falls = sum(int((a[1:] < a[:-1]).sum()) for a in found.values())
    steps_up = sum(len(a) - 1 for a in found.values())
    never = int(np.isinf(steps).sum())
    return judged(
        falls == 0,
        f"From one index to the next the number of steps falls in {falls} of {steps_up} cases; "
        f"{never} of {len(steps)} tasks never reach the loss.",
        falls=falls,
        never_reached=never,
    )


@claim("farther", reads=("network.csv", "linear.csv"))
def farther(
    results: Results, *, correlation: float = 0.5, lowest: int = 10, share: float = 10
) -> Verdict:
    """E10: weights travel farther for higher indices.

    For tasks from `lowest` to the number of examples over `share`.
    """
    table = _last(results, "distance", "network", "linear")
    table = _within(table, lowest, _examples(results) / share)
    found = {arm: _correlations(table, arm) for arm in ("network", "linear")}
    values = pd.concat(found.values())
    if values.isna().all():
        return not_run(TOO_FEW)
    return judged(
        bool((values >= correlation).all()),
        f"Spearman's correlation of index and squared distance: network "
        f"{_listed(found['network'])}; linearization {_listed(found['linear'])}.",
        least=float(values.min()),
    )


def _gaps(results: Results) -> pd.DataFrame:
    """Network minus linearization in test accuracy: rows labels, columns training-set sizes."""
    table = _last(results, "test_accuracy", "network", "linear")
    return (table["network"] - table["linear"]).unstack("task")


@claim("network-wins", reads=("network.csv", "linear.csv"))
def network_wins(results: Results, *, lowest: int = 10_000) -> Verdict:
    """E14: on labelled images and enough of them a convolutional network beats its linearization.

    Enough: `lowest` training examples.
    """
    gaps = _gaps(results)
    gaps = gaps.loc[:, gaps.columns.to_numpy(int) >= lowest].dropna(how="all")
    if gaps.empty:
        return not_run(f"No training set of {lowest:,} examples is run at this scale.")
    at = gaps.ffill(axis="columns").iloc[:, -1]
    return judged(
        bool((at > 0).all()),
        f"With {gaps.columns.max():,} training examples the network is ahead by, in points: "
        f"{_listed(100 * at)}.",
        **{f"gap_{label}": float(value) for label, value in at.items()},
    )


@claim("gap-grows", reads=("network.csv", "linear.csv"))
def gap_grows(results: Results) -> Verdict:
    """E15: the gap between network and linearization grows with the training set.

    Slope of the gap against the logarithm (base 10) of the training-set size, by model.
    """
    gaps = _gaps(results)
    gaps = gaps[gaps.notna().sum(axis="columns") >= 2]
    if gaps.empty:
        return not_run("Too few training-set sizes are run at this scale.")
    slopes = gaps.apply(_slope, axis="columns")
    smallest = gaps.bfill(axis="columns").iloc[:, 0]
    return judged(
        bool((slopes > 0).all()),
        f"The gap grows, in points for ten times the examples, by: {_listed(100 * slopes)}; with "
        f"the fewest examples it is {_listed(100 * smallest)}.",
        **{f"slope_{label}": float(value) for label, value in slopes.items()},
    )


def _slope(line: pd.Series) -> float:
    """Least-squares slope of a gap against the logarithm (base 10) of the training-set size."""
    line = line.dropna()
    return float(np.polyfit(np.log10(line.index.to_numpy(float)), line.to_numpy(), 1)[0])


@claim("gap-by-architecture", reads=("network.csv", "linear.csv"))
def gap_by_architecture(results: Results) -> Verdict:
    """E16: the gap grows from MLP to LeNet to ResNet-18 (in the models' order).

    On the largest training set that all of them have.
    """
    gaps = _gaps(results).dropna(axis="columns")
    if len(gaps) < 2 or gaps.empty:
        return not_run("Fewer than two architectures are run on the same number of examples.")
    largest = int(gaps.columns.max())
    labels = [row["label"] for row in results.spec["models"]]
    at = gaps[largest].reindex([label for label in labels if label in gaps.index])
    return judged(
        bool(at.is_monotonic_increasing),
        f"With {largest:,} training examples the network is ahead by, in points: "
        f"{_listed(100 * at)}.",
        **{f"gap_{label}": float(value) for label, value in at.items()},
    )


@claim("faster-on-trained", reads=("linear0.json", "retrained.json"))
def faster_on_trained(results: Results, *, lowest: int = 10) -> Verdict:
    """E20: linear training on the trained kernel needs fewer steps to loss 0.1.

    For indices from `lowest`.
    """
    arms = ("linear0", "retrained")
    tasks = frames.tasks(results, *arms)
    tasks = tasks[tasks["task"] >= lowest]
    if tasks.empty or set(tasks["arm"]) != set(arms):
        return not_run("No linear training on a trained kernel is run within the claim's range.")
    steps = tasks.assign(steps=tasks["steps_to_0.1"].astype(float).fillna(np.inf))
    table = steps.pivot(index=["model", "seed", "task"], columns="arm", values="steps").dropna()
    faster = table["retrained"] < table["linear0"]
    reached = table[np.isfinite(table["linear0"]) & np.isfinite(table["retrained"])]
    ratio = float((reached["linear0"] / reached["retrained"]).median()) if len(reached) else np.nan
    sped = "" if np.isnan(ratio) else f", in the median {ratio:.1f} times where both reach it"
    return judged(
        bool(faster.all()),
        f"Loss 0.1 is reached sooner on the trained kernel in {int(faster.sum())} of {len(faster)} "
        f"trainings{sped}.",
        share=float(faster.mean()),
        median_ratio=ratio,
    )


@claim("trained-kernel-is-the-network", reads=("network.csv", "linear0.csv", "retrained.csv"))
def trained_kernel_is_the_network(
    results: Results, *, tasks: tuple[int, int] = (3, 300), close: float = 0.03
) -> Verdict:
    """E21: linear training on the trained kernel generalises like the network, not like itself.

    To within `close`, for `tasks` from one to another index, and below the initial kernel.
    """
    arms = ("network", "linear0", "retrained")
    table = _within(_last(results, "test_accuracy", *arms), *tasks).dropna()
    if table.empty:
        return not_run("No task within the claim's range is trained on the trained kernel.")
    off = (table["retrained"] - table["network"]).abs()
    below = table["linear0"] - table["retrained"]
    return judged(
        bool((off < close).all() and (below > 0).all()),
        f"Test accuracy on the trained kernel differs from the network's by "
        f"{number_range(100 * off, 1)} points and is below that on the initial kernel in "
        f"{int((below > 0).sum())} of {len(below)} tasks, on average by {100 * below.mean():.1f} "
        "points.",
        largest_difference=float(off.max()),
        mean_below_initial=float(below.mean()),
    )


@claim("trained-kernel-wins", reads=("linear0.csv", "retrained.csv"))
def trained_kernel_wins(results: Results) -> Verdict:
    """E22: on labelled images the trained kernel beats the initial one."""
    table = _last(results, "test_accuracy", "linear0", "retrained").dropna()
    if table.empty:
        return not_run("No task is trained on the trained kernel at this scale.")
    gaps = (table["retrained"] - table["linear0"]).groupby(level="label", sort=False).mean()
    return judged(
        bool((gaps > 0).all()),
        f"Test accuracy on the trained minus the initial kernel, in points: {_listed(100 * gaps)}.",
        **{f"gap_{label}": float(value) for label, value in gaps.items()},
    )


@claim("random-labels", reads=("random.csv",))
def random_labels(results: Results) -> Verdict:
    """Negative control: trained on random labels, a network is at chance on test images.

    Chance is one half within three standard errors of the mean over runs, plus a point for the
    balance of the drawn labels.
    """
    last = frames.last_epochs(frames.runs(results, "random"))
    if last.empty:
        return not_run("The control on random labels is not run at this scale.")
    mean = float(last["test_accuracy"].mean())
    examples = frames.family_facts(results, frames.first_family(results))["test"]
    allowed = 3 * 0.5 / np.sqrt(examples * len(last)) + 0.01
    return judged(
        abs(mean - 0.5) <= allowed,
        f"Test accuracy is {100 * mean:.1f} % on average over {len(last)} runs; chance allows 50 "
        f"± {100 * allowed:.1f} %.",
        accuracy=mean,
        allowed=float(allowed),
    )


@claim("alignment-ranks", reads=("network.csv", "network.json", "linear.csv", "linear.json"))
def alignment_ranks(results: Results, *, correlation: float = 0.8) -> Verdict:
    """Over tasks of all kinds, the alignment with the initial kernel ranks the test accuracies.

    `correlation`: the least, of accuracy and alignment over trace times training examples.
    """
    data = frames.ranked_tasks(results)
    values, by_kind = (_ranks(data, [*keys, "arm"]) for keys in (["architecture"], ["kind"]))
    if values.isna().all():
        return not_run(TOO_FEW)
    effects = {
        "_".join((name, *key)): float(value)
        for name, found in (("spearman", values), ("within", by_kind))
        for key, value in zip(found.index.tolist(), found, strict=True)
    }
    said = "; ".join(
        f"{ARMS[arm]} {_listed(values.xs(arm, level='arm'))}" for arm in ("network", "linear")
    )
    within = "; ".join(
        f"{ARMS[arm]} {_listed(by_kind.xs(arm, level='arm').rename(index=KINDS))}"
        for arm in ("network", "linear")
    )
    return judged(
        bool((values >= correlation).all()),
        f"Spearman's correlation of alignment and test accuracy over all tasks of an architecture: "
        f"{said}. Mean over models and seeds of that within one kind of task: {within}.",
        **effects,
    )


def _ranks(data: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Rank correlations of alignment ratio and test accuracy, by `keys`.

    Over all tasks where these name an architecture; else means of those of every model and seed.
    """
    if "architecture" in keys:
        return data.groupby(keys, sort=False)[["ratio", "test_accuracy"]].apply(_rank)
    each = data.groupby([*keys, "model", "seed"], sort=False)[["ratio", "test_accuracy"]]
    return each.apply(_rank).groupby(level=keys, sort=False).mean()


def _rank(part: pd.DataFrame) -> float:
    return spearman(part["ratio"], part["test_accuracy"])


@claim("closer-with-width", reads=("network.csv", "linear.csv"))
def closer_with_width(results: Results) -> Verdict:
    """The wider a network, the closer its test accuracy is to its linearization's.

    Mean absolute difference over tasks and seeds, of the narrowest and the widest model of every
    architecture (in the models' order).
    """
    arms = ("network", "linear")
    last = frames.last_epochs(frames.runs(results, *arms))
    last = last.assign(architecture=frames.architectures(results, last))
    keys = ["architecture", "model", "label", "seed", "task"]
    table = last.pivot_table(index=keys, columns="arm", values="test_accuracy")
    apart = (table["network"] - table["linear"]).abs().groupby(level=keys[:3]).mean()
    order = frames.model_order(results)
    said, changes = [], {}
    for architecture, part in apart.groupby(level="architecture", sort=False):
        ordered = part.sort_index(level="model", key=lambda names: names.map(order))
        if len(ordered) < 2:
            continue
        labels = ordered.index.get_level_values("label")
        said.append(_listed(pd.Series(100 * ordered.to_numpy(), index=labels)))
        changes[str(architecture)] = float(ordered.iloc[-1] - ordered.iloc[0])
    if not changes:
        return not_run("No architecture is run in several widths at this scale.")
    return judged(
        all(change < 0 for change in changes.values()),
        f"Network and linearization differ, in points of test accuracy, by {'; '.join(said)}.",
        **{f"change_{name}": value for name, value in changes.items()},
    )


@claim("reference-shape", reads=("network.csv", "linear.csv", "retrained.csv"))
def reference_shape(
    results: Results,
    *,
    reference: Sequence[Sequence[float]],
    tasks: tuple[int, int] = (3, 300),
    correlation: float = 0.9,
) -> Verdict:
    """The curves have the shape of a reference measurement, index by index.

    Over the common indices within `tasks`: every arm falls as the reference does (as in the
    table), and the linearization stays above the network.
    """
    table = frames.against_reference(results, reference).dropna(subset="mean")
    table = table[table["task"].between(*tasks)]
    rho = pd.Series(
        {
            ARMS[str(arm)]: spearman(part["mean"], part["reference"])
            for arm, part in table.groupby("arm", sort=False)
        },
        dtype=float,
    )
    if rho.isna().all():
        return not_run(TOO_FEW)
    means = table.pivot(index="task", columns="arm", values="mean")
    gaps = means["linear"] - means["network"]
    return judged(
        bool((rho >= correlation).all() and (gaps > 0).all()),
        f"Spearman's correlation with the reference over {len(means)} indices: {_listed(rho)}; the "
        f"linearization is above the network by {number_range(100 * gaps, 1)} points.",
        least_gap=float(gaps.min()),
        **{f"spearman_{name}": float(value) for name, value in rho.items()},
    )
