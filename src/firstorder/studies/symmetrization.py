"""The steps of the symmetrization study: noisy labels, trainings, tuning."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firstorder import config as configuration
from firstorder import files, finished, memory, specs, streams
from firstorder.config import TUNED, Cell, Config
from firstorder.config import Loss as LossEntry
from firstorder.errors import ConfigError, DataError
from firstorder.paths import Paths
from firstorder.provenance import record
from firstorder.studies.data import paths

if TYPE_CHECKING:
    from firstorder.training.loop import Result

log = logging.getLogger("firstorder")

OUTPUTS = ("history.csv", "summary.json", "weights.safetensors")


def labels(config: Config, dataset: str, noise_name: str) -> None:
    """Draw a noise on the training labels of `dataset`, once for every seed."""
    from firstorder.data import noise as corruption
    from firstorder.data.prepared import read_prepared

    where = paths(config)
    noise = configuration.noise(config, noise_name)
    prepared = read_prepared(where.dataset(dataset))
    human = configuration.human_files(config, dataset, noise_name)
    clean = prepared.train_labels
    for seed in configuration.label_seeds(config):
        drawn = corruption.corrupt(
            clean,
            noise,
            config.datasets[dataset],
            seed,
            images=prepared.train_images,
            human=where.raw(dataset, human[0].name) if human else None,
        )
        with files.replacing(where.labels(dataset, noise_name, seed)) as temporary:
            np.savez(
                temporary,
                labels=drawn.labels,
                flipped=drawn.flipped,
                realised=drawn.realised,
                clean=clean,
            )


def train(config: Config, cell: Cell, code: str = "") -> None:
    """Train a cell for every seed and write history, summary and weights of each.

    A seed that was finished before, with the same settings, code and inputs, is taken from
    where it was kept; one that was interrupted goes on from its checkpoint.
    """
    where = paths(config)
    trainings = Trainings(config, cell, code)
    for seed in cell.seeds:
        names = {
            name: where.run(cell.setting, cell.noise_name, cell.loss_name, seed, name)
            for name in OUTPUTS
        }
        inputs = trainings.inputs(seed)
        identity = trainings.identity(seed, inputs)
        kept = f"{where.checkpoints}/finished/{identity}"
        if finished.restore(kept, names):
            log.info("seed %d was finished before; its files are put back", seed)
            continue
        log.info("seed %d", seed)
        run = trainings.run(seed, identity)
        _write_history(names["history.csv"], run.result)
        _write_weights(names["weights.safetensors"], run)
        files.write_json(
            names["summary.json"], summary(cell, seed, run.result) | record(config, code, inputs)
        )
        finished.keep(kept, names)
        run.discard_checkpoint()


def tune(config: Config, cell: Cell, code: str = "") -> None:
    """Choose the hyper-parameters of a loss that are `tuned`, one after the other.

    The tuning protocol: noise on the whole training set, a fixed split, training on the noisy
    part, the mean clean accuracy at the last epoch on the rest decides. A tie goes to the value
    that is listed first. What comes later has meanwhile its first value, a penalty the recipe's.
    """
    where = paths(config)
    protocol = config.scale.symmetrization.tuning
    assert protocol is not None
    grids = configuration.tuning_grids(config, cell.loss)
    chosen = {name: grids[name][0] for name in cell.loss.tuned_parameters}
    rows: list[dict[str, Any]] = []
    inputs: list[str] = []
    reached = 0.0
    for name, values in grids.items():
        means: list[float] = []
        for value in values:
            loss = with_chosen(cell.loss, {**chosen, name: value})
            trainings = Trainings(config, cell.model_copy(update={"loss": loss}), code)
            accuracies = []
            for seed in cell.seeds:
                inputs = trainings.inputs(seed)
                accuracies.append(_validation_accuracy(trainings, seed, inputs))
                keys = {"parameter": name, "value": value, "seed": seed}
                rows.append({**keys, "validation_accuracy": accuracies[-1]})
            means.append(float(np.mean([accuracy or 0.0 for accuracy in accuracies])))
        reached = max(means)
        chosen[name] = values[means.index(reached)]
    files.write_text(where.tuning_run(cell.setting, cell.loss_name), _csv(rows))
    files.write_json(
        where.tuned(cell.setting, cell.loss_name),
        {
            "chosen": chosen,
            "validation_accuracy": reached,
            "spec": specs.cell_values(cell),
            "protocol": protocol.model_dump(mode="json"),
        }
        | record(config, code, inputs),
    )


def _validation_accuracy(trainings: Trainings, seed: int, inputs: list[str]) -> float | None:
    """Clean accuracy on the held-out part after a training; None when that diverged."""
    identity = trainings.identity(seed, inputs)
    kept = f"{trainings.where.checkpoints}/finished/{identity}.json"
    found = finished.recall(kept)
    if found is None:
        run = trainings.run(seed, identity)
        last = run.result.last if run.result.status == "finished" else None
        found = {"accuracy": last["test_accuracy"] if last else None}
        files.write_json(kept, found)
        run.discard_checkpoint()
    return found["accuracy"]


def with_chosen(loss: LossEntry, chosen: Mapping[str, Any]) -> LossEntry:
    """A loss with what tuning chose; a penalty that is still to be chosen is the recipe's."""
    update: dict[str, Any] = {
        "parameters": {name: chosen.get(name, value) for name, value in loss.parameters.items()}
    }
    if loss.weight_decay == TUNED:
        update["weight_decay"] = chosen.get("weight_decay", 0.0 if loss.l1 else None)
        update["l1"] = chosen.get("l1", loss.l1)
    return loss.model_copy(update=update)


