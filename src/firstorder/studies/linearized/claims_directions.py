"""Claims about anisotropy directions: spectra, alignment, accuracy on their tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from firstorder.bounds import Correlation, Index, Positive, Share
from firstorder.publish.measures import spearman
from firstorder.publish.registry import Results, claim
from firstorder.publish.statistics import effect, resample
from firstorder.publish.verdict import Effect, Verdict, missing, not_run
from firstorder.studies.linearized import frames
from firstorder.studies.linearized.cells import correct
from firstorder.studies.linearized.directions import frequency
from firstorder.studies.linearized.judging import (
    LOST,
    POINTS,
    TOO_FEW,
    counts,
    index_correlations,
    model_means,
    verdict,
)


def _directions(results: Results, arm: str, **options: float | None) -> Verdict:
    """Test accuracy of one arm falls with the index of the direction, from and to an end."""
    cells = correct(results, arm)
    drawn = resample(cells)
    falls = index_correlations(drawn, cells, arm, options["correlation"] or 0.0, "below")
    share, near = _share(results, int(options["of"] or 1)), POINTS * float(options["near"] or 0)
    first, last = options["first"], options["last"]
    ends: list[Effect] = []
    for name in cells.tried:
        known = {
            "first": first if name.task == 1 else None,
            "last": last if name.task >= round(share * float(options["lowest"] or 0)) else None,
        }
        for end in known.values():
            said = f"{name.label}, j = {name.task}"
            if end is not None and name not in cells:
                ends.append(missing(LOST, said))
            elif end is not None:
                off = effect(
                    drawn,
                    lambda means, name=name, end=end: means[name] - end,  # type: ignore[misc]
                    threshold=near,
                    direction="within",
                    scale=POINTS,
                    unit="points",
                    name=f"{said}, from {POINTS * end:.0f} %",
                )
                ends.append(off)
    lacks = [at for at, end in (("first", first), ("last", last)) if end is not None]
    if not any(map(counts, falls)) or (lacks and not ends):
        return not_run(TOO_FEW)
    return verdict("Spearman's correlation of index and test accuracy, and ends", [*falls, *ends])


@claim("accuracy-falls-to-chance", reads=("nads.npz", "network.npz"))
def accuracy_falls_to_chance(
    results: Results,
    *,
    correlation: Correlation = -0.9,
    first: Share | None = None,
    last: Share | None = None,
    lowest: Index = 600,
    of: Index = 1024,
    near: Share = 0.05,
) -> Verdict:
    """E12: test accuracy of the network falls with the index of the direction, to an end.

    `first`, `last`: the accuracy at index 1 and at every index from `lowest` (out of `of`
    directions, scaled to inputs with fewer), to within `near`. An end that is not given is not
    looked at.
    """
    return _directions(
        results, "network", correlation=correlation, first=first, last=last, lowest=lowest, of=of,
        near=near,
    )  # fmt: skip


@claim("linear-accuracy-falls-to-chance", reads=("nads.npz", "converged.npz"))
def linear_accuracy_falls_to_chance(
    results: Results,
    *,
    correlation: Correlation = -0.9,
    last: Share | None = None,
    lowest: Index = 600,
    of: Index = 1024,
    near: Share = 0.05,
) -> Verdict:
    """E12 of the converged linearization; the options as for the network."""
    return _directions(
        results, "converged", correlation=correlation, first=None, last=last, lowest=lowest,
        of=of, near=near,
    )  # fmt: skip


def _share(results: Results, of: int) -> float:
    """The number of directions, as a share of `of`."""
    _, arrays = next(frames.arrays(results, "nads.npz", "singular_values"))
    return len(arrays["singular_values"]) / of


@claim("nad-spectrum", reads=("nads.npz",))
def nad_spectrum(
    results: Results,
    *,
    of: Index = 1024,
    index: Index = 200,
    decay: Positive = 10.0,
    rough: Index = 400,
    ratio: Positive = 2.0,
) -> Verdict:
    """E11: the spectrum of the directions decays steeply, and the first ones are smooth.

    `decay`: of the squared singular value to direction `index`; `ratio`: of the mean radial
    frequency of direction `rough` over that of the first. Indices are out of `of` directions, and
    scaled to inputs with fewer.
    """
    rows = []
    for keys, arrays in frames.arrays(results, "nads.npz", "singular_values", "directions"):
        squared = np.asarray(arrays["singular_values"], float) ** 2
        share = len(squared) / of
        at, far = (max(1, round(share * each)) for each in (index, rough))
        first, later = (frequency(arrays["directions"][k - 1]) for k in (1, far))
        rows.append(
            {
                **keys,
                "at": at,
                "rough": far,
                "decay": squared[0] / squared[at - 1],
                "ratio": later / first,
            }
        )
    found = pd.DataFrame(rows).assign(task=0)
    return verdict(
        f"σ² of direction 1 over that of direction {found['at'].iloc[0]}, then mean radial "
        f"frequency of direction {found['rough'].iloc[0]} over the first's",
        [
            *model_means(found, "decay", decay, logarithmic=True, unit="times"),
            *model_means(found, "ratio", ratio, logarithmic=True, unit="times"),
        ],
    )


@claim("nad-alignment", reads=("nads.npz",))
def nad_alignment(results: Results, *, correlation: Correlation = 0.9) -> Verdict:
    """E13: the alignment of a linear target on Gaussian inputs is ordered as the singular values.

    The alignment of <v, x> is |E M(x) v|^2, from the mean mixed derivative over sampled inputs;
    the directions and their singular values come from the derivative at zero.
    """
    rows = []
    for keys, arrays in frames.arrays(
        results,
        "nads.npz",
        "singular_values",
        "directions",
        "expectation_singular_values",
        "expectation_directions",
    ):
        mean = arrays["expectation_singular_values"][:, None] * arrays["expectation_directions"]
        alignment = ((mean @ arrays["directions"].T) ** 2).sum(axis=0)
        rho = spearman(alignment, arrays["singular_values"])
        rows.append({**keys, "task": 0, "rho": rho})
    return verdict(
        "Spearman's correlation of alignment and singular value",
        model_means(pd.DataFrame(rows), "rho", correlation, limits=(-1, 1)),
    )
