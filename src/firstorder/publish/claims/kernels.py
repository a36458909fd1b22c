"""Claims about tangent kernels: spectra, alignment and rotation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from firstorder.config import Claim, Config, Recipe
from firstorder.publish import measures, records
from firstorder.publish.claims.verdict import Verdict, judged, not_run
from firstorder.publish.measures import number_range
from firstorder.publish.registry import register
from firstorder.streams import numpy_stream


@register("alignment-is-eigenvalue")
def alignment_is_eigenvalue(config: Config, claim: Claim) -> Verdict:
    """E1: the alignment of an eigenfunction, by the network's gradients, is its eigenvalue.

    Options: error (1e-3, relative).
    """
    found = records.gradients(config, claim.select)
    off = (found["alignment"] / found["eigenvalue"] - 1).abs()
    return judged(
        bool((off < float(claim.options.get("error", 1e-3))).all()),
        f"For {len(found)} eigenfunctions, the {found['k'].max()}th the last, the alignment "
        f"differs from the eigenvalue of the Gram matrix by at most {off.max():.1e} of it.",
        relative_error=float(off.max()),
    )


@register("norm-bound")
def norm_bound(config: Config, claim: Claim) -> Verdict:
    """E2: squared kernel norm times alignment is at least the fourth power of the L2 norm.

    For the projections of random targets and of binarised eigenfunctions on the kept eigenvectors.
    """
    least, targets = np.inf, 0
    for keys, arrays in records.tangent_arrays(
        config, claim.select, "spectrum.npz", "eigenvalues", "eigenvectors"
    ):
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


@register("dual-form")
def dual_form(config: Config, claim: Claim) -> Verdict:
    """E3: momentum descent on a linear model's weights and on its kernel coefficients agree.

    Measured on random features (48 examples, 200 weights) in float64. Options: difference (1e-8).
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
        off < float(claim.options.get("difference", 1e-8)),
        f"After {steps} steps the scores of both forms differ by at most {off:.1e}.",
        difference=off,
    )


@register("heavy-tail")
def heavy_tail(config: Config, claim: Claim) -> Verdict:
    """E4: few eigenvalues carry most of the trace. Options: leading (10), share (0.4)."""
    leading, share = int(claim.options.get("leading", 10)), float(claim.options.get("share", 0.4))
    spectra = records.spectra(config, claim.select)
    at = spectra[spectra["k"] == leading].groupby("label")["cumulative"].mean()
    return judged(
        bool((at >= share).all()),
        f"The first {leading} eigenvalues carry {_by_label(100 * at, 0)} % of the trace.",
        **{f"share_{label}": float(value) for label, value in at.items()},
    )


def _by_label(values: pd.Series, digits: int) -> str:
    """`LeNet 62, MLP 48`"""
    return ", ".join(f"{label} {value:.{digits}f}" for label, value in values.items())


def _each_spike(config: Config, claim: Claim, part: str) -> pd.DataFrame:
    """The spikes of a part, seed by seed, for trained indices within the option `tasks`."""
    low, high = claim.options.get("tasks", (3, 300))
    found = measures.spikes(records.linearized_csv(config, claim.select, "alignment.csv"))
    return found[(found["part"] == part) & found["task"].between(low, high)]


def _over_seeds(spikes: pd.DataFrame) -> pd.DataFrame:
    return spikes.groupby(["label", "task"], sort=False).mean(numeric_only=True).reset_index()


def _spikes(config: Config, claim: Claim, part: str) -> pd.DataFrame:
    """Means over seeds of the spikes of a part."""
    return _over_seeds(_each_spike(config, claim, part))


NO_TASKS = "No eigenfunction task within the claim's range of indices is run at this scale."


@register("spike")
def spike(config: Config, claim: Claim) -> Verdict:
    """E17: the trained kernel's alignment spikes at the trained index.

    Options: part (train), tasks, least (2): least spike over the median.
    """
    part = str(claim.options.get("part", "train"))
    found = _spikes(config, claim, part)
    if found.empty:
        return not_run(NO_TASKS)
    least = float(claim.options.get("least", 2.0))
    low = found.sort_values("spike").to_dict("records")[0]
    return judged(
        bool((found["spike"] > least).all()),
        f"On the {part} part the alignment at the trained index grows "
        f"{number_range(found['spike'], 1)} times as much as the median (least: {low['label']}, "
        f"j = {low['task']:.0f}).",
        least=float(found["spike"].min()),
        median=float(found["spike"].median()),
    )


