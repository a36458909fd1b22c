"""The step that fits mean classifier and ridge regression on a kernel under label noise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from firstorder import files
from firstorder.data import support
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.robust_kernels import examples
from firstorder.studies.robust_kernels.examples import accuracy, noisy, symmetric

if TYPE_CHECKING:
    from torch import Tensor

    from firstorder.linearized.spectrum import Spectrum

PENALTIES = tuple(10.0**power for power in range(-8, 7))
"""Of ridge regression, relative to the mean diagonal entry; leaving one out chooses."""
INFINITE = 1e6


def classify_under_noise(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Test accuracies of every classifier, rate, sampler and draw, and their prediction.

    accuracy.csv: classifier `mean`, `best` (ridge, penalty chosen, see `ridge`) or `interpolating`
    (ridge, the penalty of the spec, 0 for exactly). predicted.csv: of the mean classifier, from two
    moments of the labels. factors.csv: what every independent draw leaves of the clean scores.
    noise.json: the exact statements, in float64 on the first `exact` training examples.
    """
    from firstorder.linearized.spectrum import decompose

    began = time.perf_counter()
    device = context.torch_device(spec["threads"])
    kernel, test = (each.to(device) for each in examples.read_kernels(inputs))
    clean, true = (each.to(device) for each in support.labels(inputs["dataset"], spec))
    spectrum = decompose(kernel, spec["eigenpairs"] or len(kernel), device)
    cells = [(each, _given(clean, spec, *each)) for each in _cells(spec)]
    ridge = [(each, given) for each, given in cells if _has_ridge(spec, each)]
    fitted = _ridge_scores(kernel, test, [given for _, given in ridge], spectrum, spec)
    of_ridge = dict(zip([each for each, _ in ridge], fitted, strict=True))
    scale = _mean_scores(test, clean, spec)
    measured: list[dict[str, Any]] = []
    factors: list[dict[str, Any]] = []
    for (rate, sampler, draw), given in cells:
        where = {"rate": rate, "sampler": sampler, "draw": draw}
        scores = _mean_scores(test, given, spec)
        for name, own in {"mean": scores, **of_ridge.get((rate, sampler, draw), {})}.items():
            measured.append({**where, "classifier": name, "accuracy": accuracy(own, true)})
        if sampler == "iid":
            left = float((scores * scale).sum() / scale.square().sum())
            factors.append({"rate": rate, "draw": draw, "factor": left})
    files.write_csv(outputs["accuracy.csv"], measured)
    files.write_csv(outputs["predicted.csv"], list(_predicted(test, clean, true, spec)))
    files.write_csv(outputs["factors.csv"], factors)
    record = {
        "spec": dict(spec),
        "statements": _statements(kernel, test, clean, spec),
        "seconds": time.perf_counter() - began,
    }
    files.write_json(outputs["noise.json"], record | context.record(inputs.values()))


def _cells(spec: Spec) -> Iterator[tuple[float, str, int]]:
    """Rate, sampler, draw; without noise there is one draw."""
    for rate in spec["rates"]:
        for sampler in ("remainder", "iid"):
            for draw in range(1, (spec["draws"] if rate else 1) + 1):
                yield rate, sampler, draw


def _given(clean: Tensor, spec: Spec, rate: float, sampler: str, draw: int) -> Tensor:
    """Labels (N,) of a draw; those of the kernels of other seeds are other draws."""
    return noisy(clean, rate, spec["classes"], sampler, (spec["seed"] - 1) * spec["draws"] + draw)


def _mean_scores(test: Tensor, given: Tensor, spec: Spec) -> Tensor:
    from firstorder.linearized import mean_classifier

    return mean_classifier.scores(test, given, spec["classes"])


def _has_ridge(spec: Spec, cell: tuple[float, str, int]) -> bool:
    rate, _, draw = cell
    return draw <= spec["ridge_draws"] and rate in spec["ridge_rates"]


def _ridge_scores(
    kernel: Tensor, test: Tensor, given: list[Tensor], spectrum: Spectrum, spec: Spec
) -> list[dict[str, Tensor]]:
    """Test scores (M, K) of both classifiers for every labelling; all read the kernel together."""
    import torch

    from firstorder.linearized import mean_classifier, ridge
    from firstorder.linearized.cg import times

    if not given:
        return []
    classes = spec["classes"]
    targets = torch.cat([mean_classifier.centred_one_hot(each, classes) for each in given], 1)
    best = ridge.fit(kernel, targets, grid=PENALTIES, shared=classes, spectrum=spectrum)
    (exact,) = ridge.path(kernel, targets, (spec["interpolation"],), spectrum=spectrum)
    scores = (best.predict(test), times(test, exact))
    return [
        {"best": one, "interpolating": other}
        for one, other in zip(*(each.split(classes, 1) for each in scores), strict=True)
    ]


def _predicted(test: Tensor, clean: Tensor, true: Tensor, spec: Spec) -> Iterator[dict[str, Any]]:
    """What two moments of the labels say of the accuracy.

    Exact counts are those of the first draw: only which class has a label more is drawn besides.
    """
    import torch

    from firstorder.data.noise import realised_matrix
    from firstorder.linearized import moments

    classes = spec["classes"]
    for rate in spec["rates"]:
        given = _given(clean, spec, rate, "remainder", 1)
        counted = realised_matrix(clean.cpu().numpy(), given.cpu().numpy(), classes)
        for sampler, kind, matrix in (
            ("remainder", "count", counted),
            ("iid", "iid", symmetric(rate, classes)),
        ):
            known = torch.from_numpy(matrix)
            found = moments.accuracy(test, clean, true, known, sampler=kind)  # type: ignore[arg-type]
            yield {"rate": rate, "sampler": sampler, "accuracy": found}


def _statements(kernel: Tensor, test: Tensor, clean: Tensor, spec: Spec) -> dict[str, float]:
    """How far the exact statements are from exact.

    ridge_cosine: of the scores of ridge regression with an infinite penalty with those of the mean
    classifier. identity_error: of the expected scores under independent noise and the shrunken
    clean ones, relative, the largest of all rates.
    """
    import torch

    from firstorder.linearized import mean_classifier, moments, normalised, ridge

    count, classes = spec["exact"], spec["classes"]
    theta, rows = normalised.centred(kernel[:count, :count].double(), test[:, :count].double())
    own = clean[:count]
    targets = mean_classifier.centred_one_hot(own, classes)
    (penalised,) = ridge.path(theta, targets, (INFINITE,))
    scores = mean_classifier.scores(rows, own, classes)
    errors = []
    for rate in spec["rates"]:
        expected = moments.expected_scores(rows, own, torch.from_numpy(symmetric(rate, classes)))
        shrunk = mean_classifier.noise_factor(rate, classes) * scores * len(own)
        errors.append(float((expected - shrunk).norm() / (scores * len(own)).norm()))
    cosine = torch.nn.functional.cosine_similarity(
        (rows @ penalised).flatten(), scores.flatten(), dim=0
    )
    return {"ridge_cosine": float(cosine), "identity_error": max(errors)}
