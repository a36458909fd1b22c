"""The manifest: what every result was made from, and the chain from a result to raw data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from firstorder import config as configuration
from firstorder import digest, files, plan, provenance
from firstorder.config import Artefact, Config
from firstorder.errors import DataError
from firstorder.publish import needs

VERSION = 1
"""Of the manifest's form."""


def build(config: Config) -> None:
    """Write manifest.json: every table and figure, and the claims, with hashes of files and inputs.

    Raises DataError when a file is missing.
    """
    commit, dirty = provenance.source()
    results = {
        f"{study}-{name}": _artefact(config, study, name, declared)
        for study, name, declared in configuration.artefacts(config)
    }
    read = sorted({path for result in results.values() for path in result["inputs"]})
    manifest = {
        "version": VERSION,
        "scale": config.settings.scale,
        "data": config.scale.data,
        "commit": commit,
        "dirty": dirty,
        "packages": _packages(),
        "device": provenance.device(config),
        "results": results,
        "claims": _hashes(_claim_files(config)),
        "files": _hashes(read),
        "made_on": _made_on(read),
    }
    files.write_json(needs.paths_of(config).manifest, manifest)


def _artefact(config: Config, study: str, name: str, declared: Artefact) -> dict[str, Any]:
    read = needs.inputs(config, study, name)
    made_on = _made_on(read)
    return {
        "kind": declared.kind,
        "title": declared.title,
        "where": declared.where,
        "code": digest.code(*plan.artefact_entries(config, declared)),
        "files": _hashes(needs.paths_of(config).artefact(study, name, declared.kind)),
        "inputs": [provenance.relative(path) for path in read],
        "seconds": made_on["seconds"],
    }


def _claim_files(config: Config) -> list[str]:
    paths = needs.paths_of(config)
    return [path for path in map(paths.claims, ("csv", "md", "html")) if Path(path).is_file()]


def _hashes(paths: Any) -> dict[str, str]:
    found = {}
    for path in paths:
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file; run the workflow to make it")
        found[provenance.relative(path)] = files.sha256(path)
    return found


def _packages() -> dict[str, str]:
    """Every installed package; the records of runs name only the ones that decide numbers."""
    found = {found.metadata["Name"]: found.version for found in distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name))


def _made_on(read: list[str]) -> dict[str, Any]:
    """Devices, commits, code digests and total seconds of the records behind some files."""
    seconds, seen = 0.0, set()
    collected: dict[str, set[str]] = {"devices": set(), "commits": set(), "codes": set()}
    for path in read:
        record = _record_path(path)
        if record is None or record in seen:
            continue
        seen.add(record)
        value = _record(record)
        seconds += float(value.get("seconds") or 0.0)
        for key in collected:
            if value.get(key[:-1]):
                collected[key].add(str(value[key[:-1]]))
    return {"seconds": seconds, **{key: sorted(values) for key, values in collected.items()}}


def explain(config: Config, path: str) -> str:
    """The chain from a result back to raw data, as indented lines.

    Every line names a file and says whether its content is still what the record behind the line
    above it was made from. Equal branches (seeds, cells) are shown once and counted.
    """
    return "\n".join(_lines(config, provenance.relative(path), 0, set()))


def _lines(config: Config, path: str, depth: int, seen: set[str]) -> Iterator[str]:
    yield "  " * depth + f"{path}{_about(config, path)}"
    if path in seen:
        return
    seen.add(path)
    inputs = _inputs(config, path)
    groups: dict[str, list[str]] = {}
    for each in inputs:
        groups.setdefault(_pattern(each), []).append(each)
    for members in groups.values():
        if len(members) > 1:
            yield "  " * (depth + 1) + f"{len(members)} files like"
            yield from _lines(config, members[0], depth + 2, seen)
        else:
            yield from _lines(config, members[0], depth + 1, seen)
    for member, expected in inputs.items():
        if expected and Path(member).is_file() and files.sha256(member) != expected:
            yield "  " * (depth + 1) + f"CHANGED since: {member}"


