"""The step that trains the networks of a cell, and what a single training is."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from firstorder import arrays, files, memory, streams
from firstorder.config import TUNED, Recipe
from firstorder.errors import DataError
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.symmetrization.labels import read_labels, wrong_shares

if TYPE_CHECKING:
    from firstorder.losses.registry import Loss
    from firstorder.training.loop import Result

log = logging.getLogger("firstorder")


def train(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Train a cell for every seed; write history, summary, weights and correctness of each.

    A seed that was finished before, with the same settings, code and inputs, is taken from
    where it was kept; one that was interrupted goes on from its checkpoint. Of a tuning only
    what it chose counts.
    """
    loss, tuned = spec["loss"], [inputs["tuned"]] if "tuned" in inputs else []
    for path in tuned:
        loss = with_chosen(loss, read_tuned(path)["chosen"])
    for seed in spec["seeds"]:
        of_seed = f"{seed}/"
        own = {
            key.removeprefix(of_seed): path
            for key, path in outputs.items()
            if key.startswith(of_seed)
        }
        training = part(spec, loss, seed)
        read = inputs_of(inputs, seed)
        identity = context.identity(training, read)
        if context.restore(identity, own):
            log.info("seed %d was finished before; its files are put back", seed)
            continue
        log.info("seed %d", seed)
        with advising(spec):
            run = fit(training, read, identity, context)
        _write_history(own["history.csv"], run.result)
        _write_weights(own["weights.safetensors"], run)
        # Of the test examples, in the order of the prepared set, after the last epoch.
        right = run.result.correct
        arrays.write_bits(own["correct.npz"], None if right is None else right.numpy())
        record = context.record([*read.values(), *tuned])
        files.write_json(
            own["summary.json"], {**summary(training, run.result), **run.facts, **record}
        )
        context.keep(identity, own)
        files.discard(context.checkpoint(identity))


