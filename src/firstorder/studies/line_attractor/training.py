"""The step that trains the networks of a corpus and a cell."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from firstorder import arrays, files
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.line_attractor.grid import TRAINED

if TYPE_CHECKING:
    from firstorder.training.sequences import SequenceResult

log = logging.getLogger("firstorder")

HISTORY = (
    "epoch", "lr", "train_loss", "grad_norm", "validation_loss", "validation_accuracy",
)  # fmt: skip


def train_rnn(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Train a network for every seed; write what TRAINED names.

    weights and untrained: parameters of the best epoch and as drawn; history.csv: HISTORY;
    correct.npz: correct, bits of the test documents packed into uint8, and their count;
    summary.json: status, best epoch, accuracies, seconds. A network that diverged in its first
    epoch has no accuracy, a count of 0, and the weights that were drawn.

    A seed that was finished before is put back; one that was interrupted goes on.
    """
    from firstorder.data.text import documents
    from firstorder.training import sequences
    from firstorder.training.checkpoint import Checkpoint
    from firstorder.training.sequence_recipe import SequenceRecipe

    recipe = SequenceRecipe(**spec["recipe"])
    device = context.torch_device(1)
    words, splits = documents.load(inputs["documents"])
    for seed in spec["seeds"]:
        own = {name: outputs[f"{seed}/{name}"] for name in TRAINED}
        part = {"recipe": spec["recipe"], "seed": seed}
        identity = context.identity(part, inputs)
        if context.restore(identity, own):
            log.info("seed %d was finished before; its files are put back", seed)
            continue
        log.info("seed %d", seed)
        checkpoint = context.checkpoint(identity)
        result = sequences.train(
            recipe,
            len(words),
            splits["train"],
            splits["validation"],
            seed,
            device,
            test=splits["test"],
            checkpoint=Checkpoint(checkpoint, identity, context.checkpoint_seconds),
            progress=True,
        )
        write(own, result)
        record = summary(part, result) | context.record(inputs.values())
        files.write_json(own["summary.json"], record)
        context.keep(identity, own)
        files.discard(checkpoint)


def write(own: Files, result: SequenceResult) -> None:
    """Weights, history and correctness of one training."""
    from safetensors.torch import save

    for name, parameters in (("weights", result.parameters), ("untrained", result.untrained)):
        state = {key: value.contiguous() for key, value in parameters.items()}
        files.write_bytes(own[f"{name}.safetensors"], save(state))
    files.write_csv(own["history.csv"], result.history, HISTORY)
    right = None if result.correct is None else result.correct.numpy()
    arrays.write_bits(own["correct.npz"], right)


def summary(part: dict[str, Any], result: SequenceResult) -> dict[str, Any]:
    """The record of one training, without its provenance."""
    right = result.correct
    best = result.history[result.best_epoch - 1] if result.best_epoch else {}
    return {
        "spec": part,
        "seed": part["seed"],
        "status": result.status,
        "epochs_run": len(result.history),
        "best_epoch": result.best_epoch,
        "validation_accuracy": best.get("validation_accuracy"),
        "test_accuracy": None if right is None else float(right.float().mean()),
        "steps": result.steps,
        "seconds": result.seconds,
        "seconds_per_step": result.seconds_per_step,
        "trained_on": result.device,
    }
