"""Texts to words, words to tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from firstorder.data.text.documents import UNKNOWN, Documents, documents

RESERVED = ("<pad>", "<unk>")
"""The words of the tokens PADDING and UNKNOWN."""
LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
ENDING = re.compile(r"[.,:;?!]+$")


def tokenise(text: str) -> list[str]:
    """Lower-case words; each of . , : ; ? ! at a word's end is a word of its own.

    HTML line breaks are spaces. (The published pipeline goes on to word pieces.)
    """
    found: list[str] = []
    for word in LINE_BREAK.sub(" ", text).lower().split():
        ending = ENDING.search(word)
        stem = word[: ending.start()] if ending else word
        if stem:
            found.append(stem)
        if ending:
            found += ending.group()
    return found


@dataclass(frozen=True)
class Vocabulary:
    """The known words; a word's position is its token."""

    words: tuple[str, ...]

    @cached_property
    def tokens(self) -> dict[str, int]:
        """The inverse of `words`."""
        return {word: token for token, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, texts: Iterable[list[str]], labels: list[int]) -> Documents:
        """Texts of words as documents; words that are not known become UNKNOWN."""
        known = self.tokens
        return documents([[known.get(word, UNKNOWN) for word in text] for text in texts], labels)


def vocabulary(
    texts: Iterable[list[str]], *, min_count: int = 1, max_size: int | None = None
) -> Vocabulary:
    """The words that occur at least `min_count` times, most frequent first, RESERVED before them.

    Words of equal frequency are in alphabetical order. At most `max_size` with the reserved.
    """
    counts = Counter(word for text in texts for word in text)
    frequent = [word for word, count in counts.items() if count >= min_count]
    ordered = sorted(frequent, key=lambda word: (-counts[word], word))
    keep = None if max_size is None else max(0, max_size - len(RESERVED))
    known = [word for word in ordered if word not in RESERVED]
    return Vocabulary((*RESERVED, *known[:keep]))
