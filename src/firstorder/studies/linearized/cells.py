"""What claims are resampled from: the test examples that each seed has right, or its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from firstorder import arrays
from firstorder.publish.reading import broken
from firstorder.publish.registry import Results
from firstorder.publish.statistics import Cell
from firstorder.publish.statistics.bootstrap import Statistic
from firstorder.studies.linearized import frames


class Name(NamedTuple):
    """One arm of a model on a task."""

    label: str
    arm: str
    task: int
    family: str


class Cells(dict[Name, Cell]):
    """The seeds that finished, by name; `tried` has all seeds of every name, finished or not."""

    def __init__(
        self, finished: Mapping[Name, Cell], tried: Mapping[Name, tuple[str, ...]]
    ) -> None:
        super().__init__(finished)
        self.tried = dict(tried)

    def where(self, keep: Callable[[Name], bool]) -> Cells:
        """Those of some names."""
        return Cells(
            {name: cell for name, cell in self.items() if keep(name)},
            {name: seeds for name, seeds in self.tried.items() if keep(name)},
        )


def correct(results: Results, *arms: str) -> Cells:
    """Which test examples every seed has right at the end of training: (seeds, examples).

    Networks that share a model and seed are paired, and so are test examples of one support.
    """
    bits: dict[Name, dict[str, np.ndarray]] = {}
    supports: dict[Name, str] = {}
    tried: dict[Name, tuple[str, ...]] = {}
    for run in results.spec["runs"]:
        seed = _seed(run["model"], run["seed"])
        for arm in arms:
            file = f"{arm}.npz"
            found = _unpacked(results.path(run["family"], run["model"], run["seed"], file))
            for task in frames.trained_on(results, run["family"], file):
                name = Name(run["label"], arm, task, run["family"])
                tried[name] = (*tried.get(name, ()), seed)
                if task in found:
                    bits.setdefault(name, {})[seed] = found[task]
                    supports[name] = run["support"]
    finished = {
        name: Cell(np.stack(list(found.values())), tuple(found), supports[name])
        for name, found in bits.items()
    }
    return Cells(finished, tried)


def _unpacked(path: str) -> dict[int, np.ndarray]:
    """The bits (M,) of every task of ARM.npz."""
    found = arrays.read(path, "tasks", "correct", "examples")
    count = int(found["examples"])
    if len(found["correct"]) != len(found["tasks"]):
        raise broken(path)
    return {
        int(task): np.unpackbits(packed, count=count).astype(bool)
        for task, packed in zip(found["tasks"], found["correct"], strict=True)
    }


def numbers(frame: pd.DataFrame, value: str) -> Cells:
    """A number of every seed: cells (seeds,) from rows of label, model, seed, task and family.

    `arm` is a column of the frame, or empty. A row without the number did not finish.
    """
    finished, tried = {}, {}
    named = frame.assign(arm=frame.get("arm", ""))
    for _, part in named.groupby(["label", "arm", "task", "family"], sort=False):
        first, known = part.iloc[0], part[part[value].notna()]
        name = Name(first["label"], first["arm"], int(first["task"]), first["family"])
        tried[name] = _seeds(part)
        if len(known):
            finished[name] = Cell(known[value].to_numpy(float), _seeds(known))
    return Cells(finished, tried)


def over_majority(cells: Cells, tasks: pd.DataFrame) -> Cells:
    """Accuracies less the share of the larger class of every seed's test labels, by seed.

    `tasks` has rows of label, model, seed, family, task and majority_test.
    """
    larger = {
        (row["label"], row["family"], int(row["task"]), _seed(row["model"], row["seed"])): (
            row["majority_test"]
        )
        for row in tasks.to_dict("records")
    }
    found = {}
    for name, cell in cells.items():
        shares = [larger.get((name.label, name.family, name.task, s)) for s in cell.seeds]
        if None not in shares:
            found[name] = Cell(cell.by_seed - np.array(shares, float), cell.seeds)
    return Cells(found, cells.tried)


def _seeds(frame: pd.DataFrame) -> tuple[str, ...]:
    return tuple(_seed(*each) for each in zip(frame["model"], frame["seed"], strict=True))


def _seed(model: str, seed: object) -> str:
    return f"{model} {seed}"


def labels(cells: Cells) -> list[str]:
    """The labels of the models, each once."""
    return list(dict.fromkeys(name.label for name in cells.tried))


def of(cells: Mapping[Name, Cell], label: str, arm: str) -> list[Name]:
    """The names of a model and an arm, by ascending task."""
    own = [name for name in cells if (name.label, name.arm) == (label, arm)]
    return sorted(own, key=lambda name: name.task)


def tried(cells: Cells, label: str, *arms: str) -> set[tuple[str, int]]:
    """Family and index of the tasks of a model on which all of `arms` were trained."""
    own = [name for name in cells.tried if name.label == label]
    each = ({(n.family, n.task) for n in own if n.arm == arm} for arm in arms)
    return set.intersection(*each)


def pairs(
    cells: Mapping[Name, Cell], label: str, first: str, second: str
) -> list[tuple[Name, Name]]:
    """The tasks that both arms of a model have, of one seed at least, by ascending task."""
    other = {(name.family, name.task): name for name in of(cells, label, second)}
    found = [(name, other.get((name.family, name.task))) for name in of(cells, label, first)]
    return [(a, b) for a, b in found if b and set(cells[a].seeds) & set(cells[b].seeds)]


def on_common_seeds(
    cells: Mapping[Name, Cell], chosen: Sequence[tuple[Name, Name]]
) -> dict[Name, Cell]:
    """Both cells of every pair, on the seeds that both have."""
    found: dict[Name, Cell] = {}
    for pair in chosen:
        first, second = (cells[name] for name in pair)
        common = [seed for seed in first.seeds if seed in second.seeds]
        found |= {name: cells[name].of(common) for name in pair}
    return found


def within(cells: Cells, low: float, high: float) -> Cells:
    """The cells of tasks from `low` to `high`."""
    return cells.where(lambda name: low <= name.task <= high)


def gap(chosen: Sequence[tuple[Name, Name]]) -> Statistic:
    """Statistic: the mean over tasks of the first less the second."""
    return lambda means: np.mean([means[a] - means[b] for a, b in chosen], axis=0)


def all_examples(results: Results) -> int:
    """Examples of the support of a claim's first family, training and test."""
    facts = frames.family_facts(results, frames.first_family(results))
    return int(facts["train"] + facts["test"])
