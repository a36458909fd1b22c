"""Statements of the paper that are certain, checked in float64 on every loss of a selection.

Nothing here is drawn from trainings: effects are exact, a claim holds or fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from firstorder.bounds import Classes, Exponent, Positive
from firstorder.config import Distinct, Some
from firstorder.publish.numerals import number
from firstorder.publish.registry import Results, claim
from firstorder.publish.verdict import Effect, Verdict, combine, exact, not_run
from firstorder.streams import numpy_stream
from firstorder.studies.symmetrization.settings import LossName

if TYPE_CHECKING:
    from firstorder.losses.registry import Loss

ROUNDING = 1e-9
"""Largest error of an identity in float64, relative to the values that it is about."""

# torch and the losses are imported where they are used: most claims need neither.


def losses_of(results: Results, classes: int) -> Iterator[tuple[str, Loss]]:
    """Name and loss of all that is selected, for a number of classes."""
    from firstorder.losses import build

    for each in results.spec["definitions"]:
        built = build(each["function"], num_classes=classes, **each["parameters"])
        yield each["loss"], built


def labels_of(results: Results) -> dict[str, str]:
    """How every loss that is selected is printed."""
    return {each["loss"]: each["label"] for each in results.spec["definitions"]}


def random_scores(classes: int, spread: float = 3.0, examples: int = 200) -> np.ndarray:
    """Normal scores (examples, classes), the same in every call."""
    return spread * numpy_stream(0, "claims").normal(size=(examples, classes))


@claim("decomposes", reads=("definitions",))
def decomposes(results: Results, *, classes: Classes = 10) -> Verdict:
    """D1: every loss is a symmetric part plus a part without label, in one way only (Prop. 4.1)."""
    import torch

    from firstorder.losses.decomposition import decomposition

    scores, found, free = torch.from_numpy(random_scores(classes)), {}, 0
    for name, loss in losses_of(results, classes):
        parts = decomposition(loss, scores)
        found[name] = max(parts.class_sum, parts.label, parts.unique)
        free = max(free, parts.solutions)
    label = labels_of(results)
    errors = [exact(error, ROUNDING, "below", name=label[name]) for name, error in found.items()]
    text = (
        f"On random scores of {classes} classes the parts of {len(found)} losses are symmetric, "
        f"free of the label and the only solution to {number(max(found.values()), 2)} of the "
        f"values; the equations leave {free} dimensions free."
    )
    return combine([*errors, exact(free, 0.5, "below", name="free dimensions")], "all", text)


@claim("only-convex", reads=("definitions",))
def only_convex(
    results: Results, *, linear: Distinct[LossName] = ("ce", "unhinged"), classes: Classes = 10
) -> Verdict:
    """D2: of the symmetric parts of all losses only multiples of unhinged are convex (Thm. 5.1).

    For every loss but those named `linear` two scores must be found between which its symmetric
    part bends the wrong way; for those none may be found.
    """
    from firstorder.losses import symmetrize
    from firstorder.losses.convexity import violating_pair

    bends: dict[str, float] = {}
    straight: dict[str, float] = {}
    for name, loss in losses_of(results, classes):
        pair = violating_pair(symmetrize(loss))
        excess = 0.0 if pair is None else pair.excess
        (straight if name in linear else bends)[name] = excess
    label = labels_of(results)
    found: list[Effect] = [exact(bend, ROUNDING, name=label[name]) for name, bend in bends.items()]
    found += [exact(bend, ROUNDING, "below", name=label[name]) for name, bend in straight.items()]
    text = (
        f"A pair of scores between which the symmetric part is not convex is found for "
        f"{sum(excess > ROUNDING for excess in bends.values())} of {len(bends)} losses (least "
        f"excess {number(min(bends.values(), default=0.0), 2)}), and for "
        f"{sum(excess > ROUNDING for excess in straight.values())} of the {len(straight)} whose "
        "symmetric part is linear."
    )
    return combine(found, "all", text)


@claim("equal-components", reads=("definitions",))
def equal_components(results: Results, *, classes: Classes = 10) -> Verdict:
    """D3: at equal scores every loss has kappa times the gradient of unhinged (Prop. 5.2).

    Losses that single out the largest score have no single kappa; they are named, not counted.
    """
    from firstorder.losses import equal_components as at_equal_scores

    found, kappas, broken, label = {}, {}, [], labels_of(results)
    for name, loss in losses_of(results, classes):
        parts = at_equal_scores.equal_components(loss)
        if parts.breaks_ties:
            broken.append(label[name])
        else:
            found[name], kappas[name] = parts.residual, parts.kappa
    if not found:
        return not_run(f"{', '.join(broken)}: no loss that treats equal scores equally.")
    effects = [exact(rest, ROUNDING, "below", name=label[name]) for name, rest in found.items()]
    effects += [exact(kappa, 0.0, name=f"κ of {label[name]}") for name, kappa in kappas.items()]
    least, most = min(kappas, key=kappas.__getitem__), max(kappas, key=kappas.__getitem__)
    text = (
        f"At equal scores of {classes} classes the gradients of {len(found)} losses are κ times "
        f"that of the unhinged loss to {number(max(found.values()), 2)}; κ goes from "
        f"{number(kappas[least])} ({label[least]}) to {number(kappas[most])} ({label[most]})."
    )
    if broken:
        text += (
            f" Not counted: {', '.join(broken)}, for which the first of equal scores is largest."
        )
    return combine(effects, "all", text)


@claim("smooth")
def smooth(
    results: Results,
    *,
    qs: Some[Exponent] = (0.01, 0.05, 0.1, 0.3),
    alphas: Some[Positive] = (0.25, 0.5, 1.0, 2.0),
    spread: Positive = 2.0,
    classes: Classes = 10,
) -> Verdict:
    """D4: SGCE and alpha-MAE bend less, the smaller q and alpha, on scores within `spread`.

    The largest curvature that a search finds stays under a bound that is proportional to q, and
    grows with q and with alpha.
    """
    from firstorder.losses import build
    from firstorder.losses.smoothness import (
        alpha_mae_smoothness,
        largest_curvature,
        sgce_bound,
    )

    qs, alphas = tuple(sorted(qs)), tuple(sorted(alphas))
    of_q = [largest_curvature(build("sgce", classes, q=q), spread) for q in qs]
    of_alpha = [largest_curvature(build("alpha_mae", classes, alpha=a), spread) for a in alphas]
    found = [
        exact(bend / sgce_bound(q, spread, classes), 1.0, "below", name=f"SGCE, q = {q:g}")
        for q, bend in zip(qs, of_q, strict=True)
    ]
    found += [
        exact(
            bend / alpha_mae_smoothness(a, classes), 1 + ROUNDING, "below",
            name=f"α-MAE, α = {a:g}",
        )
        for a, bend in zip(alphas, of_alpha, strict=True)
    ]  # fmt: skip
    for name, bends in (("q", of_q), ("α", of_alpha)):
        found += [
            exact(upper - lower, 0.0, name=f"growth of the curvature with {name}")
            for lower, upper in pairwise(bends)
        ]
    text = (
        f"Where the scores of {classes} classes differ by at most {spread:g}, the largest "
        f"curvature of SGCE goes from {number(of_q[0], 2)} at q = {qs[0]:g} to "
        f"{number(of_q[-1], 2)} at q = {qs[-1]:g}, that of α-MAE from {number(of_alpha[0], 2)} at "
        f"α = {alphas[0]:g} to {number(of_alpha[-1], 2)} at α = {alphas[-1]:g}, each below its "
        "bound."
    )
    return combine(found, "all", text)
