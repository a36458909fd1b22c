"""The manifest: every file of a scale with its hash and the job that made it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstorder import files
from firstorder.errors import DataError
from firstorder.jobs import provenance

if TYPE_CHECKING:
    from firstorder.jobs.context import Context
    from firstorder.jobs.job import Files, Spec

VERSION = 3
"""Of the manifest's form."""
PUBLISHED = ("table", "figure")
"""The steps whose outputs people read, besides the claims."""


def manifest(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Write manifest.json: jobs, hashes of all their files, and on what they were made.

    Raises DataError when a published file is missing. Files that other jobs made and somebody
    removed since are listed as `missing`.
    """
    commit, dirty = provenance.source()
    jobs = spec["jobs"]
    made = {path for job in jobs for path in job["outputs"]}
    read = {path for job in jobs for path in job["inputs"]}
    hashes = {path: provenance.sha256(path) for path in sorted(made | read) if Path(path).is_file()}
    for path in inputs:
        if path not in hashes:
            raise DataError(f"{path}: no such file; run the workflow to make it")
    results = {
        "-".join(job["key"]): _result(job, hashes) for job in jobs if job["step"] in PUBLISHED
    }
    claims = next(job for job in jobs if job["step"] == "claims")
    files.write_json(
        outputs["manifest"],
        {
            "version": VERSION,
            "scale": spec["scale"],
            "data": spec["data"],
            "commit": commit,
            "dirty": dirty,
            "packages": _packages(),
            "device": provenance.device(spec["device"]),
            "results": results,
            "claims": {path: hashes[path] for path in claims["outputs"]},
            "files": hashes,
            "missing": sorted((made | read) - set(hashes)),
            "jobs": {"/".join((job["step"], *job["key"])): _job(job, hashes) for job in jobs},
            "made_on": _made_on(made),
        },
    )


def read(path: str) -> dict[str, Any]:
    """What `manifest` wrote, or what `compare.keep` left of it.

    Raises DataError when it is missing, damaged or of an older form.
    """
    try:
        value = files.read_json(path)
    except FileNotFoundError:
        raise files.missing(path) from None
    except ValueError as error:
        raise files.damaged(path, error) from None
    if not _whole(value):
        raise DataError(f"{path}: of an older form; delete it and run again")
    return value


def _whole(value: Any) -> bool:
    """Whether a value has this version's parts, each of its kind."""
    return (
        isinstance(value, dict)
        and value.get("version") == VERSION
        and all(isinstance(value.get(part), dict) for part in ("packages", "files", "jobs"))
        and all(
            isinstance(job, dict) and {"spec", "code"} <= job.keys()
            for job in value["jobs"].values()
        )
    )


def _job(job: Spec, hashes: Mapping[str, str]) -> dict[str, Any]:
    told = ("spec", "code", "entries", "inputs", "outputs", "receipt")
    data = [hashes[path] for path in job["outputs"] if path in hashes] if job["data"] else None
    return {name: job[name] for name in told} | {"data": data}


def _result(job: Spec, hashes: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": job["step"],
        "title": job["title"],
        "where": job["where"],
        "code": job["code"],
        "files": {path: hashes[path] for path in job["outputs"]},
        "inputs": job["inputs"],
        "seconds": _made_on(job["inputs"])["seconds"],
    }


def _packages() -> dict[str, str]:
    """Every installed package; the records of runs name only the ones that decide numbers."""
    found = {found.metadata["Name"]: found.version for found in distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name))


def _made_on(paths: Any) -> dict[str, Any]:
    """Devices, commits, code digests and total seconds of the records among some files."""
    seconds = 0.0
    collected: dict[str, set[str]] = {"device": set(), "commit": set(), "code": set()}
    for path in paths:
        value = record(path)
        seconds += float(value.get("seconds") or 0.0)
        for key, values in collected.items():
            if value.get(key):
                values.add(str(value[key]))
    return {"seconds": seconds, **{f"{key}s": sorted(each) for key, each in collected.items()}}


def record(path: str) -> dict[str, Any]:
    """The record of a run in a JSON file; empty for any other file."""
    if not path.endswith(".json") or not Path(path).is_file():
        return {}
    try:
        value = files.read_json(path)
    except ValueError:
        raise DataError(f"{path}: truncated or not JSON; delete it and run again") from None
    known = isinstance(value, dict) and "code" in value and isinstance(value.get("inputs"), dict)
    return value if known else {}
