"""The doctor and its forecast: what is there, what is missing, how long it will take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firstorder import config as configuration
from firstorder import doctor, files, forecast, specs
from firstorder.config import Config

ROOT = Path(__file__).resolve().parents[2]


def load(folder: Path, scale: str) -> Config:
    overrides: dict[str, Any] = {"scale": scale, "device": "cpu"}
    overrides |= {"results": str(folder / "results"), "resources": str(folder / "resources")}
    return configuration.load(ROOT / "config", overrides)


def trainings(config: Config) -> int:
    """All trainings of the first study that the forecast speaks of."""
    return forecast._trainings(config, {}, "cpu").total


def finished(config: Config, seconds: float) -> None:
    """Put the record of one finished training below the results."""
    names = next(configuration.all_cells(config))
    cell = configuration.cell(config, *names)
    folder = Path(config.settings.results) / "other/symmetrization/runs/a/b/c/seed1"
    record = {"status": "finished", "device": "cpu: any", "seconds": seconds}
    files.write_json(folder / "summary.json", {**record, "spec": specs.cell_values(cell)})


def test_a_machine_without_the_data_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_answers", lambda url: False)
    text = doctor.examine(load(tmp_path, "paper"))
    assert "cifar-10-python.tar.gz is not here; no answer from www.cs.toronto.edu" in text
    assert f"put the file into {tmp_path}/resources/cifar10/" in text
    assert text.endswith("missing")


def test_files_in_place_are_not_asked_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(tmp_path, "paper")
    for name in doctor.datasets(config):
        human = config.datasets[name].human_file
        for file in (*config.datasets[name].files, *([human] if human else [])):
            files.write_text(tmp_path / "resources" / name / file.name, "bytes")
    monkeypatch.setattr(doctor, "_answers", lambda url: pytest.fail("asked the network"))
    assert "cifar-10-python.tar.gz is in place" in doctor.examine(config)


def test_the_smoke_scale_needs_no_download(tmp_path: Path) -> None:
    text = doctor.examine(load(tmp_path, "smoke"))
    assert "digits: bundled, nothing to download" in text and text.endswith("ready")


def test_families_on_one_support_store_its_kernels_once(tmp_path: Path) -> None:
    config = load(tmp_path, "paper")
    scale = config.scale.linearized
    stored = {
        (family.support, model, seed)
        for family in scale.families.values()
        if family.support
        for model in family.models
        for seed in family.seeds
    }
    several = [f.support for f in scale.families.values() if f.support]
    assert len(several) > len(set(several))
    kept = 0
    for name, _, _ in stored:
        rows = scale.supports[name].train + scale.supports[name].test
        kept += 4 * rows * (rows + scale.eigenvectors)
    assert doctor._sizes(config)["kernels"] * 2**20 == pytest.approx(kept, rel=1e-3)


def test_without_records_the_declared_minutes_are_said_to_be_declared(tmp_path: Path) -> None:
    config = load(tmp_path, "smoke")
    first = next(iter(forecast.lines(config)))
    assert f"= {trainings(config)} trainings" in first and "declared, not measured" in first


def test_the_trainings_of_the_tuning_are_counted(tmp_path: Path) -> None:
    config = load(tmp_path, "smoke")
    known = configuration.losses(config)
    cells = list(configuration.all_cells(config))
    chosen = {loss: known[loss].on("digits") for _, _, loss in cells}
    values = sum(4 for loss in chosen.values() if loss.weight_decay == "tuned")
    values += sum(
        len(loss.choices[name])
        for loss in chosen.values()
        for name, value in loss.parameters.items()
        if value == "tuned"
    )
    seeds = config.scale.symmetrization.seeds
    assert trainings(config) == len(cells) * len(seeds) + values


def test_a_record_of_the_same_recipe_at_any_scale_replaces_the_declared_minutes(
    tmp_path: Path,
) -> None:
    config = load(tmp_path, "smoke")
    finished(config, seconds=36.0)
    first = next(iter(forecast.lines(config)))
    assert "from measured runs" in first
    jobs = len(list(configuration.all_cells(config))) + len(forecast._tuned(config))
    hours = (trainings(config) * 36.0 + jobs * forecast.START_SECONDS) / 3600
    assert f"{hours:.0f} h of one core" in first


def test_a_broken_record_is_passed_over(tmp_path: Path) -> None:
    config = load(tmp_path, "smoke")
    finished(config, seconds=36.0)
    path = next(Path(config.settings.results).rglob("summary.json"))
    path.write_text(json.dumps({"status": "finished"})[:-5])
    assert "declared, not measured" in next(iter(forecast.lines(config)))
