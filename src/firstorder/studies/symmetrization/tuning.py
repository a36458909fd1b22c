"""The step that chooses hyper-parameters by the tuning protocol."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from firstorder import files
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.publish.statistics import FINE, Cell, choose, equals_of_the_best, resample
from firstorder.studies.symmetrization.training import (
    advising,
    fit,
    inputs_of,
    part,
    with_chosen,
)

log = logging.getLogger("firstorder")


def tune(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Choose what is `tuned` of a loss, one stage after the other (see `candidates.stages`).

    The tuning protocol: noise on the whole training set, a fixed split, training on the noisy
    part for every seed; clean correctness at the last epoch on the rest decides, by the
    one-standard-error rule. What a later stage chooses has meanwhile its first value, a penalty
    the recipe's. chosen.json has of every stage its candidates and, by place: default, chosen,
    tied (within one standard error of the best), accuracy, wins and kept (how often a candidate
    is best, and is chosen, when seeds and examples are drawn anew), and p (of the test that it is
    the best, adjusted for the others; 0 where it diverged).
    """
    own = context.identity(spec, inputs)
    if context.restore(own, outputs):
        log.info("tuned before; its files are put back")
        return
    chosen = {
        name: stage["candidates"][0][name]
        for stage in spec["stages"]
        for name in stage["candidates"][0]
        if name in spec["loss"]["parameters"]
    }
    rows: list[dict[str, Any]] = []
    stages = []
    for number, stage in enumerate(spec["stages"], start=1):
        tried = []
        for candidate in stage["candidates"]:
            loss = with_chosen(spec["loss"], {**chosen, **candidate})
            right = []
            for seed in spec["seeds"]:
                with advising(spec):
                    right.append(validation(spec, loss, seed, inputs, context))
                keys = {"stage": number, "configuration": json.dumps(candidate), "seed": seed}
                accuracy = float(right[-1].mean()) if len(right[-1]) else None
                rows.append({**keys, "validation_accuracy": accuracy})
            tried.append(right)
        stages.append({**stage, **chosen_of(stage, tried, spec["seeds"])})
        chosen |= stage["candidates"][stages[-1]["chosen"]]
    files.write_csv(outputs["tried.csv"], rows)
    reached = stages[-1]["accuracy"][stages[-1]["chosen"]]
    record = {"chosen": chosen, "validation_accuracy": reached, "stages": stages}
    files.write_json(
        outputs["chosen.json"], {**record, "spec": dict(spec), **context.record(inputs.values())}
    )
    context.keep(own, outputs)


def chosen_of(
    stage: Mapping[str, Any], tried: list[list[np.ndarray]], seeds: list[int]
) -> dict[str, Any]:
    """The choice of a stage from bits (N,) by candidate and seed; empty bits where it diverged.

    A candidate that diverged under any seed is not chosen; where all did, it is the default.
    """
    count = len(tried)
    alive = [place for place in range(count) if all(len(bits) for bits in tried[place])]
    default = stage["default"]
    if not alive:
        none = dict.fromkeys(("accuracy", "wins", "kept", "p"), [0.0] * count)
        return {"chosen": default or 0, "tied": [], **none}
    steps = {place: float(stage["candidates"][place].get("lr", 0.0)) for place in alive}
    cells = {place: Cell(np.array(tried[place]), tuple(seeds)) for place in alive}
    found = choose(cells, default=default, steps=steps)
    # A claim tests them for many losses, at a level that few draws do not reach.
    p = equals_of_the_best(resample(cells, resamples=FINE)).p
    shares = {"accuracy": found.means, "wins": found.wins, "kept": found.kept, "p": p}
    return {
        "chosen": found.value,
        "tied": sorted(found.tied),
        **{name: [by.get(place, 0.0) for place in range(count)] for name, by in shares.items()},
    }


def validation(
    spec: Spec, loss: Mapping[str, Any], seed: int, inputs: Files, context: Context
) -> np.ndarray:
    """Which held-out examples a training gets right at its end, bool (N,); empty if it diverged."""
    training, read = part(spec, loss, seed), inputs_of(inputs, seed)
    identity = context.identity(training, read)

    def find() -> dict[str, Any]:
        result = fit(training, read, identity, context).result
        right = result.correct if result.status == "finished" else None
        bits = np.zeros(0, bool) if right is None else right.numpy()
        return {"correct": np.packbits(bits).tobytes().hex(), "count": len(bits)}

    found = context.once(identity, find)
    packed = np.frombuffer(bytes.fromhex(found["correct"]), np.uint8)
    return np.unpackbits(packed, count=found["count"]).astype(bool)