@register("spike-fades")
def spike_fades(config: Config, claim: Claim) -> Verdict:
    """E18: on test images the spike stands for small indices and is below training's for large.

    Options: tasks, small (up to 30), large (from 100), least (1.5).
    """
    options = claim.options
    test, train = _spikes(config, claim, "test"), _spikes(config, claim, "train")
    both = test.merge(train, on=["label", "task"], suffixes=("_test", "_train"))
    small = both[both["task"] <= int(options.get("small", 30))]
    large = both[both["task"] >= int(options.get("large", 100))]
    if small.empty or large.empty:
        return not_run(NO_TASKS)
    fading = large["spike_test"] < large["spike_train"]
    return judged(
        bool((small["spike_test"] > float(options.get("least", 1.5))).all() and fading.all()),
        f"The test spike is {number_range(small['spike_test'], 1)} for small indices and "
        f"{number_range(large['spike_test'], 1)} for large ones, where training's is "
        f"{number_range(large['spike_train'], 1)}.",
        small_least=float(small["spike_test"].min()),
        large_most=float(large["spike_test"].max()),
        large_train_least=float(large["spike_train"].min()),
    )


@register("one-axis")
def one_axis(config: Config, claim: Claim) -> Verdict:
    """E19: the trained index rises to the top of the trained kernel's spectrum.

    Options: part (train), tasks, rank (10).
    """
    found = _spikes(config, claim, str(claim.options.get("part", "train")))
    if found.empty:
        return not_run(NO_TASKS)
    worst = found.sort_values("rank").to_dict("records")[-1]
    return judged(
        bool((found["rank"] <= float(claim.options.get("rank", 10))).all()),
        f"The trained index has rank {number_range(found['rank'], 1)} among the initial "
        f"eigenfunctions (last: {worst['label']}, j = {worst['task']:.0f}).",
        largest_rank=float(found["rank"].max()),
    )


@register("order-kept")
def order_kept(config: Config, claim: Claim) -> Verdict:
    """E25: the other eigenfunctions keep their order (mean over seeds); the trained one grows most.

    Options: part (train), tasks, correlation (0.85), from (10): least index for the largest growth.
    """
    options = claim.options
    each = _each_spike(config, claim, str(options.get("part", "train")))
    found, high = _over_seeds(each), each[each["task"] >= int(options.get("from", 10))]
    if high.empty:
        return not_run(NO_TASKS)
    largest = high["argmax"] == high["task"]
    return judged(
        bool((found["order"] >= float(options.get("correlation", 0.85))).all() and largest.all()),
        f"Spearman's correlation of the alignments before and after training, the trained index "
        f"left out, is {number_range(found['order'], 2)}; the trained index grows most in "
        f"{int(largest.sum())} of {len(high)} trainings.",
        least_correlation=float(found["order"].min()),
        share_largest=float(largest.mean()),
    )


@register("alignment-grows")
def alignment_grows(config: Config, claim: Claim) -> Verdict:
    """E23: the relative alignment with the target grows in training, most of it early.

    Options: from (10): least index, growth (2), early (1/3 of the epochs) and half (0.5): share
    of the growth within them.
    """
    options = claim.options
    evolution = records.linearized_csv(config, claim.select, "evolution.csv")
    evolution = evolution[
        (evolution["part"] == "train") & (evolution["task"] >= int(options.get("from", 10)))
    ]
    if evolution.empty:
        return not_run(NO_TASKS)
    growth, early = [], []
    for _, line in evolution.groupby(["model", "seed", "family", "task"]):
        line = line.sort_values("epoch")
        relative, epoch = line["relative"].to_numpy(), line["epoch"].to_numpy()
        until = epoch <= epoch[-1] * float(options.get("early", 1 / 3))
        gained = relative[-1] - relative[0]
        growth.append(relative[-1] / relative[0])
        early.append((relative[until].max() - relative[0]) / gained if gained > 0 else 0.0)
    least, soon = float(np.min(growth)), float(np.median(early))
    return judged(
        least > float(options.get("growth", 2.0)) and soon >= float(options.get("half", 0.5)),
        f"Alignment over trace grows {number_range(np.array(growth), 1)}-fold on the training "
        f"part, a median {100 * soon:.0f} % of the final growth in the first third of the epochs.",
        least_growth=least,
        early_share=soon,
    )


