"""From a result back to raw data: the jobs behind a file, and whether anything changed since."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firstorder.errors import UserError
from firstorder.jobs import provenance
from firstorder.jobs.job import Job
from firstorder.publish.manifest import read as read_manifest
from firstorder.publish.manifest import record


@dataclass
class Chain:
    """Walks from a file to what it was made from; counts what it compares."""

    jobs: Mapping[str, Job]
    """By output."""
    recorded: Mapping[str, str]
    """Path -> SHA-256 as the manifest has it."""
    code: Callable[[Job], str]
    """The digest of the code of a job."""
    compared: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    _shown: set[str] = field(default_factory=set)
    _walked: set[str] = field(default_factory=set)

    def lines(self, path: str, depth: int = 0) -> Iterator[str]:
        """The chain as indented lines; equal branches (seeds, cells) once, with their number."""
        job = self.jobs.get(path)
        again = path in self._shown and job is not None and bool(job.inputs)
        about = "see above" if again else self._about(path, job)
        indent = "  " * depth
        yield f"{indent}{path}" + (f"  [{about}]" if about else "")
        if again:
            return
        self._shown.add(path)
        for problem in self._walk(path):
            yield f"{indent}  {problem}"
        if job is None:
            return
        groups: dict[tuple[str, str], list[str]] = {}
        for each in job.inputs.values():
            groups.setdefault(self._kind(each), []).append(each)
        for (step, name), members in groups.items():
            if len(members) > 1:
                yield f"{indent}  {len(members)} files {name} of `{step}`, for example"
                yield from self.lines(members[0], depth + 2)
            else:
                yield from self.lines(members[0], depth + 1)

    def verdict(self) -> str:
        """How many files agree with their recorded hashes."""
        if not self.recorded and not self.changed and not self.missing:
            return "nothing compared: there is no manifest, which `make` writes last"
        if not self.changed and not self.missing:
            return f"{len(self.compared)} files compared with their recorded hashes: all unchanged"
        parts = [f"{len(self.changed)} CHANGED"] if self.changed else []
        parts += [f"{len(self.missing)} MISSING"] if self.missing else []
        return f"of {len(self.compared | self.missing)} recorded files {' and '.join(parts)}"

    @property
    def intact(self) -> bool:
        return not self.changed and not self.missing

    def _walk(self, start: str) -> Iterator[str]:
        """Compare a file and all that it was made from; one line for each that is not as it was."""
        waiting = [start]
        while waiting:
            path = waiting.pop()
            if path in self._walked:
                continue
            self._walked.add(path)
            job = self.jobs.get(path)
            if job is not None:
                waiting += job.inputs.values()
            if not Path(path).is_file():
                self.missing.add(path)
                yield f"MISSING: {path}"
                continue
            expected = self.recorded.get(path)
            if expected is not None:
                self.compared.add(path)
                if provenance.sha256(path) != expected:
                    self.changed.add(path)
                    yield f"CHANGED since: {path}"
            for name, digest in record(path).get("inputs", {}).items():
                if Path(name).is_file():
                    self.compared.add(name)
                    if provenance.sha256(name) != digest:
                        self.changed.add(name)
                        yield f"CHANGED since {path} was made: {name}"

    def _kind(self, path: str) -> tuple[str, str]:
        job = self.jobs.get(path)
        return (job.step if job else ""), Path(path).name

    def _about(self, path: str, job: Job | None) -> str:
        """What is known of a file: its title, its training, or where it comes from."""
        if not Path(path).is_file():
            return "MISSING"
        if job is None:
            return ""
        if "where" in job.aside:
            said = [f"{job.step}: {job.aside['title']}; {job.aside['where']}"]
        elif "receipt" in job.outputs:
            place = job.aside
            said = [f"raw file {place['path']}", *place["urls"][:1]]
        else:
            value: Mapping[str, Any] = record(path)
            said = [" ".join((job.step, *job.key))]
            said += [
                str(value[key]) for key in ("status", "trained_on", "device") if value.get(key)
            ]
            if value.get("commit"):
                said.append(f"commit {str(value['commit'])[:12]}")
        return ", ".join([*said, f"code {self.code(job)}"] if job.code else said)


def explain(
    path: str, jobs: Mapping[tuple[str, ...], Job], manifest: str, code: Callable[[Job], str]
) -> tuple[str, bool]:
    """The chain behind a result as text, and whether everything in it is as it was recorded.

    Raises UserError for a file that no job of the scale makes.
    """
    own = {
        provenance.relative(output): job for job in jobs.values() for output in job.outputs.values()
    }
    start = provenance.relative(os.path.normpath(path))
    if start not in own:
        raise UserError(f"{path}: no job of this scale makes it; `firstorder list` names results")
    hashes = read_manifest(manifest)["files"] if Path(manifest).is_file() else {}
    chain = Chain(own, hashes, code)
    lines = list(chain.lines(start))
    return "\n".join([*lines, chain.verdict()]), chain.intact
