"""The last screen of a run: which claims held, where to look, what to do next."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from firstorder.jobs.paths import Paths
from firstorder.publish.numerals import counted

FAILING = ("fails", "not resolved")
"""Verdicts whose claims are named."""


def lines(paths: Paths) -> list[str]:
    """The tally of the claims of a scale, what there is of its results, and two next commands."""
    verdicts = _verdicts(Path(paths.claims("csv")))
    counts = Counter(status for _, status in verdicts)
    said = [f"claims   {', '.join(counted(number, status) for status, number in counts.items())}"]
    for status in FAILING:
        named = [claim for claim, own in verdicts if own == status]
        if named:
            said.append(f"         {status}: {' '.join(named)}")
    places = {
        "page": paths.page,
        "paper": paths.paper,
        "tables": f"{paths.root}/tables/",
        "figures": f"{paths.root}/figures/",
    }
    there = {name: path for name, path in places.items() if Path(path).exists()}
    said += [f"{name:<8} {path}" for name, path in there.items()]
    if not verdicts:
        return said[1:]
    explained = paths.paper if "paper" in there else paths.claims("csv")
    return [
        *said,
        "next     firstorder verify                every claim with its numbers",
        f"         firstorder explain {explained}   from a result back to raw data",
    ]


def _verdicts(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as stream:
        return [(row["claim"], row["status"]) for row in csv.DictReader(stream)]
