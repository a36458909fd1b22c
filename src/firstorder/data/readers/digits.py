"""scikit-learn's handwritten digits, which come with it."""

from __future__ import annotations

import numpy as np

from firstorder.config import Dataset
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, reader
from firstorder.data.subset import stratified_subset
from firstorder.streams import numpy_stream

HELD_OUT = 397
"""How many of the 1,797 digits are for testing in every dataset that is made of them."""


@reader("digits")
def digits(dataset: Dataset, files: Files) -> dict[str, Split]:
    """scikit-learn's 1,797 handwritten digits, 8 x 8; a fixed stratified part is for testing.

    Pixel values 0..16 become 0..255. The images keep their order within each part.
    """
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    images = np.rint(values.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    held_out = np.zeros(len(labels), dtype=bool)
    held_out[stratified_subset(labels, dataset.test, numpy_stream(0, "split digits"))] = True
    return {
        part: Split(images[mask], labels[mask].astype(np.int64))
        for part, mask in (("train", ~held_out), ("test", held_out))
    }
