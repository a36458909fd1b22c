"""Figures: every one is drawn, repeats to the byte, and brings its data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

# ruff: noqa: F811  (a fixture is an argument)
from test_publish_records import ARTEFACTS, tiny, tree  # noqa: F401  (fixtures)

from firstorder.config import Config
from firstorder.publish import figures, measures, needs, style

FIGURES = [(s, n) for s, of in ARTEFACTS.items() for n, e in of.items() if e["kind"] == "figure"]


@pytest.mark.parametrize(("study", "artefact"), FIGURES)
def test_every_figure_is_drawn_with_its_data(tiny: Config, study: str, artefact: str) -> None:
    figures.build(tiny, study, artefact)
    paths = needs.paths_of(tiny)
    assert len(pd.read_csv(paths.figure(study, artefact, "csv"))) > 0
    for suffix, start in (("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")):
        content = Path(paths.figure(study, artefact, suffix)).read_bytes()
        assert content.startswith(start)
        assert b"Date" not in content
    assert not list(Path(paths.root, "figures").glob(".*"))


@pytest.mark.parametrize(
    ("study", "artefact"),
    [("symmetrization", "learning-curves"), ("linearized", "binary-size")],
)
def test_a_figure_repeats_to_the_byte(tiny: Config, study: str, artefact: str) -> None:
    paths = [Path(path) for path in needs.paths_of(tiny).artefact(study, artefact, "figure")]
    figures.build(tiny, study, artefact)
    first = [path.read_bytes() for path in paths]
    figures.build(tiny, study, artefact)
    assert [path.read_bytes() for path in paths] == first


def test_the_legend_stays_within_the_figure(tiny: Config) -> None:
    with style.house():
        figure, axes = style.panels(1, 2)
        for number in range(11):
            axes[0, 0].plot([0, 1], [0, number], label=f"A loss with a long name, number {number}")
        style.legend_below(figure, axes[0])
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_a_loss_looks_the_same_in_every_figure_and_no_two_look_alike() -> None:
    names = [f"loss{number}" for number in range(16)]
    looks = style.looks(names)
    assert style.looks(names[:5])["loss3"] == looks["loss3"]
    assert len({(look.color, str(look.linestyle)) for look in looks.values()}) == len(names)


def test_the_unhinged_gradient_is_flat_and_every_loss_starts_at_zero(tiny: Config) -> None:
    figures.build(tiny, "symmetrization", "loss-shapes")
    data = pd.read_csv(needs.paths_of(tiny).figure("symmetrization", "loss-shapes", "csv"))
    unhinged = data[data["loss"] == "unhinged"]["gradient"]
    assert unhinged.to_numpy() == pytest.approx(np.sqrt(0.9))
    nearest = data[(data["probability"] - 0.1).abs() < 0.003]
    assert nearest["value"].abs().max() < 0.3


def test_rank_correlation_and_spikes_are_those_of_their_definitions() -> None:
    assert measures.spearman(np.array([1, 2, 3]), np.array([10, 20, 15])) == pytest.approx(0.5)
    assert np.isnan(measures.spearman(np.array([1, 1, 1]), np.array([1, 2, 3])))
    k = np.arange(1, 6)
    frame = pd.DataFrame(
        {"model": "m", "label": "M", "seed": 1, "task": 3, "part": "train", "k": k,
         "initial": 1.0 / k, "trained": 100.0 / k * np.where(k == 3, 6.0, 1.0)}
    )  # fmt: skip
    found = measures.spikes(frame).iloc[0]
    assert found["spike"] == pytest.approx(6.0)
    assert found["rank"] == 1
    assert found["argmax"] == 3
    assert found["order"] == pytest.approx(1.0)
    assert found["scale"] == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("options", "label"),
    [({}, "MLP"), ({"model": "lenet"}, "LeNet"), ({"model": "resnet18"}, "MLP")],
)
def test_the_rotated_kernel_is_that_of_the_chosen_model_or_the_first(
    tiny: Config, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], label: str
) -> None:
    declared = needs.artefact(tiny, "linearized", "rotated-kernel")
    chosen = declared.model_copy(update={"options": options})
    monkeypatch.setattr(needs, "artefact", lambda *_: chosen)
    figures.build(tiny, "linearized", "rotated-kernel")
    drawn = pd.read_csv(needs.paths_of(tiny).figure("linearized", "rotated-kernel", "csv"))
    assert set(drawn["label"]) == {label}
