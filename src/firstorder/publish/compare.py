"""Two folders of results, number by number and claim by claim, and why they differ.

A folder has tables/*.csv, claims.csv and manifest.json, as a scale has after a run. The folders may
be of other machines, commits or scales; what only one of them has is counted, not compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

import pandas as pd

from firstorder import files
from firstorder.errors import UserError
from firstorder.publish import spreadsheets
from firstorder.publish.manifest import read as read_manifest

SAME, WITHIN, DIFFERS = "the same", "within tolerance", "different"
EXACT = 1e-9
"""Relative: numbers this close print alike."""
SPREADS = 3.0
"""How many standard errors of the difference two means over seeds may lie apart."""
ONE_SEED = 0.05
"""Relative: how far numbers without a spread may lie apart."""
UNSURE = 0.05
"""A verdict that flips in this share of resamples may be another one in another run."""
ALL_SAME = "scale, commit, device, packages, data, spec and code are the same"
KEYS = ("section", "row", "column")
DECIDING = ("python", "torch", "numpy", "scipy")
"""The packages whose versions are compared; the manifests have all."""


@dataclass
class Comparison:
    """What was found; `lines` say it."""

    numbers: Counter[str] = field(default_factory=Counter)
    claims: Counter[str] = field(default_factory=Counter)
    alone: int = 0
    """Numbers and claims that only one folder has."""
    differing: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """0: the same within tolerance, 1: they differ, 2: no number can be compared."""
        if not self.numbers:
            return 2
        return int(bool(self.numbers[DIFFERS] or self.claims[DIFFERS]))

    def lines(self, most: int = 12) -> Iterator[str]:
        """The report, one screen of it: at most `most` differences one by one."""
        yield from self.differing[:most]
        if len(self.differing) > most:
            yield f"and {len(self.differing) - most} more"
        for what, counts in (("numbers", self.numbers), ("claims", self.claims)):
            told = ", ".join(f"{counts[kind]} {kind}" for kind in (SAME, WITHIN, DIFFERS))
            yield f"{what:<8} {told}"
        if self.alone:
            yield f"         {self.alone} numbers and claims are in one folder only"
        yield from (f"why      {reason}" for reason in self.reasons)


def compare(first: str, second: str) -> Comparison:
    """Compare two folders of results. Raises UserError naming a file that cannot be read."""
    found = Comparison()
    for name in sorted(_tables(first) | _tables(second)):
        _numbers(found, name, _table(first, name), _table(second, name))
    _claims(found, _judged(first), _judged(second))
    manifests = {folder: _manifest(folder) for folder in dict.fromkeys((first, second))}
    stale = [line for folder, manifest in manifests.items() for line in _stale(folder, manifest)]
    found.reasons = stale + list(_reasons(manifests[first], manifests[second])) or [ALL_SAME]
    return found


def keep(source: str, target: str) -> None:
    """Write what `compare` reads of the results in `source`, and only that, to `target`."""
    if Path(source).resolve() == Path(target).resolve():
        raise UserError(f"{target}: the results themselves lie there; name another folder")
    manifest = _manifest(source)
    stale = next(_stale(source, manifest), None)
    if stale:
        raise UserError(stale)
    packages = manifest["packages"]
    kept = {name: manifest[name] for name in ("version", "scale", "commit", "device")} | {
        "packages": {name: packages[name] for name in DECIDING if name in packages},
        "files": {},
    }
    jobs = {
        name: {each: job[each] for each in ("spec", "code", "data") if job.get(each)}
        for name, job in manifest["jobs"].items()
    }
    if not Path(source, "claims.csv").is_file():
        raise UserError(f"{source}/claims.csv: no such file; run the workflow to make it")
    for path in ("claims.csv", *(f"tables/{name}" for name in sorted(_tables(source)))):
        files.write_bytes(Path(target, path), Path(source, path).read_bytes())
    for name in _tables(target) - _tables(source):
        Path(target, "tables", name).unlink()
    files.write_json(Path(target, "manifest.json"), kept | {"jobs": jobs})


def _tables(folder: str) -> set[str]:
    return {path.name for path in Path(folder, "tables").glob("*.csv")}


def _table(folder: str, name: str) -> pd.DataFrame:
    path = Path(folder, "tables", name)
    frame = _numeric(_csv(path), path, "mean", "std", "n")
    if frame.empty or not {*KEYS, "mean"} <= set(frame.columns):
        return pd.DataFrame()
    if "time" in frame:  # what a clock measured is another number in every run
        frame = frame[~frame["time"].fillna(False).astype(bool)]
    names = frame[list(KEYS)].astype(object)
    keys = pd.MultiIndex.from_frame(names.where(names.notna(), "").astype(str))
    keyed = frame.drop(columns=list(KEYS)).set_index(keys)
    return keyed[~keyed.index.duplicated()]


def _judged(folder: str) -> pd.DataFrame:
    """Status and share of flips of every claim, by study and claim."""
    path = Path(folder, "claims.csv")
    frame = _numeric(_csv(path), path, "flip")
    if frame.empty:
        return frame
    if not {"study", "claim", "status"} <= set(frame.columns):
        raise _unreadable(path)
    keyed = frame.set_index(["study", "claim"])
    return keyed[~keyed.index.duplicated()]


def _numeric(frame: pd.DataFrame, path: Path, *columns: str) -> pd.DataFrame:
    """A frame whose `columns`, as far as it has them, hold numbers."""
    try:
        return frame.assign(**{c: pd.to_numeric(frame[c]) for c in columns if c in frame})
    except (ValueError, TypeError):
        raise _unreadable(path) from None


def _unreadable(path: Path) -> UserError:
    return UserError(f"{path}: not as the workflow writes it; run the workflow to make it again")


def _csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame()
    try:
        return spreadsheets.read_csv(path)
    except (ValueError, pd.errors.ParserError):
        raise _unreadable(path) from None


def _manifest(folder: str) -> dict[str, Any]:
    path = Path(folder, "manifest.json")
    if not path.is_file():
        raise UserError(f"{path}: no such file; name a folder of results")
    return read_manifest(str(path))


def _numbers(found: Comparison, name: str, first: pd.DataFrame, second: pd.DataFrame) -> None:
    common: list[Any] = []
    if len(first) and len(second):
        common = list(first.index.intersection(second.index))
    found.alone += len(first) + len(second) - 2 * len(common)
    for key in common:
        a, b = first.loc[key], second.loc[key]
        if pd.isna(a["mean"]) and pd.isna(b["mean"]):
            continue
        kind = number(a, b)
        found.numbers[kind] += 1
        if kind == DIFFERS:
            place = ", ".join(part for part in key if part)
            found.differing.append(
                f"{name.removesuffix('.csv')}: {place}: {_text(a)} and {_text(b)}"
            )


def number(a: pd.Series, b: pd.Series) -> str:
    """Whether two numbers (mean, std, n) are the same, within tolerance, or different.

    Means over seeds may lie 3 standard errors of their difference apart, numbers without a spread
    5 %. One that only one side has is different.
    """
    if pd.isna(a["mean"]) or pd.isna(b["mean"]):
        return DIFFERS
    if not (isfinite(a["mean"]) and isfinite(b["mean"])):
        return SAME if a["mean"] == b["mean"] else DIFFERS
    apart, size = abs(a["mean"] - b["mean"]), max(abs(a["mean"]), abs(b["mean"]))
    if apart <= EXACT * size:
        return SAME
    spreads = [_error(each) for each in (a, b)]
    allowed = SPREADS * sqrt(sum(each**2 for each in spreads if each is not None))
    if None in spreads:
        allowed = max(allowed, ONE_SEED * size)
    return WITHIN if apart <= allowed else DIFFERS


def _error(row: pd.Series) -> float | None:
    """The standard error of a mean over seeds; None where there is no spread."""
    std, n = row.get("std"), row.get("n")
    if std is None or n is None or pd.isna(std) or pd.isna(n) or n < 2:
        return None
    return float(std) / sqrt(float(n))


def _text(row: pd.Series) -> str:
    return "nothing" if pd.isna(row["mean"]) else f"{row['mean']:.6g}"


def _claims(found: Comparison, a: pd.DataFrame, b: pd.DataFrame) -> None:
    if a.empty or b.empty:
        found.alone += len(a) + len(b)
        return
    common = a.index.intersection(b.index)
    found.alone += len(a) + len(b) - 2 * len(common)
    for key in common:
        kind = verdict(a.loc[key], b.loc[key])
        if kind is None:
            found.alone += 1
            continue
        found.claims[kind] += 1
        if kind == DIFFERS:
            statuses = f"{a.loc[key, 'status']} and {b.loc[key, 'status']}"
            found.differing.append(f"claim {key[0]} {key[1]}: {statuses}")


def verdict(a: pd.Series, b: pd.Series) -> str | None:
    """Whether two verdicts are the same; None where only one run could judge."""
    if a["status"] == b["status"]:
        return SAME
    statuses = {a["status"], b["status"]}
    if "not run" in statuses:
        return None
    unsure = any((each.get("flip") or 0.0) >= UNSURE for each in (a, b))
    return WITHIN if "not resolved" in statuses or unsure else DIFFERS


def _stale(folder: str, manifest: dict[str, Any]) -> Iterator[str]:
    """Whether what is compared was made after the manifest, which then does not say how.

    Files are known by their names below the folder: that may have been moved since. A reference
    that was kept has no hashes.
    """
    hashes = manifest["files"]
    compared = [f"tables/{name}" for name in sorted(_tables(folder))]
    if Path(folder, "claims.csv").is_file():
        compared.insert(0, "claims.csv")
    other = [
        name
        for name in compared
        if files.sha256(Path(folder, name))
        not in (digest for path, digest in hashes.items() if path.endswith(f"/{name}"))
    ]
    if hashes and other:
        more = f" and {len(other) - 1} more" if len(other) > 1 else ""
        yield (
            f"{folder}/manifest.json does not describe {other[0]}{more}; run the workflow to its "
            "end"
        )


def _reasons(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    """What differs in how two folders were made."""
    for name in ("scale", "commit", "device"):
        if first[name] != second[name]:
            yield f"{name}: {first[name]} and {second[name]}"
    packages = [each["packages"] for each in (first, second)]
    for name in DECIDING:
        versions = [each.get(name) for each in packages]
        if None not in versions and versions[0] != versions[1]:
            yield f"{name}: {versions[0]} and {versions[1]}"
    jobs = {name: (job, second["jobs"][name]) for name, job in first["jobs"].items()
            if name in second["jobs"]}  # fmt: skip
    for what in ("spec", "code"):
        steps = Counter(
            name.partition("/")[0] for name, (a, b) in jobs.items() if a[what] != b[what]
        )
        if steps:
            listed = ", ".join(f"{step} ({count})" for step, count in steps.items())
            yield f"{what} of {steps.total()} jobs: {listed}"
    data = {name: (a.get("data"), b.get("data")) for name, (a, b) in jobs.items()}
    other = [name for name, (a, b) in data.items() if a != b and a and b]
    if other:
        yield f"data: {', '.join(other)} made other files"