@register("energy-concentrates")
def energy_concentrates(config: Config, claim: Claim) -> Verdict:
    """E24: the target's energy moves into the leading eigenvectors of the trained kernel.

    Options: from (30): least index, components (50 at most), rise (0.2).
    """
    options = claim.options
    energy = records.linearized_csv(config, claim.select, "energy.csv")
    energy = energy[
        (energy["components"] <= int(options.get("components", 50)))
        & (energy["task"] >= int(options.get("from", 30)))
    ]
    if energy.empty:
        return not_run(NO_TASKS)
    keys = ["label", "family", "task", "components"]
    table = energy.pivot_table(index=keys, columns="moment", values="energy", aggfunc="mean")
    rise = (table["end"] - table["init"]).groupby(["label", "family", "task"]).max()
    return judged(
        bool((rise > float(options.get("rise", 0.2))).all()),
        f"In at most {options.get('components', 50)} leading eigenvectors the share of the "
        f"target's energy rises by {number_range(100 * rise, 0)} points.",
        least_rise=float(rise.min()),
    )


@register("nad-spectrum")
def nad_spectrum(config: Config, claim: Claim) -> Verdict:
    """E11: the spectrum of the directions decays steeply, and the first ones are smooth.

    Options: index (200), decay (10), rough (400), ratio (2): mean radial frequency of direction
    `rough` over that of the first. Indices are out of `of` (1024) directions, and scaled to inputs
    with fewer.
    """
    options = claim.options
    rows = []
    for keys, arrays in records.tangent_arrays(
        config, claim.select, "nads.npz", "singular_values", "directions"
    ):
        squared = np.asarray(arrays["singular_values"], float) ** 2
        share = len(squared) / int(options.get("of", 1024))
        at, rough = (
            max(1, round(share * int(options.get(name, default))))
            for name, default in (("index", 200), ("rough", 400))
        )
        first, later = (measures.frequency(arrays["directions"][k - 1]) for k in (1, rough))
        rows.append(
            {
                "label": keys["label"],
                "at": at,
                "rough": rough,
                "decay": squared[0] / squared[at - 1],
                "ratio": later / first,
            }
        )
    found = pd.DataFrame(rows)
    means = found.groupby("label", sort=False)[["decay", "ratio"]].mean()
    return judged(
        bool((means["decay"] > float(options.get("decay", 10.0))).all())
        and bool((means["ratio"] > float(options.get("ratio", 2.0))).all()),
        f"σ² of direction 1 over that of direction {found['at'].iloc[0]}: "
        f"{_by_label(means['decay'], 1)}; mean radial frequency of direction "
        f"{found['rough'].iloc[0]} over the first's: {_by_label(means['ratio'], 1)}.",
        decay=float(means["decay"].min()),
        frequency_ratio=float(means["ratio"].min()),
    )


@register("nad-alignment")
def nad_alignment(config: Config, claim: Claim) -> Verdict:
    """E13: the alignment of a linear target on Gaussian inputs is ordered as the singular values.

    The alignment of <v, x> is |E M(x) v|^2, from the mean mixed derivative over sampled inputs;
    the directions and their singular values come from the derivative at zero.
    Options: correlation (0.9).
    """
    found: dict[str, list[float]] = {}
    for keys, arrays in records.tangent_arrays(
        config,
        claim.select,
        "nads.npz",
        "singular_values",
        "directions",
        "expectation_singular_values",
        "expectation_directions",
    ):
        mean = arrays["expectation_singular_values"][:, None] * arrays["expectation_directions"]
        alignment = ((mean @ arrays["directions"].T) ** 2).sum(axis=0)
        rho = measures.spearman(alignment, arrays["singular_values"])
        found.setdefault(keys["label"], []).append(rho)
    means = pd.Series({label: float(np.mean(values)) for label, values in found.items()})
    return judged(
        bool((means > float(claim.options.get("correlation", 0.9))).all()),
        f"Spearman's correlation of alignment and singular value: {_by_label(means, 2)}.",
        correlation=float(means.min()),
    )
