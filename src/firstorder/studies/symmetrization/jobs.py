"""The jobs of the study: what each of its steps computes, from what, into what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firstorder import files
from firstorder.config import TUNED, Config, ConfigError, check_noise, lookup
from firstorder.data.steps import megabytes
from firstorder.jobs import functions
from firstorder.jobs.job import Demand, Files, Job
from firstorder.jobs.paths import paths
from firstorder.jobs.study import step
from firstorder.studies.symmetrization import candidates, grid
from firstorder.studies.symmetrization.grid import Cell, cell
from firstorder.studies.symmetrization.settings import NAME, scale

MODULE = f"firstorder.studies.{NAME}"
TRAINED = ("history.csv", "summary.json", "weights.safetensors", "correct.npz")
"""What a training leaves."""
CHANNELS = {"mean", "std"}
UNREAD_OF_RECIPE = {"source", "minutes", "memory_mb", *CHANNELS}
COSTLY = {
    "model", "model_parameters", "batch", "momentum", "nesterov", "weight_decay", "clip", "augment",
    "precision", "threads",
}  # fmt: skip
"""What of a recipe a training step takes its time for."""
READ_OF_LOSS = {"function", "parameters", "score_norm", "l1", "weight_decay", "lr"}
KEPT_AS_FLOAT = 2048
"""MiB of float32 pixels that training keeps at most: see `training.data.KEEP_BYTES`."""


def _images(config: Config, found: Cell) -> dict[str, Any]:
    """What a network sees of a dataset; the recipe's standardisation where it has its own."""
    dataset, recipe = config.datasets[found.dataset], found.recipe
    return {
        "shape": list(dataset.shape),
        "classes": len(dataset.classes),
        "mean": list(recipe.mean or dataset.mean),
        "std": list(recipe.std or dataset.std),
    }


def _training(config: Config, found: Cell) -> dict[str, Any]:
    """What decides the trainings of a cell, besides seeds and files."""
    return {
        "recipe_name": found.recipe_name,
        "recipe": found.recipe.model_dump(mode="json", exclude=UNREAD_OF_RECIPE),
        "images": _images(config, found),
        "loss": found.loss.model_dump(mode="json", include=READ_OF_LOSS),
    }


def _demand(config: Config, found: Cell, minutes: int) -> Demand:
    """Memory: what the recipe declares, the pixels as read, and as float32."""
    pixels = megabytes(config.datasets[found.dataset])
    return Demand(
        threads=found.recipe.threads,
        gpu=config.settings.device != "cpu",
        megabytes=found.recipe.memory_mb + 3 * pixels + min(4 * pixels, KEPT_AS_FLOAT),
        minutes=minutes,
    )


def _minutes(found: Cell, runs: int) -> int:
    """Time to train `runs` networks one after the other."""
    return 5 + found.recipe.minutes * runs


def _code(step: str, found: Cell) -> tuple[str, ...]:
    """The code of a step (`module:function`), of the loss and of the network."""
    loss = found.loss.function or ""
    return (f"{MODULE}.{step}", *functions.entries("losses", loss), *_network(found))


def _network(found: Cell) -> tuple[str, ...]:
    """The code of the network; `check` has refused recipes without one."""
    return functions.entries("models", found.recipe.model or "")


def _corrupted(config: Config, dataset: str, noise: str) -> Files:
    return {
        f"{seed}/labels.npz": grid.labels_file(config, dataset, noise, seed)
        for seed in grid.label_seeds(config)
    }


