"""Where and with which code a step runs: what it may know besides its job.

Nothing of it is in the job's spec: it decides no result (the device is recorded beside them).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from firstorder import files
from firstorder.jobs import code, kept, provenance
from firstorder.jobs.job import Spec, identity

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Context:
    """The circumstances of a job."""

    code: str = ""
    """Digest of the code that the job was planned with."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoints: Path = Path("checkpoints")
    checkpoint_seconds: float = 60.0
    aside: Mapping[str, Any] = field(default_factory=dict)
    """What decides no result, such as where a download may come from."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    resumed: list[str] = field(default_factory=list)
    """Parts of the job that an earlier run had finished or begun: it takes more than this run."""

    def identity(self, spec: Spec, inputs: Mapping[str, str], *entries: str) -> str:
        """The identity of a part of the job: of what it reads, `inputs` name -> path.

        `entries`: the code that decides the part (see `jobs.code`), where that is not all of the
        job's.
        """
        hashes = {name: provenance.sha256(path) for name, path in inputs.items()}
        return identity(spec, code.code(*entries) if entries else self.code, hashes)

    def restore(self, name: str, outputs: Mapping[str, str]) -> bool:
        """Put back what was kept under an identity; False when it is not all there."""
        found = kept.restore(self.checkpoints / "finished" / name, outputs)
        if found:
            self.resumed.append(name)
        return found

    def keep(self, name: str, outputs: Mapping[str, str]) -> None:
        """Keep finished files under an identity."""
        kept.keep(self.checkpoints / "finished" / name, outputs)

    def once(self, name: str, find: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """A small JSON-able result under an identity: as it was kept, or else found and kept.

        Once it is kept, the checkpoints of what found it are removed.
        """
        path = self.checkpoints / "finished" / f"{name}.json"
        found = kept.recall(path)
        if found is not None:
            self.resumed.append(name)
            return found
        found = kept.remember(path, find())
        own = self.checkpoint(name)
        for each in (own, *_parts(own)):
            files.discard(each)
        return found

    def checkpoint(self, name: str) -> Path:
        """Where a training under way keeps its state, and beside it those of its parts."""
        path, began = self.checkpoints / f"{name}.safetensors", self.started.timestamp()
        if any(each.is_file() and each.stat().st_mtime < began for each in (path, *_parts(path))):
            self.resumed.append(name)
        return path

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what a job need not keep. Those that killed jobs left go first."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        folder = files.beside(self.checkpoints / "scratch")
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def record(self, inputs: Iterable[str]) -> dict[str, Any]:
        """The provenance of a result that was made from the files `inputs`."""
        return provenance.record(self.device, self.code, list(inputs), self.started)

    def torch_device(self, threads: int) -> torch.device:
        """The device that computes, with this number of CPU threads."""
        import torch

        from firstorder.device import choose

        torch.set_num_threads(threads)
        return choose(self.device)


def _parts(path: Path) -> list[Path]:
    """The checkpoints of the parts of a run whose checkpoint is `path`."""
    return list(path.parent.glob(f"{path.stem}-*{path.suffix}"))
