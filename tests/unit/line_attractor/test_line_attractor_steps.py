"""The steps on a few sentences: what they leave, what they put back, what they refuse."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from firstorder import dynamics, files
from firstorder.config import Config
from firstorder.errors import DataError
from firstorder.jobs.job import Job
from firstorder.models import recurrent
from firstorder.publish.declared import artefacts
from firstorder.publish.registry import Results
from firstorder.studies.line_attractor import analysis, figures, figures_seeds, points, tables
from firstorder.studies.line_attractor import network as networks

from . import small
from .small import NETWORK


def record(job: Job, name: str) -> dict:
    found: dict = files.read_json(job.outputs[name])
    return found


def test_the_record_of_the_texts_says_what_was_read(tiny: Config) -> None:
    job = small.job(tiny, "read_text", "synthetic")
    splits = files.read_json(job.outputs["corpus.json"])["splits"]
    assert {name: each["documents"] for name, each in splits.items()} == {
        "train": 2000,
        "validation": 200,
        "test": 200,
    }
    assert splits["test"]["unknown_share"] == 0
    assert 25 <= splits["test"]["mean_length"] <= 50


def test_correctness_is_stored_for_every_test_document(tiny: Config) -> None:
    job = small.job(tiny, "train_rnn", *NETWORK)
    with np.load(job.outputs["1/correct.npz"]) as stored:
        bits = np.unpackbits(stored["correct"], count=int(stored["count"]))
    summary = files.read_json(job.outputs["1/summary.json"])
    assert len(bits) == 200
    assert bits.mean() == pytest.approx(summary["test_accuracy"], abs=1e-6)


def test_jacobians_and_modes_are_exact(tiny: Config) -> None:
    numbers = record(small.job(tiny, "linearize_dynamics", *NETWORK), "1/dynamics.json")["numbers"]
    assert numbers["jacobian_error"] < 1e-6
    assert numbers["inverse_error"] < 1e-8
    assert 0 < numbers["overlap"] <= 1
    assert numbers["points"] >= 3


def test_words_push_as_their_valence_says(tiny: Config) -> None:
    """Even a barely trained network tells positive words from negative ones."""
    numbers = record(small.job(tiny, "linearize_dynamics", *NETWORK), "1/dynamics.json")["numbers"]
    assert numbers["effect_strong_positive"] > numbers["effect_neutral"]
    assert numbers["effect_neutral"] > numbers["effect_strong_negative"]


def test_one_more_seed_trains_only_itself(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from firstorder.training import sequences

    trained: list[int] = []
    real = sequences.train

    def counting(recipe, vocabulary, documents, validation, seed, *rest, **more):  # type: ignore[no-untyped-def]
        trained.append(seed)
        return real(recipe, vocabulary, documents, validation, seed, *rest, **more)

    monkeypatch.setattr(sequences, "train", counting)
    here = Path.cwd()
    before = files.sha256(small.job(tiny, "train_rnn", *NETWORK).outputs["1/weights.safetensors"])
    path = here / "config" / "studies" / "line_attractor" / "tiny.yaml"
    path.write_text(path.read_text().replace("seeds:\n- 1\n", "seeds:\n- 1\n- 2\n"))
    job = small.run(small.config(here), "train_rnn", *NETWORK)
    assert trained == [2]
    assert files.sha256(job.outputs["1/weights.safetensors"]) == before


def test_a_network_of_too_few_fixed_points_has_a_record_and_no_drawing(tiny: Config) -> None:
    path = Path("config/studies/line_attractor/tiny.yaml")
    path.write_text(path.read_text().replace("tolerance: 0.01", "tolerance: 1.0e-12").replace(
        "- 0.01\n", "- 0.01\n      - 1.0e-12\n"))  # fmt: skip
    config = small.config(Path.cwd())
    before = record(small.job(config, "linearize_dynamics", *NETWORK), "1/dynamics.json")["numbers"]
    small.run(config, "find_fixed_points", *NETWORK)
    job = small.run(config, "linearize_dynamics", *NETWORK)
    numbers = record(job, "1/dynamics.json")["numbers"]
    assert set(numbers) == set(before)
    assert numbers["points"] < 3 and numbers["tau1"] is None
    assert numbers["state_pc1"] == before["state_pc1"]
    table = pd.read_csv(small.run(config, "table", "line_attractor", "dynamics").outputs["csv"])
    assert "fixed points" in set(table["row"]) and "tau1" not in set(table["quantity"])
    notes = tables.dynamics(small.one_network(job.outputs)).notes
    assert "GRU, synthetic: no seed has fixed points to read." in notes
    verdicts = pd.read_csv(small.run(config, "claims").outputs["csv"]).set_index("claim")["status"]
    assert verdicts["L2"] == "not run" and verdicts["L1"] != "not run"
    with pytest.raises(DataError, match=r"GRU on .* has too few fixed points to draw"):
        small.run(config, "figure", "line_attractor", "pair")


def test_a_network_that_diverges_in_its_first_epoch_is_no_measurement(tiny: Config) -> None:
    path = Path("config/studies/line_attractor/tiny.yaml")
    scale = yaml.safe_load(path.read_text())
    scale["corpora"]["synthetic"]["recipe"] |= {"lr": 1e30, "schedule": "constant", "clip": None}
    path.write_text(yaml.safe_dump(scale))
    config = small.config(Path.cwd())
    summary = record(small.run(config, "train_rnn", *NETWORK), "1/summary.json")
    assert (summary["status"], summary["best_epoch"]) == ("diverged", None)
    assert summary["test_accuracy"] is None
    small.run(config, "find_fixed_points", *NETWORK)
    found = record(small.run(config, "linearize_dynamics", *NETWORK), "1/dynamics.json")
    numbers = found["numbers"]
    assert {n for n in numbers if numbers[n] is not None} == {
        n for n in numbers if n.startswith("untrained")
    }
    assert all(row["found"] is None for row in found["tolerances"])
    for name in ("accuracy", "dynamics", "tolerance-grid"):
        small.run(config, "table", "line_attractor", name)
    table = pd.read_csv(small.job(config, "table", "line_attractor", "accuracy").outputs["csv"])
    assert table.set_index("cell")["n"]["gru"] == 0
    assert table.set_index("cell")["text"]["gru"] == "diverged"
    grid = pd.read_csv(
        small.job(config, "table", "line_attractor", "tolerance-grid").outputs["csv"]
    )
    assert set(grid["text"]) == {"diverged"}
    own = small.job(config, "linearize_dynamics", *NETWORK).outputs
    results = small.one_network(own)
    assert "GRU, synthetic: no seed finished an epoch." in tables.dynamics(results).notes
    verdicts = pd.read_csv(small.run(config, "claims").outputs["csv"]).set_index("claim")
    for claim in ("L1", "L1-untrained", "L2", "L8", "L8-order"):
        assert verdicts["status"][claim] == "not run"
        assert verdicts["verdict"][claim] == "no seed finished an epoch"


def test_states_that_never_change_have_a_record(tiny: Config) -> None:
    path = Path("config/studies/line_attractor/tiny.yaml")
    scale = yaml.safe_load(path.read_text())
    scale["corpora"]["synthetic"]["recipe"] |= {"gate_bias": 1e30}
    path.write_text(yaml.safe_dump(scale))
    config = small.config(Path.cwd())
    for step in ("train_rnn", "find_fixed_points", "linearize_dynamics"):
        job = small.run(config, step, *NETWORK)
    numbers = record(job, "1/dynamics.json")["numbers"]
    assert numbers["untrained_dimension"] is None and numbers["untrained_share"] == 0
    small.run(config, "figure", "line_attractor", "modifiers")
    verdicts = pd.read_csv(small.run(config, "claims").outputs["csv"]).set_index("claim")
    assert verdicts["status"]["L1-untrained"] == "not run"


def test_points_whose_modes_are_all_complex_are_too_few() -> None:
    drawn = recurrent.initialise("vanilla", 5, 3, 2, torch.Generator().manual_seed(0))
    drawn["U"] = torch.tensor([[0.1, -0.9], [0.9, 0.1]])  # a rotation
    network = networks.Network("vanilla", drawn)
    assert points.read(network, 0.01 * torch.randn(4, 2)) is None
    starts = 0.1 * torch.randn(8, 2)
    fixed = dynamics.find(
        lambda h, x: networks.step(network, h, x), starts, networks.nothing(network), tol_q=1e-4
    )
    (row,) = points.grid(network, fixed, starts)
    assert row["found"] == 8 and row["share"] is not None and row["tau1"] is None


def test_numbers_of_some_seeds_say_of_how_many(tiny: Config) -> None:
    results = small.second_seed_alone(tiny)
    made = tables.dynamics(results)
    text = made.frame.set_index("quantity")["text"]
    assert text["tau1"].endswith(" (1 of 2)") and " of " not in text["state_pc1"]
    assert tables.FEWER in made.notes
    grid = tables.tolerance_grid(results)
    assert grid.frame["text"].str.fullmatch(r"\d+ / \d+, \d+ % \(1 of 2\), τ₁ \d+ \(1 of 2\)").any()
    assert tables.FEWER in grid.notes
    results.spec["seeds"] = [2]
    assert tables.FEWER not in tables.dynamics(results).notes + tables.tolerance_grid(results).notes


def test_a_mean_over_fewer_seeds_is_not_the_best_of_its_column(tmp_path: Path) -> None:
    found = {"toy/words.json": str(tmp_path / "words.json")}
    files.write_json(tmp_path / "words.json", {"accuracy": 0.5})
    row = {"corpus": "toy", "title": "toy", "reader": "synthetic"}
    rows = [row | {"cell": cell, "label": cell.upper()} for cell in ("gru", "lstm")]
    for cell, accuracies in (("gru", (0.9, None)), ("lstm", (0.8, 0.85))):
        for seed, accuracy in enumerate(accuracies, 1):
            path = tmp_path / f"{cell}{seed}.json"
            of = {"test_accuracy": accuracy, "validation_accuracy": accuracy, "seconds": 1.0}
            files.write_json(path, {"status": "finished" if accuracy else "diverged", **of})
            found[f"toy/{cell}/{seed}/summary.json"] = str(path)
    made = tables.accuracy(Results({"rows": rows, "seeds": [1, 2]}, found, None))
    text = made.frame.set_index("cell")
    assert text["text"]["gru"] == "90.00 (1 of 2)" and tables.FEWER in made.notes
    assert text["best"].to_dict() == {"bag-of-words": False, "gru": False, "lstm": True}


@pytest.mark.parametrize(
    "draw", [figures.activity, figures.networks, figures.pair, figures_seeds.negation]
)
def test_a_figure_names_the_seed_that_it_draws(tiny: Config, draw: Any) -> None:
    drawing = draw(small.second_seed_alone(tiny))
    titles = [each.get_title().get_text() for each in drawing.figure.legends]
    titles += [text.get_text() for text in drawing.figure.texts]
    expected = "one seed" if draw is figures_seeds.negation else "one seed (2)"
    assert expected in titles


def test_the_legend_of_tolerances_counts_the_seeds_of_every_quantity(tiny: Config) -> None:
    """The first seed has no points, so no share and no mode."""
    drawing = figures_seeds.tolerances(small.second_seed_alone(tiny))
    (legend,) = drawing.figure.legends
    assert legend.get_title().get_text() == "mean and range, n = 1 to 2 seeds"


@pytest.mark.parametrize("draw", [figures.pair, figures.low_dimensional])
def test_the_arrow_of_the_readout_is_in_the_legend(tiny: Config, draw: Any) -> None:
    drawing = draw(small.second_seed_alone(tiny))
    (legend,) = drawing.figure.legends
    assert {"readout = 0", "readout vector"} <= {text.get_text() for text in legend.get_texts()}


def test_the_figure_of_negation_names_a_network_without_points(tiny: Config) -> None:
    results = small.second_seed_alone(tiny)
    (row,) = results.spec["rows"]
    results.spec["rows"].append({**row, "cell": "lstm", "label": "LSTM"})
    for seed in (1, 2):
        results.files[f"synthetic/lstm/{seed}/dynamics.npz"] = "none.npz"
    (legend,) = figures_seeds.negation(results).figure.legends
    assert (
        legend.get_title().get_text() == "one seed; without fixed points to read: LSTM, synthetic"
    )


def test_a_figure_of_several_networks_names_the_seed_of_each() -> None:
    assert figures.one_seed(1, 1) == "one seed (1)"
    assert figures.one_seed(1, 3) == "one seed each (1, 3)"


def test_the_pair_differs_by_the_strongest_words(tiny: Config) -> None:
    job = small.job(tiny, "linearize_dynamics", *NETWORK)
    with np.load(job.inputs["words"]) as stored:
        classes = {name: stored[name] for name in analysis.CLASSES}
    chosen = analysis._strongest(classes, "positive")
    assert chosen[:2].tolist() == classes["strong_positive"][:2].tolist()
    none = classes | {"strong_positive": np.zeros(0, np.int64)}
    assert analysis._strongest(none, "positive").tolist() == classes["positive"].tolist()


def test_every_artefact_of_the_scale_is_made(tiny: Config) -> None:
    made = [(name, artefact.kind) for _, name, artefact in artefacts(tiny)]
    assert ("accuracy", "table") in made and ("pair", "figure") in made
    for name, kind in made:
        job = small.run(tiny, kind, "line_attractor", name)
        assert not pd.read_csv(job.outputs["csv"]).empty, name


def test_a_claim_on_what_is_not_run_says_so(tiny: Config) -> None:
    job = small.run(tiny, "claims")
    verdicts = pd.read_csv(job.outputs["csv"]).set_index("claim")["status"]
    assert verdicts["L9"] == "not run"  # Yelp
    assert verdicts["L10"] == "holds"


def test_a_result_that_is_missing_is_named(tiny: Config) -> None:
    path = small.job(tiny, "linearize_dynamics", *NETWORK).outputs["1/dynamics.json"]
    Path(path).unlink()
    with pytest.raises(DataError, match=r"dynamics\.json: no such file"):
        small.run(tiny, "table", "line_attractor", "dynamics")


def test_real_texts_are_split_and_cut_as_declared(tiny: Config, tmp_path: Path) -> None:
    """A user's own files: train.csv and test.csv of the reader `csv`."""
    from firstorder.studies.line_attractor.read import encoded, held_out

    raw = {
        "train": ([f"fine film {i % 7}" for i in range(50)], [i % 2 for i in range(50)]),
        "test": (["unheard of", "fine"], [0, 1]),
    }
    spec = {"train": 40, "test": None, "validation": 0.1, "min_count": 2, "max_size": 6}
    words, splits = encoded(held_out(raw, spec), spec)
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 36,
        "validation": 4,
        "test": 2,
    }
    assert len(words) == 6 and words[2:4] == ("film", "fine")
    assert sorted(splits["test"].labels) == [0, 1]