def with_chosen(loss: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """A loss with what tuning chose; a penalty that is still to be chosen is the recipe's."""
    parameters = {name: chosen.get(name, value) for name, value in loss["parameters"].items()}
    found = {**loss, "parameters": parameters}
    if loss["weight_decay"] == TUNED:
        found["weight_decay"] = chosen.get("weight_decay", 0.0 if loss["l1"] else None)
        found["l1"] = chosen.get("l1", loss["l1"])
    if loss.get("lr") == TUNED:
        found["lr"] = chosen["lr"]
    if loss["score_norm"] == TUNED:
        found["score_norm"] = chosen["score_norm"]
    return found


def part(spec: Spec, loss: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """All that decides one training, besides its files; `loss` has what tuning chose."""
    shared = {name: spec[name] for name in ("recipe", "images", "split")}
    return {**shared, "loss": dict(loss), "seed": seed}


def inputs_of(inputs: Files, seed: int) -> dict[str, str]:
    """The files that the training of a seed reads."""
    return {"dataset": inputs["dataset"], "labels": inputs[f"{seed}/labels.npz"]}


def advising(spec: Spec) -> Any:
    """Turn a shortage of memory into one line with the key to change."""
    name, batch = spec["recipe_name"], spec["recipe"]["batch"]
    return memory.advising(f"lower {name}.batch (now {batch}) in config/recipes.yaml")


@dataclass
class Run:
    """A finished or diverged training, with what it trained."""

    result: Result
    weights: dict[str, Any]
    """The network's and the normaliser's state, by prefixed name."""
    facts: dict[str, float | None]
    """See `first_steps` and `labels.wrong_shares`."""


def fit(training: Mapping[str, Any], read: Files, identity: str, context: Context) -> Run:
    """Train one network (see `part`), from its checkpoint if there is one."""
    from firstorder import losses, models
    from firstorder.data.images import seen_shape
    from firstorder.models.state import state_of
    from firstorder.training import loop
    from firstorder.training.checkpoint import Checkpoint

    recipe, seed = Recipe.model_validate(training["recipe"]), training["seed"]
    pixels, chosen = training["images"], training["loss"]
    if chosen["lr"] is not None:
        recipe = recipe.model_copy(update={"lr": float(chosen["lr"])})
    classes, device = pixels["classes"], context.torch_device(recipe.threads)
    module = models.build(
        recipe.model or "",
        classes,
        seen_shape(tuple(pixels["shape"]), recipe.augment),
        generator=streams.torch_stream(seed, "init"),
        **recipe.model_parameters,
    )
    data = read_data(training, read)
    wrong = wrong_shares(data.labels.numpy(), data.clean.numpy())
    log.info("%.2f %% of the labels are wrong", 100 * (wrong["wrong_labels"] or 0.0))
    data = data.to(device)
    loss = losses.build(chosen["function"], classes, **chosen["parameters"])
    settings = settings_of(chosen, pixels, recipe)
    result = loop.train(
        module,
        data,
        recipe,
        loss.fit(data.labels),
        seed,
        device,
        checkpoint=Checkpoint(context.checkpoint(identity), identity, context.checkpoint_seconds),
        progress=True,
        **settings,
    )
    weights = {
        f"{prefix}.{name}": tensor
        for prefix, trained in (("network", module), ("normaliser", settings["normaliser"]))
        for name, tensor in state_of(trained).items()
    }
    return Run(result, weights, first_steps(loss, recipe, len(data.labels)) | wrong)


def settings_of(
    chosen: Mapping[str, Any], pixels: Mapping[str, Any], recipe: Recipe
) -> dict[str, Any]:
    """What the entries of a loss and of a dataset say of a training, as the loop's arguments."""
    from firstorder.data import images
    from firstorder.losses import normalisation

    decay = chosen["weight_decay"]
    return {
        "normaliser": normalisation.build(chosen["score_norm"], pixels["classes"]),
        "l1": chosen["l1"],
        "weight_decay": recipe.weight_decay if decay is None else float(decay),
        "standardise": partial(images.standardise, mean=pixels["mean"], std=pixels["std"]),
    }


def first_steps(loss: Loss, recipe: Recipe, examples: int) -> dict[str, float | None]:
    """kappa of a loss, and the effective steps of its schedule (see `losses.equal_components`).

    Both are about the scores that the loss sees, after normalisation if there is any.
    """
    from firstorder.losses.equal_components import effective_steps, equal_components
    from firstorder.training.data import batch_sizes
    from firstorder.training.schedule import learning_rate

    count = len(batch_sizes(examples, recipe))
    rates = (
        learning_rate(recipe, epoch, step, count)
        for epoch in range(1, recipe.epochs + 1)
        for step in range(count)
    )
    kappa = equal_components(loss).kappa
    if not math.isfinite(kappa):  # of a loss of the user's that is not a number
        return {"kappa": None, "effective_steps": None}
    return {"kappa": kappa, "effective_steps": effective_steps(rates, kappa, recipe.momentum)}


def read_data(training: Mapping[str, Any], read: Files) -> Any:
    """The images, noisy and clean labels of a training, as the training loop takes them."""
    import torch

    from firstorder.data.prepared import label_problem, read_prepared
    from firstorder.training.data import Data

    prepared = read_prepared(read["dataset"])
    path = read["labels"]
    drawn = read_labels(path)
    if not np.array_equal(drawn["clean"], prepared.train_labels):
        raise DataError(
            f"{path}: drawn for other labels than the dataset holds; delete it and run again"
        )
    classes = training["images"]["classes"]
    problem = label_problem(drawn["labels"], len(drawn["clean"]), classes)
    if problem is not None:
        raise DataError(f"{path}: {problem}; delete it and run again")
    rows = _rows(prepared.train_labels, training["recipe"]["train"])
    test_images, test_labels = prepared.test_images, prepared.test_labels
    if training["split"] is not None:
        rows, held_out = split(rows, training["split"])
        test_images = prepared.train_images[held_out]
        test_labels = prepared.train_labels[held_out]
    return Data(
        images=torch.from_numpy(prepared.train_images[rows]),
        labels=torch.from_numpy(drawn["labels"][rows]),
        clean=torch.from_numpy(prepared.train_labels[rows]),
        test_images=torch.from_numpy(test_images),
        test_labels=torch.from_numpy(test_labels),
    )


def _rows(clean: np.ndarray, count: int | None) -> np.ndarray:
    """The training examples that a recipe uses, the same for every seed."""
    from firstorder.data.subset import stratified_subset

    if count is None:
        return np.arange(len(clean))
    return stratified_subset(clean, count, streams.numpy_stream(0, "subset"))


def split(rows: np.ndarray, protocol: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The tuning split: examples to train on, examples to validate on."""
    order = streams.numpy_stream(protocol["seed"], "split").permutation(rows)
    held_out = round(len(rows) * protocol["validation"])
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def read_tuned(path: str) -> dict[str, Any]:
    """The record of a tuning. Raises DataError when it is missing or damaged."""
    try:
        found = files.read_json(path)
    except (FileNotFoundError, ValueError):
        found = None
    if not isinstance(found, dict) or "chosen" not in found:
        raise DataError(f"{path}: missing or damaged; delete it and ask Snakemake for it")
    return found


def summary(training: Mapping[str, Any], result: Result) -> dict[str, Any]:
    """The record of one training, without its provenance."""
    return {
        "spec": dict(training),
        "seed": training["seed"],
        "status": result.status,
        "epochs_run": len(result.history),
        "last": result.last,
        "best": result.best,
        "final": result.final,
        "seconds": result.seconds,
        "seconds_per_step": result.seconds_per_step,
        "trained_on": result.device,
        "peak_memory_bytes": result.peak_memory_bytes,
    }


def _write_history(path: str, result: Result) -> None:
    from firstorder.training.metrics import COLUMNS

    files.write_csv(path, result.history, () if result.history else COLUMNS)


def _write_weights(path: str, run: Run) -> None:
    from safetensors.torch import save

    from firstorder.training.checkpoint import apart

    files.write_bytes(path, save(apart(run.weights)))