def _about(config: Config, path: str) -> str:
    """What is known of a file: its title, its training, or where it comes from."""
    found = _declared(config, path)
    if found is not None:
        _, _, declared = found
        return f"  [{declared.kind}: {declared.title}; {declared.where}]"
    if not Path(path).is_file():
        return "  [absent]"
    record = _record_path(path)
    if record is None:
        return ""
    value = _record(record)
    made = [str(value[key]) for key in ("status", "device", "commit") if value.get(key)]
    code = [f"code {value['code']}"] if value.get("code") else []
    return f"  [{', '.join([*made, *code])}]"


def _pattern(path: str) -> str:
    """A path without what tells equal branches apart: seed, noise, loss and task."""
    parts = path.split("/")
    if "runs" in parts and "symmetrization" in parts:
        at = parts.index("runs")
        return "/".join([*parts[: at + 2], "*", "*", "*", parts[-1]])
    return re.sub(r"seed\d+", "seed*", re.sub(r"network-\d+", "network-*", path))


def _inputs(config: Config, path: str) -> dict[str, str]:
    """What a file was made from: path -> SHA-256 as recorded, empty where it was not."""
    found = _declared(config, path)
    if found is not None:
        study, name, _ = found
        return dict.fromkeys(map(provenance.relative, needs.inputs(config, study, name)), "")
    paths = needs.paths_of(config)
    if path in {provenance.relative(paths.claims(suffix)) for suffix in ("csv", "md", "html")}:
        read = (needs.claim_inputs(config, study) for study in config.settings.studies)
        return {provenance.relative(each): "" for some in read for each in some}
    record = _record_path(path)
    if record is not None:
        return dict(_record(record).get("inputs", {}))
    return _by_rule(config, path)


def _by_rule(config: Config, path: str) -> dict[str, str]:
    """Inputs of files that carry no record: noisy labels, kernels, spectra, datasets."""
    paths = needs.paths_of(config)
    for name, dataset in config.datasets.items():
        if path == provenance.relative(paths.dataset(name)):
            raw = {paths.raw(name, file.name): file.sha256 or "" for file in dataset.files}
            return {provenance.relative(each): expected for each, expected in raw.items()}
        if path.startswith(provenance.relative(paths.labels(name, "", 0)).split("//")[0] + "/"):
            return {provenance.relative(paths.dataset(name)): ""}
    match Path(path).name:
        case "spectrum.npz":
            return {str(Path(path).with_name("kernel.npy")): ""}
        case "kernel.npy" | "outputs.npy":
            support = Path(path).parent.parent.name
            declared = config.scale.linearized.supports.get(support)
            dataset_path = paths.dataset(declared.dataset) if declared else ""
            return {provenance.relative(dataset_path): ""} if dataset_path else {}
    return {}


def _declared(config: Config, path: str) -> tuple[str, str, Artefact] | None:
    paths = needs.paths_of(config)
    for study, name, declared in configuration.artefacts(config):
        own = paths.artefact(study, name, declared.kind)
        if path in {provenance.relative(each) for each in own}:
            return study, name, declared
    return None


def _record_path(path: str) -> str | None:
    """The JSON record of a file of a run: its own, its arm's, or that of the network's arm."""
    parts = Path(path)
    if parts.suffix == ".json" and ("runs" in parts.parts or "tuning" in parts.parts):
        return path if parts.is_file() else None
    if "runs" not in parts.parts:
        return None
    candidates = [parts.with_name("summary.json"), parts.with_suffix(".json")]
    family = {"alignment.csv": "retrained.json", "evolution.csv": "network.json",
              "energy.csv": "network.json"}  # fmt: skip
    if parts.name in family:
        candidates.append(parts.with_name(family[parts.name]))
    if parts.name.startswith("network-"):
        candidates.append(parts.with_name("network.json"))
    return next((str(each) for each in candidates if each.is_file()), None)


@cache
def _record(path: str) -> dict[str, Any]:
    try:
        value = json.loads(Path(path).read_text())
    except ValueError:
        raise DataError(f"{path}: truncated or not JSON; delete it and run again") from None
    return value if isinstance(value, dict) else {}
