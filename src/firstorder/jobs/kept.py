"""Finished trainings, kept by the digest of everything that they depend on.

Snakemake deletes all outputs of a job before it runs again, also those that did not change: the
old seeds when one more is added, or the seeds that a killed job had finished. The files are
therefore linked to a second name, outside declared outputs, and linked back when the same
training is asked for again. Deleting `results/<scale>/checkpoints` forgets them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firstorder.files import beside, digest, read_json, sha256, write_text

HASHES = "sha256.json"
"""Name of the list of what the kept files held: they share their bytes with the results, so damage
to a result is damage to them."""


def keep(folder: str | Path, files: Mapping[str, str]) -> None:
    """Keep `files` (name -> path) in `folder`, all or none."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(folder)
    temporary.mkdir()
    for name, path in files.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        _link(Path(path), temporary / name)
    remember(temporary / HASHES, {name: sha256(path) for name, path in files.items()})
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def restore(folder: str | Path, files: Mapping[str, str]) -> bool:
    """Put kept files back at their paths; False when they are not all there and undamaged."""
    folder = Path(folder)
    hashes = recall(folder / HASHES) or {}
    for name in files:
        if not (folder / name).is_file() or sha256(folder / name) != hashes.get(name):
            return False
    for name, path in files.items():
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = beside(target)
        _link(folder / name, temporary)
        temporary.replace(target)
        temporary.unlink(missing_ok=True)  # of two links to one file nothing is renamed
    return True


def remember(path: str | Path, value: Mapping[str, Any]) -> dict[str, Any]:
    """Keep a small JSON-able result, with its digest; return it as it will be recalled.

    Its keys keep their order: rows, columns and tasks of a job that went on are as of one that
    was never interrupted.
    """
    plain: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    write_text(path, json.dumps({"value": plain, "digest": digest(plain)}) + "\n")
    return plain


def recall(path: str | Path) -> dict[str, Any] | None:
    """A small result that was kept; None when there is none or it is not as it was."""
    try:
        kept = read_json(path)
        value, expected = kept["value"], kept["digest"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, dict) and digest(value) == expected else None


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
