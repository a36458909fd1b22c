"""A synthetic sentiment corpus that needs no data: 117 words, of which one is "not".

Lengths are uniform in 25 ... 50. A position is a valence word with probability 0.3 (positive with
0.5 plus the document's bias, uniform in +-0.35; of double strength with 0.25), "not" with 0.06,
else neutral. A valence word counts against its sign if "not" is among the three words before it,
with no other valence word between. The label is the sign of the sum; ties are dropped.
"""

from __future__ import annotations

import numpy as np

from firstorder.data.text.documents import Documents
from firstorder.data.text.words import RESERVED, Vocabulary

SHORTEST, LONGEST = 25, 50
VALENCE, STRONG, NEGATION, BIAS = 0.3, 0.25, 0.06, 0.35
REACH = 3
"""How many words "not" looks ahead."""
KINDS = (
    ("good", 20, 1),
    ("bad", 20, -1),
    ("great", 8, 2),
    ("awful", 8, -2),
    ("plain", 60, 0),
)
"""Name, number of words and valence of each kind: good0, good1, ..."""
NOT = "not"


def vocabulary() -> Vocabulary:
    """The 117 words after the reserved ones; "not" is the last."""
    words = [f"{name}{i}" for name, count, _ in KINDS for i in range(count)]
    return Vocabulary((*RESERVED, *words, NOT))


def valences() -> np.ndarray:
    """The valence of every token (119,) int64: 0 for neutral and reserved words and "not"."""
    parts = [np.full(count, valence) for _, count, valence in KINDS]
    return np.concatenate([np.zeros(len(RESERVED)), *parts, [0]]).astype(np.int64)


def sample(count: int, generator: np.random.Generator) -> Documents:
    """`count` documents, the same for the same generator whatever else is drawn."""
    parts: list[Documents] = []
    missing = count
    while missing > 0:
        part = _draw(missing + missing // 8 + 16, generator)  # about 7 % are ties
        parts.append(part.take(np.arange(min(missing, len(part)))))
        missing -= len(parts[-1])
    ends = np.concatenate([[0], np.concatenate([part.lengths for part in parts])]).cumsum()
    tokens = np.concatenate([part.tokens for part in parts])
    return Documents(tokens, ends, np.concatenate([part.labels for part in parts]))


def _draw(count: int, generator: np.random.Generator) -> Documents:
    """About `count` documents: ties are left out."""
    shape = (count, LONGEST)
    lengths = generator.integers(SHORTEST, LONGEST + 1, count)
    bias = generator.uniform(-BIAS, BIAS, count)
    what, strong = generator.random(shape), generator.random(shape) < STRONG
    positive = generator.random(shape) < 0.5 + bias[:, None]
    valued, negation = what < VALENCE, (what >= VALENCE) & (what < VALENCE + NEGATION)
    kind = np.where(valued, np.where(strong, 2, 0) + np.where(positive, 0, 1), 4)
    sizes = np.array([size for _, size, _ in KINDS])
    starts = len(RESERVED) + np.concatenate([[0], sizes.cumsum()])
    tokens = starts[kind] + (generator.random(shape) * sizes[kind]).astype(np.int64)
    tokens[negation] = starts[-1]
    inside = np.arange(LONGEST) < lengths[:, None]
    total = np.where(inside, scores(tokens), 0).sum(1)
    kept = inside[total != 0]
    flat = tokens[total != 0][kept].astype(np.int32)
    ends = np.concatenate([[0], lengths[total != 0].cumsum()])
    return Documents(flat, ends, (total[total != 0] > 0).astype(np.int64))


def scores(tokens: np.ndarray) -> np.ndarray:
    """What each of `tokens` (D, T) adds to its document's sum, negations applied, (D, T)."""
    valence = valences()[tokens]
    negation = tokens == len(valences()) - 1
    flipped = np.zeros(tokens.shape, dtype=bool)
    reached = np.ones(tokens.shape, dtype=bool)  # no valence word between, so far
    for back in range(1, REACH + 1):
        flipped[:, back:] |= negation[:, :-back] & reached[:, back:]
        reached[:, back:] &= valence[:, :-back] == 0
        reached[:, :back] = False
    return np.where(flipped, -valence, valence)


def bag_of_words(documents: Documents) -> np.ndarray:
    """Labels (D,) by the sum of the true valences, blind to "not"; ties count as negative."""
    total = np.add.reduceat(valences()[documents.tokens], documents.offsets[:-1])
    return (total > 0).astype(np.int64)