def test_texts_that_are_not_the_published_ones_are_refused(tiny: Config, tmp_path: Path) -> None:
    from firstorder.jobs.context import Context
    from firstorder.studies.line_attractor.read import read_text

    folder = tmp_path / "aclImdb"
    for split in ("train", "test"):
        for kind in ("pos", "neg"):
            (folder / split / kind).mkdir(parents=True)
            (folder / split / kind / "0_9.txt").write_text("a film")
    archive = shutil.make_archive(str(tmp_path / "reviews"), "tar", tmp_path, "aclImdb")
    files.write_json("receipt.json", {"path": archive, "sha256": files.sha256(archive)})
    spec = {"reader": "imdb", "files": ["reviews.tar"], "content": "0" * 64}
    with pytest.raises(DataError, match="not the published texts; move it away"):
        read_text(spec, {"reviews.tar": "receipt.json"}, {}, Context())
    spec |= {"content": None, "train": None, "test": None, "validation": 0.5, "max_size": None}
    with pytest.raises(DataError, match=r"no word occurs 9 times in .*; lower text\.min_count"):
        read_text(spec | {"min_count": 9}, {"reviews.tar": "receipt.json"}, {}, Context())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bag": 1}, r"the first 1 training documents, .* have one label; raise text\.bag"),
        ({"class_min_count": 10**6}, r"fewer than three words occur 1000000 times in .*; lower"),
    ],
)
def test_texts_that_no_bag_of_words_can_be_read_of_are_one_line(
    tiny: Config, changed: dict[str, int], said: str
) -> None:
    from firstorder.jobs.context import Context
    from firstorder.studies.line_attractor.words import count_words

    job = small.job(tiny, "count_words", "synthetic")
    spec = {"valences": False, "bag": 500, "classes": 100, "class_min_count": 10} | changed
    with pytest.raises(DataError, match=rf"documents\.npz: {said}"):
        count_words(spec, job.inputs, job.outputs, Context())
