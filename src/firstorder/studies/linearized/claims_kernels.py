"""Claims about tangent kernels: spectra, alignment and rotation."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from firstorder.config import Recipe
from firstorder.publish.measures import number_range, spearman
from firstorder.publish.registry import Results, claim
from firstorder.publish.verdict import Verdict, judged, not_run
from firstorder.streams import numpy_stream
from firstorder.studies.linearized import frames
from firstorder.studies.linearized.directions import frequency
from firstorder.studies.linearized.spikes import spikes


@claim("alignment-is-eigenvalue", reads=("gradients.csv",))
def alignment_is_eigenvalue(results: Results, *, error: float = 1e-3) -> Verdict:
    """E1: the alignment of an eigenfunction, by the network's gradients, is its eigenvalue.

    To within a relative `error`.
    """
    found = frames.of_file(results, "gradients.csv")
    off = (found["alignment"] / found["eigenvalue"] - 1).abs()
    return judged(
        bool((off < error).all()),
        f"For {len(found)} eigenfunctions, the {found['k'].max()}th the last, the alignment "
        f"differs from the eigenvalue of the Gram matrix by at most {off.max():.1e} of it.",
        relative_error=float(off.max()),
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
    return judged(
        least >= 1 - 1e-9,
        f"Over {targets} targets the product is at least {least:.2f} times the fourth power.",
        least_ratio=least,
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
    return judged(
        off < difference,
        f"After {steps} steps the scores of both forms differ by at most {off:.1e}.",
        difference=off,
    )


@claim("heavy-tail", reads=("spectrum.npz",))
def heavy_tail(results: Results, *, leading: int = 10, share: float = 0.4) -> Verdict:
    """E4: few eigenvalues, the `leading` ones, carry most of the trace: at least `share`."""
    spectra = frames.spectra(results)
    at = spectra[spectra["k"] == leading].groupby("label")["cumulative"].mean()
    return judged(
        bool((at >= share).all()),
        f"The first {leading} eigenvalues carry {_by_label(100 * at, 0)} % of the trace.",
        **{f"share_{label}": float(value) for label, value in at.items()},
    )


def _by_label(values: pd.Series, digits: int) -> str:
    """`LeNet 62, MLP 48`"""
    return ", ".join(f"{label} {value:.{digits}f}" for label, value in values.items())


def _each_spike(results: Results, part: str, tasks: tuple[int, int]) -> pd.DataFrame:
    """The spikes of a part, seed by seed, for trained indices within `tasks`."""
    found = spikes(frames.of_file(results, "alignment.csv"))
    return found[(found["part"] == part) & found["task"].between(*tasks)]


def _over_seeds(spikes: pd.DataFrame) -> pd.DataFrame:
    return spikes.groupby(["label", "task"], sort=False).mean(numeric_only=True).reset_index()


def _spikes(results: Results, part: str, tasks: tuple[int, int]) -> pd.DataFrame:
    """Means over seeds of the spikes of a part."""
    return _over_seeds(_each_spike(results, part, tasks))


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

    By more than `least` times the median growth.
    """
    found = _spikes(results, part, tasks)
    if found.empty:
        return not_run(NO_TASKS)
    low = found.sort_values("spike").to_dict("records")[0]
    return judged(
        bool((found["spike"] > least).all()),
        f"On the {part} part the alignment at the trained index grows "
        f"{number_range(found['spike'], 1)} times as much as the median (least: {low['label']}, "
        f"j = {low['task']:.0f}).",
        least=float(found["spike"].min()),
        median=float(found["spike"].median()),
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

    Small: up to `small`, more than `least`. Large: from `large`.
    """
    test, train = _spikes(results, "test", tasks), _spikes(results, "train", tasks)
    both = test.merge(train, on=["label", "task"], suffixes=("_test", "_train"))
    low, high = both[both["task"] <= small], both[both["task"] >= large]
    if low.empty or high.empty:
        return not_run(NO_TASKS)
    fading = high["spike_test"] < high["spike_train"]
    return judged(
        bool((low["spike_test"] > least).all() and fading.all()),
        f"The test spike is {number_range(low['spike_test'], 1)} for small indices and "
        f"{number_range(high['spike_test'], 1)} for large ones, where training's is "
        f"{number_range(high['spike_train'], 1)}.",
        small_least=float(low["spike_test"].min()),
        large_most=float(high["spike_test"].max()),
        large_train_least=float(high["spike_train"].min()),
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

    To within the first `rank`.
    """
    found = _spikes(results, part, tasks)
    if found.empty:
        return not_run(NO_TASKS)
    worst = found.sort_values("rank").to_dict("records")[-1]
    return judged(
        bool((found["rank"] <= rank).all()),
        f"The trained index has rank {number_range(found['rank'], 1)} among the initial "
        f"eigenfunctions (last: {worst['label']}, j = {worst['task']:.0f}).",
        largest_rank=float(found["rank"].max()),
    )


@claim("order-kept", reads=("alignment.csv",))
def order_kept(
    results: Results,
    *,
    part: Literal["train", "test", "all"] = "train",
    tasks: tuple[int, int] = (3, 300),
    correlation: float = 0.85,
    lowest: int = 10,
) -> Verdict:
    """E25: the other eigenfunctions keep their order (mean over seeds); the trained one grows most.

    `lowest`: the least index whose growth is to be the largest.
    """
    each = _each_spike(results, part, tasks)
    found, high = _over_seeds(each), each[each["task"] >= lowest]
    if high.empty:
        return not_run(NO_TASKS)
    largest = high["argmax"] == high["task"]
    return judged(
        bool((found["order"] >= correlation).all() and largest.all()),
        f"Spearman's correlation of the alignments before and after training, the trained index "
        f"left out, is {number_range(found['order'], 2)}; the trained index grows most in "
        f"{int(largest.sum())} of {len(high)} trainings.",
        least_correlation=float(found["order"].min()),
        share_largest=float(largest.mean()),
    )


@claim("alignment-grows", reads=("evolution.csv",))
def alignment_grows(
    results: Results,
    *,
    lowest: int = 10,
    growth: float = 2.0,
    early: float = 1 / 3,
    half: float = 0.5,
) -> Verdict:
    """E23: the relative alignment with the target grows in training, most of it early.

    For indices from `lowest`, to more than `growth` times; `half`: the least share of the growth
    within the first `early` of the epochs.
    """
    evolution = frames.of_file(results, "evolution.csv")
    evolution = evolution[(evolution["part"] == "train") & (evolution["task"] >= lowest)]
    if evolution.empty:
        return not_run(NO_TASKS)
    grown, soon_grown = [], []
    for _, line in evolution.groupby(["model", "seed", "family", "task"]):
        line = line.sort_values("epoch")
        relative, epoch = line["relative"].to_numpy(), line["epoch"].to_numpy()
        until = epoch <= epoch[-1] * early
        gained = relative[-1] - relative[0]
        grown.append(relative[-1] / relative[0])
        soon_grown.append((relative[until].max() - relative[0]) / gained if gained > 0 else 0.0)
    least, soon = float(np.min(grown)), float(np.median(soon_grown))
    return judged(
        least > growth and soon >= half,
        f"Alignment over trace grows {number_range(np.array(grown), 1)}-fold on the training "
        f"part, a median {100 * soon:.0f} % of the final growth in the first third of the epochs.",
        least_growth=least,
        early_share=soon,
    )


@claim("energy-concentrates", reads=("energy.csv",))
def energy_concentrates(
    results: Results, *, lowest: int = 30, components: int = 50, rise: float = 0.2
) -> Verdict:
    """E24: the target's energy moves into the leading eigenvectors of the trained kernel.

    For indices from `lowest`, by more than `rise` in at most so many `components`.
    """
    energy = frames.of_file(results, "energy.csv")
    energy = energy[(energy["components"] <= components) & (energy["task"] >= lowest)]
    if energy.empty:
        return not_run(NO_TASKS)
    keys = ["label", "family", "task", "components"]
    table = energy.pivot_table(index=keys, columns="moment", values="energy", aggfunc="mean")
    risen = (table["end"] - table["init"]).groupby(["label", "family", "task"]).max()
    return judged(
        bool((risen > rise).all()),
        f"In at most {components} leading eigenvectors the share of the "
        f"target's energy rises by {number_range(100 * risen, 0)} points.",
        least_rise=float(risen.min()),
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
                "label": keys["label"],
                "at": at,
                "rough": far,
                "decay": squared[0] / squared[at - 1],
                "ratio": later / first,
            }
        )
    found = pd.DataFrame(rows)
    means = found.groupby("label", sort=False)[["decay", "ratio"]].mean()
    return judged(
        bool((means["decay"] > decay).all()) and bool((means["ratio"] > ratio).all()),
        f"σ² of direction 1 over that of direction {found['at'].iloc[0]}: "
        f"{_by_label(means['decay'], 1)}; mean radial frequency of direction "
        f"{found['rough'].iloc[0]} over the first's: {_by_label(means['ratio'], 1)}.",
        decay=float(means["decay"].min()),
        frequency_ratio=float(means["ratio"].min()),
    )


@claim("nad-alignment", reads=("nads.npz",))
def nad_alignment(results: Results, *, correlation: float = 0.9) -> Verdict:
    """E13: the alignment of a linear target on Gaussian inputs is ordered as the singular values.

    The alignment of <v, x> is |E M(x) v|^2, from the mean mixed derivative over sampled inputs;
    the directions and their singular values come from the derivative at zero.
    """
    found: dict[str, list[float]] = {}
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
        found.setdefault(keys["label"], []).append(rho)
    means = pd.Series({label: float(np.mean(values)) for label, values in found.items()})
    return judged(
        bool((means > correlation).all()),
        f"Spearman's correlation of alignment and singular value: {_by_label(means, 2)}.",
        correlation=float(means.min()),
    )
