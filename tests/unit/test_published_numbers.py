"""The numbers of config/published: how each was made, and beside which of ours it may stand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from firstorder.errors import ConfigError
from firstorder.publish.table import COLUMNS, PROTOCOL, REASON, UNSTABLE, published

PUBLISHED = Path(__file__).resolve().parents[2] / "config" / "published"


def test_every_published_number_is_well_formed_and_has_a_source() -> None:
    for path in sorted(PUBLISHED.glob("*.csv")):
        frame = pd.read_csv(path)
        keys = ["dataset", "noise", "loss", "metric", "source"]
        assert not frame.duplicated(keys).any(), path
        shares = frame[frame["metric"].str.contains("accuracy|share")]
        assert shares["mean"].between(0, 100).all()
        assert frame["std"].dropna().between(0, 5).all()
        assert frame["source"].str.len().gt(0).all()
        kinds = r"(symmetric|asymmetric|instance)-0\.\d|human-[a-z0-9]+"
        assert frame["noise"].dropna().astype(str).str.fullmatch(kinds).all()
        assert frame["epoch"].dropna().isin(["last", "best"]).all()


def test_a_number_of_a_recipe_unknown_to_us_is_not_compared_by_value() -> None:
    frame = pd.read_csv(PUBLISHED / "symmetrization.csv")
    unknown = frame[frame["network"].isna() | frame["epochs"].isna()]
    assert len(unknown) and unknown[REASON].notna().all()


def test_the_numbers_not_to_be_compared_by_value_are_those_of_the_rule() -> None:
    """Every number that was made in another way says in its cell what differs."""
    frame = pd.read_csv(PUBLISHED / "symmetrization.csv", dtype={"epochs": str})
    assert tuple(frame.columns) == (*COLUMNS, *PROTOCOL, REASON)
    frame = frame.fillna({name: "" for name in (*PROTOCOL, REASON)})
    peers = frame["source"].str.startswith("epsilon-softmax")
    jal = frame["source"].str.startswith("JAL")
    c10, last = frame["dataset"].eq("cifar10"), frame["metric"].eq("last_accuracy")
    asymmetric = peers & c10 & frame["noise"].str.startswith("asymmetric")
    instance = frame["noise"].str.startswith("instance")
    rules = {
        "2(1 − p)": peers & last & frame["loss"].isin(["mae", "nce+mae"]),
        "class after class": asymmetric,
        "frozen noise of augmented images": instance,
        "p_min 1e-8": jal & frame["loss"].isin(["anl-ce", "anl-fl"]),
        "batch norm over 64 images": peers & frame["dataset"].eq("webvision"),
        "batch 512": frame["source"].str.startswith("ANL") & frame["dataset"].eq("webvision"),
        "1,000 epochs": frame["loss"].eq("nlnl") & c10 & frame["noise"].eq("symmetric-0.4"),
        "another network": frame["source"].str.contains("reproduction repository"),
        UNSTABLE: frame["noise"].eq("symmetric-0.8") & frame["loss"].isin(["ce", "nce+agce"])
        & ~frame["source"].str.contains("reproduction repository"),
    }  # fmt: skip
    for reason, rows in rules.items():
        assert rows.any(), reason
        assert frame[REASON].str.contains(reason, regex=False).eq(rows).all(), reason
    for reason, count in (("published with q", 3), ("with bound", 10), ("published with α", 15)):
        assert frame[REASON].str.contains(reason, regex=False).sum() == count, reason


def test_a_number_stands_unconditionally_only_beside_its_own_variant() -> None:
    anchors = published(str(PUBLISHED / "symmetrization.csv"), "last_accuracy")
    for plain, like in (
        (("cifar100", "symmetric-0.4", "mae"), ("cifar100", "symmetric-0.4", "mae-l1")),
        (
            ("cifar10", "asymmetric-0.4", "nce+mae"),
            ("cifar10", "asymmetric-sequential-0.4", "nce+mae-l1"),
        ),
        (
            ("cifar10", "asymmetric-0.2", "ce"),
            ("cifar10", "asymmetric-sequential-0.2", "ce"),
        ),
    ):
        assert anchors[plain]["mean"] == anchors[like]["mean"]
        assert anchors[plain][REASON]
        assert not anchors[like][REASON]
    assert ("cifar10", "asymmetric-0.4", "nce+mae-l1") not in anchors


def test_the_main_anchors_are_those_of_the_published_table() -> None:
    anchors = published(str(PUBLISHED / "symmetrization.csv"), "last_accuracy")
    for key, mean, std in (
        (("cifar10", "symmetric-0.8", "ce"), 18.95, 0.38),
        (("cifar10", "symmetric-0.8", "nce+agce"), 49.98, 4.81),
        (("cifar100", "asymmetric-0.4", "gce"), 40.82, 0.85),
        (("cifar100", "symmetric-0.0", "mae"), 5.31, 1.19),
        (("cifar10", "human-worst", "best-of-paper"), 81.28, None),
    ):
        assert anchors[key]["mean"] == mean
        assert std is None or anchors[key]["std"] == std


def test_the_columns_on_how_numbers_were_made_are_checked(tmp_path: Path) -> None:
    """All of them in their order, or none."""
    row = ["s", "t", "cifar10", "symmetric-0.4", "ce", "last_accuracy", "58", "0.2", "3", "P"]
    for name, columns, allowed in (
        ("none", (), True),
        ("reason", (REASON,), True),
        ("all", (*PROTOCOL, REASON), True),
        ("fewer", (*PROTOCOL[1:], REASON), False),
    ):
        path = tmp_path / f"{name}.csv"
        cells = ",".join([*row, *("" for _ in columns)])
        path.write_text(",".join([*COLUMNS, *columns]) + f"\n{cells}\n")
        if allowed:
            assert published(str(path), "last_accuracy")["cifar10", "symmetric-0.4", "ce"]["n"] == 3
        else:
            with pytest.raises(ConfigError, match=f"{name}.csv: expected the columns"):
                published(str(path), "last_accuracy")


def test_every_like_loss_is_one_that_is_configured() -> None:
    import yaml

    known = yaml.safe_load((PUBLISHED.parent / "losses.yaml").read_text())
    for path in PUBLISHED.glob("*.csv"):
        assert set(pd.read_csv(path)["like_loss"].dropna()) <= set(known), path
