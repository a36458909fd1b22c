"""Claims about tangent kernels: spectra and alignment."""

from __future__ import annotations

import numpy as np

from firstorder.bounds import Index, Positive, Share
from firstorder.config import Recipe
from firstorder.publish.registry import Results, claim
from firstorder.publish.verdict import Verdict, exact, judge
from firstorder.streams import numpy_stream
from firstorder.studies.linearized import frames
from firstorder.studies.linearized.judging import model_means, verdict


@claim("alignment-is-eigenvalue", reads=("gradients.csv",))
def alignment_is_eigenvalue(results: Results, *, error: Positive = 1e-3) -> Verdict:
    """E1: the alignment of an eigenfunction, by the network's gradients, is its eigenvalue.

    To within a relative `error`.
    """
    found = frames.of_file(results, "gradients.csv")
    off = (found["alignment"] / found["eigenvalue"] - 1).abs()
    largest = float(off.max()) if off.notna().all() else float("inf")
    return judge(
        exact(largest, error, "below", name="largest relative error"),
        f"For {len(found)} eigenfunctions, the {found['k'].max()}th the last, the alignment "
        "differs from the eigenvalue of the Gram matrix by at most this share of it.",
    )


@claim("norm-bound", reads=("spectrum.npz",))
def norm_bound(results: Results) -> Verdict:
    """E2: squared kernel norm times alignment is at least the fourth power of the L2 norm.

    For the projections of random targets and of binarised eigenfunctions on the kept eigenvectors.
    """
    least, targets = np.inf, 0
    for keys, arrays in frames.arrays(results, "spectrum.npz", "eigenvalues", "eigenvectors"):
        values, vectors = (np.asarray(arrays[n], float) for n in ("eigenvalues", "eigenvectors"))
        kept = values > 1e-9 * values[0]
        values, vectors = values[kept], vectors[kept]
        random = numpy_stream(keys["seed"], "claims targets").normal(size=(20, vectors.shape[1]))
        coefficients = np.concatenate([random, np.sign(vectors[:50])]) @ vectors.T
        norm, alignment = (coefficients**2 / values).sum(1), (coefficients**2 * values).sum(1)
        ratio = norm * alignment / (coefficients**2).sum(1) ** 2
        least, targets = min(least, float(ratio.min())), targets + len(ratio)
    return judge(
        exact(least, 1 - 1e-9, name="least ratio"),
        f"Over {targets} targets the product is at least so many times the fourth power.",
    )


@claim("dual-form")
def dual_form(results: Results, *, difference: Positive = 1e-8) -> Verdict:
    """E3: momentum descent on a linear model's weights and on its kernel coefficients agree.

    Measured on random features (48 examples, 200 weights) in float64.
    """
    import torch

    from firstorder.linearized import function_space

    recipe = Recipe(model="scalar", epochs=10, batch=12, lr=0.05, schedule="linear",
                    schedule_unit="step")  # fmt: skip
    random = numpy_stream(0, "claims features")
    features = torch.from_numpy(random.normal(size=(48, 200)) / 200**0.5)
    start, targets = features[:, 0].clone(), (features[:, :1] > 0).double()
    order = [torch.from_numpy(random.permutation(48)).split(12) for _ in range(recipe.epochs)]
    kernel = features @ features.T
    dual = function_space.train(kernel, start, targets, kernel, start, targets, recipe, order)
    weights = torch.zeros(200, dtype=torch.float64, requires_grad=True)
    velocity = torch.zeros_like(weights)  # not torch.optim, which imports torch's compiler
    steps, step = recipe.epochs * 4, 0
    for epoch in order:
        for index in epoch:
            scores = start[index] + features[index] @ weights
            loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets[index, 0])
            velocity = recipe.momentum * velocity + torch.autograd.grad(loss, weights)[0]
            with torch.no_grad():
                weights -= recipe.lr * (1 - step / steps) * velocity
            step += 1
    primal = start + features @ weights.detach()
    off = float((start + kernel @ dual.coefficients[:, 0] - primal).abs().max())
    return judge(
        exact(off, difference, "below", name="largest difference"),
        f"The largest difference of the scores of both forms after {steps} steps.",
    )


@claim("heavy-tail", reads=("spectrum.npz",))
def heavy_tail(results: Results, *, leading: Index = 10, share: Share = 0.4) -> Verdict:
    """E4: few eigenvalues, the `leading` ones, carry most of the trace: at least `share`."""
    spectra = frames.spectra(results)
    at = spectra[spectra["k"] == leading].assign(task=leading)
    return verdict(
        f"The first {leading} eigenvalues carry of the trace",
        model_means(at, "cumulative", 100 * share, scale=100.0, unit="%", limits=(0, 1)),
    )