@dataclass
class Run:
    """A finished or diverged training, with what it trained."""

    result: Result
    weights: dict[str, Any]
    """The network's and the normaliser's state, by prefixed name."""
    checkpoint: Path

    def discard_checkpoint(self) -> None:
        """Remove the checkpoint: the results are on disk."""
        from firstorder.training.checkpoint import discard

        discard(self.checkpoint)


class Trainings:
    """The trainings of a cell: what they share is loaded once, when the first one runs."""

    def __init__(self, config: Config, cell: Cell, code: str) -> None:
        self.config, self.cell, self.code = config, cell, code
        self.where: Paths = paths(config)
        self.dataset = config.datasets[cell.dataset]
        self.hashes: dict[str, str] = {}
        self.loss = cell.loss
        if cell.loss.tuned and not cell.tuning:
            self.loss = with_chosen(
                cell.loss, read_tuned(self.where.tuned(cell.setting, cell.loss_name))["chosen"]
            )

    def inputs(self, seed: int) -> list[str]:
        """The files that the training of `seed` reads."""
        return [
            self.where.dataset(self.cell.dataset),
            self.where.labels(self.cell.dataset, self.cell.noise_name, seed),
            *(
                [self.where.tuned(self.cell.setting, self.cell.loss_name)]
                if self.cell.loss.tuned and not self.cell.tuning
                else []
            ),
        ]

    def identity(self, seed: int, inputs: list[str]) -> str:
        """Digest of everything that the training of `seed` depends on."""
        for path in inputs:
            if path not in self.hashes:
                self.hashes[path] = files.sha256(path)
        values = specs.cell_values(self.cell)
        del values["seeds"]
        return files.digest([values, seed, self.code, [self.hashes[path] for path in inputs]])

    def run(self, seed: int, identity: str) -> Run:
        """Train the network of `seed`, from its checkpoint if there is one."""
        name = self.config.scale.symmetrization.settings[self.cell.setting].recipe
        batch = self.cell.recipe.batch
        with memory.advising(f"lower {name}.batch (now {batch}) in config/recipes.yaml"):
            return self._run(seed, identity)

    def _run(self, seed: int, identity: str) -> Run:
        import torch

        from firstorder import losses, models
        from firstorder.data import images
        from firstorder.losses import normalisation
        from firstorder.training import loop
        from firstorder.training.checkpoint import Checkpoint
        from firstorder.training.device import choose

        recipe = self.cell.recipe
        torch.set_num_threads(recipe.threads)
        device = choose(self.config.settings.device)
        classes = len(self.dataset.classes)
        mean, std = configuration.channel_statistics(self.config, self.cell)
        module = models.build(
            recipe.model,
            classes,
            self.dataset.shape,
            generator=streams.torch_stream(seed, "init"),
            **recipe.model_parameters,
        )
        normaliser = normalisation.build(self.loss.score_norm, classes)
        data = self.data(seed).to(device)
        loss = losses.build(str(self.loss.function), classes, **self.loss.parameters)
        checkpoint = Path(self.where.checkpoints) / f"{identity}.safetensors"
        decay = self.loss.weight_decay
        result = loop.train(
            module,
            data,
            recipe,
            loss.fit(data.labels),
            seed,
            device,
            normaliser=normaliser,
            l1=self.loss.l1,
            weight_decay=None if decay is None else float(decay),
            standardise=lambda batch: images.standardise(batch, mean, std),
            checkpoint=Checkpoint(checkpoint, identity, self.config.settings.checkpoint_seconds),
            progress=True,
        )
        weights = {
            f"{prefix}.{name}": tensor
            for prefix, part in (("network", module), ("normaliser", normaliser))
            for name, tensor in part.state_dict().items()
        }
        return Run(result, weights, checkpoint)

    def data(self, seed: int) -> Any:
        """The images, noisy and clean labels of a seed, as the training loop takes them."""
        import torch

        from firstorder.data.prepared import label_problem, read_prepared
        from firstorder.training.data import Data

        prepared = read_prepared(self.where.dataset(self.cell.dataset))
        path = self.where.labels(self.cell.dataset, self.cell.noise_name, seed)
        drawn = read_labels(path)
        if not np.array_equal(drawn["clean"], prepared.train_labels):
            raise DataError(
                f"{path}: drawn for other labels than the dataset holds; delete it and run again"
            )
        problem = label_problem(drawn["labels"], len(drawn["clean"]), len(self.dataset.classes))
        if problem is not None:
            raise DataError(f"{path}: {problem}; delete it and run again")
        rows = self.rows(prepared.train_labels)
        test_images, test_labels = prepared.test_images, prepared.test_labels
        if self.cell.tuning:
            rows, held_out = self.split(rows)
            test_images = prepared.train_images[held_out]
            test_labels = prepared.train_labels[held_out]
        return Data(
            images=torch.from_numpy(prepared.train_images[rows]),
            labels=torch.from_numpy(drawn["labels"][rows]),
            clean=torch.from_numpy(prepared.train_labels[rows]),
            test_images=torch.from_numpy(test_images),
            test_labels=torch.from_numpy(test_labels),
        )

    def rows(self, clean: np.ndarray) -> np.ndarray:
        """The training examples that the recipe uses, the same for every seed."""
        from firstorder.data.subset import stratified_subset

        count = self.cell.recipe.train
        if count is None:
            return np.arange(len(clean))
        return stratified_subset(clean, count, streams.numpy_stream(0, "subset"))

    def split(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The tuning split: examples to train on, examples to validate on."""
        protocol = self.config.scale.symmetrization.tuning
        if protocol is None:
            raise ConfigError("tuning: this scale declares no symmetrization.tuning")
        order = streams.numpy_stream(protocol.split_seed, "split").permutation(rows)
        held_out = round(len(rows) * protocol.validation)
        return np.sort(order[held_out:]), np.sort(order[:held_out])


def read_tuned(path: str) -> dict[str, Any]:
    """The record of a tuning. Raises DataError when it is missing or damaged."""
    found = finished.recall(path)
    if found is None or "chosen" not in found:
        raise DataError(f"{path}: missing or damaged; delete it and ask Snakemake for it")
    return found


def read_labels(path: str) -> dict[str, np.ndarray]:
    """The arrays of a noisy-label file. Raises DataError when it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in ("labels", "clean", "flipped", "realised")}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; ask Snakemake for it") from None
    except Exception as error:  # zipfile, struct and zlib each raise their own
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged ({reason}); delete it and run again") from None


def summary(cell: Cell, seed: int, result: Result) -> dict[str, Any]:
    """The record of one training, without its provenance."""
    return {
        "spec": specs.cell_values(cell),
        "seed": seed,
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

    empty = io.StringIO()
    csv.DictWriter(empty, COLUMNS, lineterminator="\n").writeheader()
    files.write_text(path, _csv(result.history) if result.history else empty.getvalue())


def _write_weights(path: str, run: Run) -> None:
    from safetensors.torch import save

    state = {name: value.cpu().contiguous() for name, value in run.weights.items()}
    files.write_bytes(path, save(state))


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
