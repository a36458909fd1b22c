"""Pairs of handwritten digits side by side: 100 classes, "00" to "99", without a download."""

from __future__ import annotations

import numpy as np

from firstorder.config import Dataset
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, reader
from firstorder.data.readers.digits import HELD_OUT, digits
from firstorder.streams import numpy_stream


@reader("digit_pairs")
def digit_pairs(dataset: Dataset, files: Files) -> dict[str, Split]:
    """Two of scikit-learn's digits side by side, 8 x 16; the class is 10 a + b.

    Training pairs are made of training digits only, test pairs of test digits only (the split of
    the reader `digits`). Every class has the same number of pairs up to one, drawn with
    replacement, in an order drawn at random.
    """
    parts = digits(dataset.model_copy(update={"test": HELD_OUT}), files)
    counts = {"train": dataset.train, "test": dataset.test}
    return {name: _pairs(parts[name], count, name) for name, count in counts.items()}


def _pairs(part: Split, count: int, name: str) -> Split:
    random = numpy_stream(0, f"pairs of digits, {name}")
    labels = random.permutation(np.arange(count) % 100).astype(np.int64)
    halves = []
    for digit in (labels // 10, labels % 10):
        chosen = np.empty(count, dtype=np.int64)
        for value in range(10):
            of_value, at = np.flatnonzero(part.labels == value), np.flatnonzero(digit == value)
            chosen[at] = random.choice(of_value, size=len(at))
        halves.append(np.asarray(part.images)[chosen])
    return Split(np.concatenate(halves, axis=3), labels)
