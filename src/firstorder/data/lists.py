"""Small text files beside the images: UTF-8, with or without a byte-order mark, any line ends."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from firstorder.errors import DataError
from firstorder.files import read_regular

LONGEST = 256 * 2**20
"""Bytes; the longest published list (WebVision's) has 60 MB."""
CLUTTER = (".ds_store", "thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r")
"""Files that operating systems put among others, in lower case."""


def is_clutter(name: str) -> bool:
    """Whether a file is none of those that a reader looks for: hidden, or a system's."""
    return name.startswith(".") or is_of_a_system(name)


def is_of_a_system(name: str) -> bool:
    """Whether operating systems put files of this name among others."""
    return name.lower() in CLUTTER or name.startswith(("._", ".nfs"))


def read_text(path: Path) -> str:
    """The text of a UTF-8 file; DataError for another encoding, a giant or no regular file."""
    try:
        return read_regular(path, LONGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}: line {line}: not UTF-8 text; save it as UTF-8 (iconv -t utf-8)"
        ) from None


def line_feeds(text: str) -> str:
    """`text` with line feeds for whatever ends its lines."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines, from 1, that are not blank, without surrounding white space."""
    # Not splitlines(): form feeds and the line separators of Unicode may be part of a name.
    numbered = enumerate(line_feeds(read_text(path)).split("\n"), start=1)
    return [(number, line.strip()) for number, line in numbered if line.strip()]


def label_numbers(
    classes: Sequence[str], found: Iterable[tuple[str, str]], heading: str = ""
) -> dict[str, int]:
    """What number each label means, of all those (where, label) in one's lists.

    All are names of `classes`, or else all are numbers: the name of a class may be the number of
    another. DataError at the first that fits neither; in a first line it ends with what is said
    of a `heading`.
    """
    found = list(found)
    names = {composed(name): label for label, name in enumerate(classes)}
    numbers = {str(label): label for label in names.values()}
    for known in (names, numbers):
        if all(composed(label) in known for _, label in found):
            return {label: known[composed(label)] for _, label in found}
    known = names if any(composed(label) in names for _, label in found) else numbers
    where, label = next(each for each in found if composed(each[1]) not in known)
    hint = heading if where.endswith(": line 1") else ""
    raise DataError(f"{where}: {label[:60]!r} is no class of the dataset{hint}")


def composed(name: str) -> str:
    """A name with its letters and accents as one: file systems and editors differ in that."""
    return unicodedata.normalize("NFC", name)


def inside(path: str, where: str) -> str:
    """`path` if it stays in its folder; DataError, beginning with `where`, if not."""
    parts = PurePosixPath(path)
    if "\\" in path:
        raise DataError(f"{where}: {path}: write folders with /")
    if parts.is_absolute() or ".." in parts.parts or "\0" in path:
        raise DataError(f"{where}: {path} leaves the dataset's folder")
    return path
