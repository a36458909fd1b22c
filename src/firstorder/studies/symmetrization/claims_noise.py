"""Claims about the noise that was drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np

from firstorder.publish.measures import number_range
from firstorder.publish.numerals import number
from firstorder.publish.registry import Results, claim
from firstorder.publish.verdict import Verdict, exact, judge, not_run
from firstorder.studies.symmetrization import frames


@claim("exact-counts", reads=("labels.npz",))
def exact_counts(results: Results) -> Verdict:
    """P15: of class i's n_i labels a sampler by counts moves T_ij n_i to class j, rounded.

    `floor` rounds down; `remainder` stays within one label of T_ij n_i, and moves labels of
    class i within half a label of their sum. T_ij is η / (K − 1) under symmetric noise, η from a
    class to the one that it is mistaken for under asymmetric noise. Compares the counts behind
    the realised matrices, of every draw.
    """
    off, changed = [], []
    noises, maps = results.spec["noises"], results.spec["asymmetric"]
    for keys, realised in frames.label_matrices(results):
        noise, counts = noises[keys["noise"]], keys["counts"].astype(float)
        shares = _shares(noise, keys["classes"], maps[keys["dataset"]])
        if shares is None:
            continue
        moved = realised * counts[:, None] * (1 - np.eye(len(realised)))
        off.append(_beyond(noise["sampler"], moved, shares * counts[:, None]))
        if noise["rate"]:
            changed.append(int((moved > 0.5).any(axis=1).sum()))
    if not off:
        return not_run("No such noise is drawn by counts at this scale.")
    text = (
        f"In {len(off)} draws the number of labels moved between any two classes differs from "
        f"T n, as its sampler rounds, by at most {number(max(off))}; where there is noise it "
        f"moves labels of {number_range(np.array(changed), 0)} classes."
    )
    verdict = judge(exact(max(off), 1e-6, "below", name="largest difference"), text)
    counts = {
        "draws": len(off),
        "fewest classes changed": min(changed, default=0),
        "most classes changed": max(changed, default=0),
    }
    also = tuple(exact(count, nan, name=name) for name, count in counts.items())
    return replace(verdict, effects=(*verdict.effects, *also))


def _beyond(sampler: str, moved: np.ndarray, expected: np.ndarray) -> float:
    """By how many labels the counts `moved` (K, K) miss what a sampler makes of those expected."""
    if sampler == "floor":
        # 1e-9: a product such as 0.6 / 9 * 135 may fall short of a whole number by rounding.
        return float(np.abs(moved - np.floor(expected + 1e-9)).max())
    between = np.abs(moved - expected).max() - 1
    of_a_class = np.abs((moved - expected).sum(axis=1)).max() - 0.5
    return max(float(between), float(of_a_class), 0.0)


def _shares(
    noise: Mapping[str, Any], classes: int, pairs: str | Sequence[Sequence[int]]
) -> np.ndarray | None:
    """Which share (K, K) of each class gets which wrong label; None where no count is stated.

    Written out from the protocol, not taken from the code that draws the noise.
    """
    if noise["sampler"] not in ("floor", "remainder"):
        return None
    if noise["include_true_class"] or noise["blocks"] != "index":
        return None
    if noise["kind"] == "symmetric":
        return noise["rate"] / (classes - 1) * (1 - np.eye(classes))
    if noise["kind"] != "asymmetric":
        return None
    if isinstance(pairs, str):  # blocks of five classes, each mistaken for the next
        pairs = [[i, i - i % 5 + (i + 1) % 5] for i in range(classes)]
    shares = np.zeros((classes, classes))
    for source, target in pairs:
        shares[int(source), int(target)] = noise["rate"]
    return shares
