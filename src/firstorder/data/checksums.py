"""Does a raw file hold what its publisher published?"""

from __future__ import annotations

import hashlib
from pathlib import Path

from firstorder.config import File
from firstorder.data.archives import unpacked
from firstorder.errors import DataError
from firstorder.files import sha256

RATIO = 64
"""Bytes that a packed file may unpack to, over its own; the images of MNIST have 5, labels 2."""


def mismatch(path: Path, file: File) -> str | None:
    """How `path` differs from the declared `file`: `expected X, got Y`; None if it does not.

    What it unpacks to is looked at where its own bytes are not known, or are others: a repacked .gz
    copy passes when that has the declared `content_sha256`.
    """
    found = _published_mismatch(path, file)
    if file.content_sha256 is None or (found is None and file.has_checksum):
        return found
    content = _content_sha256(path)
    if content == file.content_sha256:
        return None
    return found or (
        f"expected content of SHA-256 {file.content_sha256}, got {content or 'none that unpacks'}"
    )


def _published_mismatch(path: Path, file: File) -> str | None:
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        return f"expected {file.bytes} bytes, got {size}"
    if file.sha256 is not None and (digest := sha256(path)) != file.sha256:
        return f"expected SHA-256 {file.sha256}, got {digest}"
    if file.md5 is not None and (digest := _md5(path)) != file.md5:
        return f"expected MD5 {file.md5}, got {digest}"
    return None


def _md5(path: Path) -> str:
    def not_for_security() -> hashlib._Hash:
        return hashlib.md5(usedforsecurity=False)

    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, not_for_security).hexdigest()


def _content_sha256(path: Path) -> str | None:
    """SHA-256 of what a .gz file unpacks to; None where it is damaged or unpacks to too much."""
    try:
        return hashlib.sha256(unpacked(path, RATIO * max(path.stat().st_size, 2**16))).hexdigest()
    except DataError:
        return None
