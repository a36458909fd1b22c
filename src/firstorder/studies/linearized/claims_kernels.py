"""Claims about tangent kernels: spectra, alignment and rotation."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from firstorder.config import Recipe
from firstorder.publish.measures import spearman
from firstorder.publish.registry import Results, claim
from firstorder.publish.statistics import Direction, effect, resample
from firstorder.publish.verdict import Effect, Verdict, exact, judge, not_run
from firstorder.streams import numpy_stream
from firstorder.studies.linearized import frames
from firstorder.studies.linearized.cells import geometric, labels, mean_of, numbers, of
from firstorder.studies.linearized.directions import frequency
from firstorder.studies.linearized.judging import verdict
from firstorder.studies.linearized.spikes import spikes


@claim("alignment-is-eigenvalue", reads=("gradients.csv",))
def alignment_is_eigenvalue(results: Results, *, error: float = 1e-3) -> Verdict:
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
def dual_form(results: Results, *, difference: float = 1e-8) -> Verdict:
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
    optimizer = torch.optim.SGD([weights], lr=recipe.lr, momentum=recipe.momentum)
    steps, step = recipe.epochs * 4, 0
    for epoch in order:
        for index in epoch:
            optimizer.param_groups[0]["lr"] = recipe.lr * (1 - step / steps)
            scores = start[index] + features[index] @ weights
            loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets[index, 0])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    primal = start + features @ weights.detach()
    off = float((start + kernel @ dual.coefficients[:, 0] - primal).abs().max())
    return judge(
        exact(off, difference, "below", name="largest difference"),
        f"The largest difference of the scores of both forms after {steps} steps.",
    )


@claim("heavy-tail", reads=("spectrum.npz",))
def heavy_tail(results: Results, *, leading: int = 10, share: float = 0.4) -> Verdict:
    """E4: few eigenvalues, the `leading` ones, carry most of the trace: at least `share`."""
    spectra = frames.spectra(results)
    at = spectra[spectra["k"] == leading].assign(task=leading)
    return verdict(
        f"The first {leading} eigenvalues carry of the trace",
        _means(at, "cumulative", 100 * share, scale=100.0, unit="%"),
    )


def _means(
    frame: pd.DataFrame,
    value: str,
    threshold: float = float("nan"),
    direction: Direction = "above",
    *,
    logarithmic: bool = False,
    scale: float = 1.0,
    unit: str = "",
) -> list[Effect]:
    """The mean over tasks and seeds by model, its interval over seeds.

    `logarithmic`: the geometric mean, of a factor.
    """
    if frame.empty:
        return []
    chosen = frame.assign(number=np.log(frame[value]) if logarithmic else frame[value])
    cells = numbers(chosen, "number")
    drawn = resample(cells)
    mean = geometric if logarithmic else mean_of
    return [
        effect(
            drawn, mean(of(cells, label, "")), threshold=threshold, direction=direction,
            scale=scale, unit=unit, name=label,
        )
        for label in labels(cells)
    ]  # fmt: skip


def _spikes(results: Results, part: str, tasks: tuple[int, int]) -> pd.DataFrame:
    """The spikes of a part, seed by seed, for trained indices within `tasks`."""
    found = spikes(frames.of_file(results, "alignment.csv"))
    return found[(found["part"] == part) & found["task"].between(*tasks)]


NO_TASKS = "No eigenfunction task within the claim's range of indices is run at this scale."


@claim("spike", reads=("alignment.csv",))
def spike(
    results: Results,
    *,
    part: Literal["train", "test", "all"] = "train",
    tasks: tuple[int, int] = (3, 300),
    least: float = 2.0,
) -> Verdict:
    """E17: the trained kernel's alignment spikes at the trained index.

    By more than `least` times the growth of its neighbours, as the geometric mean over tasks.
    """
    found = _spikes(results, part, tasks)
    if found.empty:
        return not_run(NO_TASKS)
    low = found.sort_values("excess").to_dict("records")[0]
    return verdict(
        f"On the {part} part the alignment at the trained index grows, over neighbours' (least: "
        f"{low['excess']:.1f}, {low['label']}, j = {low['task']:.0f})",
        _means(found, "excess", least, logarithmic=True, unit="times"),
        beside=[("Over an affine fit", _means(found, "affine", logarithmic=True, unit="times"))],
    )


@claim("spike-fades", reads=("alignment.csv",))
def spike_fades(
    results: Results,
    *,
    tasks: tuple[int, int] = (3, 300),
    small: int = 30,
    large: int = 100,
    least: float = 1.5,
) -> Verdict:
    """E18: on test images the spike stands for small indices and is below training's for large.

    Small: up to `small`, more than `least` times the growth of the neighbours. Large: from
    `large`. Geometric means over tasks.
    """
    test, train = _spikes(results, "test", tasks), _spikes(results, "train", tasks)
    keys = ["model", "label", "seed", "family", "task"]
    both = test.merge(train, on=keys, suffixes=("_test", "_train"))
    both = both.assign(fading=both["excess_test"] / both["excess_train"])
    low, high = both[both["task"] <= small], both[both["task"] >= large]
    if low.empty or high.empty:
        return not_run(NO_TASKS)
    return verdict(
        "The test spike of small indices, then that of large ones over training's",
        [
            *_means(low, "excess_test", least, logarithmic=True, unit="times"),
            *_means(high, "fading", 1.0, "below", logarithmic=True, unit="times"),
        ],
        beside=[
            ("The test spike of large ones", _means(high, "excess_test", logarithmic=True)),
            ("Over an affine fit, small ones", _means(low, "affine_test", logarithmic=True)),
            ("Large ones", _means(high, "affine_test", logarithmic=True)),
        ],
    )


@claim("one-axis", reads=("alignment.csv",))
def one_axis(
    results: Results,
    *,
    part: Literal["train", "test", "all"] = "train",
    tasks: tuple[int, int] = (3, 300),
    rank: float = 10,
) -> Verdict:
    """E19: the trained index rises to the top of the trained kernel's spectrum.

    To within the first `rank`, on average over tasks.
    """
    found = _spikes(results, part, tasks)
    if found.empty:
        return not_run(NO_TASKS)
    worst = found.sort_values("rank").to_dict("records")[-1]
    return verdict(
        "Rank of the trained index among the initial eigenfunctions, in the trained kernel (last: "
        f"{worst['rank']:.0f}, {worst['label']}, j = {worst['task']:.0f})",
        # A rank of exactly the limit is within it.
        _means(found, "rank", rank + 0.5, "below"),
        beside=[("Spike over neighbours", _means(found, "excess", logarithmic=True, unit="times"))],
    )


@claim("order-kept", reads=("alignment.csv",))
def order_kept(
    results: Results,
    *,
    part: Literal["train", "test", "all"] = "train",
    tasks: tuple[int, int] = (3, 300),
    correlation: float = 0.85,
    lowest: int = 10,
    share: float = 0.5,
) -> Verdict:
    """E25: the other eigenfunctions keep their order; the trained one grows most.

    `lowest`: the least index whose growth, over an affine fit of growth to all others, is to be
    the largest in more than `share` of the trainings.
    """
    found = _spikes(results, part, tasks)
    high = found[found["task"] >= lowest]
    if high.empty:
        return not_run(NO_TASKS)
    high = high.assign(largest=1.0 * (high["argmax"] == high["task"]))
    return verdict(
        "Spearman's correlation of the alignments before and after training, the trained index "
        "left out, then the share of trainings in which that grows most",
        [
            *_means(found, "order", correlation),
            *_means(high, "largest", 100 * share, scale=100.0, unit="%"),
        ],
    )


@claim("alignment-grows", reads=("evolution.csv",))
def alignment_grows(
    results: Results, *, lowest: int = 10, growth: float = 2.0, early: float = 1 / 3
) -> Verdict:
    """E23: the relative alignment with the target grows in training, most of it early.

    For indices from `lowest`, to more than `growth` times; half of that growth is reached within
    the first `early` of the epochs. The alignment may fall again after a peak.
    """
    evolution = frames.of_file(results, "evolution.csv")
    evolution = evolution[(evolution["part"] == "train") & (evolution["task"] >= lowest)]
    if evolution.empty:
        return not_run(NO_TASKS)
    keys = ["model", "label", "seed", "family", "task"]
    rows = [
        {**dict(zip(keys, key, strict=True)), **_course(line.sort_values("epoch"))}
        for key, line in evolution.groupby(keys, sort=False)
    ]
    found = pd.DataFrame(rows)
    return verdict(
        "Growth of alignment over trace on the training part, at the end, then the part of the "
        "epochs that half of it takes",
        [
            *_means(found, "end", growth, logarithmic=True, unit="times"),
            *_means(found, "half", 100 * early, "below", scale=100.0, unit="%"),
        ],
        beside=[
            ("At its peak", _means(found, "peak", logarithmic=True, unit="times")),
            ("The peak is after, of the epochs", _means(found, "when", scale=100.0, unit="%")),
        ],
    )


def _course(line: pd.DataFrame) -> dict[str, float]:
    """End and peak of the growth of one alignment, and when half of it and the peak come.

    Growth that ends below where it began has no half: 1, the whole training.
    """
    growth = line["relative"].to_numpy() / line["relative"].iloc[0]
    at = line["epoch"].to_numpy() / line["epoch"].iloc[-1]
    reached = growth >= 1 + (growth[-1] - 1) / 2
    return {
        "end": float(growth[-1]),
        "half": float(at[reached.argmax()]) if growth[-1] > 1 else 1.0,
        "peak": float(growth.max()),
        "when": float(at[growth.argmax()]),
    }


@claim("energy-concentrates", reads=("energy.csv",))
def energy_concentrates(
    results: Results, *, lowest: int = 30, components: int = 50, rise: float = 0.2
) -> Verdict:
    """E24: the target's energy moves into the leading eigenvectors of the trained kernel.

    For indices from `lowest`, by more than `rise` in at most so many `components`: in the number
    of them with the largest mean rise over seeds.
    """
    energy = frames.of_file(results, "energy.csv")
    energy = energy[(energy["components"] <= components) & (energy["task"] >= lowest)]
    if energy.empty:
        return not_run(NO_TASKS)
    keys = ["model", "label", "seed", "family", "task", "components"]
    table = energy.pivot_table(index=keys, columns="moment", values="energy", aggfunc="mean")
    risen = (table["end"] - table["init"]).rename("rise").reset_index()
    means = risen.groupby(["label", "family", "task", "components"], sort=False)["rise"].mean()
    best = means[means == means.groupby(level=[0, 1, 2]).transform("max")].index
    chosen = risen.set_index(["label", "family", "task", "components"]).loc[best].reset_index()
    chosen = chosen.drop_duplicates(["label", "family", "task", "model", "seed"])
    return verdict(
        f"In at most {components} leading eigenvectors the share of the target's energy rises by",
        _means(chosen, "rise", 100 * rise, scale=100.0, unit="points"),
    )


@claim("nad-spectrum", reads=("nads.npz",))
def nad_spectrum(
    results: Results,
    *,
    of: int = 1024,
    index: int = 200,
    decay: float = 10.0,
    rough: int = 400,
    ratio: float = 2.0,
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
            *_means(found, "decay", decay, logarithmic=True, unit="times"),
            *_means(found, "ratio", ratio, logarithmic=True, unit="times"),
        ],
    )


@claim("nad-alignment", reads=("nads.npz",))
def nad_alignment(results: Results, *, correlation: float = 0.9) -> Verdict:
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
        _means(pd.DataFrame(rows), "rho", correlation),
    )
