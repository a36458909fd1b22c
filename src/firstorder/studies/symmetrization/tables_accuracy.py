"""Tables of accuracies, with the published numbers beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from firstorder.publish.protocol import network
from firstorder.publish.registry import Results, table
from firstorder.publish.table import (
    REASON,
    UNSTABLE,
    Table,
    agrees,
    by_seed,
    plus_minus,
    published,
    spread,
)
from firstorder.studies.symmetrization import frames
from firstorder.studies.symmetrization.equals import mark_equals
from firstorder.studies.symmetrization.frames import TestAccuracy

SPREAD = "Entries are in percent; of several seeds, mean ± standard deviation (n − 1)."
MARGIN = "max(1, 3 (σ + σ')) points"
COMPARED = (
    f"Difference is rebuilt minus published; it differs where it exceeds {MARGIN}. "
    "Cells without a published number stay empty."
)
OTHERWISE = "made otherwise: compare its order"
"""Why a published number is not compared by value with that of another network or less data."""
BY_ORDER = {UNSTABLE: "unstable: ", OTHERWISE: ""}
"""Reasons that have the place of a number among the others compared, and how it is printed."""
ASIDE = ["published_data", "unlike", "made"]
"""What rows say while a table is made, of the conditions of its numbers."""
REASONED = (
    "A reason in brackets stands for a verdict by value. A number keeps its order when "
    "it is on the published side of every loss, of its column and source, that is further from it "
    f"than {MARGIN} both published and rebuilt."
)


@table("accuracy", reads=("summary.json", "correct.npz"))
def accuracy(results: Results, *, metric: TestAccuracy = "last_accuracy") -> Table:
    """Losses by noises, one section per setting and kind of noise; published numbers beside.

    `metric` is a column of `frames.runs`.
    """
    anchors = published(results.published, metric)
    runs = in_sections(frames.runs(results))
    keys = ["section", "loss", "noise"]
    rows = [
        _entry(cell.reset_index(drop=True), metric, anchors)
        for _, cell in runs.groupby(keys, sort=False)
    ]
    settled = _settled(rows)
    compared = _comparison(settled)
    rows, sources = with_sources(settled + _unnamed(rows, anchors))
    compared += sources
    notes = [SPREAD] if runs["seed"].nunique() > 1 else ["One seed: no spread. In percent."]
    frame = pd.DataFrame(rows).drop(columns=ASIDE)
    frame, marked = mark_equals(frame, results, runs, metric)
    return Table(frame, (*notes, marked, *compared, *realised_note(runs), *diverged_note(runs)))


APART = 0.001
"""How far a realised noise rate is from the declared one before it is told."""


def realised_note(runs: pd.DataFrame) -> tuple[str, ...]:
    """The noise rates that the labels trained on have, where they are not the declared ones.

    Those of noise from a file have no declared one. Mean and range over seeds; one sentence.
    """
    told = []
    for (heading, kind, label), cell in runs.groupby(
        ["heading", "kind", "noise_label"], sort=False
    ):
        drawn = cell.drop_duplicates("seed")
        # Where no label is wrong there is no class to have a rate: it is 0, not unknown.
        rates = drawn["realised_rate"].mask(drawn["wrong_labels"] == 0, 0.0).dropna()
        declared = cell["rate"].iloc[0]
        if rates.empty or abs(rates - declared).max() <= APART:
            continue
        low, high = rates.min(), rates.max()
        span = f", {100 * low:.2f} to {100 * high:.2f} by seed" if high - low > APART / 10 else ""
        what = f"{heading}, {label} {frames.kind_of_noise(str(kind))}"
        told.append(f"{what}: {100 * rates.mean():.2f} %{span}")
    return (
        (f"Realised noise rates, in the classes that have wrong labels: {'; '.join(told)}.",)
        if told
        else ()
    )


def daggered(text: str, diverged: int) -> str:
    """A printed mean, marked where seeds that diverged are left out of it."""
    if not diverged:
        return text
    return f"{text} †" if text else "diverged"


def diverged_note(runs: pd.DataFrame) -> tuple[str, ...]:
    """What the marks of `daggered` mean, where there are any."""
    if not (runs["status"] == "diverged").any():
        return ()
    return ("† some seeds diverged and are left out of the mean; `diverged`: none is left.",)


def with_sources(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows with a letter for the source of every published number, and what they stand for.

    A table with one source has no letters.
    """
    sources = list(dict.fromkeys(row["source"] for row in rows if row["published_text"]))
    if len(sources) < 2:
        return rows, [f"Published: {source}." for source in sources]
    letters = {source: _letter(place) for place, source in enumerate(sources)}
    said = "; ".join(f"[{letter}] {source}" for source, letter in letters.items())
    lettered = [
        {**row, "published_text": f"{row['published_text']} [{letters[row['source']]}]"}
        if row["published_text"]
        else row
        for row in rows
    ]
    return lettered, [f"Published: {said}."]


