"""The step that chooses hyper-parameters by the tuning protocol."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from firstorder import files
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.symmetrization.training import (
    advising,
    fit,
    inputs_of,
    part,
    table,
    with_chosen,
)

log = logging.getLogger("firstorder")


def tune(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Choose the hyper-parameters of a loss that are `tuned`, one after the other.

    The tuning protocol: noise on the whole training set, a fixed split, training on the noisy
    part, the mean clean accuracy at the last epoch on the rest decides. A tie goes to the value
    that is listed first. What comes later has meanwhile its first value, a penalty the recipe's.
    """
    own = context.identity(spec, inputs)
    if context.restore(own, outputs):
        log.info("tuned before; its files are put back")
        return
    grids = spec["grids"]
    chosen = {name: values[0] for name, values in grids if name in spec["loss"]["parameters"]}
    rows: list[dict[str, Any]] = []
    reached = 0.0
    for name, values in grids:
        means: list[float] = []
        for value in values:
            loss = with_chosen(spec["loss"], {**chosen, name: value})
            accuracies = []
            for seed in spec["seeds"]:
                with advising(spec):
                    accuracies.append(validation_accuracy(spec, loss, seed, inputs, context))
                keys = {"parameter": name, "value": value, "seed": seed}
                rows.append({**keys, "validation_accuracy": accuracies[-1]})
            means.append(float(np.mean([accuracy or 0.0 for accuracy in accuracies])))
        reached = max(means)
        chosen[name] = values[means.index(reached)]
    files.write_text(outputs["tried.csv"], table(rows))
    record = {"chosen": chosen, "validation_accuracy": reached, "spec": dict(spec)}
    files.write_json(outputs["chosen.json"], record | context.record(inputs.values()))
    context.keep(own, outputs)


def validation_accuracy(
    spec: Spec, loss: Mapping[str, Any], seed: int, inputs: Files, context: Context
) -> float | None:
    """Clean accuracy on the held-out part after a training; None when that diverged."""
    training, read = part(spec, loss, seed), inputs_of(inputs, seed)
    identity = context.identity(training, read)
    found = context.recall(identity)
    if found is None:
        run = fit(training, read, identity, context)
        last = run.result.last if run.result.status == "finished" else None
        found = {"accuracy": last["test_accuracy"] if last else None}
        context.remember(identity, found)
        run.discard_checkpoint()
    return found["accuracy"]
