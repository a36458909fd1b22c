"""What the steps of the linearized study share: where files are, what was finished, records."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from firstorder import files, finished, memory, specs, streams
from firstorder.config import FAMILIES, Config, Family, Recipe, TangentModel
from firstorder.errors import DataError
from firstorder.paths import Paths
from firstorder.provenance import record
from firstorder.studies.data import paths
from firstorder.validation import lookup

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from firstorder.linearized.network import Measure
    from firstorder.linearized.outcome import Outcome
    from firstorder.linearized.tasks import Task

GAUSSIAN = "gaussian"
"""The folder of families whose inputs are drawn, not taken from a dataset."""

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Start:
    """One initialisation of a model on a support."""

    config: Config
    model: str
    support: str
    seed: int

    @property
    def declared(self) -> TangentModel:
        return lookup(self.config.studies.linearized.models, self.model, "model")

    @property
    def where(self) -> Paths:
        return paths(self.config)

    @property
    def dataset(self) -> str:
        """The dataset of the support."""
        return self.config.scale.linearized.supports[self.support].dataset

    @property
    def shape(self) -> Shape:
        """Of the support's images."""
        return self.config.datasets[self.dataset].shape

    def path(self, name: str) -> str:
        """A file of the initialisation."""
        return self.where.tangent(self.model, self.support, self.seed, name)

    def run(self, family: str, name: str) -> str:
        """A file of a family of tasks."""
        return self.where.tangent_run(self.model, self.support, self.seed, family, name)

    def build(self, shape: Shape, stream: str = "init") -> nn.Module:
        """A network with weights drawn from `stream` of the seed."""
        from firstorder import models

        generator = streams.torch_stream(self.seed, stream)
        parameters = self.declared.model_parameters
        return models.build(self.declared.model, 1, shape, generator=generator, **parameters)

    def load(self, shape: Shape, path: str) -> nn.Module:
        """A network with the weights of a file. Raises DataError when that is damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        module = self.build(shape)
        try:
            module.load_state_dict(load_file(path))
        except FileNotFoundError:
            raise DataError(f"{path}: no such file; ask Snakemake for it") from None
        except (SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: damaged ({reason}); delete it and run again") from None
        return module


@dataclass(frozen=True)
class Examples:
    """The examples of a support: first the training ones, then the test ones."""

    images: Tensor
    """(N, C, H, W) float32, standardised."""
    classes: Tensor
    """(N,) int64; -1 where the dataset has no labels."""
    train: int
    """Number of training examples."""


def examples(config: Config, support: str) -> Examples:
    """The first `train` and `test` examples of a fixed shuffle of a dataset."""
    import torch

    from firstorder.data.images import standardise
    from firstorder.data.prepared import read_prepared

    declared = lookup(config.scale.linearized.supports, support, "support")
    dataset = config.datasets[declared.dataset]
    prepared = read_prepared(paths(config).dataset(declared.dataset))
    images, classes = [], []
    for part, split, labels, count in (
        ("train", prepared.train_images, prepared.train_labels, declared.train),
        ("test", prepared.test_images, prepared.test_labels, declared.test),
    ):
        rows = streams.numpy_stream(0, f"support-{part}").permutation(len(split))[:count]
        images.append(torch.from_numpy(split[rows]))
        classes.append(torch.from_numpy(labels[rows]))
    pixels = standardise(torch.cat(images), dataset.mean, dataset.std)
    return Examples(pixels, torch.cat(classes), declared.train)


@dataclass(frozen=True)
class Job:
    """The trainings of one model, seed and family of tasks."""

    config: Config
    start: Start
    family: str
    code: str
    hashes: dict[str, str] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    """Bytes, by arm, of the training that needed most of those made here."""

    @classmethod
    def of(cls, config: Config, model: str, seed: int, family: str, code: str) -> Job:
        declared = lookup(config.scale.linearized.families, family, "family")
        return cls(config, Start(config, model, declared.support or GAUSSIAN, seed), family, code)

    @property
    def declared(self) -> Family:
        return self.config.scale.linearized.families[self.family]

    @property
    def recipe(self) -> Recipe:
        return self.config.recipes[self.declared.recipe]

    @property
    def kind(self) -> str:
        """Of the tasks: eigenfunctions, binary or nads."""
        return FAMILIES[self.family]

    @cached_property
    def examples(self) -> Examples:
        return examples(self.config, self.start.support)

    @property
    def shape(self) -> Shape:
        """Of the inputs."""
        if self.declared.support is None:
            side = int(self.declared.options.get("size", 32))
            return 1, side, side
        return self.start.shape

    def run(self, name: str) -> str:
        """A file of the family."""
        return self.start.run(self.family, name)

    def inputs(self, *names: str) -> list[str]:
        """What a step reads: the dataset, the named files and, for eigenfunctions, the spectrum."""
        return [
            *([self.start.where.dataset(self.start.dataset)] if self.declared.support else []),
            *(self.start.path(name) for name in names),
            *([self.start.path("spectrum.npz")] if self.kind == "eigenfunctions" else []),
        ]

    def identity(self, task: int, arm: str, inputs: Sequence[str], **more: Any) -> str:
        """Digest of everything that a training depends on."""
        for path in inputs:
            if path not in self.hashes:
                self.hashes[path] = files.sha256(path)
        return files.digest(
            [
                specs.kernel(self.config, self.start.model, self.start.support),
                self.recipe.model_dump(mode="json", exclude=specs.UNCOUNTED_OF_RECIPE),
                [self.start.seed, self.family, task, arm, more, self.code],
                [self.hashes[path] for path in inputs],
            ]
        )

    def recipe_for(self, task: Task) -> Recipe:
        """The recipe with a batch no larger than the training set."""
        batch = min(self.recipe.batch, len(task.rows))
        return self.recipe.model_copy(update={"batch": batch})

    def train(
        self,
        task: Task,
        arm: str,
        images: Tensor,
        device: torch.device,
        inputs: Sequence[str],
        measure: Measure | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Train the network on a task, unless that was finished before; keep its weights.

        `more` is what else the result depends on. An interrupted training goes on from its
        checkpoint.
        """
        from firstorder.linearized import network
        from firstorder.linearized.outcome import of_result
        from firstorder.training.checkpoint import Checkpoint, discard

        identity = self.identity(task.index, arm, inputs, **(more or {}))
        folder = Path(self.start.where.checkpoints)
        names = {"outcome.json": f"{folder}/{identity}.json"}
        if arm == "network":
            names["weights.safetensors"] = self.run(f"network-{task.index}.safetensors")
        if not finished.restore(folder / "finished" / identity, names):
            path = folder / f"{identity}.safetensors"
            module = self.start.load(self.shape, self.start.path("init.safetensors"))
            name, batch = self.declared.recipe, self.recipe.batch
            with memory.advising(f"lower {name}.batch (now {batch}) in config/recipes.yaml"):
                result = network.train(
                    module,
                    images[task.rows],
                    task.train_labels,
                    images[task.test_from :],
                    task.test_labels,
                    self.recipe_for(task),
                    self.start.seed,
                    device,
                    checkpoint=Checkpoint(path, identity, self.config.settings.checkpoint_seconds),
                    measure=measure,
                )
            self.peaks[arm] = max(self.peaks.get(arm, 0), result.peak_memory_bytes)
            if arm == "network":
                save_weights(names["weights.safetensors"], module)
            files.write_json(names["outcome.json"], asdict(of_result(result)))
            finished.keep(folder / "finished" / identity, names)
            discard(path)
        outcome = read_outcome(files.read_json(names["outcome.json"]))
        Path(names["outcome.json"]).unlink()
        return outcome

    def remember(self, identity: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The JSON-able result of `compute`, from where it was kept if it was made before."""
        path = Path(self.start.where.checkpoints) / "finished" / f"{identity}.json"
        found = finished.recall(path)
        if found is None:
            files.write_json(path, compute())
            found = files.read_json(path)
        return found

    def write(
        self,
        arm: str,
        outcomes: Mapping[int, Outcome],
        fields: Mapping[int, Mapping[str, Any]],
        inputs: Sequence[str],
        began: float,
        device: torch.device,
    ) -> None:
        """Write ARM.csv and ARM.json; `fields` describe the tasks."""
        from firstorder.linearized.outcome import COLUMNS, evaluated
        from firstorder.training.loop import peak_memory

        rows = [
            {"task": task} | row for task, outcome in outcomes.items() for row in evaluated(outcome)
        ]
        write_csv(self.run(f"{arm}.csv"), ("task", *COLUMNS), rows)
        tasks = {
            str(task): {
                "status": outcome.status,
                **{f"steps_to_{level}": step for level, step in outcome.first_below.items()},
                **fields[task],
                "seconds": outcome.seconds,
            }
            for task, outcome in outcomes.items()
        }
        spec = json.loads(specs.family(self.config, self.start.model, self.family))
        files.write_json(
            self.run(f"{arm}.json"),
            {
                "spec": spec | {"seed": self.start.seed, "arm": arm},
                "tasks": tasks,
                "seconds": time.perf_counter() - began,
                # Each training on a GPU starts the device's count afresh.
                "peak_memory_bytes": max(peak_memory(device), self.peaks.get(arm, 0)),
            }
            | record(self.config, self.code, list(inputs)),
        )


def read_outcome(values: Mapping[str, Any]) -> Outcome:
    """The inverse of `dataclasses.asdict`."""
    from firstorder.linearized.outcome import Outcome

    return Outcome(**values)


def save_weights(path: str, module: nn.Module) -> None:
    """Write a state dict atomically."""
    from safetensors.torch import save

    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    files.write_bytes(path, save(state))


def save_array(path: str, values: np.ndarray) -> None:
    """Write an npy file atomically."""
    # A file that is open for reading too gets its bytes from Python: what numpy writes by itself
    # fails on a full disk without saying why.
    with files.replacing(path) as temporary, open(temporary, "w+b") as stream:
        np.save(stream, values)


def read_array(path: str) -> Tensor:
    """An npy file as a tensor that maps it: nothing is read yet. DataError when damaged."""
    import torch

    try:
        return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; ask Snakemake for it") from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged ({reason}); delete it and run again") from None


def write_csv(path: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file atomically; floats with all their digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())
