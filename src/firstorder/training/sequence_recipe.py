"""A recurrent network, and how it is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SequenceRecipe:
    """A network and how it is trained. The defaults are those of the authors' later notebook."""

    cell: str = "gru"
    embedding: int = 128
    units: int = 256
    epochs: int = 4
    batch: int = 64
    lr: float = 1e-3
    schedule: Literal["exponential", "cosine", "constant"] = "exponential"
    decay: float = 0.2
    """Exponential: the rate is multiplied by it every `decay_steps` steps, continuously."""
    decay_steps: int = 1000
    clip: float | None = 5.0
    """Bound on the norm of all gradients together."""
    word_dropout: float = 0.0
    """Share of the words that are unknown to the network at a training step."""
    gate_bias: float = 0.0
    embedding_norm: float | None = None
    """Root mean square norm of a word's embedding at the start; None: orthonormal columns."""

    def rate(self, step: int, steps: int) -> float:
        """The learning rate at `step` (from 0) of `steps`."""
        if self.schedule == "exponential":
            return self.lr * self.decay ** (step / self.decay_steps)
        if self.schedule == "cosine":
            return self.lr * (1 + math.cos(math.pi * step / steps)) / 2
        return self.lr
