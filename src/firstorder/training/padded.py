"""Batches of token sequences of like length, padded to the longest of each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from firstorder.data.text.documents import PADDING, Documents

POOL = 50
"""Batches' worth of documents that are sorted by length together: few tokens of padding, and
batches that differ from epoch to epoch."""


class Sequences:
    """Documents on a device; batches are gathered there, whole."""

    def __init__(self, documents: Documents, device: torch.device) -> None:
        self.tokens = torch.from_numpy(documents.tokens).to(device)
        self.offsets = torch.from_numpy(documents.offsets[:-1]).to(device)
        self.labels = torch.from_numpy(documents.labels).to(device)
        self.lengths = torch.from_numpy(documents.lengths)
        """(D,), on the host, which plans the batches."""

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (T, B) and lengths (B,) of the documents at `index` (B,), a host tensor."""
        lengths = self.lengths[index]
        steps = torch.arange(int(lengths.max()), device=self.tokens.device)[:, None]
        lengths, index = lengths.to(self.tokens.device), index.to(self.tokens.device)
        inside = steps < lengths
        where = (self.offsets[index] + steps).clamp_(max=len(self.tokens) - 1)
        return torch.where(inside, self.tokens[where], PADDING), lengths


def shuffled(lengths: Tensor, batch: int, generator: torch.Generator) -> list[Tensor]:
    """An epoch's batches: positions of up to `batch` documents of like length each."""
    count = len(lengths)
    order = torch.randperm(count, generator=generator)
    pool = torch.arange(count) // (POOL * batch)
    key = pool * (int(lengths.max()) + 1) + lengths[order]
    batches = order[key.argsort(stable=True)].split(batch)
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def by_length(lengths: Tensor, tokens: int) -> Iterator[Tensor]:
    """Positions of all documents, longest first, in batches of at most `tokens` with padding."""
    order = lengths.argsort(descending=True, stable=True)
    ordered = np.maximum(1, lengths[order].numpy())
    start = 0
    while start < len(order):
        size = max(1, tokens // int(ordered[start]))
        yield order[start : start + size]
        start += size
