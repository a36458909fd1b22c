"""Tables of differences, of cost, and of what tuning chose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from firstorder.publish import grid
from firstorder.publish.registry import Results, table
from firstorder.publish.table import Table, by_seed, mark_best, plus_minus, spread
from firstorder.studies.symmetrization import frames
from firstorder.studies.symmetrization.tables_accuracy import SPREAD, in_sections


def capital(title: str) -> str:
    """A title of data, to begin a heading."""
    return title[:1].upper() + title[1:]


@table("fixed-tuned", reads=("summary.json",))
def fixed_tuned(results: Results, *, variants: str) -> Table:
    """Accuracy with the recipe's weight decay, and with the decay tuned for the loss.

    `variants` names the family of variants with tuned weight decay.
    """
    runs = in_sections(frames.runs(results))
    rows: list[dict[str, Any]] = []
    for member in frames.variants(results, variants):
        base, tuned = member["base"], member["loss"]
        if tuned not in set(runs["loss"]):
            continue  # a scale may run fewer losses
        for (section, noise), cell in runs.groupby(["section", "noise"], sort=False):
            label = cell["noise_label"].iloc[0]
            fixed, own = (
                cell[cell["loss"] == loss].set_index("seed")["last_accuracy"]
                for loss in (base, tuned)
            )
            shared = {
                "section": section,
                "row": member["base_label"],
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
                named["seeds"] = by_seed(100.0 * values)
                rows.append({**shared, **named, "mean": mean, "std": std, "n": n, "text": text})
    return Table(mark_best(pd.DataFrame(rows)), (SPREAD, "Gains are paired by seed, in points."))


@table("cost-table", reads=("summary.json",))
def cost(results: Results) -> Table:
    """Milliseconds of a training step per loss, and the ratio to the first loss of the group."""
    runs = frames.runs(results)
    rows: list[dict[str, Any]] = []
    for setting, part in runs.groupby("setting", sort=False):
        title = capital(part["title"].iloc[0])
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
    return Table(pd.DataFrame(rows).assign(best=False, time=True), (note,))


PENALTIES = {"weight_decay": "", "l1": " (L1)"}
"""What tuning can choose besides a loss's own parameters, and what stands beside the value."""


@table("chosen", reads=("tuning.json",))
def chosen_values(results: Results) -> Table:
    """What the tuning protocol chose for every loss, and the accuracy that it reached.

    A penalty is the coefficient of the L1 norm for losses that have it, else the weight decay.
    """
    chosen = frames.tunings(results)
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
        title = capital(record["title"])
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
    noise = results.spec["tuning_noise"]
    note = f"Chosen on {noise} noise by clean validation accuracy." if noise else ""
    return Table(pd.DataFrame(rows + accuracies).assign(best=False), (note,) if note else ())


@table("pairs", reads=("summary.json",))
def differences(results: Results, *, pairs: Sequence[tuple[str, str]]) -> Table:
    """What one change of a loss gains: accuracy of the second minus the first of each pair."""
    runs = in_sections(frames.runs(results))
    known = frames.printed(results, "label", "loss")
    rows = []
    for pair in pairs:
        first, second = (frames.named(results, name) for name in pair)
        if not {first, second} <= set(runs["loss"]):
            continue  # a scale may run fewer losses
        for (section, noise), cell in runs.groupby(["section", "noise"], sort=False):
            a, b = (
                cell[cell["loss"] == loss].set_index("seed")["last_accuracy"]
                for loss in (first, second)
            )
            labels = [known[loss] for loss in (first, second)]
            mean, std, n = spread(100.0 * (b - a))
            text = grid.signed(mean) + ("" if np.isnan(std) else f" ± {std:.2f}")
            rows.append(
                {
                    "section": section,
                    "row": f"{labels[1]} − {labels[0]}",
                    "column": cell["noise_label"].iloc[0],
                    "corner": "Difference in points",
                    "noise": noise,
                    "loss": second,
                    "reference": first,
                    "mean": mean,
                    "std": std,
                    "n": n,
                    "seeds": by_seed(100.0 * (b - a)),
                    "text": text if n else "",
                    "best": False,
                }
            )
    return Table(
        pd.DataFrame(rows), ("Differences are paired by seed: mean ± standard deviation.",)
    )
