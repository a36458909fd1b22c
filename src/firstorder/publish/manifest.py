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

    Every line names a file and what made it. Equal branches (seeds, cells) are shown once and
    counted, a file that was shown is not followed again. Hashes are compared with those that the
    records of the runs, and the manifest, hold; the last line says how many agree.
    """
    chain = _Chain(config)
    lines = list(chain.lines(provenance.relative(path), 0))
    if chain.changed:
        verdict = f"{len(chain.changed)} of {len(chain.compared)} recorded files CHANGED since"
    else:
        verdict = f"{len(chain.compared)} files compared with their recorded hashes: all unchanged"
    return "\n".join([*lines, verdict])


class _Chain:
    """Walks from a file to what it was made from; counts the hashes that it compares."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.compared: set[str] = set()
        self.changed: set[str] = set()
        self._shown: set[str] = set()
        self._recorded = _recorded(config)

    def lines(self, path: str, depth: int) -> Iterator[str]:
        indent = "  " * depth
        inputs = _inputs(self.config, path)
        again = path in self._shown and bool(inputs)
        about = "see above" if again else _about(self.config, path)
        yield f"{indent}{path}" + (f"  [{about}]" if about else "")
        if again:
            return
        if path not in self._shown:
            self._compare(path, self._recorded.get(path, ""))
        self._shown.add(path)
        groups: dict[str, list[str]] = {}
        for each in inputs:
            groups.setdefault(_pattern(each), []).append(each)
        for pattern, members in groups.items():
            if len(members) > 1:
                yield f"{indent}  {len(members)} files {pattern}, for example"
                yield from self.lines(members[0], depth + 2)
            else:
                yield from self.lines(members[0], depth + 1)
        for member, expected in inputs.items():
            if self._compare(member, expected or self._recorded.get(member, "")):
                yield f"{indent}  CHANGED since: {member}"

    def _compare(self, path: str, expected: str) -> bool:
        """Whether a file is no longer what was recorded."""
        if not expected or not Path(path).is_file():
            return False
        self.compared.add(path)
        if _digest(path) == expected:
            return False
        self.changed.add(path)
        return True


@cache
def _digest(path: str) -> str:
    return files.sha256(path)


def _recorded(config: Config) -> dict[str, str]:
    """The hashes of the manifest, where there is one."""
    try:
        value = files.read_json(needs.paths_of(config).manifest)
    except (OSError, ValueError):
        return {}
    own = [result["files"] for result in value["results"].values()]
    return {path: digest for some in (*own, value["claims"], value["files"])
            for path, digest in some.items()}  # fmt: skip


def _about(config: Config, path: str) -> str:
    """What is known of a file: its title, its training, or where it comes from."""
    found = _declared(config, path)
    if found is not None:
        _, _, declared = found
        drawn_by = digest.code(*plan.artefact_entries(config, declared))
        return f"{declared.kind}: {declared.title}; {declared.where}; code {drawn_by}"
    paths = needs.paths_of(config)
    for name, dataset in config.datasets.items():
        if path == provenance.relative(paths.dataset(name)):
            return dataset.title if dataset.files else f"{dataset.title}; bundled, no raw file"
        for file in dataset.files:
            if path == provenance.relative(paths.raw(name, file.name)):
                return f"raw file of {dataset.title}; {file.urls[0] if file.urls else dataset.help}"
    if not Path(path).is_file():
        return "absent"
    record = _record_path(path)
    if record is None:
        return ""
    value = _record(record)
    said = [str(value[key]) for key in ("status", "trained_on", "device") if value.get(key)]
    if value.get("commit"):
        said.append(f"commit {str(value['commit'])[:12]}")
    if value.get("code"):
        said.append(f"code {value['code']}")
    return ", ".join(said)


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
    if path in {provenance.relative(each) for each in (paths.paper, paths.manifest)}:
        made = [paths.artefact(study, name, declared.kind)
                for study, name, declared in configuration.artefacts(config)]  # fmt: skip
        published = [each[0] for each in made]
        return dict.fromkeys(map(provenance.relative, [*published, paths.claims("csv")]), "")
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
    support = config.scale.linearized.supports.get(Path(path).parent.parent.name)
    examples = {provenance.relative(paths.dataset(support.dataset)): ""} if support else {}
    match Path(path).name:
        case "spectrum.npz":
            return {str(Path(path).with_name("kernel.npy")): ""}
        case "gradients.csv":
            names = ("init.safetensors", "kernel.npy")
            return examples | {str(Path(path).with_name(name)): "" for name in names}
        case "kernel.npy" | "outputs.npy":
            return examples
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
