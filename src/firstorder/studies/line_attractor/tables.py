"""Tables of the study."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from firstorder.publish.numerals import powered
from firstorder.publish.registry import Results, table
from firstorder.publish.table import REASON, Table, mark_best, plus_minus, published, spread
from firstorder.studies.line_attractor import frames

SPREAD = "Of several seeds: mean ± standard deviation (n − 1); best of a column bold."
ONE = "One seed: no spread; best of a column bold."
COMPARED = "Published numbers stand beside; their recipe is unknown to us, so they are not tests."
FEWER = "(n of m): over the n of m seeds that have the number."
LOST = "“diverged”: no seed finished an epoch."
BAG = "bag-of-words"


def of_seeds(text: str, known: int, count: int) -> str:
    """A number, and of how many seeds it is where these are not all."""
    return f"{text} ({known} of {count})" if 0 < known < count else text


@table("accuracy", reads=("summary.json", "words.json"))
def accuracy(results: Results) -> Table:
    """Cells (and the bag of words) by corpora, beside the published accuracies."""
    anchors = published(results.published, "test_accuracy")
    runs = frames.runs(results)
    rows: list[dict[str, Any]] = []
    for corpus, title in frames.corpora(results).items():
        record = frames.of_corpus(results, corpus, "words.json")
        counted = pd.Series([100.0 * record["accuracy"]])
        rows.append(_entry(corpus, title, BAG, "bag of words", counted, anchors))
        own = runs[runs["corpus"] == corpus]
        for (cell, label), part in own.groupby(["cell", "label"], sort=False):
            values = 100.0 * part["test_accuracy"]
            rows.append(_entry(corpus, title, str(cell), str(label), values, anchors))
    frame = mark_best(pd.DataFrame(rows))
    notes = [SPREAD if runs["seed"].nunique() > 1 else ONE]
    notes += _fewer(frame)
    notes += _diverged(frame)
    return Table(frame, (*notes, COMPARED) if frame["published_text"].any() else tuple(notes))


def _entry(
    corpus: str,
    title: str,
    cell: str,
    label: str,
    values: pd.Series,
    anchors: dict[tuple[str, str, str], dict],
) -> dict[str, Any]:
    mean, std, n = spread(values)
    entry = {
        "section": "",
        "row": label,
        "column": title,
        "corner": "Network",
        "corpus": corpus,
        "cell": cell,
        "mean": mean,
        "std": std,
        "n": n,
        "text": of_seeds(plus_minus(mean, std), n, len(values)) if n else "diverged",
        "eligible": n == len(values),  # a mean over the seeds that finished is no rival
        "published": np.nan,
        "published_std": np.nan,
        "published_text": "",
        "source": "",
        "difference": np.nan,
        "agreement": "",
    }
    anchor = anchors.get((corpus, "", cell))
    if anchor is None:
        return entry
    return entry | {
        "published": anchor["mean"],
        "published_text": plus_minus(anchor["mean"], anchor["std"]),
        "source": anchor["source"],
        "difference": mean - anchor["mean"],
        "agreement": anchor[REASON],
    }


COLUMNS = (
    ("state_pc1", "PC 1 of states (%)", 100.0, 1),
    ("state_pc2", "PC 2 of states (%)", 100.0, 1),
    ("state_dimension", "participation ratio", 1.0, 1),
    ("untrained_dimension", "participation ratio, untrained", 1.0, 1),
    ("points", "fixed points", 1.0, 0),
    ("distinct", "distinct fixed points", 1.0, 0),
    ("point_pc1", "PC 1 of points (%)", 100.0, 1),
    ("tau1", "τ₁ (tokens)", 1.0, 1),
    ("tau2", "τ₂ (tokens)", 1.0, 1),
    ("untrained_tau1", "τ₁ untrained (tokens)", 1.0, 1),
    ("complex_share", "complex slowest (%)", 100.0, 0),
    ("unstable_share", "unstable (%)", 100.0, 0),
    ("overlap", "|r₁ · m|", 1.0, 2),
    ("null", "|r₁ · m| of random vectors", 1.0, 2),
    ("readout_overlap", "|cos(readout, m)|", 1.0, 2),
    ("effect_positive", "l₁ · J_inp x, positive words", 1.0, 2),
    ("effect_negative", "l₁ · J_inp x, negative words", 1.0, 2),
    ("effect_neutral", "l₁ · J_inp x, neutral words", 1.0, 3),
    ("effect_strong_positive", "l₁ · J_inp x, strong positive words", 1.0, 2),
    ("effect_strong_negative", "l₁ · J_inp x, strong negative words", 1.0, 2),
    ("linear_error", "error of a linear step (%)", 100.0, 1),
    ("run_accuracy", "accuracy of the network (%)", 100.0, 1),
    ("linear_run_accuracy", "accuracy linearised at the nearest points (%)", 100.0, 1),
    ("single_run_accuracy", "accuracy linearised at the middle point (%)", 100.0, 1),
)
"""Number of dynamics.json, how it is printed, its scale and digits."""


@table("dynamics", reads=("dynamics.json",))
def dynamics(results: Results) -> Table:
    """What the fixed points of every cell are like: one row a quantity, one section a corpus."""
    numbers = frames.dynamics(results)
    rows = []
    for name, label, scale, digits in COLUMNS:
        for (title, cell), part in numbers.groupby(["title", "label"], sort=False):
            mean, std, n = spread(scale * part[name])
            rows.append(
                {
                    "section": str(title),
                    "row": label,
                    "column": str(cell),
                    "corner": "Quantity",
                    "quantity": name,
                    "mean": mean,
                    "std": std,
                    "n": n,
                    "text": of_seeds(plus_minus(mean, std, digits), n, len(part)),
                    "best": False,
                }
            )
    frame = pd.DataFrame(rows)
    empty = frame.groupby(["section", "row"])["n"].transform("sum") == 0
    note = (
        "Of several seeds: mean ± standard deviation (n − 1)."
        if numbers["seed"].nunique() > 1
        else "One seed."
    )
    return Table(frame[~empty], (note, *_fewer(frame), *_lost(numbers)))


def _diverged(frame: pd.DataFrame) -> tuple[str, ...]:
    return (LOST,) if (frame["text"] == "diverged").any() else ()


def _lost(numbers: pd.DataFrame) -> tuple[str, ...]:
    """A sentence on the networks of which nothing, or nothing about fixed points, is known."""
    said = []
    for (title, label), part in numbers.groupby(["title", "label"], sort=False):
        lacking = frames.lacking(part)
        said += [f"{label}, {title}: {lacking}"] if lacking else []
    return (f"{'; '.join(said)}.",) if said else ()


def _fewer(frame: pd.DataFrame) -> tuple[str, ...]:
    return (FEWER,) if frame["text"].str.contains(" of ").any() else ()


@table("tolerance-grid", reads=("dynamics.json",))
def tolerance_grid(results: Results) -> Table:
    """Found / distinct points, first-PC share and slowest mode, at every tolerance of q."""
    found = frames.tolerances(results)
    rows = []
    for (title, cell, _), part in found.groupby(["title", "label", "tolerance"], sort=False):
        known = part[["found", "distinct", "share", "tau1"]].astype(float)
        values, counts = known.mean().to_dict(), known.count()
        texts = {
            "found": f"{values['found']:.0f} / {values['distinct']:.0f}",
            "share": f"{100 * values['share']:.0f} %",
            "tau1": f"τ₁ {values['tau1']:.0f}",
        }
        said = [of_seeds(text, counts[n], len(part)) for n, text in texts.items() if counts[n]]
        rows.append(
            {
                "section": str(title),
                "row": f"q < {powered(part['tolerance'].iloc[0])}",
                "column": str(cell),
                "corner": "Tolerance",
                "mean": values["found"],
                "std": np.nan,
                "n": int(counts["found"]),
                "text": ", ".join(said) or "diverged",
                "best": False,
                **values,
            }
        )
    note = "Found / distinct, share of the first PC, τ₁ in tokens; means over seeds."
    frame = pd.DataFrame(rows)
    return Table(frame, (note, *_fewer(frame), *_diverged(frame)))
