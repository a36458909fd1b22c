"""Claims about how hard tasks are to fit: losses, steps and distances."""

from __future__ import annotations

import numpy as np
import pandas as pd

from firstorder.bounds import Correlation, Index, Positive
from firstorder.config import Some
from firstorder.publish.measures import spearman
from firstorder.publish.registry import Results, claim
from firstorder.publish.statistics import MIN_INDICES, average, effect, resample
from firstorder.publish.verdict import Effect, Verdict, missing, not_run
from firstorder.studies.linearized import frames
from firstorder.studies.linearized.cells import Cells, all_examples, numbers
from firstorder.studies.linearized.judging import (
    FEW_LEFT,
    LOST,
    TOO_FEW,
    model_means,
    of_trainings,
    verdict,
)
from firstorder.studies.linearized.labels import ARMS

FITTED = ("network", "linear")


def _ranked(frame: pd.DataFrame, value: str, threshold: float, more: str = "") -> list[Effect]:
    """Spearman's correlation of a number with the index, of every model and arm: mean over seeds.

    A row without the number is a training that was lost. A seed whose number is the same for all
    tasks has no correlation.
    """
    rows = []
    keys = ["label", "arm", "model", "seed", "family"]
    for key, part in frame.groupby(keys, sort=False):
        known = part.dropna(subset=[value])
        if len(part) < MIN_INDICES or (known[value].nunique() == 1 and len(known) >= MIN_INDICES):
            continue
        rho = spearman(known["task"], known[value]) if len(known) >= MIN_INDICES else np.nan
        rows.append({**dict(zip(keys, key, strict=True)), "task": 0, "rho": rho})
    cells = numbers(pd.DataFrame(rows), "rho") if rows else Cells({}, {})
    drawn = resample(cells)
    effects = []
    for name in cells.tried:
        said = f"{ARMS[name.arm]} {name.label}"
        own = frame.loc[(frame["label"] == name.label) & (frame["arm"] == name.arm), value]
        if name not in cells:
            effects.append(missing(FEW_LEFT if own.notna().any() else LOST, said + more))
            continue
        effects.append(
            effect(
                drawn, average(name), threshold=threshold, limits=(-1, 1),
                name=said + of_trainings(own) + more,
            )
        )  # fmt: skip
    return effects


@claim("slower-to-fit", reads=("network.csv", "linear.csv"))
def slower_to_fit(
    results: Results, *, epochs: Some[Index] = (5, 15), correlation: Correlation = 0.9
) -> Verdict:
    """E8: the training loss after few epochs grows with the index."""
    runs = frames.runs(results, *FITTED)
    keys = ["label", "arm", "model", "seed", "family", "task"]
    effects = []
    for epoch in epochs:
        early = runs[runs["epoch"] == epoch]
        tried = runs.loc[runs["family"].isin(early["family"]), keys].drop_duplicates()
        early = tried.merge(early, on=keys, how="left")
        effects += _ranked(early, "train_loss", correlation, f", {epoch} epochs")
    return verdict("Spearman's correlation of index and training loss", effects, lacking=TOO_FEW)


@claim("more-steps", reads=("network.json", "linear.json"))
def more_steps(results: Results, *, correlation: Correlation = 0.9) -> Verdict:
    """E9: steps until a minibatch has loss 0.01 grow with the index.

    A training that never reaches the loss counts as one that takes a step more than it has. An
    arm that never reaches it on any task says nothing.
    """
    tasks = frames.tasks(results, *FITTED)
    taken = _steps(tasks, "steps_to_0.01")
    never = tasks["steps_to_0.01"].isna() & taken.notna()
    tasks = tasks.assign(taken=taken + 1.0 * never)
    return verdict(
        f"Never reached in {never.sum()} of {taken.count()} trainings. Spearman's correlation of "
        "index and steps",
        _ranked(tasks, "taken", correlation),
        lacking=TOO_FEW,
    )


def _steps(tasks: pd.DataFrame, column: str) -> pd.Series:
    """Steps to a loss; all of a training's where it is never reached, none where it diverged."""
    reached: pd.Series = tasks[column].astype(float).fillna(tasks["steps"].astype(float))
    return reached.where(tasks["status"] == "finished")


@claim("farther", reads=("network.csv", "linear.csv"))
def farther(
    results: Results, *, correlation: Correlation = 0.5, lowest: Index = 10, share: Positive = 10
) -> Verdict:
    """E10: weights travel farther for higher indices.

    For tasks from `lowest` to the number of examples over `share`.
    """
    last = frames.last_epochs(frames.runs(results, *FITTED))
    last = last[last["task"].between(lowest, all_examples(results) / share)]
    return verdict(
        "Spearman's correlation of index and squared distance",
        _ranked(last, "distance", correlation),
        lacking=TOO_FEW,
    )


@claim(
    "faster-on-trained",
    reads=("linear0.json", "retrained.json", "retrained-scaled.json", "linear0-scaled.json"),
)
def faster_on_trained(results: Results, *, lowest: Index = 10) -> Verdict:
    """E20: linear training on the trained kernel needs fewer steps to loss 0.1, at equal trace.

    For indices from `lowest`: how many times fewer, as the geometric mean over tasks. A training
    that never reaches the loss counts with all its steps.
    """
    arms = ("linear0", "retrained", "retrained-scaled", "linear0-scaled")
    tasks = frames.tasks(results, *arms)
    tasks = tasks[tasks["task"] >= lowest]
    if not {"linear0", "retrained-scaled"} <= set(tasks["arm"]):
        return not_run("No linear training on a trained kernel is run within the claim's range.")
    keys = ["label", "model", "seed", "family", "task"]
    taken = tasks.assign(taken=_steps(tasks, "steps_to_0.1")).set_index(keys)

    def times_fewer(slow: str, fast: str, threshold: float) -> list[Effect]:
        first, second = (taken.loc[taken["arm"] == arm, "taken"] for arm in (slow, fast))
        common = first.index.intersection(second.index)
        ratio = (first[common] / second[common]).rename("ratio").reset_index()
        return model_means(ratio, "ratio", threshold, logarithmic=True, unit="times")

    free = float("nan")
    return verdict(
        "At the trace of the initial kernel, steps on it over steps on the trained kernel",
        times_fewer("linear0", "retrained-scaled", 1.0),
        beside=[
            (
                "At the trace of the trained kernel",
                times_fewer("linear0-scaled", "retrained", free),
            ),
            ("At their own traces", times_fewer("linear0", "retrained", free)),
        ],
    )
