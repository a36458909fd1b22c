"""Labelled token sequences as flat arrays, and what a record says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firstorder.errors import DataError
from firstorder.files import replacing

PADDING, UNKNOWN = 0, 1
"""Tokens that every vocabulary begins with: what fills up a batch, and words it does not hold."""


@dataclass(frozen=True)
class Documents:
    """D sequences of tokens, one after another."""

    tokens: np.ndarray
    """(L,) int32: all tokens of all documents."""
    offsets: np.ndarray
    """(D + 1,) int64: document d is tokens[offsets[d]:offsets[d + 1]]."""
    labels: np.ndarray
    """(D,) int64: 0 negative, 1 positive."""

    def __post_init__(self) -> None:
        lengths = np.diff(self.offsets)
        whole = len(self.offsets) and self.offsets[0] == 0 and self.offsets[-1] == len(self.tokens)
        if not whole or len(self.labels) != len(lengths) or (lengths < 0).any():
            raise DataError("documents: offsets, labels and tokens do not belong together")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens (D,) of each document."""
        return np.diff(self.offsets)

    def take(self, index: np.ndarray) -> Documents:
        """The documents at `index`, positions or a mask, in that order."""
        index = np.flatnonzero(index) if index.dtype == bool else index
        return self._parts(index, self.lengths[index])

    def up_to(self, longest: int) -> Documents:
        """Documents cut to their first `longest` tokens."""
        return self._parts(np.arange(len(self.labels)), np.minimum(self.lengths, longest))

    def _parts(self, index: np.ndarray, lengths: np.ndarray) -> Documents:
        """The first `lengths` tokens of the documents at `index`."""
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        # Position of a token in its document, added to where that document starts.
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        where = np.repeat(self.offsets[index], lengths) + within
        return Documents(self.tokens[where], offsets, self.labels[index])


def documents(sequences: list[list[int]], labels: list[int]) -> Documents:
    """Documents of lists of tokens; DataError for an empty one."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    if (lengths == 0).any():
        first = int(np.flatnonzero(lengths == 0)[0])
        raise DataError(f"document {first + 1} of {len(lengths)} has no words; leave it out")
    tokens = np.fromiter(
        (token for sequence in sequences for token in sequence), np.int32, int(lengths.sum())
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Documents(tokens, offsets, np.array(labels, dtype=np.int64))


def statistics(documents: Documents) -> dict[str, float | int]:
    """Counts, lengths and the share of unknown words, for the record."""
    lengths = documents.lengths
    return {
        "documents": len(documents),
        "positive_share": float((documents.labels == 1).mean()),
        "tokens": len(documents.tokens),
        "distinct_tokens": len(np.unique(documents.tokens)),
        "mean_length": float(lengths.mean()),
        "median_length": float(np.median(lengths)),
        "longest": int(lengths.max()),
        "unknown_share": float((documents.tokens == UNKNOWN).mean()),
    }


def save(path: str | Path, words: tuple[str, ...], splits: dict[str, Documents]) -> None:
    """Write the splits and the vocabulary's words to an npz file, atomically."""
    arrays = {
        f"{split}_{part}": getattr(found, part)
        for split, found in splits.items()
        for part in ("tokens", "offsets", "labels")
    }
    # Words as UTF-8 bytes, ended by line feeds: no pickle, and no width of the longest word.
    text = np.frombuffer("".join(f"{word}\n" for word in words).encode(), np.uint8)
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, words=text, **arrays)


def load(path: str | Path) -> tuple[tuple[str, ...], dict[str, Documents]]:
    """The vocabulary's words and the splits that `save` wrote; DataError names a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        words = tuple(arrays.pop("words").tobytes().decode().split("\n")[:-1])
        names = [name.removesuffix("_labels") for name in arrays if name.endswith("_labels")]
        splits = {
            name: Documents(*(arrays[f"{name}_{part}"] for part in ("tokens", "offsets", "labels")))
            for name in names
        }
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; prepare the dataset first") from None
    except Exception as error:  # a damaged archive fails anywhere
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: not prepared text ({reason}); prepare the dataset again"
        ) from None
    for name, split in splits.items():
        if len(split.tokens) and not 0 <= split.tokens.min() <= split.tokens.max() < len(words):
            raise DataError(
                f"{path}: {name} has tokens beyond its {len(words)} words; prepare it again"
            )
    return words, splits
