"""Tables of the symmetrization study: what is printed, and what is compared."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import made_up_trainings as made_up
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from firstorder.config import Config
from firstorder.errors import DataError
from firstorder.jobs.paths import paths
from firstorder.publish import grid, tables
from firstorder.publish.table import COLUMNS, REASON, UNSTABLE, agrees
from firstorder.studies.symmetrization import frames, tables_accuracy
from firstorder.studies.symmetrization.grid import run_file
from firstorder.studies.symmetrization.settings import NAME
from firstorder.training import metrics

TABLES = [name for name, entry in made_up.ARTEFACTS.items() if entry["kind"] == "table"]
STUDY = f"studies/{NAME}/study.yaml"


def test_a_history_has_the_columns_that_a_training_writes() -> None:
    assert frames.HISTORY == metrics.COLUMNS


def built(config: Config, artefact: str) -> pd.DataFrame:
    return pd.read_csv(made_up.make(config, artefact)["csv"])


def page(config: Config, artefact: str, suffix: str) -> str:
    """A form of a table that was made before."""
    return Path(paths(config).artefact(NAME, artefact, "table")[suffix]).read_text()


def publish(name: str, lines: list[str]) -> Config:
    """Have tables compared with these numbers: `noise,loss,mean,std,source,reason`."""
    rows = [line.split(",") for line in lines]
    text = [",".join([*COLUMNS, REASON])] + [
        f"symmetrization,t,cifar10,{noise},{loss},last_accuracy,{mean},{std},3,{source},{reason}"
        for noise, loss, mean, std, source, reason in rows
    ]
    Path(f"config/published/{name}.csv").write_text("\n".join([*text, ""]))
    compared = ("accuracy-symmetric", "test-sets")
    return made_up.edit(STUDY, {f"artefacts.{each}.published": name for each in compared})


@pytest.mark.parametrize("artefact", TABLES)
def test_every_table_has_four_formats_that_repeat_to_the_byte(
    configured: Config, artefact: str
) -> None:
    found = made_up.make(configured, artefact)
    columns = set(pd.read_csv(found["csv"]).columns)
    assert {"section", "row", "column", "corner", "mean", "std", "n", "text"} <= columns
    first = [path.read_bytes() for path in found.values()]
    assert [path.read_bytes() for path in made_up.make(configured, artefact).values()] == first
    folder = found["csv"].parent
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def entry(frame: pd.DataFrame, loss: str, noise: str) -> dict[str, Any]:
    (found,) = frame[(frame["loss"] == loss) & (frame["noise"] == noise)].to_dict("records")
    return {str(key): value for key, value in found.items()}


def test_published_numbers_stand_beside_with_their_difference(configured: Config) -> None:
    frame = built(configured, "accuracy-symmetric")
    cell = entry(frame, "gce", "symmetric-0.4")
    assert cell["published_text"] == "82.24 ± 0.25"
    assert cell["difference"] == pytest.approx(cell["mean"] - 82.24)
    assert entry(frame, "gce", "symmetric-0.8")["agreement"] == "differs"
    assert np.isnan(entry(frame, "sgce", "symmetric-0.4")["published"])
    text = page(configured, "accuracy-symmetric", "md")
    assert "*82.24 ± 0.25*" in text
    assert "(differs)" in text


@pytest.mark.parametrize("artefact", ["accuracy-symmetric", "test-sets"])
def test_a_number_that_is_not_compared_by_value_has_its_reason_for_a_verdict(
    configured: Config, artefact: str
) -> None:
    reason = "published with q = 0.9"
    lines = [f"symmetric-0.8,gce,25.80,1.03,T,{reason}", "symmetric-0.8,ce,18.95,0.38,T,"]
    config = publish(f"reasons-{artefact}", lines)
    frame = built(config, artefact)
    frame = frame[frame["metric"] == "last_accuracy, %"]
    cell, other = (entry(frame, loss, "symmetric-0.8") for loss in ("gce", "ce"))
    assert (cell["agreement"], other["agreement"]) == (reason, "differs")
    assert not agrees(cell["mean"], cell["std"], 25.8, 1.03)
    assert cell["difference"] == pytest.approx(cell["mean"] - 25.8)
    assert cell["published"] == 25.8 and other["published_text"] == "18.95 ± 0.38"
    for suffix, printed in (("md", "25.80 ± 1.03 "), ("html", "25.80 ± 1.03 "), ("tex", "1.03 ")):
        text = page(config, artefact, suffix)
        assert f"{printed}({reason})" in text
        assert text.count("(differs)") == 1  # cross-entropy's
        assert "A reason in brackets" in text


def test_numbers_compared_by_value_only_have_no_word_on_reasons(configured: Config) -> None:
    made_up.make(configured, "accuracy-symmetric")
    assert "in brackets" not in page(configured, "accuracy-symmetric", "md")


@pytest.mark.parametrize(
    ("name", "gce", "agreement"),
    [
        ("kept", "25.82,1.03,T,", "unstable: order kept"),
        ("unstable-too", f"25.82,1.03,T,{UNSTABLE}", "unstable: order kept"),
        ("not-kept", "12.00,1.03,T,", "unstable: order not kept"),
        ("tied", "12.00,2.00,T,", UNSTABLE),  # 6.95 <= 3 (0.38 + 2)
        ("of-another-source", "25.82,1.03,U,", UNSTABLE),
        ("not-comparable", "12.00,1.03,T,published with q = 0.9", UNSTABLE),
    ],
)
def test_an_unstable_number_is_compared_by_order_within_its_column_and_source(
    configured: Config, name: str, gce: str, agreement: str
) -> None:
    lines = [f"symmetric-0.8,ce,18.95,0.38,T,{UNSTABLE}", f"symmetric-0.8,gce,{gce}"]
    lines += ["symmetric-0.4,mae,5.00,0.10,T,", "symmetric-0.4,ce,90.00,0.10,T,"]
    config = publish(f"order-{name}", lines)
    frame = built(config, "accuracy-symmetric")
    ce, other, elsewhere = (
        entry(frame, loss, f"symmetric-{rate}")
        for loss, rate in (("ce", "0.8"), ("gce", "0.8"), ("ce", "0.4"))
    )
    assert not agrees(ce["mean"], ce["std"], other["mean"], other["std"])
    assert ce["mean"] < other["mean"]
    assert ce["agreement"] == agreement
    source = " [b]" if ",U," in gce else ""  # letters where there are several
    assert ce["published_text"].removesuffix(" [a]") == f"18.95 ± 0.38 ({agreement})"
    assert other["published_text"].endswith(source)
    assert elsewhere["agreement"] == "differs"


@pytest.mark.parametrize(
    ("name", "gce", "agreement"),
    [("higher", "25.82", "order kept"), ("lower", "12", "order not kept")],
)
def test_numbers_of_a_part_of_the_data_are_compared_by_order_alone(
    configured: Config, name: str, gce: str, agreement: str
) -> None:
    lines = ["symmetric-0.8,ce,18.95,0.38,T,", f"symmetric-0.8,gce,{gce},1.03,T,"]
    publish(f"part-{name}", lines)
    config = made_up.edit("datasets.yaml", {"cifar10.raw": "cifar10"})
    frame = built(config, "accuracy-symmetric")
    for loss in ("ce", "gce"):
        cell = entry(frame, loss, "symmetric-0.8")
        assert cell["agreement"] == agreement
        assert cell["published_text"].endswith(f"({agreement})") and np.isnan(cell["difference"])
    text = page(config, "accuracy-symmetric", "md")
    training = config.datasets["cifar10"].train
    assert "Published numbers were made otherwise (of a recipe unknown to us) than these" in text
    assert f"epochs, {training:,} training images)" in text and "(differs)" not in text


def test_every_published_number_names_its_source(configured: Config) -> None:
    config = publish("sources", ["symmetric-0.8,ce,18.95,,One,", "symmetric-0.8,gce,25.8,,Two,"])
    made_up.make(config, "accuracy-symmetric")
    for suffix in ("md", "tex", "html"):
        text = page(config, "accuracy-symmetric", suffix)
        assert "Published: [a] One; [b] Two." in text
        assert "18.95 [a]" in text and "25.80 [b]" in text
    made_up.make(configured, "test-sets")
    assert "Published: Two." not in page(configured, "test-sets", "md")


def test_losses_that_cannot_be_told_from_the_best_are_marked_with_it(tiny: Config) -> None:
    frame = built(tiny, "accuracy-symmetric")
    at = frame[frame["noise"] == "symmetric-0.8"].set_index("loss")
    assert at.loc["sgce", "best"] and at["mean"].idxmax() == "sgce"
    assert not at.loc[["ce", "mae", "sce", "gce"], "best"].any()
    select = {"cells": "symmetric", "losses": "comparison"}
    files = made_up.results(tiny, "correct.npz", **select).files
    for name, path in files.items():  # unhinged is now right where SGCE is, but for one example
        if "/unhinged/" in name:
            bits = np.load(files[name.replace("/unhinged/", "/sgce/")])["correct"].copy()
            bits[0] ^= 128
            np.savez(path, correct=bits, count=200)
    marked = built(tiny, "accuracy-symmetric")
    equal = marked[(marked["noise"] == "symmetric-0.8") & marked["best"]]
    assert {"sgce", "unhinged"} <= set(equal["loss"])
    assert not set(equal["loss"]) & {"ce", "mae", "sce", "gce"}
    for suffix, bold in (("md", "**"), ("tex", "\\textbf{"), ("html", "<strong>")):
        text = page(tiny, "accuracy-symmetric", suffix)
        assert text.count(bold) >= 5
        assert "cannot be told from the best" in text


@pytest.mark.parametrize("artefact", ["accuracy-symmetric", "fixed-tuned", "test-sets"])
@pytest.mark.parametrize("seeds", [[1], [1, 2]])
def test_fewer_than_three_seeds_have_a_best_and_no_equals(
    configured: Config, artefact: str, seeds: list[int]
) -> None:
    config = made_up.edit(f"studies/{NAME}/tiny.yaml", {"seeds": seeds})
    frame = built(config, artefact)
    for _, column in frame[frame["best"]].groupby(["section", "column"]):
        assert column["mean"].round(2).nunique() == 1
    text = page(config, artefact, "md")
    assert "the best of its column; fewer than three seeds" in text and "bootstrap" not in text


@pytest.mark.parametrize(
    ("seeds", "said"), [([1], "McNemar"), ([1, 2], "McNemar"), ([1, 2, 3], "paired bootstrap")]
)
def test_a_difference_is_tested_on_the_examples_and_by_holm(
    tiny: Config, seeds: list[int], said: str
) -> None:
    config = made_up.edit(f"studies/{NAME}/tiny.yaml", {"seeds": seeds})
    pairs = {"artefacts.pairs.options": {"pairs": [["gce", "sgce"], ["mae", "unhinged"]]}}
    config = made_up.edit(STUDY, pairs)
    select = {"cells": "symmetric", "losses": "comparison"}
    files = made_up.results(config, "correct.npz", **select).files
    for name, path in files.items():  # all right alike but in one cell: no other is bold
        if "/gce/" in name and "symmetric-0.8" not in name:
            Path(path).write_bytes(Path(files[name.replace("/gce/", "/sgce/")]).read_bytes())
    frame = built(config, "pairs")
    raw = []
    for row in frame.to_dict("records"):
        gain = np.zeros(200, int)
        for name, path in files.items():
            if f"/{row['noise']}/" in name:
                right = np.unpackbits(np.load(path)["correct"], count=200).astype(int)
                gain += right * (f"/{row['loss']}/" in name) - right * (
                    f"/{row['reference']}/" in name
                )
        assert (row["wins"], row["losses"]) == ((gain > 0).sum(), (gain < 0).sum())
        gain = gain[gain != 0]
        if len(seeds) == 1 and len(gain):
            raw.append(stats.binomtest(int((gain > 0).sum()), len(gain)).pvalue)
        else:
            flips = np.random.default_rng(1).choice((-1, 1), (20_000, len(gain)))
            beyond = np.abs(flips @ gain) >= abs(gain.sum())
            raw.append(beyond.mean() if len(gain) else 1.0)
    assert frame["p_examples"].to_numpy() == pytest.approx(raw, abs=0.02)
    assert (frame["p_seeds"] >= 2.0 ** (1 - len(seeds))).all()
    if said == "McNemar":
        order = np.argsort(frame["p_examples"])
        sorted_ones = frame["p_examples"].to_numpy()[order] * (len(raw) - np.arange(len(raw)))
        expected = np.minimum(np.maximum.accumulate(sorted_ones), 1)
        assert frame["p"].to_numpy()[order] == pytest.approx(expected)
    assert list(frame["best"]) == list(frame["p"] <= 0.05)
    equal = (frame["loss"] == "sgce") & (frame["noise"] != "symmetric-0.8")
    assert equal.any() and not frame[equal]["best"].any() and frame[~equal]["best"].any()
    text = page(config, "pairs", "md")
    assert f"over the {len(frame)} differences, 5 %" in text and said in text
    assert ("One seed: no spread" in text) is (len(seeds) == 1)


@pytest.mark.parametrize("artefact", ["accuracy-symmetric", "pairs", "fixed-tuned", "test-sets"])
def test_a_training_that_diverged_is_marked_in_every_table(tiny: Config, artefact: str) -> None:
    for name, path in made_up.job(tiny, artefact).inputs.items():
        if name.endswith("summary.json") and "/gce/1/" in name:
            record = json.loads(Path(path).read_text())
            Path(path).write_text(json.dumps({**record, "status": "diverged"}))
    made_up.make(tiny, artefact)
    for suffix, mark in (("md", " †"), ("tex", "$\\dagger$"), ("html", " †")):
        text = page(tiny, artefact, suffix)
        assert mark in text and "some seeds diverged" in text


def test_a_fixed_column_says_where_a_parameter_is_tuned_by_itself(configured: Config) -> None:
    built(configured, "fixed-tuned")
    assert "tuned by itself" not in page(configured, "fixed-tuned", "md")
    changes = {
        "choices": {"q": [0.1, 0.7]},
        "datasets": {"cifar10": {"parameters": {"q": "tuned"}}},
    }
    config = made_up.edit("losses.yaml", {f"gce.{key}": value for key, value in changes.items()})
    built(config, "fixed-tuned")
    said = "fixed decay: with a parameter that is tuned by itself for GCE."
    assert said in page(config, "fixed-tuned", "md")


def test_what_was_chosen_says_how_sure_it_is(configured: Config) -> None:
    frame = built(configured, "tuned-values")
    shown = frame[frame["loss"] == "ce-tuned"].set_index("column")["text"]
    assert shown["tied"] == "0.01 of 3"
    assert (shown["best in (%)"], shown["kept in (%)"]) == ("70", "60")


def test_a_tie_of_the_rebuilt_numbers_says_nothing_of_their_order(configured: Config) -> None:
    lines = [f"symmetric-0.8,nce+rce,10.00,,T,{UNSTABLE}", "symmetric-0.8,unhinged,50.00,,T,"]
    config = publish("tie", lines)
    frame = built(config, "accuracy-symmetric")
    one, other = (entry(frame, loss, "symmetric-0.8") for loss in ("nce+rce", "unhinged"))
    assert agrees(one["mean"], one["std"], other["mean"], other["std"])
    assert one["agreement"] == UNSTABLE


def test_every_test_set_is_a_column_with_the_published_numbers_of_its_metric(
    configured: Config,
) -> None:
    frame = built(configured, "test-sets")
    assert list(dict.fromkeys(frame["column"])) == ["top 1", "top 5", "other, top 1"]
    some = frame[(frame["loss"] == "gce") & (frame["noise"] == "symmetric-0.4")]
    means = dict(zip(some["column"], some["mean"], strict=True))
    assert means["other, top 1"] == pytest.approx(means["top 1"] / 2)
    compared = some[some["published"].notna()]
    assert list(compared["column"]) == ["top 1"] and list(compared["published"]) == [82.24]


def test_tuned_decay_stands_beside_the_fixed_one_and_gains_are_paired(configured: Config) -> None:
    frame = built(configured, "fixed-tuned")
    assert set(frame["row"]) == {"CE", "GCE"}
    for _, cell in frame.groupby(["row", "noise"]):
        fixed, tuned, gain = cell["mean"]
        assert gain == pytest.approx(tuned - fixed)
        assert [text.split(", ")[1] for text in cell["column"]] == [
            "fixed decay", "tuned decay", "gain"
        ]  # fmt: skip


def test_a_diverged_seed_is_marked_and_left_out_of_the_mean(tiny: Config) -> None:
    for seed in (1, 2, 3):
        for loss, gone in (("gce", (1, 2, 3)), ("sgce", (2,))):
            path = Path(run_file(tiny, "images", "symmetric-0.4", loss, seed, "summary.json"))
            summary = json.loads(path.read_text())
            if seed in gone:
                summary |= {"status": "diverged", "last": None, "best": None}
            path.write_text(json.dumps(summary))
    frame = built(tiny, "accuracy-symmetric")
    assert entry(frame, "gce", "symmetric-0.4")["text"] == "diverged"
    one = entry(frame, "sgce", "symmetric-0.4")
    assert one["n"] == 2
    assert one["diverged"] == 1
    assert one["text"].endswith("†")
    assert not one["best"]


@pytest.mark.parametrize(("realised", "said"), [(0.3999, False), (0.391, True)])
def test_a_rate_that_was_not_realised_is_told(tiny: Config, realised: float, said: bool) -> None:
    for seed, loss in itertools.product((1, 2, 3), made_up.COMPARISON):
        path = Path(run_file(tiny, "images", "symmetric-0.4", loss, seed, "summary.json"))
        summary = json.loads(path.read_text())
        path.write_text(json.dumps(summary | {"realised_rate": realised + 1e-3 * (seed == 2)}))
    made_up.make(tiny, "accuracy-symmetric")
    text = page(tiny, "accuracy-symmetric", "md")
    note = "40 % symmetric noise: 39.13 %, 39.10 to 39.20 by seed"
    assert (note in text) == said
    assert ("Realised noise rates" in text) == said


@pytest.mark.parametrize("declared", [0.4, 0.0])
def test_noise_that_changed_no_label_is_told(declared: float) -> None:
    runs = pd.DataFrame({"seed": [1, 2], "rate": declared, "realised_rate": np.nan}).assign(
        heading="digits", kind="symmetric", noise_label="N", wrong_labels=0.0
    )
    told = "".join(tables_accuracy.realised_note(runs))
    assert told.endswith("digits, N symmetric noise: 0.00 %." if declared else "")
    assert bool(told) == bool(declared)


def test_other_data_have_no_published_column(configured: Config) -> None:
    config = made_up.edit(f"studies/{NAME}/tiny.yaml", {"settings.images.dataset": "others"})
    frame = built(config, "accuracy-symmetric")
    assert frame["published"].isna().all()
    assert "rebuilt" not in page(config, "accuracy-symmetric", "md")


def test_a_table_of_which_nothing_is_run_says_so(configured: Config) -> None:
    config = made_up.edit(STUDY, {"artefacts.pairs.options": {"pairs": [["ce", "sgce-q0.1"]]}})
    assert grid.sections(built(config, "pairs")) == []
    assert tables.EMPTY in page(config, "pairs", "html")


def test_a_missing_record_is_named(tiny: Config) -> None:
    found = made_up.results(tiny, "summary.json", cells="symmetric", losses="comparison")
    path = list(found.files.values())[7]
    Path(path).unlink()
    with pytest.raises(DataError, match=path):
        frames.runs(found)


@pytest.mark.parametrize("artefact", ["cost", "learning-curves", "tuned-values", "test-sets"])
def test_a_truncated_record_is_named(tiny: Config, artefact: str) -> None:
    path = Path(next(iter(made_up.job(tiny, artefact).inputs.values())))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match=path.name):
        made_up.make(tiny, artefact)
