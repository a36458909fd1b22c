"""The steps on a few sentences: what they leave, what they put back, what they refuse."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firstorder import files
from firstorder.config import Config
from firstorder.errors import DataError
from firstorder.jobs.job import Job
from firstorder.jobs.study import artefacts

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
    verdicts = pd.read_csv(small.run(config, "claims").outputs["csv"]).set_index("claim")["status"]
    assert verdicts["L2"] == "not run" and verdicts["L1"] != "not run"
    with pytest.raises(DataError, match=r"GRU on .* has too few fixed points to draw"):
        small.run(config, "figure", "line_attractor", "pair")


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
