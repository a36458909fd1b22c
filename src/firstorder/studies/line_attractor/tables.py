"""Tables of the study."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from firstorder.publish.registry import Results, table
from firstorder.publish.table import REASON, Table, mark_best, plus_minus, published, spread
from firstorder.studies.line_attractor import frames

SPREAD = "Mean ± standard deviation (n − 1) over seeds; best of a column bold."
ONE = "One seed: no spread; best of a column bold."
COMPARED = "Published numbers stand beside; their recipe is unknown to us, so they are not tests."
BAG = "bag-of-words"


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
        "text": plus_minus(mean, std),
        "eligible": True,
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
