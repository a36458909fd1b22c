"""Sentences as labelled trees in Penn Treebank brackets: the Stanford Sentiment Treebank.

One tree a line, `(3 (2 word) (4 (3 word) (2 word)))`; labels 0 (very negative) to 4 (very
positive), of which the root's is the sentence's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from firstorder.data.text import files
from firstorder.errors import DataError

PIECE = re.compile(r"\(|\)|[^\s()]+")
ESCAPES = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]", "-lcb-": "{", "-rcb-": "}"}
NEUTRAL = 2


@dataclass(frozen=True)
class Sentence:
    """The words of a tree's leaves, lower-case, and its root's label (0 to 4)."""

    words: list[str]
    label: int


def read_trees(path: str | Path) -> list[Sentence]:
    """All sentences of a file; DataError names the line of a tree that is broken."""
    found = []
    for number, line in enumerate(files.read(path).splitlines(), 1):
        if line.strip():
            try:
                found.append(parse(line))
            except ValueError as error:
                raise DataError(f"{path}: line {number}: {error}") from None
    if not found:
        raise DataError(f"{path}: no trees; expected lines like (3 (2 good) (2 film))")
    return found


def parse(line: str) -> Sentence:
    """The sentence of one tree. Raises ValueError for anything else."""
    pieces = PIECE.findall(line)
    words: list[str] = []
    depth, label = 0, None
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        if piece == "(":
            if depth == 0 and label is not None:
                raise ValueError("more than one tree; put each on a line of its own")
            name = pieces[at + 1] if at + 1 < len(pieces) else ""
            if name not in ("0", "1", "2", "3", "4"):
                raise ValueError(f"label {name!r} is not one of 0 to 4")
            label = int(name) if label is None else label
            depth, at = depth + 1, at + 2
            continue
        if depth == 0:
            raise ValueError(f"{piece!r} outside of brackets")
        if piece == ")":
            depth -= 1
        else:
            words.append(unescaped(piece))
        at += 1
    if depth:
        raise ValueError("a bracket is not closed")
    if label is None or not words:
        raise ValueError("no words")
    return Sentence(words, label)


def unescaped(word: str) -> str:
    """A leaf as plain text: brackets and slashes are escaped in the treebank."""
    word = word.lower()
    return ESCAPES.get(word, word.replace("\\/", "/").replace("\\*", "*"))


def binary(sentences: list[Sentence]) -> tuple[list[list[str]], list[int]]:
    """Texts and labels (0 negative, 1 positive) without the sentences of neutral label."""
    kept = [sentence for sentence in sentences if sentence.label != NEUTRAL]
    return [s.words for s in kept], [int(s.label > NEUTRAL) for s in kept]
