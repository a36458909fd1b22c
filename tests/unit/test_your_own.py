"""The pages for users do what they say: their code is run as it is printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from containers import png, write_files
from torch import Tensor

from firstorder import models
from firstorder.config import ConfigError, Dataset, Noise, Recipe
from firstorder.data.noise import corrupt
from firstorder.data.prepare import prepare
from firstorder.data.prepared import Images, read_prepared
from firstorder.data.steps import dataset_spec
from firstorder.errors import DataError
from firstorder.jobs import functions, signature
from firstorder.jobs import plan as plans
from firstorder.jobs.functions import check_model
from firstorder.losses.registry import build
from firstorder.models.initialisers import INITIALISERS
from firstorder.models.registry import AS_BUILT

FENCE = re.compile(r"^```\w*\n# (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def page(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The blocks of docs/your-own.md by what they are; its files are written, in a new folder."""
    monkeypatch.chdir(tmp_path)
    blocks = FENCE.findall((project / "docs" / "your-own.md").read_text())
    for name, text in blocks:
        if name.startswith("my/"):
            write_files(tmp_path, {name: text.encode()})
    return blocks


def declared(page: list[tuple[str, str]], where: str) -> dict[str, dict]:
    """All entries that the page writes to one place."""
    return {
        key: value
        for name, text in page
        if name == where
        for key, value in yaml.safe_load(text).items()
    }


def prepared(page: list[tuple[str, str]], name: str) -> tuple[Dataset, Images]:
    dataset = Dataset.model_validate(declared(page, "config/datasets.yaml")[name])
    prepare(name, dataset, Path("resources") / name, "prepared.safetensors")
    return dataset, read_prepared("prepared.safetensors")


