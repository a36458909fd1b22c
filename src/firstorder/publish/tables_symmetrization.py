"""Tables of the study of symmetrized losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from firstorder.config import Artefact, Config
from firstorder.publish import grid, records
from firstorder.publish.registry import register
from firstorder.publish.table import (
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
    compared = any(row["published_text"] for row in rows)
    rows += _unnamed(rows, anchors)
    notes = [SPREAD] if runs["seed"].nunique() > 1 else ["One seed: no spread. In percent."]
    if compared:
        notes.append(COMPARED)
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
    agreement = "agrees" if known and agrees(entry["mean"], entry["std"], mean, std) else "differs"
    return {
        "published": mean,
        "published_std": std,
        "published_text": plus_minus(mean, std),
        "source": anchor["source"],
        "difference": entry["mean"] - mean,
        "agreement": agreement if known else "",
    }


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


@register("weight-decays")
def weight_decays(config: Config, declared: Artefact) -> Table:
    """The penalty that the tuning protocol chose for every loss, and what it reached.

    For losses with an L1 penalty that is its coefficient, else the weight decay.
    """
    chosen = records.symmetrization_tuning(config, declared.select)
    rows: list[dict[str, Any]] = []
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
        absolute = not np.isnan(record.get("l1", np.nan))
        chosen_value = record["l1"] if absolute else record["weight_decay"]
        text = f"{chosen_value:g}".replace("-", "−") + (" (L1)" if absolute else "")
        reached = 100.0 * record["validation_accuracy"]
        rows += [
            {**base, "column": f"{title}: penalty", "mean": chosen_value, "text": text},
            {
                **base,
                "column": f"{title}: validation accuracy (%)",
                "mean": reached,
                "text": f"{reached:.2f}",
            },
        ]
    tuning = config.scale.symmetrization.tuning
    note = f"Chosen on {tuning.noise} noise by clean validation accuracy." if tuning else ""
    return Table(pd.DataFrame(rows).assign(best=False), (note,) if note else ())


@register("pairs")
def pairs(config: Config, declared: Artefact) -> Table:
    """What one change of a loss gains: accuracy of the second minus the first of each pair.

    Options: pairs (lists of two loss ids).
    """
    runs = records.symmetrization_runs(config, declared.select)
    runs = runs.assign(section=_sections(config, runs))
    rows = []
    for first, second in declared.options["pairs"]:
        if not {first, second} <= set(runs["loss"]):
            continue  # a scale may run fewer losses
        for (section, noise), cell in runs.groupby(["section", "noise"], sort=False):
            a, b = (
                cell[cell["loss"] == loss].set_index("seed")["last_accuracy"]
                for loss in (first, second)
            )
            labels = [cell[cell["loss"] == loss]["label"].iloc[0] for loss in (first, second)]
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