def _corrupt_job(config: Config, dataset: str, noise: str) -> Job:
    entry = lookup(config.datasets, dataset, "dataset")
    found = grid.noise(config, noise)
    check_noise(found, entry, dataset, f"noise {noise}")  # no artefact may ask for it
    spec: dict[str, Any] = {
        "seeds": list(grid.label_seeds(config)),
        "noise": grid.apart(found),
        "dataset": {"title": dataset, "classes": len(entry.classes)},
    }
    if found.kind == "asymmetric":
        spec["dataset"]["asymmetric"] = grid.asymmetric(entry)
    if found.blocks == "semantic":
        spec["dataset"]["semantic_groups"] = list(entry.semantic_groups)
    if found.kind == "instance":
        spec["dataset"] |= {"mean": list(entry.mean), "std": list(entry.std)}
    inputs = {"dataset": paths(config).dataset(dataset)}
    human = grid.human_file(entry, found)
    if human is not None:
        annotation = found.annotation or ""
        known = {key: entry.human_sha256[key] for key in [annotation] if key in entry.human_sha256}
        spec["dataset"] |= {
            "human": {annotation: entry.human[annotation]},
            "human_sha256": known,
            "test_from": entry.test_from,
            "test": entry.test,
        }
        inputs["human"] = paths(config).receipt(dataset, human.name)
    if found.path is not None:
        # A class may be named in a file of labels.
        spec["dataset"]["classes"] = list(entry.classes)
        # Known by what it holds, wherever it lies: a file that takes its place may be older.
        spec["sha256"] = files.sha256(Path(found.path).expanduser())
    return Job(
        step="corrupt",
        key=(dataset, noise),
        spec=spec,
        inputs=inputs,
        outputs=_corrupted(config, dataset, noise),
        code=(f"{MODULE}.labels:corrupt",),
        aside={"path": found.path},
    )


def _labels(config: Config, dataset: str, noise: str, seeds: tuple[int, ...]) -> dict[str, str]:
    """The prepared dataset, and the labels that were drawn for `seeds`."""
    drawn = {f"{seed}/labels.npz": grid.labels_file(config, dataset, noise, seed) for seed in seeds}
    return {"dataset": paths(config).dataset(dataset), **drawn}


def _trained(config: Config, setting: str, noise: str, loss: str) -> Files:
    return {
        f"{seed}/{name}": grid.run_file(config, setting, noise, loss, seed, name)
        for seed in scale(config).seeds
        for name in TRAINED
    }


def _train_job(config: Config, setting: str, noise: str, loss: str) -> Job:
    found, seeds = cell(config, setting, noise, loss), scale(config).seeds
    inputs = _labels(config, found.dataset, noise, seeds)
    if found.loss.tuned:
        inputs["tuned"] = grid.tuning_file(config, setting, loss)
    return Job(
        step="train",
        key=(setting, noise, loss),
        spec={"seeds": list(seeds), **_training(config, found), "split": None},
        inputs=inputs,
        outputs=_trained(config, setting, noise, loss),
        code=_code("training:train", found),
        demand=_demand(config, found, _minutes(found, len(seeds))),
    )


def _tuned(config: Config, setting: str, loss: str) -> Files:
    return {
        "chosen.json": grid.tuning_file(config, setting, loss),
        "tried.csv": grid.tuning_file(config, setting, loss, "csv"),
    }


def _tune_job(config: Config, setting: str, loss: str) -> Job:
    protocol = grid.tuning(config, loss)
    found = grid.tuned_cell(config, setting, loss)
    if not found.loss.tuned:
        raise ConfigError(f"loss {loss!r} has nothing that is `{TUNED}` on {found.dataset}")
    stages = candidates.stages(config, loss, found)
    trainings = len(protocol.seeds) * sum(len(stage["candidates"]) for stage in stages)
    return Job(
        step="tune",
        key=(setting, loss),
        spec={
            "seeds": list(protocol.seeds),
            **_training(config, found),
            "split": {"validation": protocol.validation, "seed": protocol.split_seed},
            "stages": stages,
        },
        inputs=_labels(config, found.dataset, protocol.noise, protocol.seeds),
        outputs=_tuned(config, setting, loss),
        code=_code("tuning:tune", found),
        demand=_demand(config, found, _minutes(found, trainings)),
    )


def _cost(config: Config, setting: str) -> Files:
    return {"cost.json": grid.cost_file(config, setting)}


