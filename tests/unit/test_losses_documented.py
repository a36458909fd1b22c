"""The table of docs/losses.md and config/losses.yaml agree with the code."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
import yaml

from firstorder import losses
from firstorder.config import Loss

ROOT = Path(__file__).resolve().parents[2]
DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "webvision")


def table() -> dict[str, dict[str, str]]:
    """Rows of the table of losses by name."""
    lines = (ROOT / "docs" / "losses.md").read_text().splitlines()
    lines = [line for line in lines if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {row[0].strip("`"): dict(zip(header, row, strict=True)) for row in rows}


def configured() -> dict[str, Loss]:
    entries = yaml.safe_load((ROOT / "config" / "losses.yaml").read_text())
    return {name: Loss.model_validate(entry) for name, entry in entries.items()}


def test_every_loss_is_in_the_table_and_in_the_configuration():
    assert set(table()) == set(losses.names())
    assert set(configured()) >= set(losses.names())


@pytest.mark.parametrize("name", losses.names())
def test_the_table_has_the_defaults(name):
    parameters = losses.build(name, 10).parameters
    written = ", ".join(f"{key}={value}" for key, value in parameters.items()) or "none"
    assert table()[name]["Defaults"] == written


@pytest.mark.parametrize("name", losses.names())
def test_the_table_says_which_losses_are_symmetric(name):
    generator = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(200, 10, dtype=torch.float64, generator=generator)
    sums = losses.build(name, 10).values(scores).sum(-1)
    found = "varies" if sums.max() - sums.min() > 1e-4 else f"{abs(sums.mean()):.4g}"
    if found != "varies" and float(found) < 1e-12:
        found = "0"
    assert table()[name]["Sum"] == found
    assert losses.is_symmetric(losses.build(name, 10)) is (found != "varies")


@pytest.mark.parametrize("name", losses.names())
def test_the_table_says_which_losses_are_convex(name):
    generator = torch.Generator().manual_seed(0)
    ends = torch.randn(2, 20000, 10, dtype=torch.float64, generator=generator)
    ends = ends * 10 * torch.rand(20000, 1, dtype=torch.float64, generator=generator)
    loss = losses.build(name, 10)
    first, second, middle = (loss.values(s) for s in (*ends, ends.mean(0)))
    convex = (middle - (first + second) / 2).max() < 1e-9
    assert table()[name]["Convex"] == ("yes" if convex else "no")


@pytest.mark.parametrize("name", losses.names())
def test_the_table_has_the_gradient_at_equal_scores(name):
    loss = losses.build(name, 10)
    scores = torch.zeros(10, dtype=torch.float64)
    slope = torch.func.grad(lambda s: loss.values(s[None])[0, 9])(scores)
    centred = torch.eye(10, dtype=torch.float64)[9] - 0.1
    kappa = -(slope @ centred) / (centred @ centred)
    assert table()[name]["κ, K = 10"] == f"{kappa:.4g}"


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_configured_loss_can_be_built(dataset):
    for name, loss in configured().items():
        resolved = loss.on(dataset)
        assert resolved.source, f"{name} needs a source"
        tuned = {key: resolved.choices[key] for key in resolved.tuned_parameters}
        for values in itertools.product(*tuned.values()):  # one without values if nothing is tuned
            chosen = dict(zip(tuned, values, strict=True))
            losses.build(resolved.function or name, 10, **{**resolved.parameters, **chosen})


def test_the_example_of_the_documentation_works(tmp_path):
    text = (ROOT / "docs" / "losses.md").read_text()
    code = text.split("# my/losses.py\n")[1].split("```")[0]
    path = tmp_path / "mine.py"
    path.write_text(code)
    values = losses.build(f"{path}:margin", 3, width=2.0).values(torch.zeros(2, 3))
    assert torch.equal(values, torch.full((2, 3), 2.0))
