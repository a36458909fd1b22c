"""Which of an artefact's inputs stand behind one of its numbers, without knowing the study.

The files of an artefact have names of parts, such as `digits/symmetric-0.4/ce/1/summary.json`.
A number's row names some parts outright (`ce`) and others by a title (`CE`); what a title stands
for is read from the rows of the artefact's spec, where both are together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any


def parts(names: Iterable[str]) -> set[str]:
    """All parts of names, and their last ones without a suffix."""
    found: set[str] = set()
    for name in names:
        pieces = name.split("/")
        found |= {*pieces, PurePosixPath(pieces[-1]).stem}
    return found


def aliases(selected: Any, names: Iterable[str]) -> dict[str, list[str]]:
    """Title -> the parts that stand beside it in every row of `selected` that has it."""
    known = parts(names)
    beside: dict[str, set[str]] = {}
    for row in _rows(selected):
        values = {str(value) for value in row.values() if isinstance(value, str | int)}
        own = values & known
        for value in row.values():
            if isinstance(value, str) and value not in known:
                beside[value] = beside[value] & own if value in beside else set(own)
    return {title: sorted(found) for title, found in beside.items() if found}


def titles(selected: Any) -> dict[str, str]:
    """Name -> how it is printed, where a row of `selected` has both: `noise` and `noise_label`, or
    a loss and its `label`. Names that are printed alike are left out."""
    found: dict[str, str] = {}
    for row in _rows(selected):
        for name, printed in row.items():
            named = "loss" if name == "label" else name.removesuffix("_label")
            if named != name and isinstance(row.get(named), str) and isinstance(printed, str):
                found[row[named]] = printed
    counts = Counter(found.values())
    return {name: printed for name, printed in found.items() if counts[printed] == 1}


def related(
    own: Iterable[str],
    artefacts: Mapping[str, Iterable[str]],
    first: Iterable[str] = (),
    most: int = 3,
) -> list[str]:
    """The artefacts that share the largest part of their files with `own`, the closest first.

    Where none shares a file, those that read other files of the same runs, which are in one folder.
    Those of `first` that read the same runs come before all others.
    """
    mine = frozenset(own)
    theirs = {name: frozenset(paths) for name, paths in artefacts.items()}
    files = _shares(mine, theirs)
    runs = _shares(_folders(mine), {name: _folders(paths) for name, paths in theirs.items()})
    named = sorted((name for name in first if name in runs), key=lambda name: -runs[name])
    found = files or runs
    return list(dict.fromkeys([*named, *sorted(found, key=lambda name: -found[name])]))[:most]


@cache
def _folders(paths: frozenset[str]) -> frozenset[str]:
    return frozenset(path.rpartition("/")[0] for path in paths)


def _shares(mine: frozenset[str], artefacts: Mapping[str, frozenset[str]]) -> dict[str, float]:
    """What is common of all that is in either, where anything is."""
    return {
        name: len(mine & theirs) / len(mine | theirs)
        for name, theirs in artefacts.items()
        if mine & theirs
    }


def _rows(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping within a JSON-able value."""
    if isinstance(value, Mapping):
        yield value
        for each in value.values():
            yield from _rows(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _rows(each)
