"""What is planned at each scale, and configurations that cannot be meant."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT, load

from firstorder import doctor
from firstorder.config import ConfigError
from firstorder.data.steps import fetch, raw_file
from firstorder.errors import DataError
from firstorder.jobs import plan
from firstorder.jobs import study as studies
from firstorder.jobs.run import run
from firstorder.publish.declared import artefacts
from firstorder.studies.line_attractor import jobs
from firstorder.studies.line_attractor.settings import Recipe
from firstorder.training.sequence_recipe import SequenceRecipe

SMOKE = "studies/line_attractor/smoke.yaml"
STUDY = "studies/line_attractor/study.yaml"


@pytest.mark.parametrize(
    ("scale", "networks", "figures"),
    [("smoke", 2, 10), ("small", 4, 14), ("cifar", 4, 14), ("paper", 12, 22)],
)
def test_every_scale_plans_its_networks_and_figures(
    scale: str, networks: int, figures: int
) -> None:
    config = load(ROOT / "config", {"scale": scale, "studies": ["line_attractor"]})
    steps = studies.steps(config)
    for name in ("train_rnn", "find_fixed_points", "linearize_dynamics"):
        assert len(list(steps[name].every(config))) == networks
    drawn = [artefact for _, _, artefact in artefacts(config) if artefact.kind == "figure"]
    assert len(drawn) == figures


def test_another_container_that_is_in_place_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(ROOT / "config", {"scale": "cifar", "studies": ["line_attractor"]})
    assert jobs.raw_names(config, "imdb") == ("aclImdb_v1.tar.gz",)
    assert "content" in studies.steps(config)["read_text"].job(config, "imdb").spec
    place = tmp_path / "resources" / "imdb" / "aclImdb_labelled.tar.xz"
    place.parent.mkdir(parents=True)
    place.touch()
    assert jobs.raw_names(config, "imdb") == ("aclImdb_labelled.tar.xz",)
    spec = studies.steps(config)["read_text"].job(config, "imdb").spec
    assert spec["content"] and spec["files"] == ["aclImdb_labelled.tar.xz"]


def test_an_unpacked_archive_in_place_is_used_and_a_change_in_it_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    review = tmp_path / "resources/imdb/aclImdb/train/pos/0_9.txt"
    review.parent.mkdir(parents=True)
    review.write_text("good")
    made = plan.make(str(ROOT / "config"), {"scale": "cifar", "studies": ["line_attractor"]})
    assert "imdb: aclImdb is in place" in doctor.examine(made)[0]
    job = made.job("fetch_text", "imdb", "aclImdb")
    fetch(job.spec, job.inputs, job.outputs, made.context(job))
    assert Path(raw_file(job.outputs["receipt"])) == Path("resources/imdb/aclImdb")
    (review.parent / ".DS_Store").touch()
    raw_file(job.outputs["receipt"])
    review.write_text("bad")
    with pytest.raises(DataError, match="not the file that"):
        raw_file(job.outputs["receipt"])


def test_titles_and_times_are_in_no_spec() -> None:
    config = load(ROOT / "config", {"scale": "small", "studies": ["line_attractor"]})
    for step in ("read_text", "count_words"):
        spec = studies.steps(config)[step].job(config, "sst").spec
        assert not {"title", "source", "note", "minutes"} & set(spec)


OWN = {"title": "Own", "reader": "csv", "source": "us",
       "files": [{"name": "train.csv"}, {"name": "test.csv"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        (SMOKE, {"corpora.synthetic.cells": ["gruu"]}, "'gruu'"),
        (SMOKE, {"corpora.synthetic.search.tolerance": 1e-7, "corpora.synthetic.search.tolerances":
            [1e-5]}, "search.tolerance: 1e-07 is not kept; kept are 1e-05"),
        (SMOKE, {"corpora.synthetic.text": {"train": 100}}, "documents to draw: train and test"),
        (SMOKE, {"corpora.synthetic.text.validation": 0.0}, "validation: 0.0 is not allowed"),
        (SMOKE, {"corpora.synthetic.text.validation": 0.00001}, "validation: 1e-05 is not allowed"),
        (SMOKE, {"corpora.synthetic.text.train": 40}, "validation: 0.02 of 40 documents is less"),
        (SMOKE, {"corpora.synthetic.text.train": 1}, "text.train: 1 is not allowed"),
        (SMOKE, {"corpora.synthetic.text.bag": 1}, "text.bag: 1 is not allowed"),
        (SMOKE, {"corpora.synthetic.text.max_size": 2}, "text.max_size: 2 is not allowed"),
        (SMOKE, {"corpora.synthetic.recipe.units": 2}, "recipe.units: 2 is not allowed"),
        (SMOKE, {"corpora.synthetic.recipe.word_dropout": 1.0}, "word_dropout: 1.0 is not allowed"),
        (SMOKE, {"corpora.synthetik": {"cells": ["gru"], "recipe": {}}}, "'synthetik' is unknown"),
        (SMOKE, {"corpora.sst": {"cells": ["gru"], "recipe": {}, "text": {"train": 5}}},
            "the reader sst reads no train; leave it out"),
        (SMOKE, {"corpora.synthetic.text.min_count": 5}, "the reader synthetic reads no min_count"),
        (STUDY, {"corpora.own": OWN | {"files": [{"name": "test.csv"}, {"name": "train.csv"}]}},
            "files: test.csv, train.csv; the reader csv reads train, test, called so"),
        (STUDY, {"corpora.own": OWN | {"files": [{"name": "train.csv"}] * 2}},
            "train.csv stands there twice; name each file once"),
        (STUDY, {"corpora.own": OWN | {"folders": ["a\0b"]}}, "own.folders.0"),
        (STUDY, {"corpora.own": OWN | {"in_place": ["../x"]}}, "write a plain file name"),
        (STUDY, {"artefacts.pair.select.corpora": ["yelpp"]}, "'yelpp' is unknown"),
        (STUDY, {"corpora.imdb.content": None}, "content: missing: what is in place"),
        (STUDY, {"corpora.sst.files": []}, "0 given; the reader sst reads 3"),
        (STUDY, {"cells.vanilla": "GRU"}, "cells 'gru' and 'vanilla' are both printed as 'GRU'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_line(
    edited: Any, file: str, changes: dict[str, Any], message: str
) -> None:
    root = edited(file, changes)
    with pytest.raises(ConfigError) as caught:
        load(root, {"scale": "smoke", "studies": ["line_attractor"]})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert Path(file).name in str(caught.value)


def test_corpora_with_one_title_are_refused_where_both_are_run(edited: Any) -> None:
    root = edited(STUDY, {"corpora.imdb.title": "SST", "cells.lstm": "GRU"})
    assert load(root, {"scale": "smoke", "studies": ["line_attractor"]})
    edited(STUDY, {"cells.lstm": "LSTM"})
    with pytest.raises(ConfigError, match="corpora 'imdb' and 'sst' are both printed as 'SST'"):
        load(root, {"scale": "paper", "studies": ["line_attractor"]})


def test_a_recipe_of_the_configuration_is_that_of_the_training() -> None:
    own = {each.name: each.default for each in dataclasses.fields(SequenceRecipe)}
    assert own.pop("cell")
    assert own == {name: each.default for name, each in Recipe.model_fields.items()}


def test_texts_of_ones_own_are_there_and_known_by_their_bytes(
    edited: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = {"title": "Mine", "reader": "csv", "source": "mine",
           "files": [{"name": "train.csv"}, {"name": "test.csv"}]}  # fmt: skip
    edited(STUDY, {"corpora.mine": own})
    root = edited(
        SMOKE, {"corpora.mine": {"cells": ["gru"], "recipe": {"embedding": 4, "units": 4}}}
    )

    def spec() -> str:
        made = plan.make(root, {"studies": ["line_attractor"]})
        return made.job("fetch_text", "mine", "train.csv").spec_digest

    with pytest.raises(ConfigError, match=r"corpora\.mine\.files: \S*train\.csv: no such file"):
        spec()
    folder = tmp_path / "resources" / "mine"
    folder.mkdir(parents=True)
    for name in ("train", "test"):
        (folder / f"{name}.csv").write_text("text,label\ngood,1\n")
    before = spec()
    (folder / "train.csv").write_text("text,label\nfine,1\n")
    assert spec() != before
    made = plan.make(root, {"studies": ["line_attractor"]})
    for name in ("train.csv", "test.csv"):
        run(made, made.job("fetch_text", "mine", name))
    with pytest.raises(DataError, match="no train documents of 1 training ones"):
        run(made, made.job("read_text", "mine"))
