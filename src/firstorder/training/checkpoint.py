"""Checkpoints: the whole state of a training in one safetensors file, never a pickle.

A checkpoint that is truncated, altered or of another run is not an error: the training warns in
one line and starts afresh, since nothing in it is worth a wrong result.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from firstorder.files import write_bytes

log = logging.getLogger("firstorder")


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a training writes its state, and which run it belongs to."""

    path: Path
    spec: str
    """Digest of everything that the run depends on: a checkpoint of another spec is ignored."""
    seconds: float = 60.0
    """Written when the last one is older, at the next step."""

    def of(self, part: str) -> Checkpoint:
        """That of a part of the run."""
        path = self.path.with_name(f"{self.path.stem}-{part}{self.path.suffix}")
        return replace(self, path=path, spec=f"{self.spec} {part}")


def save(checkpoint: Checkpoint, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write `tensors` and the JSON-able `state` atomically."""
    plain = apart(tensors)
    text = json.dumps(state)
    metadata = {"spec": checkpoint.spec, "state": text, "checksum": _checksum(plain, text)}
    write_bytes(checkpoint.path, to_bytes(plain, metadata=metadata))


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` on the CPU, none of which shares its memory with another, as tied weights do."""
    found: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        found[name] = plain.clone() if place in taken else plain
        taken.add(place)
    return found


def load(checkpoint: Checkpoint) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors (on the CPU) and state; None where there is no checkpoint of this run."""
    if not checkpoint.path.exists():
        return None
    try:
        with safe_open(checkpoint.path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if metadata["spec"] != checkpoint.spec:
            log.warning("%s: checkpoint of another run; training from the start", checkpoint.path)
            return None
        if metadata["checksum"] != _checksum(tensors, metadata["state"]):
            raise ValueError("its checksum does not match")
        return tensors, json.loads(metadata["state"])
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        log.warning(
            "%s: unreadable checkpoint (%s); training from the start", checkpoint.path, reason
        )
        return None


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    """CRC-32 of the state and of every tensor's name and bytes."""
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        value = zlib.crc32(name.encode(), value)
        if tensors[name].numel():
            flat = tensors[name].reshape(-1)  # a 0-d tensor has no bytes to view
            value = zlib.crc32(flat.view(torch.uint8).numpy().data, value)
    return f"{value:08x}"
