"""Members of archives, read in memory under bounds: a few bytes may unpack to many."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from firstorder.errors import DataError

LARGEST = 2**30
"""Bytes that one archive may unpack to, and that a packed file may have; CIFAR has 186 MB."""
MEMBERS = 1000
"""Entries of an archive; CIFAR has 9."""


class _TooLargeError(Exception):
    pass


class _Bounded(io.RawIOBase):
    """A stream that ends in an error after `most` bytes."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self.stream, self.left = stream, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self.stream.read(len(buffer))
        self.left -= len(block)
        if self.left < 0:
            raise _TooLargeError
        buffer[: len(block)] = block
        return len(block)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """One line for whatever a damaged archive raises."""
    try:
        yield
    except _TooLargeError:
        raise DataError(f"{path}: unpacks to more than {LARGEST} bytes; replace it") from None
    except (
        *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
        *(OSError, EOFError),
    ) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged archive ({reason}); replace it") from None
    except (ValueError, KeyError, RuntimeError) as error:
        # zipfile and tarfile raise these for headers that make no sense.
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged archive ({reason}); replace it") from None


def tar_members(path: Path, wanted: set[str]) -> dict[str, bytes]:
    """The regular members `wanted` of a tar archive, gzipped or not; nothing is written.

    Raises DataError for a damaged archive, one that lacks a member, or one that unpacks to more
    than LARGEST bytes.
    """
    found: dict[str, bytes] = {}
    for name, content in regular_members(path, wanted.__contains__):
        found[name] = content
        if len(found) == len(wanted):
            break
    missing = sorted(wanted - found.keys())
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}; replace it")
    return found


def regular_members(
    path: Path, wanted: Callable[[str], object], most: int = MEMBERS
) -> Iterator[tuple[str, bytes]]:
    """Name and content of the regular members of a tar archive, compressed or not, that are wanted.

    Raises DataError for a damaged archive, one of more than `most` members, or one that unpacks
    to more than LARGEST bytes.
    """
    with _readable(path), open_regular(path) as raw:
        # `r|`: read once from the front, so that the bound counts every byte.
        bounded = io.BufferedReader(_Bounded(_decompressed(raw), LARGEST))
        with tarfile.open(fileobj=bounded, mode="r|") as archive:
            for count, member in enumerate(archive):
                if count == most:
                    raise DataError(f"{path}: more than {most} members; replace it")
                name = member.name.removeprefix("./")
                if member.isreg() and wanted(name):
                    content = archive.extractfile(member)
                    assert content is not None
                    yield name, content.read()


def _decompressed(raw: io.BufferedReader) -> BinaryIO:
    """What a stream holds, whose first bytes say how it is packed."""
    start = raw.peek(6)[:6]
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if start.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(raw))
    return cast(BinaryIO, lzma.LZMAFile(raw) if start == b"\xfd7zXZ\0" else raw)


def unpacked(path: Path, most: int) -> bytes:
    """The content of a file, unpacked if it is packed; DataError beyond `most` bytes."""
    with _readable(path), open_regular(path) as raw:
        content = _decompressed(raw).read(most + 1)
    if len(content) > most:
        raise DataError(f"{path}: holds more than the {most} bytes that are declared; replace it")
    return content


def zip_members(
    path: Path, most: int, wanted: Callable[[str], object] = lambda name: True
) -> dict[str, bytes]:
    """The members of a zip archive that are wanted; DataError beyond `most` bytes together."""
    found: dict[str, bytes] = {}
    with _zip(path) as archive:
        for entry in archive.infolist():
            if not wanted(entry.filename):
                continue
            if entry.filename in found:  # which of two is meant, programs disagree
                raise DataError(f"{path}: {entry.filename} is in it twice; replace it")
            # The size in the header may lie: what is read is bounded too.
            with archive.open(entry) as stream:
                found[entry.filename] = stream.read(most + 1)
            most -= len(found[entry.filename])
            if most < 0:
                raise DataError(f"{path}: unpacks to more than is allowed; replace it")
    return found


def zip_names(path: Path) -> list[str]:
    """The names of all members of a zip archive."""
    with _zip(path) as archive:
        return archive.namelist()


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    with _readable(path), open_regular(path) as raw, zipfile.ZipFile(raw) as archive:
        if len(archive.infolist()) > MEMBERS:
            raise DataError(f"{path}: more than {MEMBERS} members; replace it")
        yield archive


def open_regular(path: Path) -> io.BufferedReader:
    """A regular file, open for reading."""
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if not path.is_file():  # a pipe would wait for ever
        raise DataError(f"{path}: not a regular file; replace it")
    return open(path, "rb")
