"""Where a result comes from: device, versions, commit, code, inputs, time.

Nothing here names the host or a folder of the machine.
"""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from firstorder import files

log = logging.getLogger("firstorder")
PACKAGES = ("torch", "numpy", "scipy", "safetensors")
"""The packages that decide numbers; asking for all that are installed costs a quarter second."""
COMMIT_VARIABLE = "FIRSTORDER_COMMIT"
"""Set by the head process of a workflow, so that jobs need not ask git: COMMIT or COMMIT-dirty."""


def record(setting: str, code: str, inputs: list[str], started: datetime) -> dict[str, Any]:
    """The provenance of a result: how it was made, and the SHA-256 of what it was made from.

    `setting` is the configured device, `code` the digest of the code; `inputs` are paths.
    """
    commit, dirty = source()
    return {
        "device": device(setting),
        "versions": versions(),
        "commit": commit,
        "dirty": dirty,
        "code": code,
        "inputs": {relative(path): sha256(path) for path in inputs},
        "started": started.isoformat(timespec="seconds"),
    }


def device(setting: str) -> str:
    """The device that computes under a setting: `cpu: MODEL` or `cuda: MODEL`."""
    # Asking torch for a GPU is only worth its import where torch already works.
    torch = sys.modules.get("torch")
    if setting != "cpu" and torch is not None and torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name()}"
    return f"cpu: {processor()}"


@cache
def processor() -> str:
    """The model of the processor, as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def source() -> tuple[str, bool | None]:
    """The commit of the source and whether it was changed since.

    (`unknown`, None) where the source is no checkout of its own, such as an unpacked archive
    inside another repository, or where git refuses to read it; the reason is logged.
    """
    described = os.environ.get(COMMIT_VARIABLE) or _describe()
    if not described:
        return "unknown", None
    return described.removesuffix("-dirty"), described.endswith("-dirty")


@cache
def committed() -> str:
    """The day of the commit, YYYY-MM-DD; empty where there is no checkout."""
    if not (ROOT / ".git").exists():
        return ""
    command = ["git", "log", "-1", "--format=%cs"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


ROOT = Path(__file__).resolve().parents[3]
"""Of the project, when it is run from its source."""


def _describe() -> str:
    # Not upwards: a repository around this folder says nothing of this source.
    if not (ROOT / ".git").exists():
        return ""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("the commit is not recorded: git cannot be run (%s)", error)
        return ""
    if done.returncode:
        reason = " ".join(done.stderr.split())[:200]
        log.warning("the commit is not recorded: git says: %s", reason)
        return ""
    return done.stdout.strip()


def relative(path: str) -> str:
    """A path from the working folder where it lies below it, else as given."""
    absolute, here = Path(path).absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else path


def sha256(path: str) -> str:
    """SHA-256 of a file; of one that did not change it is computed once in a process."""
    status = os.stat(path)
    return _cached_hash(path, status.st_mtime_ns, status.st_size)


@cache
def _cached_hash(path: str, changed: int, size: int) -> str:
    return files.sha256(path)
