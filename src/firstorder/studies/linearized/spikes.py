"""How far a trained kernel turned towards its task."""

from __future__ import annotations

import numpy as np
import pandas as pd

from firstorder.publish.measures import spearman


def spikes(alignment: pd.DataFrame) -> pd.DataFrame:
    """How far the kernel turned towards its training task, per model, seed, task and part.

    With g_k = A_T(u_k) / A_0(u_k) over the kept eigenfunctions k and j the trained one:
    spike = g_j / median_k g_k; rank = rank of A_T(u_j) among all A_T(u_k), 1 the largest;
    order = Spearman correlation of A_T and A_0 over k != j; argmax = the k of the largest g_k;
    scale = median_k g_k. Tasks beyond the kept eigenfunctions are left out.
    """
    rows = []
    keys = ["model", "label", "seed", "task", "part"]
    for key, line in alignment.groupby(keys, sort=False):
        task = int(line["task"].iloc[0])
        kept = line[(line["initial"] > 0) & line["trained"].notna()]
        if task not in set(kept["k"]):
            continue
        growth = (kept["trained"] / kept["initial"]).to_numpy()
        at = int(np.flatnonzero(kept["k"].to_numpy() == task)[0])
        others = np.arange(len(kept)) != at
        trained, initial = kept["trained"].to_numpy(), kept["initial"].to_numpy()
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "spike": growth[at] / np.median(growth),
                "rank": int((trained > trained[at]).sum()) + 1,
                "order": spearman(trained[others], initial[others]),
                "argmax": int(kept["k"].to_numpy()[growth.argmax()]),
                "scale": float(np.median(growth)),
            }
        )
    return pd.DataFrame(rows, columns=[*keys, "spike", "rank", "order", "argmax", "scale"])
