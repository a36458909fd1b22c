"""Claims: what is exact on a fixed kernel, and what the turning kernel of a network predicts."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from firstorder.bounds import Correlation, Positive, Share
from firstorder.linearized.mean_classifier import noise_factor
from firstorder.publish.numerals import number
from firstorder.publish.registry import Results, claim
from firstorder.publish.statistics import Cell, difference, effect, rank_correlation, resample
from firstorder.publish.verdict import Effect, Verdict, combine, exact, missing
from firstorder.studies.robust_kernels import frames
from firstorder.studies.robust_kernels.settings import LossName

EXACT = 1e-8
"""Largest relative error of what is exact, in float64."""
NO_END = "has no ρ at its end: it diverged, or its kernel became zero"


@claim("equal-first-step", reads=("first_step.csv",))
def equal_first_step(results: Results, *, cosine: Share = 0.9999) -> Verdict:
    """The first step of every loss that treats equal scores equally is the mean classifier."""
    frame = frames.of_kernels(results, "first_step.csv", frames.FIRST)
    labels, names = frames.labels(results), frames.kernels(results, "title")
    fair = frame[~frame["breaks_ties"].astype(bool)]
    effects = [
        exact(
            row["cosine"],
            cosine,
            name=f"{labels[row['loss']]}, {names[row['kernel'], row['seed']]}",
        )
        for row in fair.to_dict("records")
    ]
    lowest = fair["cosine"].min()
    text = f"{fair['loss'].nunique()} losses, lowest cosine {lowest:.7f}."
    broken = frame[frame["breaks_ties"].astype(bool)]
    if len(broken):
        named = ", ".join(dict.fromkeys(labels[slug] for slug in broken["loss"]))
        text += (
            f" Not counted: {named}, which takes the first of equal scores for the largest; its "
            f"first step knows the order of the classes and is {100 * broken['error'].max():.1f} % "
            "off."
        )
    return combine(effects, "all", text)


@claim("unhinged-constant", reads=("noise.json", "exact.json"))
def unhinged_constant(results: Results) -> Verdict:
    """The unhinged loss changes no prediction after its first step; C_T is closed form."""
    known = _statements(results)
    effects = [exact(row["error"], EXACT, "below", name=row["name"]) for row in known]
    effects += [exact(row["changed"], 0.5, "below", name=row["name"]) for row in known]
    worst, changed = max(row["error"] for row in known), sum(row["changed"] for row in known)
    steps = max(row["steps"] for row in known)
    return combine(
        effects,
        "all",
        f"After {steps:,} steps {changed} test predictions differ from those after one; relative "
        f"error of the closed form {number(worst, 1)}.",
    )


@claim("noise-identity", reads=("noise.json", "exact.json", "factors.csv"))
def noise_identity(results: Results, *, within: Positive = 0.02) -> Verdict:
    """Independent symmetric noise of K classes multiplies the expected scores by
    1 - eta K / (K - 1)."""
    known = _statements(results)
    effects = [exact(row["identity_error"], EXACT, "below", name=row["name"]) for row in known]
    classes = {row["kernel"]: row["classes"] for row in results.spec["rows"]}
    names = frames.kernels(results)
    frame = frames.of_kernels(results, "factors.csv", frames.FACTORS)
    for key, own in frame.groupby(["kernel", "seed", "rate"], sort=False):
        kernel, rate = str(key[0]), float(key[2])  # type: ignore[arg-type]
        if rate:
            told = noise_factor(rate, classes[kernel])
            name = f"η = {rate:g}, {names[kernel, str(key[1])]}"
            effects.append(_offset(own["factor"], told, within, name))
    measured = [each for each in effects if each.low != each.high]
    largest = max((abs(each.value) for each in measured), default=float("nan"))
    worst = max(row["identity_error"] for row in known)
    return combine(
        effects,
        "all",
        f"Relative error of the expectation {number(worst, 1)}; the mean factor over draws is at "
        f"most {largest:.3f} off.",
    )


@claim("moment-prediction", reads=("accuracy.csv", "predicted.csv"))
def moment_prediction(results: Results, *, most: Share = 0.8, points: Positive = 2.0) -> Verdict:
    """Two moments of the labels give the accuracy of the mean classifier, whatever the sampler."""
    measured = frames.of_kernels(results, "accuracy.csv", frames.MEASURED)
    measured = measured[measured["classifier"] == "mean"]
    predicted = frames.of_kernels(results, "predicted.csv", frames.PREDICTED)
    keys = ["kernel", "seed", "sampler", "rate"]
    told = dict(predicted.set_index(keys)["accuracy"].items())
    names = frames.kernels(results)
    effects = []
    for key, own in measured.groupby(keys, sort=False):
        kernel, seed, sampler, rate = (*map(str, key[:3]), float(key[3]))  # type: ignore[arg-type]
        if rate <= most + 1e-9:
            name = f"η = {rate:g}, {frames.SAMPLERS[sampler]}, {names[kernel, seed]}"
            values, expected = 100 * own["accuracy"], 100 * told[key]
            effects.append(_offset(values, expected, points, name, "points"))
    largest = max(effects, key=lambda each: abs(each.value))
    value = f"{largest.value:.2f}".replace("-", "−")
    return combine(effects, "all", f"Largest error {value} points ({largest.name}).")


def _statements(results: Results) -> list[dict[Hashable, Any]]:
    """The exact statements of every kernel, and its `name`."""
    names = frames.kernels(results, "title")
    known = frames.statements(results)
    called = [names[key] for key in zip(known["kernel"], known["seed"], strict=True)]
    return known.assign(name=called).to_dict("records")


def _offset(values: pd.Series, told: float, within: float, name: str, unit: str = "") -> Effect:
    """Mean of draws less what was predicted, claimed to be near 0."""
    if len(values) == 1:  # without noise there is nothing to draw
        return exact(float(values.iloc[0]) - told, within, "within", unit=unit, name=name)
    drawn = resample({"measured": Cell(values.to_numpy(float))})
    found = effect(
        drawn,
        lambda means: means["measured"] - told,
        threshold=within,
        direction="within",
        unit=unit,
        name=name,
    )
    return replace(found, seeds=0, note=f"{len(values)} draws of the noise.")


@claim("infinite-ridge", reads=("noise.json", "exact.json"))
def infinite_ridge(results: Results, *, cosine: Share = 0.9999) -> Verdict:
    """Ridge regression with a penalty of 10^6 mean diagonal entries is the mean classifier."""
    known = _statements(results)
    effects = [exact(row["ridge_cosine"], cosine, name=row["name"]) for row in known]
    lowest = min(each.value for each in effects)
    return combine(effects, "all", f"Lowest cosine {lowest:.9f}.")


@claim("rotation-predicts-accuracy", reads=("rotation.csv", "correct.npz"))
def rotation_predicts_accuracy(results: Results, *, least: Correlation = 0.7) -> Verdict:
    """Spearman's correlation of rho and test accuracy at the end, over losses.

    The losses are taken as a sample of all. Seeds measure a loss more precisely, its rho and its
    accuracy together, and are no further losses.
    """
    end, labels = frames.ends(results), frames.labels(results)
    effects, without = [], frames.without_end(results, end)
    for name, losses in without.items():
        if losses:
            named = ", ".join(labels[loss] for loss in losses)
            effects.append(missing(f"A training with {named} {NO_END}.", name))
        else:
            effects.append(_correlation(results, end[end["network"] == name], name, least))
    text = f"Over {end['loss'].nunique()} losses, {len(end)} trainings.{_lost(without)}"
    return combine(effects, "all", text)


def _correlation(results: Results, end: pd.DataFrame, network: str, least: float) -> Effect:
    losses = list(dict.fromkeys(end["loss"]))
    cells = {}
    for loss, own in end.groupby("loss", sort=False):
        seeds = tuple(own["seed"])
        right = [frames.correct(results, network, str(loss), seed) for seed in seeds]
        cells[loss, "accuracy"] = Cell(np.stack(right), seeds)
        cells[loss, "rho"] = _by_seed(own)
    return rank_correlation(
        resample(cells), [(loss, "accuracy") for loss in losses],
        cells=[(loss, "rho") for loss in losses], threshold=least, name=network,
        indices="sampled",
    )  # fmt: skip


@claim("symmetric-turn-less", reads=("rotation.csv",))
def symmetric_turn_less(results: Results, *, reference: LossName = "ce") -> Verdict:
    """At the end rho of every symmetric loss is above that of cross-entropy."""
    from firstorder import losses

    end = frames.ends(results)
    labels = frames.labels(results)
    chosen = [
        each["loss"]
        for each in results.spec["losses"]
        if losses.is_symmetric(losses.build(each["function"], 2, **each["parameters"]))
    ]
    effects = []
    lost = {
        network: {loss: said for loss, said in without.items() if loss in (reference, *chosen)}
        for network, without in frames.without_end(results, end).items()
    }
    for network, without in lost.items():
        own = end[end["network"] == network]
        for loss in chosen:
            name = f"{labels[loss]}, {network}"
            if {loss, reference} & without.keys():
                effects.append(missing(f"A training {NO_END}.", name))
                continue
            drawn = resample({key: _by_seed(own[own["loss"] == key]) for key in (loss, reference)})
            effects.append(effect(drawn, difference(loss, reference), threshold=0, name=name))
    ratios = _said(end, [reference, *chosen], labels)
    return combine(effects, "all", f"ρ at the end, mean over seeds: {ratios}.{_lost(lost)}")


def _lost(without: dict[str, dict[str, str]]) -> str:
    """A sentence on the trainings without ρ at their end, for the rest is judged without them."""
    said = "; ".join(
        f"{name}: {', '.join(each.values())}" for name, each in without.items() if each
    )
    return f" Without ρ at the end: {said}." if said else ""


def _by_seed(own: pd.DataFrame) -> Cell:
    return Cell(own["rho"].to_numpy(float), tuple(own["seed"]))


def _said(end: pd.DataFrame, losses: Iterable[str], labels: dict[str, str]) -> str:
    means = end.groupby("loss")["rho"].mean()
    return ", ".join(f"{labels[loss]} {means[loss]:.1f}" for loss in losses if loss in means)
