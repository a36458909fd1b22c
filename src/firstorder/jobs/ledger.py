"""The ledger: for every job that ran, what it read and wrote, by hash, and what it took.

A result is believed only as far as the ledger: before a job runs, what it reads is compared
with what the jobs that made it wrote. A changed bit, a cut file, the record of another cell are
found whatever their format. Entries are no outputs of a rule, so they make nothing stale.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firstorder import files, memory
from firstorder.errors import DataError
from firstorder.jobs import provenance
from firstorder.jobs.job import Job


@dataclass(frozen=True)
class Entry:
    """One job that ran to its end."""

    step: str
    key: tuple[str, ...]
    spec: str
    """Digest of its spec."""
    code: str
    inputs: Mapping[str, str]
    """The step's name for a file -> SHA-256, as are `outputs`: no paths, folders may be renamed."""
    outputs: Mapping[str, str]
    device: str
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    """Of the process that computed."""
    resumed: bool = False
    """Whether parts of the job were from an earlier run: then it takes longer than `seconds`."""


def place(root: str, name: str) -> Path:
    """The file of the entry of a job, `name` being `step/key...`."""
    return Path(root) / "ledger" / f"{name}.json"


def name(job: Job) -> str:
    """How the ledger names a job."""
    return "/".join((job.step, *job.key))


def write(
    root: str, job: Job, code: str, device: str, seconds: float, resumed: bool = False
) -> None:
    """Enter a job whose outputs are on disk."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    entry = Entry(
        step=job.step,
        key=job.key,
        spec=job.spec_digest,
        code=code,
        inputs=_hashes(job.inputs),
        outputs=_hashes(job.outputs),
        device=device,
        seconds=seconds,
        cpu_seconds=spent.ru_utime + spent.ru_stime,
        peak_memory_bytes=memory.peak(),
        resumed=resumed,
    )
    value = asdict(entry)
    files.write_json(place(root, name(job)), value | {"digest": files.digest(value)})


def read(path: Path) -> Entry | None:
    """An entry; None where it is absent or not as it was written."""
    try:
        value: dict[str, Any] = files.read_json(path)
        digest = value.pop("digest")
        if digest != files.digest(value):
            return None
        return Entry(**{**value, "key": tuple(value["key"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def entries(results: str, scale: str = "*") -> Iterator[Entry]:
    """All entries of a scale, or of all, below a folder of results."""
    for path in sorted(Path(results).glob(f"{scale}/ledger/**/*.json")):
        entry = read(path)
        if entry is not None:
            yield entry


Makers = Mapping[str, Sequence[str]]
"""Path -> name of the job that makes it, and that job's name for the file."""


def check(root: str, job: Job, makers: Makers) -> None:
    """Refuse inputs that are not what the jobs that made them wrote.

    Raises DataError naming the file and the mend.
    """
    for path in dict.fromkeys(job.inputs.values()):
        # Of a job that no artefact leads to, the inputs may be results that none reads.
        if path not in makers and not path.startswith(f"{root}/"):
            continue  # published numbers, the source of the paper
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file; `snakemake {path}` makes it")
        if path not in makers:
            continue
        problem = _problem(root, path, *makers[path])
        if problem:
            raise DataError(f"{path}: {problem}; delete it and run again")


def _problem(root: str, path: str, maker: str, output: str) -> str | None:
    entry = read(place(root, maker))
    if entry is None:
        return f"the ledger has no whole entry of `{maker}`, which made it"
    expected = entry.outputs.get(output)
    if expected is None:
        return f"`{maker}` did not write it"
    return None if provenance.sha256(path) == expected else f"not what `{maker}` wrote"


def _hashes(paths: Mapping[str, str]) -> dict[str, str]:
    return {name: provenance.sha256(path) for name, path in paths.items() if Path(path).is_file()}
