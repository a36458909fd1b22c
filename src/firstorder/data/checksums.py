"""Does a raw file hold what its publisher published?"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import BinaryIO

from firstorder.config import File
from firstorder.errors import DataError
from firstorder.files import sha256


def mismatch(path: Path, file: File) -> str | None:
    """How `path` differs from the declared `file`: `expected X, got Y`; None if it does not.

    A repacked .gz copy passes when what it unpacks to has the declared `content_sha256`.
    """
    found = _published_mismatch(path, file)
    if found is not None and file.content_sha256 is not None:
        return None if _content_sha256(path) == file.content_sha256 else found
    return found


def check(path: Path, file: File) -> None:
    """Raise DataError unless `path` is there and is the declared file."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; fetch it first")
    found = mismatch(path, file)
    if found is not None:
        raise DataError(f"{path}: {found}; delete it and fetch it again")


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
    try:
        with gzip.open(path, "rb") as stream:
            return _stream_sha256(stream)  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error):
        return None


def _stream_sha256(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
