"""Tables of the study of symmetrized losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from firstorder.config import Artefact, Config, loss_named, losses, variant_names
from firstorder.publish import grid, records
from firstorder.publish.registry import register
from firstorder.publish.table import (
    REASON,
    UNSTABLE,
    Table,
    agrees,
    data_title,
    mark_best,
    noise_label,
    plus_minus,
    published,
    spread,
)

SPREAD = "Entries are mean ± standard deviation (n − 1) over seeds, in percent."
COMPARED = (
    "Difference is rebuilt minus published; it differs where it exceeds max(1, 3 (σ + σ')) points. "
    "Cells without a published number stay empty."
)
REASONED = (
    "A reason in brackets stands for a verdict by value. An unstable number keeps its order when "
    "it is on the published side of every loss, of its column and source, that is further from it "
    "than this margin both published and rebuilt."
)
KINDS = {
    "symmetric": "symmetric noise",
    "asymmetric": "asymmetric noise",
    "pairflip": "pair-flip noise",
    "instance": "instance-dependent noise",
    "human": "human annotation noise",
}


@register("accuracy")
def accuracy(config: Config, declared: Artefact) -> Table:
    """Losses by noises, one section per setting and kind of noise; published numbers beside.

    Options: metric (a column of `records.symmetrization_runs`; default last_accuracy).
    """
    metric = str(declared.options.get("metric", "last_accuracy"))
    runs = records.symmetrization_runs(config, declared.select)
    anchors = published(declared.published, metric)
    runs = runs.assign(section=_sections(config, runs))
    keys = ["section", "loss", "noise"]
    rows = [
        _entry(config, cell.reset_index(drop=True), metric, anchors)
        for _, cell in runs.groupby(keys, sort=False)
    ]
    compared = _comparison(rows)
    rows = _settled(rows) + _unnamed(rows, anchors)
    notes = [SPREAD] if runs["seed"].nunique() > 1 else ["One seed: no spread. In percent."]
    notes += compared
    if (runs["status"] == "diverged").any():
        notes.append("† some seeds diverged and are left out of the mean; `diverged`: all did.")
    return Table(mark_best(pd.DataFrame(rows)), tuple(notes))


def _sections(config: Config, runs: pd.DataFrame) -> pd.Series:
    """`Dataset, kind of noise`; clean labels stand with the noise that they start."""
    settings = config.scale.symmetrization.settings
    several = pd.Series(list(settings)).map(lambda name: settings[name].dataset).duplicated().any()

    def title(setting: str, kind: str) -> str:
        name = data_title(config, settings[setting].dataset)
        return f"{name} ({setting}), {KINDS[kind]}" if several else f"{name}, {KINDS[kind]}"

    return pd.Series(
        [title(s, k) for s, k in zip(runs["setting"], runs["kind"], strict=True)], index=runs.index
    )


def _entry(
    config: Config, cell: pd.DataFrame, metric: str, anchors: dict[tuple[str, str, str], dict]
) -> dict[str, Any]:
    first = cell.to_dict("records")[0]
    finished = cell[cell["status"] != "diverged"]
    diverged = len(cell) - len(finished)
    mean, std, n = spread(100.0 * finished[metric])
    text = plus_minus(mean, std)
    if diverged:
        text = f"{text} †" if text else "diverged"
    entry = {
        "section": first["section"],
        "row": first["label"],
        "column": noise_label(config, first["noise"], first["kind"], first["rate"]),
        "corner": "Loss",
        "setting": first["setting"],
        "dataset": first["dataset"],
        "noise": first["noise"],
        "loss": first["loss"],
        "metric": f"{metric}, %",
        "mean": mean,
        "std": std,
        "n": n,
        "diverged": diverged,
        "text": text,
        "eligible": diverged == 0 and metric.endswith("_accuracy"),
    }
    return {**entry, **_compared(entry, anchors)}


def _compared(entry: dict[str, Any], anchors: dict[tuple[str, str, str], dict]) -> dict[str, Any]:
    anchor = anchors.get((entry["dataset"], entry["noise"], entry["loss"]))
    if anchor is None:
        return {
            "published": np.nan,
            "published_std": np.nan,
            "published_text": "",
            "source": "",
            "difference": np.nan,
            "agreement": "",
        }
    mean, std = anchor["mean"], anchor["std"]
    known = not np.isnan(entry["mean"])
    by_value = "agrees" if agrees(entry["mean"], entry["std"], mean, std) else "differs"
    return {
        "published": mean,
        "published_std": std,
        "published_text": plus_minus(mean, std),
        "source": anchor["source"],
        "difference": entry["mean"] - mean,
        "agreement": (anchor[REASON] or by_value) if known else "",
    }


def _reasoned(row: dict[str, Any]) -> bool:
    """Whether a reason stands for the verdict of a row."""
    return row["agreement"] not in ("", "agrees", "differs")


def _comparison(rows: list[dict[str, Any]]) -> list[str]:
    """How the numbers of a table are compared, for its caption."""
    notes = [COMPARED] if any(row["published_text"] for row in rows) else []
    return [*notes, REASONED] if any(map(_reasoned, rows)) else notes


def _settled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, with the order of unstable numbers compared and reasons printed.

    A reason stands beside the published number, for that is what it speaks of.
    """
    settled = []
    for row in rows:
        if _reasoned(row):
            reason = _order(row, rows) if row["agreement"] == UNSTABLE else row["agreement"]
            text = f"{row['published_text']} ({reason})"
            row = {**row, "published_text": text, "agreement": reason}
        settled.append(row)
    return settled


