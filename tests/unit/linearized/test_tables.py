"""Every table has its four formats, and says what it is made from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from firstorder.config import Config

from .made_up import ARTEFACTS, lose
from .publishing import draw
from .small import with_study

TABLES = [name for name, entry in ARTEFACTS.items() if entry["kind"] == "table"]


@pytest.mark.parametrize("artefact", TABLES)
def test_every_table_has_four_formats_that_repeat_to_the_byte(made: Config, artefact: str) -> None:
    paths = draw(made, "table", artefact)
    frame = pd.read_csv(paths["csv"])
    assert {"section", "row", "column", "corner", "mean", "std", "n", "text"} <= set(frame.columns)
    first = {suffix: Path(path).read_bytes() for suffix, path in paths.items()}
    draw(made, "table", artefact)
    assert {suffix: Path(path).read_bytes() for suffix, path in paths.items()} == first


def test_the_rotated_kernel_has_rows_of_both_families(made: Config) -> None:
    frame = pd.read_csv(draw(made, "table", "rotated-kernel-table")["csv"])
    assert set(frame["section"]) == {
        f"{label}, {what}"
        for label in ("MLP", "LeNet")
        for what in ("eigenfunction tasks", "binary task by training examples")
    }
    binary = frame[frame["family"] == "binary"]
    assert set(binary["arm"].dropna()) == {
        "network", "linear0", "retrained", "retrained-scaled", "linear0-scaled", "converged0",
        "retrained-converged",
    }  # fmt: skip
    trained = binary[binary["arm"] == "network"]
    assert trained["train"].between(50, 100).all() and trained["text"].str.endswith(")").all()
    assert "larger class" in set(binary["row"]) and "n = 1000" in set(binary["column"])


@pytest.mark.parametrize(("lost", "text"), [((1,), ", 1 of 2 diverged"), ((1, 2), "diverged")])
def test_a_training_that_diverged_is_marked(tiny: Config, lost: tuple[int, ...], text: str) -> None:
    for seed in lost:
        path = Path(
            f"results/tiny/linearized/mlp/photos/seed{seed}/runs/eigenfunctions/network.csv"
        )
        frame = pd.read_csv(path)
        last = (frame["task"] == 10) & (frame["epoch"] == frame["epoch"].max())
        frame.loc[last, frame.columns[2:]] = None
        frame.to_csv(path, index=False)
    made = pd.read_csv(draw(tiny, "table", "eigenfunction-table")["csv"])
    at = (made["section"] == "MLP") & (made["row"] == 10) & (made["column"] == "network (%)")
    cell = made[at].iloc[0]
    assert str(cell["text"]).endswith(text) and cell["n"] == 2 - len(lost)
    assert made["text"].str.contains("diverged").sum() == 2  # and the excess over the larger class


def test_the_spikes_of_networks_that_diverged_are_rows_too(tiny: Config) -> None:
    before = pd.read_csv(draw(tiny, "table", "spikes")["csv"])
    lose("lenet", [50], seeds="1")
    lose("mlp", [2, 5, 10, 20, 50, 100])
    made = pd.read_csv(draw(tiny, "table", "spikes")["csv"])
    keys = ["section", "row", "column"]
    assert made[keys].equals(before[keys])
    assert (made.loc[made["section"].str.startswith("MLP"), "text"] == "diverged").all()
    half = made[made["text"].str.endswith(", 1 of 2 diverged")]
    assert set(half["section"]) == {"LeNet, train part", "LeNet, test part"}
    assert set(half["row"]) == {50} and set(half["n"]) == {1}


@pytest.mark.parametrize(
    ("steps", "said"),
    [(None, "20 epochs."), (500, "500 steps a task (binary), 20 epochs (architectures-binary).")],
)
def test_a_caption_says_how_long_the_recipe_trains(
    made: Config, steps: int | None, said: str
) -> None:
    scale = made.studies["linearized"].scale
    binary = scale.families["binary"].model_copy(update={"steps": steps})
    families = {**scale.families, "binary": binary}
    config = with_study(made, scale=scale.model_copy(update={"families": families}))
    text = Path(draw(config, "table", "binary-table")["md"]).read_text()
    assert f"Trained by the recipe: {said}" in text


def test_the_table_of_directions_states_the_signal_of_its_tasks(made: Config) -> None:
    scale = made.studies["linearized"].scale
    nads = scale.families["nads"]
    options = nads.directions.model_copy(update={"amplitude": "full", "epsilon": 0.5})
    changed = nads.model_copy(update={"options": options})
    families = {**scale.families, "nads": changed}
    config = with_study(made, scale=scale.model_copy(update={"families": families}))
    text = Path(draw(config, "table", "nad-table")["md"]).read_text()
    assert "Signal ±ε, as the text is believed to have it, at ε = 0.5 and noise σ = 1" in text
    assert "is the same task at twice this ε" in text
