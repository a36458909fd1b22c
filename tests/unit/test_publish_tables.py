"""Tables: what is printed, what is compared, and the four formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

# ruff: noqa: F811  (a fixture is an argument)
from test_publish_records import ARTEFACTS, tiny, tree  # noqa: F401  (fixtures)

from firstorder.config import Config
from firstorder.errors import ConfigError
from firstorder.publish import grid, needs, tables
from firstorder.publish.table import (
    COLUMNS,
    REASON,
    UNSTABLE,
    agrees,
    mark_best,
    plus_minus,
    published,
    spread,
)

PUBLISHED = Path(__file__).resolve().parents[2] / "config" / "published"
TABLES = [(s, n) for s, of in ARTEFACTS.items() for n, e in of.items() if e["kind"] == "table"]


def built(config: Config, study: str, artefact: str) -> pd.DataFrame:
    tables.build(config, study, artefact)
    return pd.read_csv(needs.paths_of(config).table(study, artefact))


def entry(frame: pd.DataFrame, loss: str, noise: str) -> dict[str, Any]:
    (found,) = frame[(frame["loss"] == loss) & (frame["noise"] == noise)].to_dict("records")
    return {str(key): value for key, value in found.items()}


@pytest.mark.parametrize(("study", "artefact"), TABLES)
def test_every_table_has_four_formats_that_repeat_to_the_byte(
    tiny: Config, study: str, artefact: str
) -> None:
    frame = built(tiny, study, artefact)
    assert {"section", "row", "column", "corner", "mean", "std", "n", "text"} <= set(frame.columns)
    paths = [Path(path) for path in needs.paths_of(tiny).artefact(study, artefact, "table")]
    first = [path.read_bytes() for path in paths]
    tables.build(tiny, study, artefact)
    assert [path.read_bytes() for path in paths] == first
    assert not [path for path in paths[0].parent.iterdir() if path.name.startswith(".")]


def test_the_spread_has_n_minus_one_and_none_for_one_seed() -> None:
    mean, std, n = spread(pd.Series([1.0, 2.0, 3.0, np.nan]))
    assert (mean, std, n) == (2.0, 1.0, 3)
    assert np.isnan(spread(pd.Series([1.0]))[1])
    assert plus_minus(82.236, 0.25) == "82.24 ± 0.25"
    assert plus_minus(82.236, float("nan")) == "82.24"
    assert plus_minus(float("nan"), float("nan")) == ""


@pytest.mark.parametrize(
    ("mean", "std", "anchor", "anchor_std", "agreement"),
    [
        (83.2, 0.0, 82.24, 0.25, True),  # within one point
        (83.3, 0.0, 82.24, 0.0, False),
        (84.0, 0.35, 82.24, 0.25, True),  # 1.76 <= 3 (0.35 + 0.25)
        (84.1, 0.35, 82.24, 0.25, False),
        (83.2, float("nan"), 82.24, float("nan"), True),
    ],
)
def test_a_cell_agrees_within_a_point_or_three_times_both_spreads(
    mean: float, std: float, anchor: float, anchor_std: float, agreement: bool
) -> None:
    assert agrees(mean, std, anchor, anchor_std) is agreement


def test_published_numbers_stand_beside_with_their_difference(tiny: Config) -> None:
    frame = built(tiny, "symmetrization", "accuracy-symmetric")
    cell = entry(frame, "gce", "symmetric-0.4")
    assert cell["published_text"] == "82.24 ± 0.25"
    assert cell["difference"] == pytest.approx(cell["mean"] - 82.24)
    assert entry(frame, "gce", "symmetric-0.8")["agreement"] == "differs"
    assert np.isnan(entry(frame, "sgce", "symmetric-0.4")["published"])
    page = Path(
        needs.paths_of(tiny).table("symmetrization", "accuracy-symmetric", "md")
    ).read_text()
    assert "*82.24 ± 0.25*" in page
    assert "(differs)" in page


def publish(monkeypatch: pytest.MonkeyPatch, name: str, lines: list[str]) -> None:
    """Have every table compared with these numbers: `noise,loss,mean,std,source,reason`."""
    rows = [line.split(",") for line in lines]
    text = [",".join([*COLUMNS, REASON])] + [
        f"symmetrization,t,cifar10,{noise},{loss},last_accuracy,{mean},{std},3,{source},{reason}"
        for noise, loss, mean, std, source, reason in rows
    ]
    Path(f"config/published/{name}.csv").write_text("\n".join([*text, ""]))
    declared = needs.artefact
    monkeypatch.setattr(
        needs, "artefact", lambda *of: declared(*of).model_copy(update={"published": name})
    )


@pytest.mark.parametrize("artefact", ["accuracy-symmetric", "test-sets"])
def test_a_number_that_is_not_compared_by_value_has_its_reason_for_a_verdict(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, artefact: str
) -> None:
    reason = "published with q = 0.9"
    lines = [f"symmetric-0.8,gce,25.80,1.03,T,{reason}", "symmetric-0.8,ce,18.95,0.38,T,"]
    publish(monkeypatch, f"reasons-{artefact}", lines)
    frame = built(tiny, "symmetrization", artefact)
    frame = frame[frame["metric"] == "last_accuracy, %"]
    cell, other = (entry(frame, loss, "symmetric-0.8") for loss in ("gce", "ce"))
    assert (cell["agreement"], other["agreement"]) == (reason, "differs")
    assert not agrees(cell["mean"], cell["std"], 25.8, 1.03)
    assert cell["difference"] == pytest.approx(cell["mean"] - 25.8)
    assert cell["published"] == 25.8 and other["published_text"] == "18.95 ± 0.38"
    for suffix, printed in (("md", "25.80 ± 1.03 "), ("html", "25.80 ± 1.03 "), ("tex", "1.03 ")):
        page = needs.paths_of(tiny).table("symmetrization", artefact, suffix)
        text = Path(page).read_text()
        assert f"{printed}({reason})" in text
        assert text.count("(differs)") == 1  # cross-entropy's
        assert "A reason in brackets" in text


def test_numbers_compared_by_value_only_have_no_word_on_reasons(tiny: Config) -> None:
    tables.build(tiny, "symmetrization", "accuracy-symmetric")
    page = needs.paths_of(tiny).table("symmetrization", "accuracy-symmetric", "md")
    assert "in brackets" not in Path(page).read_text()


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
    tiny: Config, monkeypatch: pytest.MonkeyPatch, name: str, gce: str, agreement: str
) -> None:
    lines = [f"symmetric-0.8,ce,18.95,0.38,T,{UNSTABLE}", f"symmetric-0.8,gce,{gce}"]
    lines += ["symmetric-0.4,mae,5.00,0.10,T,", "symmetric-0.4,ce,90.00,0.10,T,"]
    publish(monkeypatch, f"order-{name}", lines)
    frame = built(tiny, "symmetrization", "accuracy-symmetric")
    ce, other, elsewhere = (
        entry(frame, loss, f"symmetric-{rate}")
        for loss, rate in (("ce", "0.8"), ("gce", "0.8"), ("ce", "0.4"))
    )
    assert not agrees(ce["mean"], ce["std"], other["mean"], other["std"])
    assert ce["mean"] < other["mean"]
    assert ce["agreement"] == agreement
    assert ce["published_text"] == f"18.95 ± 0.38 ({agreement})"
    assert elsewhere["agreement"] == "differs"


def test_a_tie_of_the_rebuilt_numbers_says_nothing_of_their_order(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"symmetric-0.8,nce+rce,10.00,,T,{UNSTABLE}", "symmetric-0.8,unhinged,50.00,,T,"]
    publish(monkeypatch, "tie", lines)
    frame = built(tiny, "symmetrization", "accuracy-symmetric")
    one, other = (entry(frame, loss, "symmetric-0.8") for loss in ("nce+rce", "unhinged"))
    assert agrees(one["mean"], one["std"], other["mean"], other["std"])
    assert one["agreement"] == UNSTABLE


def test_every_test_set_is_a_column_with_the_published_numbers_of_its_metric(tiny: Config) -> None:
    frame = built(tiny, "symmetrization", "test-sets")
    assert list(dict.fromkeys(frame["column"])) == ["top 1", "top 5", "other, top 1"]
    some = frame[(frame["loss"] == "gce") & (frame["noise"] == "symmetric-0.4")]
    means = dict(zip(some["column"], some["mean"], strict=True))
    assert means["other, top 1"] == pytest.approx(means["top 1"] / 2)
    compared = some[some["published"].notna()]
    assert list(compared["column"]) == ["top 1"] and list(compared["published"]) == [82.24]


def test_tuned_decay_stands_beside_the_fixed_one_and_gains_are_paired(tiny: Config) -> None:
    frame = built(tiny, "symmetrization", "fixed-tuned")
    assert set(frame["row"]) == {"CE", "GCE"}
    for _, cell in frame.groupby(["row", "noise"]):
        fixed, tuned, gain = cell["mean"]
        assert gain == pytest.approx(tuned - fixed)
        assert [text.split(", ")[1] for text in cell["column"]] == [
            "fixed decay", "tuned decay", "gain"
        ]  # fmt: skip


def test_other_data_have_no_published_column(tiny: Config) -> None:
    setting = tiny.scale.symmetrization.settings["images"]
    settings = {"images": setting.model_copy(update={"dataset": "photos"})}
    symmetrization = tiny.scale.symmetrization.model_copy(update={"settings": settings})
    scale = tiny.scale.model_copy(update={"symmetrization": symmetrization})
    frame = built(tiny.model_copy(update={"scale": scale}), "symmetrization", "accuracy-symmetric")
    assert frame["published"].isna().all()
    page = Path(
        needs.paths_of(tiny).table("symmetrization", "accuracy-symmetric", "md")
    ).read_text()
    assert "rebuilt" not in page


def test_the_best_of_a_column_is_bold_and_ties_share_it() -> None:
    frame = pd.DataFrame(
        {"section": "", "column": ["a", "a", "a"], "mean": [1.001, 1.004, 0.5], "eligible": True}
    )
    assert list(mark_best(frame)["best"]) == [True, True, False]


def test_a_diverged_seed_is_marked_and_left_out_of_the_mean(tiny: Config) -> None:
    for seed in (1, 2, 3):
        for loss, gone in (("gce", (1, 2, 3)), ("sgce", (2,))):
            path = Path(
                needs.paths_of(tiny).run("images", "symmetric-0.4", loss, seed, "summary.json")
            )
            summary = json.loads(path.read_text())
            if seed in gone:
                summary |= {"status": "diverged", "last": None, "best": None}
            path.write_text(json.dumps(summary))
    frame = built(tiny, "symmetrization", "accuracy-symmetric")
    assert entry(frame, "gce", "symmetric-0.4")["text"] == "diverged"
    one = entry(frame, "sgce", "symmetric-0.4")
    assert one["n"] == 2
    assert one["diverged"] == 1
    assert one["text"].endswith("†")
    assert not one["best"]


def test_special_characters_are_escaped_in_every_format() -> None:
    frame = pd.DataFrame(
        [{"section": "A & B_1", "row": "50 % <α>", "column": "x|y", "corner": "#", "mean": 1.0,
          "std": 0.1, "n": 2, "text": "1.00 ± 0.10", "best": True}]
    )  # fmt: skip
    laid_out = grid.sections(frame)
    latex = grid.latex(laid_out, "T", "C", "l")
    assert r"A \& B\_1" in latex
    assert r"50 \% <$\alpha$>" in latex
    assert r"\textbf{1.00 $\pm$ 0.10}" in latex
    page = grid.webpage(laid_out, "T", "C")
    assert "A &amp; B_1" in page
    assert "&lt;α&gt;" in page
    assert "x\\|y" in grid.markdown(laid_out, "T", "C")


def test_an_unknown_artefact_or_file_of_published_numbers_is_named(tiny: Config) -> None:
    with pytest.raises(ConfigError, match="no-such"):
        tables.build(tiny, "symmetrization", "no-such")
    with pytest.raises(ConfigError, match=r"config/published/none\.csv"):
        published("none", "last_accuracy")


def test_every_published_number_is_well_formed_and_has_a_source() -> None:
    for path in sorted(PUBLISHED.glob("*.csv")):
        frame = pd.read_csv(path)
        keys = ["dataset", "noise", "loss", "metric", "source"]
        assert not frame.duplicated(keys).any(), path
        assert frame["mean"].between(0, 100).all()
        assert frame["std"].dropna().between(0, 5).all()
        assert frame["source"].str.len().gt(0).all()
        kinds = r"(symmetric|asymmetric|instance)-0\.\d|human-[a-z0-9]+"
        assert frame["noise"].str.fullmatch(kinds).all()


def test_the_columns_of_published_numbers_are_checked(tiny: Config) -> None:
    head, *rest = Path("config/published/anchors.csv").read_text().splitlines()
    for name, more in (("misspelt", "not_comparred"), ("repeated", f"{REASON},{REASON}")):
        path = Path(f"config/published/{name}.csv")
        path.write_text("\n".join([f"{head},{more}", *(f"{line}," for line in rest)]))
        with pytest.raises(ConfigError, match=f"{name}.csv: expected the columns .*{REASON}"):
            published(name, "last_accuracy")
    anchors = published("anchors", "last_accuracy")  # has no column of reasons
    assert {record[REASON] for record in anchors.values()} == {""}


def test_the_numbers_not_to_be_compared_by_value_are_those_of_the_rule() -> None:
    frame = pd.read_csv(PUBLISHED / "symmetrization.csv")
    assert tuple(frame.columns) == (*COLUMNS, REASON)
    high = frame["noise"].eq("symmetric-0.8")
    unstable = high & frame["loss"].isin(["ce", "nce+agce"])
    assert unstable.sum() == 8
    assert frame[unstable][REASON].eq(UNSTABLE).all()
    others = frame[~unstable].dropna(subset=[REASON])
    assert others[["dataset", "noise", "loss", "metric", "source", REASON]].to_numpy().tolist() == [
        ["cifar100", noise, "gce", "last_accuracy", "epsilon-softmax (NeurIPS 2024), Table 2",
         f"published with q = {q}"]
        for noise, q in (("symmetric-0.0", 0.5), ("symmetric-0.2", 0.5), ("symmetric-0.8", 0.9))
    ]  # fmt: skip


def test_the_main_anchors_are_those_of_the_published_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(PUBLISHED.parents[1])
    anchors = published("symmetrization", "last_accuracy")
    for key, mean, std in (
        (("cifar10", "symmetric-0.8", "ce"), 18.95, 0.38),
        (("cifar10", "symmetric-0.8", "nce+agce"), 49.98, 4.81),
        (("cifar100", "asymmetric-0.4", "gce"), 40.82, 0.85),
        (("cifar100", "symmetric-0.0", "mae"), 5.31, 1.19),
        (("cifar10", "human-worst", "best-of-paper"), 81.28, None),
    ):
        assert anchors[key]["mean"] == mean
        assert std is None or anchors[key]["std"] == std


def test_a_table_of_which_nothing_is_run_says_so(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = needs.artefact(tiny, "symmetrization", "pairs")
    options = {"pairs": [["rce", "nfl"]]}
    monkeypatch.setattr(
        needs, "artefact", lambda *_: declared.model_copy(update={"options": options})
    )
    assert grid.sections(built(tiny, "symmetrization", "pairs")) == []
    page = needs.paths_of(tiny).table("symmetrization", "pairs", "html")
    assert tables.EMPTY in Path(page).read_text()


def test_the_rotated_kernel_has_rows_of_both_families(tiny: Config) -> None:
    frame = built(tiny, "linearized", "rotated-kernel-table")
    assert set(frame["section"]) == {
        f"{label}, {what}"
        for label in ("MLP", "LeNet")
        for what in ("eigenfunction tasks", "binary task by training examples")
    }
    binary = frame[frame["family"] == "binary"]
    assert set(binary["arm"].dropna()) == {"network", "linear0", "retrained"}
    assert "larger class" in set(binary["row"]) and "n = 1000" in set(binary["column"])
