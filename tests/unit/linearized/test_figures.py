"""Every figure is drawn, repeats to the byte, and brings its data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from firstorder.config import Config
from firstorder.errors import DataError
from firstorder.publish import style
from firstorder.studies.linearized import figures_accuracy, frames
from firstorder.studies.linearized.spikes import spikes

from .made_up import ARTEFACTS, results
from .publishing import draw

FIGURES = [name for name, entry in ARTEFACTS.items() if entry["kind"] == "figure"]


@pytest.mark.parametrize("artefact", FIGURES)
def test_every_figure_is_drawn_with_its_data(made: Config, artefact: str) -> None:
    paths = draw(made, "figure", artefact)
    assert len(pd.read_csv(paths["csv"])) > 0
    for suffix, start in (("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")):
        content = Path(paths[suffix]).read_bytes()
        assert content.startswith(start)
        assert b"Date" not in content


def test_a_figure_repeats_to_the_byte(made: Config) -> None:
    paths = draw(made, "figure", "binary-size")
    first = {suffix: Path(path).read_bytes() for suffix, path in paths.items()}
    draw(made, "figure", "binary-size")
    assert {suffix: Path(path).read_bytes() for suffix, path in paths.items()} == first


@pytest.mark.parametrize("artefact", ["spectrum", "end-alignment"])
def test_a_truncated_record_is_named(tiny: Config, artefact: str) -> None:
    entry = ARTEFACTS[artefact]
    path = Path(next(iter(results(tiny, "figure", entry["draw"], entry["select"]).files.values())))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match=path.name):
        draw(tiny, "figure", artefact)


def test_a_missing_record_is_named(tiny: Config) -> None:
    found = results(tiny, "figure", "kernel-spectrum", {"family": "eigenfunctions"})
    path = found.files["eigenfunctions/lenet/2/spectrum.npz"]
    Path(path).unlink()
    with pytest.raises(DataError, match=path):
        draw(tiny, "figure", "spectrum")


@pytest.mark.parametrize(("model", "label"), [(None, "MLP"), ("lenet", "LeNet"), ("no", "MLP")])
def test_the_rotated_kernel_is_that_of_the_chosen_model_or_the_first(
    made: Config, model: str | None, label: str
) -> None:
    from firstorder.studies.linearized import figures_kernels

    found = results(made, "figure", "rotated-kernel", {"family": "eigenfunctions"})
    with style.house():
        drawing = figures_kernels.rotated_kernel(found, model=model)
    assert set(drawing.data["label"]) == {label}
    losses = drawing.data[drawing.data["metric"] == "train_loss"].dropna(subset=["min"])
    assert (losses["min"] <= losses["mean"]).all()
    assert (losses["mean"] <= losses["max"]).all()
    bands = [each for panel in drawing.figure.axes[::2] for each in panel.collections]
    assert bands
    assert all((path.vertices[:, 1] > 0).all() for each in bands for path in each.get_paths())


def test_every_panel_of_energies_says_what_its_ticks_count(made: Config) -> None:
    from firstorder.studies.linearized import figures_kernels

    entry = ARTEFACTS["kernel-evolution"]
    with style.house():
        drawing = figures_kernels.kernel_evolution(
            results(made, "figure", entry["draw"], entry["select"])
        )
    labels = [axes.get_xlabel() for axes in drawing.figure.axes]
    assert labels == ["Epoch", "Leading eigenvectors K"] * 2


def test_spikes_are_those_of_their_definition() -> None:
    k = np.arange(1, 6)
    frame = pd.DataFrame(
        {"model": "m", "label": "M", "seed": 1, "family": "f", "task": 3, "part": "train", "k": k,
         "initial": 1.0 / k, "trained": 100.0 / k * np.where(k == 3, 6.0, 1.0)}
    )  # fmt: skip
    found = spikes(frame).iloc[0]
    assert found["excess"] == pytest.approx(6.0)
    assert found["affine"] == pytest.approx(6.0, rel=1e-6)
    assert found["rank"] == 1
    assert found["argmax"] == 3
    assert found["order"] == pytest.approx(1.0)
    assert found["scale"] == pytest.approx(100.0)
    assert spikes(frame[:0]).empty


def test_steps_that_no_training_needed_have_no_scale() -> None:
    """A scale about zero would say that some were counted."""
    axes = Figure().subplots()
    never = pd.DataFrame({"arm": "network", "task": [3, 10], "mean": np.nan})
    figures_accuracy._steps(axes, never)
    assert len(axes.get_yticks()) == 0
    assert [text.get_text() for text in axes.texts] == ["not reached by any"]
    never["mean"] = [20.0, 40.0]
    axes = Figure().subplots()
    figures_accuracy._steps(axes, never)
    assert len(axes.get_yticks()) > 0


def test_marks_at_the_top_do_not_hide_each_other() -> None:
    axes = Figure().subplots()
    arms = ("network", "linear")
    never = pd.DataFrame({"arm": arms, "task": 3, "mean": np.nan})
    figures_accuracy._steps(axes, never)
    marks = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    first, second = (line.get_transform().transform((3, 1.0)) for line in marks)
    assert second[0] - first[0] > figures_accuracy.BESIDE


def test_losses_of_all_models_have_one_kind_of_axis(made: Config) -> None:
    entry = ARTEFACTS["training-metrics"]
    found = results(made, "figure", entry["draw"], entry["select"])
    with style.house():
        drawing = figures_accuracy.training_metrics(found, **entry.get("options", {}))
    assert len({axes.get_yscale() for axes in drawing.figure.axes[::3]}) == 1


def test_the_legend_of_training_metrics_names_every_look_once(made: Config) -> None:
    entry = ARTEFACTS["training-metrics"]
    found = results(made, "figure", entry["draw"], entry["select"])
    with style.house():
        drawing = figures_accuracy.training_metrics(found, epochs=(2, 5, 10))
    named: dict[tuple[str, ...], set[str]] = {}
    for axes in drawing.figure.axes:
        for line in axes.lines:
            if line.get_markerfacecolor() != "none":  # open marks: not reached
                look = (line.get_color(), line.get_marker(), str(line._dash_pattern))
                named.setdefault(look, set()).add(str(line.get_label()))
    assert all(len(labels) == 1 for labels in named.values())
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert sorted(legend) == sorted(label for labels in named.values() for label in labels)
    assert {"network", "linearization", "network, 2 epochs"} <= set(legend)


def test_alignment_is_correlated_over_tasks_and_not_over_their_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The means rise with the ratio; the seeds about them do not."""
    tasks = [
        {"label": "M", "architecture": "M", "family": "f", "kind": "eigenfunctions", "task": task,
         "arm": "network", "seed": seed, "ratio": float(task),
         "test_accuracy": 0.5 + 0.01 * task + 0.2 * sign}
        for task in (1, 2, 3) for seed, sign in ((1, 1), (2, -1))
    ]  # fmt: skip
    monkeypatch.setattr(frames, "ranked_tasks", lambda results: pd.DataFrame(tasks))
    with style.house():
        drawing = figures_accuracy.alignment_accuracy(None)  # type: ignore[arg-type]
    assert drawing.figure.axes[0].get_title().endswith("network 1.00")


def test_marks_count_their_own_seeds(made: Config) -> None:
    """A family of one seed beside families of two."""
    entry = ARTEFACTS["alignment-accuracy"]
    found = results(made, "figure", entry["draw"], entry["select"])
    with style.house():
        drawing = figures_accuracy.alignment_accuracy(found)
    assert drawing.figure.legends[0].get_title().get_text().endswith("n = 1 to 2 seeds")