def _cost_job(config: Config, setting: str) -> Job:
    lookup(scale(config).settings, setting, "setting")
    names = {loss: noise for own, noise, loss in grid.cells_read(config)["cost.json"]
             if own == setting}  # fmt: skip
    if not names:
        raise ConfigError(f"setting {setting!r}: no table or figure shows the cost of its losses")
    cells = {loss: cell(config, setting, noise, loss) for loss, noise in names.items()}
    found = next(iter(cells.values()))
    tuned = [name for name, each in cells.items() if each.loss.tuned]
    entries = (entry for each in cells.values() for entry in _code("cost:time_losses", each))
    return Job(
        step="time_losses",
        key=(setting,),
        spec={
            "recipe_name": found.recipe_name,
            "recipe": found.recipe.model_dump(mode="json", include=COSTLY),
            "images": _images(config, found),
            "losses": {
                name: each.loss.model_dump(mode="json", include=READ_OF_LOSS - {"lr"})
                for name, each in cells.items()
            },
            "tuned": tuned,
        },
        inputs={f"{name}/tuned": grid.tuning_file(config, setting, name) for name in tuned},
        outputs=_cost(config, setting),
        code=tuple(dict.fromkeys(entries)),
        demand=_demand(config, found, _minutes(found, 1)),
    )


def _evaluated(config: Config, setting: str, noise: str, loss: str) -> Files:
    return {
        f"{seed}/tests.json": grid.run_file(config, setting, noise, loss, seed, "tests.json")
        for seed in scale(config).seeds
    }


def _evaluate_job(config: Config, setting: str, noise: str, loss: str) -> Job:
    found = cell(config, setting, noise, loss)
    trained = {
        name: path
        for name, path in _trained(config, setting, noise, loss).items()
        if name.endswith(("weights.safetensors", "correct.npz"))
    }
    recipe = found.recipe.model_dump(mode="json")
    inputs = {"dataset": paths(config).dataset(found.dataset), **trained}
    if found.loss.score_norm == TUNED:
        inputs["tuned"] = grid.tuning_file(config, setting, loss)
    return Job(
        step="evaluate",
        key=(setting, noise, loss),
        spec={
            "seeds": list(scale(config).seeds),
            "recipe": {
                name: recipe[name] for name in ("model", "model_parameters", "augment", "threads")
            },
            "images": _images(config, found),
            "score_norm": found.loss.score_norm,
        },
        inputs=inputs,
        outputs=_evaluated(config, setting, noise, loss),
        code=(f"{MODULE}.evaluation:evaluate", *_network(found)),
        demand=_demand(config, found, 30),
    )


def _every_evaluation(config: Config) -> Iterator[tuple[str, str, str]]:
    yield from grid.cells_read(config)["tests.json"]


def _every_cost(config: Config) -> Iterator[tuple[str]]:
    read = grid.cells_read(config)["cost.json"]
    yield from dict.fromkeys((setting,) for setting, _, _ in read)


def _every_noise(config: Config) -> Iterator[tuple[str, str]]:
    """The (dataset, noise) of trainings, of tuning, and of what is read itself."""
    settings = scale(config).settings
    cells = [*grid.trainings(config), *grid.cells_read(config)["labels.npz"]]
    pairs = dict.fromkeys((settings[setting].dataset, noise) for setting, noise, _ in cells)
    for setting, loss in grid.tunings(config):
        pairs[settings[setting].dataset, grid.tuning(config, loss).noise] = None
    yield from pairs


CELL = ("setting", "noise", "loss")
PRELOAD = (
    "firstorder.data.images",
    "firstorder.data.noise",
    "firstorder.losses",
    "firstorder.models",
    "firstorder.training.loop",
)
"""The same for all steps, so that one process serves them."""

STEPS = (
    step(
        f"{MODULE}.labels:corrupt", ("dataset", "noise"),
        _corrupted, _corrupt_job, _every_noise, PRELOAD,
        help="Draw a NOISE on the training labels of DATASET, for every seed.",
    ),
    step(
        f"{MODULE}.training:train", CELL, _trained, _train_job, grid.trainings, PRELOAD,
        help="Train a network with a LOSS under a NOISE in a SETTING, for every seed.",
    ),
    step(
        f"{MODULE}.evaluation:evaluate", CELL,
        _evaluated, _evaluate_job, _every_evaluation, PRELOAD,
        help="Test trained networks on every test set of their dataset.",
    ),
    step(
        f"{MODULE}.cost:time_losses", ("setting",), _cost, _cost_job, _every_cost, PRELOAD,
        help="Time the training step of a SETTING with every loss, by turns.",
    ),
    step(
        f"{MODULE}.tuning:tune", ("setting", "loss"), _tuned, _tune_job, grid.tunings, PRELOAD,
        help="Choose the hyper-parameters of a LOSS that are tuned in a SETTING.",
    ),
)  # fmt: skip
