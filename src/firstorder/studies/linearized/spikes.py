"""How far a trained kernel turned towards its task."""

from __future__ import annotations

import numpy as np
import pandas as pd

from firstorder.linearized.spike import affine, excess
from firstorder.publish.measures import spearman
from firstorder.publish.registry import Results
from firstorder.studies.linearized import frames

KEYS = ["model", "label", "seed", "family", "task", "part"]
NUMBERS = ["excess", "affine", "rank", "order", "argmax", "scale"]


def of_trainings(results: Results) -> pd.DataFrame:
    """The spikes of every training of a selection; of one that diverged, rows without numbers."""
    alignment = frames.of_file(results, "alignment.csv")
    lost = frames.without_alignment(results, alignment)
    rows = [spikes(alignment), *(lost.assign(part=part) for part in ("train", "test", "all"))]
    return pd.concat(rows, ignore_index=True)


def spikes(alignment: pd.DataFrame) -> pd.DataFrame:
    """How far the kernel turned towards its training task, per model, seed, task and part.

    With g_k = A_T(u_k) / A_0(u_k) over the kept eigenfunctions k and j the trained one:
    excess = g_j over the median g_k of the neighbours k in [j/2, 2j];
    affine = A_T(u_j) over s A_0(u_j) + c, fitted to the other indices;
    rank = rank of A_T(u_j) among all A_T(u_k), 1 the largest;
    order = Spearman correlation of A_T and A_0 over k != j; argmax = the k whose excess over the
    affine fit is largest; scale = median_k g_k. Tasks beyond the kept eigenfunctions are left
    out, and those with an alignment that is not positive.
    """
    rows = []
    for key, line in alignment.groupby(KEYS, sort=False):
        task = int(line["task"].iloc[0])
        line = line.sort_values("k")
        initial, trained = line["initial"].to_numpy(float), line["trained"].to_numpy(float)
        positive = (initial > 0) & (trained > 0)
        # Beyond the first alignment that is rounding there are only such.
        kept = len(positive) if positive.all() else int(positive.argmin())
        if not task <= kept or kept < 4:
            continue
        initial, trained = initial[:kept], trained[:kept]
        others = np.arange(1, kept + 1) != task
        fit = affine(initial, trained, task)
        residuals = np.log(trained) - np.log(fit.scale * initial + fit.constant)
        rows.append(
            {
                **dict(zip(KEYS, key, strict=True)),
                "excess": excess(initial, trained, task),
                "affine": float(np.exp(fit.residual)),
                "rank": int((trained > trained[task - 1]).sum()) + 1,
                "order": spearman(trained[others], initial[others]),
                "argmax": int(residuals.argmax()) + 1,
                "scale": float(np.median(trained / initial)),
            }
        )
    return pd.DataFrame(rows, columns=[*KEYS, *NUMBERS])
