"""Claims about the rotation of tangent kernels: spikes, growth, energy."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from firstorder.bounds import Correlation, Index, Positive, Share
from firstorder.config import Range
from firstorder.publish.registry import Results, claim
from firstorder.publish.verdict import Verdict, not_run
from firstorder.studies.linearized import frames, spikes
from firstorder.studies.linearized.judging import NO_TASKS, model_means, verdict


def _spikes(results: Results, part: str, tasks: tuple[int, int]) -> pd.DataFrame:
    """The spikes of a part, seed by seed, for trained indices within `tasks`."""
    found = spikes.of_trainings(results)
    return found[(found["part"] == part) & found["task"].between(*tasks)]


def _extreme(found: pd.DataFrame, value: str, said: str, *, largest: bool = False) -> str:
    """` (least: 1.3, LeNet, j = 3)`; empty where no training finished."""
    known = found.dropna(subset=[value]).sort_values(value, ascending=not largest)
    if known.empty:
        return ""
    row = known.to_dict("records")[0]
    return f" ({said.format(row[value])}, {row['label']}, j = {row['task']:.0f})"


@claim("spike", reads=("alignment.csv",))
def spike(
    results: Results,
    *,
    part: Literal["train", "test", "all"] = "train",
    tasks: Range[Index] = (3, 300),
    least: Positive = 2.0,
) -> Verdict:
    """E17: the trained kernel's alignment spikes at the trained index.

    By more than `least` times the growth of its neighbours, as the geometric mean over tasks.
    """
    found = _spikes(results, part, tasks)
    if found.empty:
        return not_run(NO_TASKS)
    return verdict(
        f"On the {part} part the alignment at the trained index grows, over neighbours'"
        + _extreme(found, "excess", "least: {:.1f}"),
        model_means(found, "excess", least, logarithmic=True, unit="times"),
        beside=[
            ("Over an affine fit", model_means(found, "affine", logarithmic=True, unit="times"))
        ],
    )


@claim("spike-fades", reads=("alignment.csv",))
def spike_fades(
    results: Results,
    *,
    tasks: Range[Index] = (3, 300),
    small: Index = 30,
    large: Index = 100,
    least: Positive = 1.5,
) -> Verdict:
    """E18: on test images the spike stands for small indices and is below training's for large.

    Small: up to `small`, more than `least` times the growth of the neighbours. Large: from
    `large`. Geometric means over tasks.
    """
    test, train = _spikes(results, "test", tasks), _spikes(results, "train", tasks)
    keys = ["model", "label", "seed", "family", "task"]
    both = test.merge(train, on=keys, suffixes=("_test", "_train"))
    both = both.assign(fading=both["excess_test"] / both["excess_train"])
    low, high = both[both["task"] <= small], both[both["task"] >= large]
    if low.empty or high.empty:
        return not_run(NO_TASKS)
    return verdict(
        "The test spike of small indices, then that of large ones over training's",
        [
            *model_means(low, "excess_test", least, logarithmic=True, unit="times"),
            *model_means(high, "fading", 1.0, "below", logarithmic=True, unit="times"),
        ],
        beside=[
            ("The test spike of large ones", model_means(high, "excess_test", logarithmic=True)),
            ("Over an affine fit, small ones", model_means(low, "affine_test", logarithmic=True)),
            ("Large ones", model_means(high, "affine_test", logarithmic=True)),
        ],
    )


@claim("one-axis", reads=("alignment.csv",))
def one_axis(
    results: Results,
    *,
    part: Literal["train", "test", "all"] = "train",
    tasks: Range[Index] = (3, 300),
    rank: Positive = 10,
) -> Verdict:
    """E19: the trained index rises to the top of the trained kernel's spectrum.

    To within the first `rank`, on average over tasks.
    """
    found = _spikes(results, part, tasks)
    if found.empty:
        return not_run(NO_TASKS)
    return verdict(
        "Rank of the trained index among the initial eigenfunctions, in the trained kernel"
        + _extreme(found, "rank", "last: {:.0f}", largest=True),
        # A rank of exactly the limit is within it.
        model_means(found, "rank", rank + 0.5, "below"),
        beside=[
            ("Spike over neighbours", model_means(found, "excess", logarithmic=True, unit="times"))
        ],
    )


@claim("order-kept", reads=("alignment.csv",))
def order_kept(
    results: Results,
    *,
    part: Literal["train", "test", "all"] = "train",
    tasks: Range[Index] = (3, 300),
    correlation: Correlation = 0.85,
    lowest: Index = 10,
    share: Share = 0.5,
) -> Verdict:
    """E25: the other eigenfunctions keep their order; the trained one grows most.

    `lowest`: the least index whose growth, over an affine fit of growth to all others, is to be
    the largest in more than `share` of the trainings.
    """
    found = _spikes(results, part, tasks)
    high = found[found["task"] >= lowest]
    if high.empty:
        return not_run(NO_TASKS)
    largest = 1.0 * (high["argmax"] == high["task"])
    high = high.assign(largest=largest.where(high["argmax"].notna()))
    return verdict(
        "Spearman's correlation of the alignments before and after training, the trained index "
        "left out, then the share of trainings in which that grows most",
        [
            *model_means(found, "order", correlation, limits=(-1, 1)),
            *model_means(high, "largest", 100 * share, scale=100.0, unit="%", limits=(0, 1)),
        ],
    )


@claim("alignment-grows", reads=("evolution.csv",))
def alignment_grows(
    results: Results, *, lowest: Index = 10, growth: Positive = 2.0, early: Share = 1 / 3
) -> Verdict:
    """E23: the relative alignment with the target grows in training, most of it early.

    For indices from `lowest`, to more than `growth` times; half of that growth is reached within
    the first `early` of the epochs. The alignment may fall again after a peak.
    """
    evolution = frames.of_file(results, "evolution.csv")
    evolution = evolution[(evolution["part"] == "train") & (evolution["task"] >= lowest)]
    if evolution.empty:
        return not_run(NO_TASKS)
    keys = ["model", "label", "seed", "family", "task"]
    rows = []
    for key, line in evolution.groupby(keys, sort=False):
        row = dict(zip(keys, key, strict=True))
        epochs = frames.family_facts(results, str(row["family"]))["epochs"]
        diverged = line["epoch"].max() < epochs
        rows.append(row if diverged else {**row, **_course(line.sort_values("epoch"))})
    found = pd.DataFrame(rows, columns=[*keys, "end", "half", "peak", "when"])
    return verdict(
        "Growth of alignment over trace on the training part, at the end, then the part of the "
        "epochs that half of it takes",
        [
            *model_means(found, "end", growth, logarithmic=True, unit="times"),
            *model_means(found, "half", 100 * early, "below", scale=100.0, unit="%", limits=(0, 1)),
        ],
        beside=[
            ("At its peak", model_means(found, "peak", logarithmic=True, unit="times")),
            (
                "The peak is after, of the epochs",
                model_means(found, "when", scale=100.0, unit="%", limits=(0, 1)),
            ),
        ],
    )


def _course(line: pd.DataFrame) -> dict[str, float]:
    """End and peak of the growth of one alignment, and when half of it and the peak come.

    Growth that ends below where it began has no half: 1, the whole training.
    """
    growth = line["relative"].to_numpy() / line["relative"].iloc[0]
    at = line["epoch"].to_numpy() / line["epoch"].iloc[-1]
    reached = growth >= 1 + (growth[-1] - 1) / 2
    return {
        "end": float(growth[-1]),
        "half": float(at[reached.argmax()]) if growth[-1] > 1 else 1.0,
        "peak": float(growth.max()),
        "when": float(at[growth.argmax()]),
    }


@claim("energy-concentrates", reads=("energy.csv",))
def energy_concentrates(
    results: Results, *, lowest: Index = 30, components: Index = 50, rise: Share = 0.2
) -> Verdict:
    """E24: the target's energy moves into the leading eigenvectors of the trained kernel.

    For indices from `lowest`, by more than `rise` in some number of them up to `components`, of
    every training its own: with many, an index of few is among them at the start.
    """
    energy = frames.of_file(results, "energy.csv")
    energy = energy[(energy["components"] <= components) & (energy["task"] >= lowest)]
    if energy.empty:
        return not_run(NO_TASKS)
    keys = ["model", "label", "seed", "family", "task"]
    table = energy.pivot_table(
        index=[*keys, "components"], columns="moment", values="energy", aggfunc="mean"
    )
    table = table.reindex(columns=["init", "end"])  # no training may have come to the end
    risen = (table["end"] - table["init"]).rename("rise").groupby(level=keys, sort=False).max()
    return verdict(
        f"In at most {components} leading eigenvectors the share of the target's energy rises by",
        model_means(
            risen.reset_index(), "rise", 100 * rise, scale=100.0, unit="points", limits=(-1, 1)
        ),
    )