def pets() -> None:
    """Pictures of three classes, of several sizes."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 10), ("test", 3)):
        for name in ("cat", "cow", "dog"):
            for index in range(count):
                image = generator.integers(0, 256, (3, 40 + index, 50), dtype=np.uint8)
                write_files(Path("my/pets"), {f"{split}/{name}/{name}{index}.png": png(image)})


def test_images_of_ones_own(page: list[tuple[str, str]]) -> None:
    pets()
    _, images = prepared(page, "pets")
    assert images.train_images.shape == (30, 3, 32, 32)
    assert np.bincount(images.test_labels).tolist() == [3, 3, 3]


def test_a_reader_of_ones_own(page: list[tuple[str, str]]) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (40, 65))
    rows[:, 0] %= 2
    write_files(Path("my/scans"), {"images.csv": b""})
    np.savetxt("my/scans/images.csv", rows, delimiter=",", fmt="%d")
    _, images = prepared(page, "scans")
    assert np.array_equal(images.test_images.reshape(8, 64), rows[::5, 1:])
    assert np.array_equal(images.test_labels, rows[::5, 0])


def test_what_a_reader_of_ones_own_gets_of_the_declaration(
    project: Path, page: list[tuple[str, str]]
) -> None:
    text = (project / "docs" / "your-own.md").read_text()
    said = text.partition("Of the declaration it gets")[2].partition("\nOther keys")[0]
    scans = Dataset.model_validate(declared(page, "config/datasets.yaml")["scans"])
    assert {*re.findall(r"`(\w+)`", said), "reader"} == {*dataset_spec(scans), "title"}


def test_noise_of_ones_own(page: list[tuple[str, str]]) -> None:
    pets()
    dataset, images = prepared(page, "pets")
    noises = {key: Noise.model_validate(each) for key, each in declared(page, "noises:").items()}
    write_files(Path("my"), {"labels.txt": b"dog\n" * 30})
    clean = images.train_labels
    drawn = {key: corrupt(clean, noise, dataset, 1) for key, noise in noises.items()}
    assert np.allclose(drawn["confused"].realised, [[0.8, 0.1, 0.1], [0, 0.9, 0.1], [0.3, 0, 0.7]])
    assert (drawn["annotated"].labels == 2).all()
    assert 0 < drawn["half-random"].rate < 1


def test_a_network_of_ones_own(page: list[tuple[str, str]]) -> None:
    recipe = Recipe.model_validate(declared(page, "config/recipes.yaml")["pets"])
    assert recipe.model is not None
    check_model(recipe.model, recipe.model_parameters, "recipes.yaml: pets")
    one, same, other = (
        models.build(
            recipe.model,
            3,
            (3, 32, 32),
            generator=torch.Generator().manual_seed(seed),
            **recipe.model_parameters,
        )
        for seed in (1, 1, 2)
    )
    assert one(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    weights = [module.state_dict()["0.weight"] for module in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_setting_of_ones_own_is_planned_and_tuned_only_where_its_noise_can_be(
    page: list[tuple[str, str]], edited: Callable[..., Path], tmp_path: Path
) -> None:
    pets()
    write_files(Path("my"), {"labels.txt": b"dog\n" * 30})
    edited("datasets.yaml", declared(page, "config/datasets.yaml"))
    edited("recipes.yaml", declared(page, "config/recipes.yaml"))
    scale = "studies/symmetrization/smoke.yaml"
    parts = ("settings", "cells", "noises")
    added = {
        f"{part}.{key}": each for part in parts for key, each in declared(page, f"{part}:").items()
    }
    config = edited(scale, added)
    folders = {name: str(tmp_path / name) for name in ("results", "resources")}
    planned = plans.make(config, folders)
    assert planned.job("train", "pets", "confused", "ce").outputs
    edited(scale, {"cells.budget": {"settings": ["pets"], "noises": ["symmetric-0.4"]}})
    with pytest.raises(ConfigError, match=r"tuning\.noise: rate 0\.8 is not allowed: .* of pets"):
        plans.make(config, folders)


def test_an_unknown_option_of_ones_own_network_is_refused_before_planning(
    page: list[tuple[str, str]],
) -> None:
    with pytest.raises(ConfigError, match="widht: narrow has no such option; did you mean 'width'"):
        check_model("my/networks.py:narrow", {"widht": 8}, "recipes.yaml: pets")
    with pytest.raises(ConfigError, match=r"my/networks\.py defines no 'wide'"):
        check_model("my/networks.py:wide", {}, "recipes.yaml: pets")
    with pytest.raises(ConfigError, match="has no network 'resnet81'; did you mean 'resnet18'"):
        check_model("torchvision:resnet81", {}, "recipes.yaml: pets")
    with pytest.raises(ConfigError, match=r"pets\.model_parameters\.init: 'kamin' is not allowed"):
        check_model("cnn4", {"init": "kamin"}, "recipes.yaml: pets")


def test_the_initialisers_that_are_allowed_are_those_that_exist() -> None:
    assert set(functions.INITIALISERS) == {AS_BUILT, *INITIALISERS}


@pytest.mark.parametrize(
    "annotation",
    [
        *('"torch.Tensor"', '"a text"', "(float, int)", "[float]", '{"a": 1}', "1 / 0"),
        *('list["torch.Tensor"]', '"float"', "float | None", "Later", "print.no_such"),
    ],
)
def test_an_annotation_that_is_not_understood_is_left_to_ones_own_function(
    tmp_path: Path, annotation: str
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(f"def f(scores, *, margin: {annotation} = 0.9):\n    return scores\n")
    signature.check(f"{mine}:f", {"margin": 0.9}, "here")


def test_an_annotation_in_quotes_is_checked(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("def f(scores, *, margin: 'Literal[1, 2]' = 1):\n    return scores\n")
    with pytest.raises(ConfigError, match=r"here\.margin: 3 is not allowed: should be 1 or 2"):
        signature.check(f"{mine}:f", {"margin": 3}, "here")


def test_every_example_takes_about_ten_lines(page: list[tuple[str, str]]) -> None:
    assert len(page) == 9
    assert all(text.count("\n") <= 12 for _, text in page)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("def tabel(d, f): ...", r"no function 'table'; did you mean 'tabel'\?"),
        ("table = 1 +", "cannot be imported: SyntaxError"),
        ("import no_such", "cannot be imported: ModuleNotFoundError"),
        ("import sys; sys.exit(0)", "cannot be imported: SystemExit: 0"),
        ("def table(d, f): return 1", "return a dictionary of splits, not int"),
        ("def table(d, f): return {'test': 1}", "a dictionary of splits, not one without train"),
        ("def table(d, f): return {'train': 1}", "train: return a pair"),
        ("def table(d, f): return {'train': ({}, [0])}", "train: images are not an array"),
        ("def table(d, f): return {'train': ([[1], [1, 2]], [0, 0])}", "train: not an array"),
        ("def table(d, f): return {'train': ([[1]], ['a'])}", "labels are <U1, not integers"),
    ],
)
def test_what_is_wrong_with_a_reader_of_ones_own_is_one_line(
    page: list[tuple[str, str]], text: str, reason: str
) -> None:
    Path("my/readers.py").write_text(text)
    Path("my/scans").mkdir()
    with pytest.raises(DataError, match=reason) as raised:
        prepared(page, "scans")
    assert "\n" not in str(raised.value)


def accuracy(loss_name: str, images: Tensor, labels: Tensor) -> float:
    """Training accuracy of a small network after 30 epochs of a loss."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    loss = build(loss_name, 10)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for _ in range(30):
        for batch in torch.randperm(len(labels)).split(128):
            optimiser.zero_grad()
            loss(network(images[batch]), labels[batch]).backward()
            optimiser.step()
    return float((network(images).argmax(1) == labels).float().mean())


def test_the_example_loss_of_the_readme_learns(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.datasets import load_digits

    readme = (project / "README.md").read_text()
    found = re.search(r"^    # my_losses\.py\n((?:    .*\n)+)", readme, re.MULTILINE)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    text = re.sub("^    ", "", found[1], flags=re.MULTILINE)
    Path("my_losses.py").write_text(text)
    pixels, labels = load_digits(return_X_y=True)
    data = torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(labels)
    assert accuracy("my_losses.py:ramp", *data) > 0.9