def _order(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Whether an unstable number is on the published side of every loss clearly apart from it."""
    kept = []
    for other in rows:
        alike = all(other[key] == row[key] for key in ("section", "column", "source"))
        if alike and other["agreement"] in ("agrees", "differs", UNSTABLE):
            sides = (
                _side(row, other, "mean", "std"),
                _side(row, other, "published", "published_std"),
            )
            kept += [sides[0] == sides[1]] if all(sides) else []
    if not kept:
        return UNSTABLE
    return "unstable: order kept" if all(kept) else "unstable: order not kept"


def _side(one: dict[str, Any], other: dict[str, Any], mean: str, std: str) -> int:
    """1 or -1 as a number is above or below another; 0 where the two agree."""
    if agrees(one[mean], one[std], other[mean], other[std]):
        return 0
    return 1 if one[mean] > other[mean] else -1


def _unnamed(
    rows: list[dict[str, Any]], anchors: dict[tuple[str, str, str], dict]
) -> list[dict[str, Any]]:
    """Rows for the paper's best published numbers, whose loss the source does not name."""
    extra = []
    for row in {(r["section"], r["column"]): r for r in rows}.values():
        compared = _compared({**row, "loss": "best-of-paper", "mean": np.nan}, anchors)
        if compared["published_text"]:
            blank = {"loss": "best-of-paper", "mean": np.nan, "std": np.nan, "n": 0, "text": ""}
            named = {"row": "best of the paper (loss not named)", "diverged": 0, "eligible": False}
            extra.append({**row, **blank, **named, **compared})
    return extra


@register("test-sets")
def test_sets(config: Config, declared: Artefact) -> Table:
    """Losses by test sets and number of guesses, one section per setting and noise.

    The published numbers of a column are those of its metric.
    """
    tests = records.symmetrization_tests(config, declared.select)
    tests = tests.assign(section=_sections(config, tests), status="finished")
    rows = []
    for metric, part in tests.groupby("metric", sort=False):
        anchors = published(declared.published, str(metric))
        part = part.rename(columns={"accuracy": str(metric)})
        for _, cell in part.groupby(["section", "noise", "loss"], sort=False):
            entry = _entry(config, cell.reset_index(drop=True), str(metric), anchors)
            clean = entry["column"] == "clean"  # the noise, if any, is in the data themselves
            section = entry["section"].rpartition(", ")[0] if clean else entry["section"]
            noise = "" if clean else f", {entry['column']}"
            rows.append({**entry, "section": section + noise, "column": _test_set(str(metric))})
    notes = [SPREAD] if tests["seed"].nunique() > 1 else ["One seed: no spread. In percent."]
    notes += _comparison(rows)
    return Table(mark_best(pd.DataFrame(_settled(rows))), tuple(notes))


def _test_set(metric: str) -> str:
    """`last_accuracy`, `top5_accuracy`, `NAME_accuracy` or `NAME_top5_accuracy` as a heading."""
    name = metric.removesuffix("_accuracy")
    guesses = "top 5" if name.endswith("top5") else "top 1"
    name = name.removesuffix("top5").removesuffix("_")
    return guesses if name in ("", "last") else f"{name}, {guesses}"


@register("fixed-tuned")
def fixed_tuned(config: Config, declared: Artefact) -> Table:
    """Accuracy with the recipe's weight decay, and with the decay tuned for the loss.

    Options: variants (name of the family of variants with tuned weight decay).
    """
    runs = records.symmetrization_runs(config, declared.select)
    runs = runs.assign(section=_sections(config, runs))
    names = variant_names(config, str(declared.options["variants"]))
    rows: list[dict[str, Any]] = []
    for (base, _), tuned in names.items():
        if tuned not in set(runs["loss"]):
            continue  # a scale may run fewer losses
        for (section, noise), cell in runs.groupby(["section", "noise"], sort=False):
            label = noise_label(config, str(noise), cell["kind"].iloc[0], cell["rate"].iloc[0])
            fixed, own = (
                cell[cell["loss"] == loss].set_index("seed")["last_accuracy"]
                for loss in (base, tuned)
            )
            shared = {
                "section": section,
                "row": config.losses[base].label,
                "corner": "Loss",
                "setting": cell["setting"].iloc[0],
                "dataset": cell["dataset"].iloc[0],
                "noise": noise,
            }
            for loss, what, values in (
                (base, "fixed decay", fixed),
                (tuned, "tuned decay", own),
                (tuned, "gain", own - fixed),
            ):
                mean, std, n = spread(100.0 * values)
                gain = what == "gain"
                text = grid.signed(mean) if gain and n else plus_minus(mean, std)
                named = {"loss": loss, "column": f"{label}, {what}", "eligible": not gain}
                rows.append({**shared, **named, "mean": mean, "std": std, "n": n, "text": text})
    return Table(mark_best(pd.DataFrame(rows)), (SPREAD, "Gains are paired by seed, in points."))


@register("cost-table")
def cost(config: Config, declared: Artefact) -> Table:
    """Milliseconds of a training step per loss, and the ratio to the first loss of the group."""
    runs = records.symmetrization_runs(config, declared.select)
    rows: list[dict[str, Any]] = []
    for setting, part in runs.groupby("setting", sort=False):
        title = data_title(config, part["dataset"].iloc[0])
        reference = 1e3 * part[part["loss"] == part["loss"].iloc[0]]["seconds_per_step"].mean()
        for loss, same in part.groupby("loss", sort=False):
            mean, std, n = spread(1e3 * same["seconds_per_step"])
            base = {
                "section": f"{title}, {', '.join(sorted(set(same['device'])))}",
                "row": same["label"].iloc[0],
                "corner": "Loss",
                "setting": setting,
                "loss": loss,
                "n": n,
            }
            rows.append(
                {
                    **base,
                    "column": "ms per step",
                    "mean": mean,
                    "std": std,
                    "text": plus_minus(mean, std, 3),
                }
            )
            rows.append(
                {
                    **base,
                    "column": f"times {part['label'].iloc[0]}",
                    "mean": mean / reference,
                    "std": np.nan,
                    "text": f"{mean / reference:.2f}",
                }
            )
    note = "Mean ± standard deviation over runs; wall time of the training loop over its steps."
    return Table(pd.DataFrame(rows).assign(best=False), (note,))


PENALTIES = {"weight_decay": "", "l1": " (L1)"}
"""What tuning can choose besides a loss's own parameters, and what stands beside the value."""


@register("chosen")
def chosen_values(config: Config, declared: Artefact) -> Table:
    """What the tuning protocol chose for every loss, and the accuracy that it reached.

    A penalty is the coefficient of the L1 norm for losses that have it, else the weight decay.
    """
    chosen = records.symmetrization_tuning(config, declared.select)
    rows: list[dict[str, Any]] = []
    accuracies: list[dict[str, Any]] = []  # their columns come last
    for record in chosen.to_dict("records"):
        base = {
            "section": "",
            "row": record["label"],
            "corner": "Loss",
            "setting": record["setting"],
            "loss": record["loss"],
            "std": np.nan,
            "n": 1,
        }
        title = data_title(config, str(record["dataset"]))
        for name, value in record["chosen"].items():
            text = f"{value:g}".replace("-", "−") + PENALTIES.get(name, "")
            column = "penalty" if name in PENALTIES else grid.SYMBOLS.get(name, name)
            rows.append({**base, "column": f"{title}: {column}", "mean": value, "text": text})
        reached = 100.0 * record["validation_accuracy"]
        accuracies.append(
            {
                **base,
                "column": f"{title}: validation accuracy (%)",
                "mean": reached,
                "text": f"{reached:.2f}",
            }
        )
    tuning = config.scale.symmetrization.tuning
    note = f"Chosen on {tuning.noise} noise by clean validation accuracy." if tuning else ""
    return Table(pd.DataFrame(rows + accuracies).assign(best=False), (note,) if note else ())


@register("pairs")
def pairs(config: Config, declared: Artefact) -> Table:
    """What one change of a loss gains: accuracy of the second minus the first of each pair.

    Options: pairs (lists of two loss ids).
    """
    known = losses(config)
    runs = records.symmetrization_runs(config, declared.select)
    runs = runs.assign(section=_sections(config, runs))
    rows = []
    for pair in declared.options["pairs"]:
        first, second = (loss_named(config, name) for name in pair)
        if not {first, second} <= set(runs["loss"]):
            continue  # a scale may run fewer losses
        for (section, noise), cell in runs.groupby(["section", "noise"], sort=False):
            a, b = (
                cell[cell["loss"] == loss].set_index("seed")["last_accuracy"]
                for loss in (first, second)
            )
            labels = [known[loss].label for loss in (first, second)]
            mean, std, n = spread(100.0 * (b - a))
            text = grid.signed(mean) + ("" if np.isnan(std) else f" ± {std:.2f}")
            rate = cell["rate"].iloc[0]
            rows.append(
                {
                    "section": section,
                    "row": f"{labels[1]} − {labels[0]}",
                    "column": noise_label(config, str(noise), cell["kind"].iloc[0], rate),
                    "corner": "Difference in points",
                    "noise": noise,
                    "loss": second,
                    "reference": first,
                    "mean": mean,
                    "std": std,
                    "n": n,
                    "text": text if n else "",
                    "best": False,
                }
            )
    return Table(
        pd.DataFrame(rows), ("Differences are paired by seed: mean ± standard deviation.",)
    )
