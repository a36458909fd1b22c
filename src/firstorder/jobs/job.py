"""A job: what is computed, from what, into what. It is made once from the configuration.

Everything that plans, runs, keeps, records or explains a result reads the same value: the rules
of the workflow, the check of planned code, the names of checkpoints, the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from firstorder import files

Files = Mapping[str, str]
"""Name -> path. The names are the step's own, such as `kernel.npy` or `3/summary.json`."""
Spec = Mapping[str, Any]
"""JSON-able: all values of the configuration that a step reads, and nothing else."""


@dataclass(frozen=True)
class Demand:
    """What a job asks of a scheduler. No result."""

    threads: int = 1
    gpu: bool = False
    megabytes: int = 2000
    minutes: int = 10
    disk_megabytes: int = 1
    """What its outputs take."""


@dataclass(frozen=True)
class Job:
    """One run of one step."""

    step: str
    key: tuple[str, ...]
    """The values of the step's wildcards, in their order."""
    spec: Spec
    inputs: Files
    outputs: Files
    code: tuple[str, ...]
    """Entries (`module:definition`, `file.py:definition`) whose code decides the result."""
    demand: Demand = field(default_factory=Demand)
    aside: Mapping[str, Any] = field(default_factory=dict)
    """What decides no result: where a download may come from, what the report says of a figure,
    `data` where data are decoded, which two runs are then compared by."""

    @cached_property
    def spec_digest(self) -> str:
        """The digest of its spec: what a rule carries instead of thousands of characters."""
        return files.digest(dict(self.spec))

    @cached_property
    def digest(self) -> str:
        """The digest of all that is declared of its result; of its code only the names."""
        return files.digest([self.spec_digest, dict(self.inputs), dict(self.outputs), self.code])


def identity(spec: Spec, code: str, inputs: Mapping[str, str]) -> str:
    """The name of a result: a digest of its spec, its code, and the SHA-256 of its inputs.

    Equal identities have equal results, wherever the files are. `inputs` is name -> SHA-256.
    """
    return files.digest([dict(spec), code, dict(inputs)])
