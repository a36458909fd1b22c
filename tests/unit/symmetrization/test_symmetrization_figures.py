"""Figures of the symmetrization study: drawn with their data, the same to the byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_trainings as made_up
import numpy as np
import pandas as pd
import pytest

from firstorder.config import Config
from firstorder.errors import DataError
from firstorder.publish import registry, style
from firstorder.publish.style import Drawing

FIGURES = [name for name, entry in made_up.ARTEFACTS.items() if entry["kind"] == "figure"]


@pytest.mark.parametrize("artefact", FIGURES)
def test_every_figure_is_drawn_with_its_data(
    artefact_of: Callable[[str], Any], artefact: str
) -> None:
    found = artefact_of(artefact).files
    assert len(pd.read_csv(found["csv"])) > 0
    for suffix, start in (("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")):
        content = found[suffix].read_bytes()
        assert content.startswith(start)
        assert b"Date" not in content
    assert not list(found["csv"].parent.glob(".*"))


def test_a_figure_repeats_to_the_byte(made: Config, artefact_of: Callable[[str], Any]) -> None:
    first = [path.read_bytes() for path in artefact_of("by-noise").files.values()]
    again = [path.read_bytes() for path in made_up.make(made, "by-noise").values()]
    assert again == first


def test_the_unhinged_gradient_is_flat_and_every_loss_starts_at_zero(
    artefact_of: Callable[[str], Any],
) -> None:
    data = pd.read_csv(artefact_of("loss-shapes").files["csv"])
    unhinged = data[data["loss"] == "unhinged"]["gradient"]
    assert unhinged.to_numpy() == pytest.approx(np.sqrt(0.9))
    nearest = data[(data["probability"] - 0.1).abs() < 0.003]
    assert nearest["value"].abs().max() < 0.3


def test_the_ranks_of_the_losses_are_drawn_best_first(artefact_of: Callable[[str], Any]) -> None:
    data = pd.read_csv(artefact_of("ranks").files["csv"])
    assert data["label"].iloc[0] == "SGCE"
    assert data["rank"].is_monotonic_increasing
    assert set(data["cells"]) == {4}


def drawn(config: Config, artefact: str) -> Drawing:
    """A figure before it is written."""
    job = made_up.job(config, artefact)
    with style.house():
        return registry.call(job.spec, job.inputs)


def told(drawing: Drawing) -> str:
    """What the title of the legend says."""
    return drawing.figure.legends[0].get_title().get_text()


@pytest.mark.parametrize("artefact", [name for name in FIGURES if name != "loss-shapes"])
def test_every_figure_of_runs_says_how_many_seeds_it_shows(made: Config, artefact: str) -> None:
    said = "3 rounds" if artefact == "cost-bars" else "n = 3 seeds"
    assert said in told(drawn(made, artefact))


@pytest.mark.parametrize("artefact", ["learning-curves", "by-noise", "sensitivity", "norms"])
def test_a_figure_without_a_spread_says_one_seed(tiny: Config, artefact: str) -> None:
    config = made_up.edit("studies/symmetrization/tiny.yaml", {"seeds": [1]})
    assert told(drawn(config, artefact)) == "one seed"


@pytest.mark.parametrize("artefact", ["by-noise", "sensitivity"])
def test_a_figure_says_how_many_of_its_trainings_diverged(tiny: Config, artefact: str) -> None:
    assert "diverged" not in told(drawn(tiny, artefact))
    inputs = made_up.job(tiny, artefact).inputs
    records = {n: Path(path) for n, path in inputs.items() if n.endswith("summary.json")}
    failed = [path for name, path in records.items() if name.endswith("/1/summary.json")]
    for path in failed:
        path.write_text(json.dumps({**json.loads(path.read_text()), "status": "diverged"}))
    said = f"; diverged: {len(failed)}, by the last accuracy they had"
    assert failed and said in told(drawn(tiny, artefact))


def test_curves_and_ranks_name_what_diverged(tiny: Config) -> None:
    made_up.lose("sgce", noise="0.8")
    made_up.lose("ce", at=6, noise="0.8", seeds="1")
    drawing = drawn(tiny, "learning-curves")
    assert told(drawing).endswith("n = 2 to 3 seeds; diverged: 4 (CE, SGCE), drawn up to then")
    lost = drawing.data[(drawing.data["loss"] == "sgce") & (drawing.data["rate"] == 0.8)]
    assert lost.empty and drawing.data["test_accuracy_mean"].dtype == float
    assert "; diverged: 4 (CE, SGCE), counting as 0" in told(drawn(tiny, "ranks"))
    made_up.lose(*made_up.COMPARISON)
    with pytest.raises(DataError, match="every training diverged in its first epoch"):
        drawn(tiny, "learning-curves")


def test_two_kinds_of_noise_are_never_joined_in_one_line(tiny: Config) -> None:
    extra = ["symmetric-0.4", "symmetric-0.8", "pairflip-0.3", "pairflip-0.4", "drawn-0.4"]
    config = made_up.edit(
        "studies/symmetrization/tiny.yaml",
        {"cells.symmetric.noises": extra,
         "noises|drawn-0.4": {"kind": "symmetric", "rate": 0.4, "sampler": "iid"}},
    )  # fmt: skip
    made_up.write_records(config)
    drawing = drawn(config, "by-noise")
    panels = {axes.get_xlabel(): axes for axes in drawing.figure.axes}
    assert set(panels) == {
        "Rate of symmetric noise (%)",
        "Rate of pair-flip noise (%)",
        "Rate of symmetric noise, i.i.d. (%)",
    }
    for name, rates in (("pair-flip noise", [0.3, 0.4]), ("symmetric noise, i.i.d.", [0.4])):
        lines = [line for line in panels[f"Rate of {name} (%)"].lines if line.get_label()[0] != "_"]
        assert len(lines) == len(made_up.COMPARISON)
        assert all(list(line.get_xdata()) == rates for line in lines)
    assert set(drawing.data["count"]) == {3}


def test_losses_are_drawn_with_the_parameters_that_tuning_chose(tiny: Config) -> None:
    config = made_up.edit(
        "losses.yaml",
        {"sgce.datasets.cifar10.parameters.q": "tuned", "sgce.choices": {"q": [0.1, 0.4, 0.7]}},
    )
    (path,) = {p for n, p in made_up.job(config, "loss-shapes").inputs.items() if "sgce" in n}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(made_up.tuned(0.01) | {"chosen": {"q": 0.4}}))
    drawing = drawn(config, "loss-shapes")
    parameters = drawing.data.drop_duplicates("loss").set_index("loss")["parameters"]
    assert parameters["sgce"] == "q=0.4" and parameters["gce"] == "q=0.7"
    assert told(drawing) == "Chosen by tuning: SGCE q = 0.4"


def test_bars_lie_within_their_axis(made: Config) -> None:
    for axes in drawn(made, "cost-bars").figure.axes:
        ends = [
            x for line in axes.collections for path in line.get_paths() for x in path.vertices[:, 0]
        ]
        assert ends and max(ends) <= axes.get_xlim()[1] and min(ends) >= axes.get_xlim()[0]
