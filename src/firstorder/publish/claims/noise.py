"""Claims about the noise that was drawn."""

from __future__ import annotations

import numpy as np

from firstorder.config import Claim, Config
from firstorder.config import noise as noise_of
from firstorder.publish import records
from firstorder.publish.claims.verdict import Verdict, judged, not_run
from firstorder.publish.registry import register


@register("exact-counts")
def exact_counts(config: Config, claim: Claim) -> Verdict:
    """P15: the exact-count sampler moves floor(η n_i / (K − 1)) labels from class i to every other.

    Compares the counts behind the realised matrices with that number, for every draw.
    """
    worst, draws = 0.0, 0
    for keys, realised in records.label_matrices(config, claim.select):
        noise = noise_of(config, keys["noise"])
        if noise.kind != "symmetric" or noise.sampler != "count" or noise.include_true_class:
            continue
        counts, classes = keys["counts"].astype(float), len(realised)
        # 1e-9: a product such as 0.6 / 9 * 135 may fall short of a whole number by rounding.
        expected = np.floor(noise.rate / (classes - 1) * counts + 1e-9)
        moved = realised * counts[:, None]
        off = np.abs(moved - expected[:, None])[~np.eye(classes, dtype=bool)]
        worst, draws = max(worst, float(off.max())), draws + 1
    if not draws:
        return not_run("No symmetric noise with the exact-count sampler is drawn at this scale.")
    return judged(
        worst < 0.5,
        f"In {draws} draws the number of labels moved between any two classes differs from "
        f"⌊η n/(K − 1)⌋ by at most {worst:.0f}.",
        largest_difference=worst,
        draws=draws,
    )
