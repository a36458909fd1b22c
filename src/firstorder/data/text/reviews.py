"""The Large Movie Review Dataset (`aclImdb`): one file a review, in a folder or an archive.

The archive is read in memory and never unpacked. Only regular members whose whole name is that
of a labelled review count; absolute paths, `..` and links are thereby left alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from firstorder.data import archives
from firstorder.data.text import files
from firstorder.errors import DataError

NAME = re.compile(r"aclImdb/(train|test)/(pos|neg)/(\d+)_(\d+)\.txt")
"""Split, class, number, stars of a review."""
LARGEST = 2**20
"""Bytes of a review beyond which it is none: the longest has 14,000."""
MOST = 10**6
"""Members of an archive; the published one has 100,000."""

Reviews = dict[str, tuple[list[str], list[int]]]
"""Split -> texts and labels (0 negative, 1 positive), by class and number."""


def read_reviews(path: str | Path) -> Reviews:
    """The labelled reviews in a folder `aclImdb` or a tar archive of it, compressed or not."""
    path = Path(path)
    if path.is_dir():
        found = _of_folder(path)
    elif path.is_file():
        found = _of_archive(path)
    else:
        raise DataError(f"{path}: no such file or folder; fetch it first")
    reviews: Reviews = {}
    for split in ("train", "test"):
        keys = sorted(key for key in found if key[0] == split)
        if not keys:
            raise DataError(f"{path}: no reviews {split}/pos/*.txt or {split}/neg/*.txt in it")
        reviews[split] = [found[key] for key in keys], [int(key[1] == "pos") for key in keys]
    return reviews


Key = tuple[str, str, int]


def _of_folder(path: Path) -> dict[Key, str]:
    if not (path / "train").is_dir() and (path / "aclImdb").is_dir():
        path = path / "aclImdb"
    found: dict[Key, str] = {}
    for split in ("train", "test"):
        for kind in ("pos", "neg"):
            for file in (path / split / kind).glob("*.txt"):
                name = f"aclImdb/{split}/{kind}/{file.name}"
                if NAME.fullmatch(name) and file.is_file() and not file.is_symlink():
                    _add(found, name, files.read(file), path)
    return found


def _of_archive(path: Path) -> dict[Key, str]:
    found: dict[Key, str] = {}
    for name, content in archives.regular_members(path, NAME.fullmatch, MOST):
        if len(content) > LARGEST:
            raise DataError(f"{path}: {name} has {len(content)} bytes; not a review")
        _add(found, name, files.decoded(content, f"{path}: {name}"), path)
    return found


def _add(found: dict[Key, str], name: str, text: str, path: Path) -> None:
    match = NAME.fullmatch(name)
    assert match is not None
    key = match[1], match[2], int(match[3])
    if key in found:
        raise DataError(f"{path}: {name} is in it twice; fetch it again")
    found[key] = text