def _letter(place: int) -> str:
    """a to z, then a1 to z1 and so on."""
    return chr(ord("a") + place % 26) + (str(place // 26) if place >= 26 else "")


def in_sections(runs: pd.DataFrame) -> pd.DataFrame:
    """With a column section: `Dataset, kind of noise`.

    Clean labels stand with the noise that they start.
    """
    titles = zip(runs["heading"], runs["kind"], strict=True)
    return runs.assign(section=[f"{data}, {frames.kind_of_noise(kind)}" for data, kind in titles])


def _entry(
    cell: pd.DataFrame, metric: str, anchors: dict[tuple[str, str, str], dict]
) -> dict[str, Any]:
    first = cell.to_dict("records")[0]
    finished = cell[cell["status"] != "diverged"]
    diverged = len(cell) - len(finished)
    mean, std, n = spread(100.0 * finished[metric])
    text = daggered(plus_minus(mean, std), diverged)
    entry = {
        "section": first["section"],
        "row": first["label"],
        "column": first["noise_label"],
        "corner": "Loss",
        "setting": first["setting"],
        "dataset": first["dataset"],
        "noise": first["noise"],
        "loss": first["loss"],
        "published_data": first["published_data"],
        "unlike": first["unlike"],
        "metric": f"{metric}, %",
        "mean": mean,
        "std": std,
        "n": n,
        "seeds": by_seed(100.0 * finished.set_index("seed")[metric]),
        "diverged": diverged,
        "text": text,
        "eligible": diverged == 0 and metric.endswith("_accuracy"),
    }
    return {**entry, **_compared(entry, anchors)}


def _compared(entry: dict[str, Any], anchors: dict[tuple[str, str, str], dict]) -> dict[str, Any]:
    anchor = anchors.get((entry["published_data"], entry["noise"], entry["loss"]))
    if anchor is None:
        return {
            "published": np.nan,
            "published_std": np.nan,
            "published_text": "",
            "source": "",
            "made": "",
            "difference": np.nan,
            "agreement": "",
        }
    mean, std = anchor["mean"], anchor["std"]
    reason = anchor[REASON] or (OTHERWISE if entry["unlike"] else "")
    known = not np.isnan(entry["mean"])
    by_value = "agrees" if agrees(entry["mean"], entry["std"], mean, std) else "differs"
    return {
        "published": mean,
        "published_std": std,
        "published_text": plus_minus(mean, std),
        "source": anchor["source"],
        "made": _made(anchor),
        "difference": np.nan if entry["unlike"] else entry["mean"] - mean,
        "agreement": (reason or by_value) if known else "",
    }


def _made(anchor: dict[str, Any]) -> str:
    """How a published number was made, as far as that is known to us."""
    epochs = f"{anchor['epochs']} epochs" if anchor["epochs"] else ""
    return ", ".join(filter(None, (network(anchor["network"]), epochs)))


def _reasoned(row: dict[str, Any]) -> bool:
    """Whether a reason stands for the verdict of a row."""
    return row["agreement"] not in ("", "agrees", "differs")


def _comparison(rows: list[dict[str, Any]]) -> list[str]:
    """How the numbers of a table are compared, for its caption."""
    by_value = any(row["published_text"] and not row["unlike"] for row in rows)
    notes = [COMPARED] if by_value else []
    unlike = dict.fromkeys(row["unlike"] for row in rows if row["published_text"] and row["unlike"])
    made = dict.fromkeys(row["made"] for row in rows if row["unlike"] and row["made"])
    if unlike:
        here, there = "; ".join(unlike), "; ".join(made) or "of a recipe unknown to us"
        notes.append(f"Published numbers were made otherwise ({there}) than these ({here}).")
    return [*notes, REASONED] if any(map(_reasoned, rows)) else notes


def _settled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, with the order of unstable numbers compared and reasons printed.

    A reason stands beside the published number, for that is what it speaks of.
    """
    settled = []
    for row in rows:
        if _reasoned(row):
            reason = _order(row, rows) if row["agreement"] in BY_ORDER else row["agreement"]
            text = f"{row['published_text']} ({reason})" if reason else row["published_text"]
            row = {**row, "published_text": text, "agreement": reason}
        settled.append(row)
    return settled


def _order(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Whether a number is on the published side of every loss clearly apart from it."""
    kept = []
    for other in rows:
        alike = all(other[key] == row[key] for key in ("section", "column", "source"))
        if alike and other["agreement"] in ("agrees", "differs", *BY_ORDER):
            sides = (
                _side(row, other, "mean", "std"),
                _side(row, other, "published", "published_std"),
            )
            kept += [sides[0] == sides[1]] if all(sides) else []
    if not kept:
        return UNSTABLE if row["agreement"] == UNSTABLE else ""
    return BY_ORDER[row["agreement"]] + ("order kept" if all(kept) else "order not kept")


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
            blank = {
                "loss": "best-of-paper",
                "mean": np.nan,
                "std": np.nan,
                "n": 0,
                "seeds": "",
                "text": "",
            }
            named = {"row": "best of the paper (loss not named)", "diverged": 0, "eligible": False}
            extra.append({**row, **blank, **named, **compared})
    return extra


@table("test-sets", reads=("tests.json", "summary.json"))
def test_sets(results: Results) -> Table:
    """Losses by test sets and number of guesses, one section per setting and noise.

    The published numbers of a column are those of its metric.
    """
    tests = in_sections(frames.tests(results))
    rows = []
    for metric, part in tests.groupby("metric", sort=False):
        anchors = published(results.published, str(metric))
        part = part.rename(columns={"accuracy": str(metric)})
        for _, cell in part.groupby(["section", "noise", "loss"], sort=False):
            entry = _entry(cell.reset_index(drop=True), str(metric), anchors)
            clean = entry["column"] == "clean"  # the noise, if any, is in the data themselves
            section = entry["section"].rpartition(", ")[0] if clean else entry["section"]
            noise = "" if clean else f", {entry['column']}"
            rows.append({**entry, "section": section + noise, "column": _test_set(str(metric))})
    notes = [SPREAD] if tests["seed"].nunique() > 1 else ["One seed: no spread. In percent."]
    settled = _settled(rows)
    notes += [*_comparison(settled), *diverged_note(tests)]
    settled, sources = with_sources(settled)
    frame = pd.DataFrame(settled).drop(columns=ASIDE)
    marked, told = _marked(frame, results, tests)
    return Table(marked, (*notes, *told, *sources))


def _marked(
    frame: pd.DataFrame, results: Results, tests: pd.DataFrame
) -> tuple[pd.DataFrame, list[str]]:
    """The frame with the equals of the best in every column, each of one metric; notes on them."""
    parts = [
        mark_equals(
            frame[frame["metric"] == f"{metric}, %"],
            results,
            part.rename(columns={"accuracy": str(metric)}),
            f"{metric}",
        )
        for metric, part in tests.groupby("metric", sort=False)
    ]
    return pd.concat([part for part, _ in parts]), list(dict.fromkeys(note for _, note in parts))


def _test_set(metric: str) -> str:
    """`last_accuracy`, `top5_accuracy`, `NAME_accuracy` or `NAME_top5_accuracy` as a heading."""
    name = metric.removesuffix("_accuracy")
    guesses = "top 5" if name.endswith("top5") else "top 1"
    name = name.removesuffix("top5").removesuffix("_")
    return guesses if name in ("", "last") else f"{name}, {guesses}"
