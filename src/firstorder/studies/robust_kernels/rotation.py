"""The step that trains networks under label noise and follows which way their kernel points."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from firstorder import arrays, files
from firstorder.config import ConfigError, Recipe
from firstorder.data import support
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.robust_kernels import examples

if TYPE_CHECKING:
    from torch import Tensor

ALIGNMENTS = ("clean_alignment", "noise_alignment", "rho")
COLUMNS = ("epoch", "test_accuracy", "train_accuracy", "wrong_fitted", *ALIGNMENTS)


class Margin(nn.Module):
    """A network of two outputs as one of one output, s_1 - s_0."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        scores = self.network(images)
        return scores[:, 1:] - scores[:, :1]


def follow_rotation(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Train one network per seed with a loss on two classes, 0 and 1, some labels being wrong.

    Every loss has the recipe's learning rate times the ratio of cross-entropy's slope at equal
    scores to its own, without normalised scores: first steps would be alike if initial scores were
    equal, and are so roughly. rotation.csv: epochs in which the test set or the kernel was
    measured. correct.npz: which test examples are right at the end, `seedN` (M,) bool.
    """
    began = time.perf_counter()
    device = context.torch_device(spec["recipe"]["threads"])
    rows: list[dict[str, Any]] = []
    correct: dict[str, np.ndarray] = {}
    statuses: dict[str, str] = {}
    for seed in spec["seeds"]:
        part = {**{k: v for k, v in spec.items() if k != "seeds"}, "seed": seed}
        identity = context.identity(part, inputs)
        found = context.once(identity, partial(_train, part, inputs, identity, context, device))
        rows += [{"seed": seed, **row} for row in found["rows"]]
        statuses[str(seed)] = found["status"]
        correct[f"seed{seed}"] = np.array(found["correct"], bool)
    files.write_csv(outputs["rotation.csv"], rows)
    arrays.write(outputs["correct.npz"], **correct)
    record = {"spec": dict(spec), "status": statuses, "seconds": time.perf_counter() - began}
    files.write_json(outputs["rotation.json"], record | context.record(inputs.values()))


def _train(
    part: Spec, inputs: Files, identity: str, context: Context, device: torch.device
) -> dict[str, Any]:
    """One training: its rows, its status, which test examples it gets right."""
    from firstorder import losses
    from firstorder.linearized.multiclass import first_slope
    from firstorder.losses import normalisation
    from firstorder.training import loop
    from firstorder.training.checkpoint import Checkpoint
    from firstorder.training.data import Data

    train, test = support.images(inputs["dataset"], part)
    positive = torch.tensor(part["positive"])
    clean, true = (
        torch.isin(own, positive).long() for own in support.labels(inputs["dataset"], part)
    )
    given = examples.noisy(clean, part["rate"], 2, "remainder", part["seed"])
    loss = losses.build(part["loss"]["function"], 2, **part["loss"]["parameters"])
    reference = first_slope(losses.build("ce", 2).values, 2)
    recipe = Recipe.model_validate(part["recipe"])
    ratio = reference / first_slope(loss.values, 2)
    points = slice(0, part["points"])
    if bool((clean[points] == given[points]).all()):
        raise ConfigError(
            f"networks: none of the first {part['points']:,} training examples has a wrong label, "
            "and rho needs some; raise `points`"
        )
    watched = train[points].to(device)

    def turn(epoch: int, module: nn.Module, row: Any) -> dict[str, float | int | None]:
        if epoch not in part["epochs"]:
            return dict.fromkeys(ALIGNMENTS)
        return _alignments(module, watched, clean[points], given[points], part["memory_gib"])

    module = examples.network(part, 2, part["seed"])
    result = loop.train(
        module,
        Data(train, given, clean, test, true),
        recipe.model_copy(update={"lr": recipe.lr * ratio}),
        loss,
        part["seed"],
        device,
        normaliser=normalisation.build(part["loss"]["score_norm"], 2),
        checkpoint=Checkpoint(context.checkpoint(identity), identity, context.checkpoint_seconds),
        on_epoch=turn,
        record_start=True,
    )
    measured = set(part["epochs"])
    kept = [
        row
        for row in result.history
        if row["test_accuracy"] is not None or row["epoch"] in measured
    ]
    right = np.zeros(0, bool) if result.correct is None else result.correct.cpu().numpy()
    return {
        "rows": [{name: row[name] for name in COLUMNS} for row in kept],
        "status": result.status,
        "correct": right.astype(int).tolist(),
    }


def _alignments(
    module: nn.Module, watched: Tensor, clean: Tensor, given: Tensor, memory_gib: float
) -> dict[str, float | int | None]:
    """Of the kernel of the margin s_1 - s_0, without its mean, with clean labels and noise.

    None for what is not finite: a diverged network's, and rho of a kernel that is zero, as where
    all hidden units are dead.
    """
    from firstorder.linearized import noise_alignment, normalised
    from firstorder.linearized.kernel import ntk

    margin = Margin(module).eval()
    kernel = ntk(margin, watched, memory_gib=memory_gib)
    normalised.centre_(kernel)
    found = noise_alignment.alignments(kernel, clean, given, 2)
    return {
        name: value if math.isfinite(value) else None
        for name, value in zip(ALIGNMENTS, (*found, found.rho), strict=True)
    }
