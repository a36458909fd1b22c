"""The steps that search fixed points and read networks at them. Every seed is a part of its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from firstorder import arrays, files
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.line_attractor.grid import FOUND, READ
from firstorder.studies.line_attractor.words import CLASSES

if TYPE_CHECKING:
    import torch

log = logging.getLogger("firstorder")


def find_fixed_points(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Write points.npz (see `dynamics.FixedPoints`) of every seed, from visited states."""
    from firstorder.data.text import documents

    device = context.torch_device(1)
    _, splits = documents.load(inputs["documents"])
    for seed in spec["seeds"]:
        own = {name: outputs[f"{seed}/{name}"] for name in FOUND}
        part = {"cell": spec["cell"], "search": spec["search"], "seed": seed}
        read = {
            "documents": inputs["documents"],
            "weights": inputs[f"{seed}/weights.safetensors"],
        }
        identity = context.identity(part, read)
        if context.restore(identity, own):
            log.info("seed %d was searched before; its points are put back", seed)
            continue
        log.info("seed %d", seed)
        _search(part, read["weights"], splits["test"], device, own["points.npz"])
        context.keep(identity, own)


def _search(part: Spec, weights: str, test: object, device: torch.device, path: str) -> None:
    from firstorder import dynamics
    from firstorder.studies.line_attractor import network as networks

    search, seed = part["search"], part["seed"]
    network = networks.read(part["cell"], weights, device)
    states = networks.visited(network, networks.analysed(test, search["documents"]))  # type: ignore[arg-type]
    starts = states[networks.some(states, search["starts"], seed, "starts")]
    found = dynamics.find(
        lambda h, x: networks.step(network, h, x),
        starts,
        networks.nothing(network),
        tol_q=tuple(search["tolerances"]),
        max_steps=search["steps"],
    )
    found.save(path)


def linearize_dynamics(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Write dynamics.npz and dynamics.json of every seed: see `analysis.analyse`."""
    import numpy as np

    from firstorder import dynamics
    from firstorder.data.text import documents
    from firstorder.studies.line_attractor import analysis
    from firstorder.studies.line_attractor import network as networks

    device = context.torch_device(1)
    words, splits = documents.load(inputs["documents"])
    chosen = arrays.read(inputs["words"], *CLASSES)
    for seed in spec["seeds"]:
        own = {name: outputs[f"{seed}/{name}"] for name in READ}
        part = {"cell": spec["cell"], "search": spec["search"], "seed": seed}
        read = {name: inputs[name] for name in ("documents", "words")}
        read |= {
            name: inputs[f"{seed}/{name}"]
            for name in ("weights.safetensors", "untrained.safetensors", "points.npz")
        }
        identity = context.identity(part, read)
        if context.restore(identity, own):
            log.info("seed %d was read before; its files are put back", seed)
            continue
        log.info("seed %d", seed)
        subject = analysis.Subject(
            networks.read(spec["cell"], read["weights.safetensors"], device),
            networks.read(spec["cell"], read["untrained.safetensors"], device),
            dynamics.FixedPoints.load(read["points.npz"]),
            networks.analysed(splits["test"], spec["search"]["documents"]),
            words,
            chosen,
        )
        found, record = analysis.analyse(subject, spec["search"], seed)
        with files.replacing(own["dynamics.npz"]) as temporary:
            np.savez_compressed(temporary, **found)  # type: ignore[arg-type]
        record = {"spec": part, **record} | context.record(read.values())
        files.write_json(own["dynamics.json"], record)
        context.keep(identity, own)
