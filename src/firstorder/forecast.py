"""How long a scale takes: from measured runs where there are some, else from what recipes declare.

Finished records below the results folder, of any scale, tell the seconds of a training with the
same recipe and dataset, or of a family with the same model, tasks and support, on the same kind of
device.
"""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstorder import config as configuration
from firstorder import files, specs
from firstorder.config import Cell, Config, Recipe

START_SECONDS = 0.5
"""Of a job before it computes, started warm: process and data."""
ARMS = ("network", "linear", "linear0", "retrained", "random")


@dataclass(frozen=True)
class Work:
    """Some jobs: seconds of one core or GPU that they need, and how many are measured."""

    seconds: float
    measured: int
    total: int


def lines(config: Config) -> Iterator[str]:
    """What will be computed, and a prediction of the time, by study."""
    device = "cuda" if _has_gpu(config) else "cpu"
    unit = "core" if device == "cpu" else "GPU"
    known = Path(config.settings.results)
    works: list[Work] = []
    if "symmetrization" in config.settings.studies:
        cells = list(configuration.all_cells(config))
        seeds = len(config.scale.symmetrization.seeds)
        work = _trainings(config, _rates(known, device), device)
        size = f"{len(cells)} cells x {seeds} seeds"
        if tuned := len(_tuned(config)):
            size += f" and {tuned} tunings"
        yield f"symmetrization: {size} = {_say(work, 'trainings', unit)}"
        works.append(work)
    if "linearized" in config.settings.studies:
        families = _family_rates(known, device)
        for name, family in config.scale.linearized.families.items():
            work = _family(config, name, families, device)
            what = f"{len(family.models)} models x {len(family.seeds)} seeds"
            tasks = f"{len(family.tasks)} tasks each"
            yield f"linearized, {name}: {what}, {tasks}: {_say(work, 'jobs', unit)}"
            works.append(work)
    total = sum(work.seconds for work in works)
    if device == "cpu":
        yield f"together about {_time(total / cores())} on {cores()} cores, if nothing else runs"
    else:
        yield f"together about {_time(total)} on one GPU, less with several"
    if any(work.measured < work.total for work in works):
        yield "declared times are what a scheduler is asked for, and generous; run one cell first:"
        yield "the forecast then follows what was measured"


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_gpu(config: Config) -> bool:
    if config.settings.device == "cpu":
        return False
    import torch

    return torch.cuda.is_available()


def _say(work: Work, noun: str, unit: str) -> str:
    if work.measured == work.total:
        source = "from measured runs"
    elif work.measured == 0:
        source = "declared, not measured"
    else:
        source = f"{work.measured} of them from measured runs, the rest as declared"
    return f"{work.total} {noun}, {_time(work.seconds)} of one {unit} ({source})"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def _trainings(config: Config, rates: dict[str, list[float]], device: str) -> Work:
    seconds, measured, total = 0.0, 0, 0
    cells = [configuration.cell(config, *names) for names in configuration.all_cells(config)]
    jobs = [(cell, len(cell.seeds)) for cell in cells]
    jobs += [(cell, configuration.tuning_trainings(config, cell)) for cell in _tuned(config)]
    for cell, trainings in jobs:
        spec = specs.cell_values(cell)
        known = rates.get(_key(spec["recipe"], spec["dataset"]))
        each = statistics.median(known) if known else 60.0 * cell.recipe.minutes
        seconds += START_SECONDS + trainings * each * _cores_of(cell.recipe, device)
        measured += trainings * bool(known)
        total += trainings
    return Work(seconds, measured, total)


def _tuned(config: Config) -> list[Cell]:
    """The cells of the tuning protocol that some cell takes hyper-parameters from."""
    pairs: dict[tuple[str, str], None] = {}
    for names in configuration.all_cells(config):
        if configuration.cell(config, *names).loss.tuned:
            pairs[names[0], names[2]] = None
    return [configuration.tuning_cell(config, *pair) for pair in pairs]


def _rates(results: Path, device: str) -> dict[str, list[float]]:
    """Seconds of finished trainings, by recipe and dataset."""
    found: dict[str, list[float]] = defaultdict(list)
    for path in results.glob("*/symmetrization/runs/*/*/*/seed*/summary.json"):
        record = _record(path)
        if record.get("status") == "finished" and str(record["device"]).startswith(device):
            spec = record["spec"]
            found[_key(spec["recipe"], spec["dataset"])].append(record["seconds"])
    return found


def _family(config: Config, name: str, rates: dict[str, list[float]], device: str) -> Work:
    family = config.scale.linearized.families[name]
    recipe = config.recipes[family.recipe]
    seconds, measured = 0.0, 0
    for model in family.models:
        known = rates.get(files.digest([model, specs.family(config, model, name)]))
        declared = 60.0 * recipe.minutes * len(family.tasks)
        each = statistics.median(known) if known else declared * _cores_of(recipe, device)
        seconds += len(family.seeds) * (3 * START_SECONDS + each)
        measured += len(family.seeds) * bool(known)
    return Work(seconds, measured, len(family.models) * len(family.seeds))


def _family_rates(results: Path, device: str) -> dict[str, list[float]]:
    """Core-seconds of all arms of finished families, by model and settings."""
    found: dict[str, list[float]] = defaultdict(list)
    for path in results.glob("*/linearized/*/*/seed*/runs/*/network.json"):
        record = _record(path)
        if not record or not str(record["device"]).startswith(device):
            continue
        spec = {key: value for key, value in record["spec"].items() if key not in ("arm", "seed")}
        arms = (_record(path.with_name(f"{arm}.json")) for arm in ARMS)
        seconds = sum(float(arm.get("seconds") or 0) for arm in arms)
        model = path.parts[-6]
        text = specs.compact(spec)
        threads = spec["recipe"]["threads"] if device == "cpu" else 1
        found[files.digest([model, text])].append(seconds * threads)
    return found


def _cores_of(recipe: Recipe, device: str) -> int:
    return recipe.threads if device == "cpu" else 1


def _key(recipe: dict[str, Any], dataset: str) -> str:
    return files.digest([recipe, dataset])


def _record(path: Path) -> dict[str, Any]:
    """A record, or nothing where it is absent or not whole."""
    try:
        return dict(files.read_json(path))
    except (OSError, ValueError):
        return {}
