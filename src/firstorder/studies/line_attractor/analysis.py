"""The analysis of one trained network: arrays that figures draw, numbers that tables print.

The plane of all drawings is that of the two first principal axes of the visited states, signed so
that they grow with the readout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firstorder import dynamics
from firstorder.data.text.documents import Documents
from firstorder.dynamics import FixedPoints, Principal
from firstorder.studies.line_attractor import documents as along
from firstorder.studies.line_attractor import negation, points
from firstorder.studies.line_attractor import network as networks
from firstorder.studies.line_attractor.network import Network
from firstorder.studies.line_attractor.points import Read, finite
from firstorder.studies.line_attractor.words import CLASSES

DRAWN = CLASSES[:3]
NOT = "not"
BINS = 60
SHARES = 50
"""Principal axes whose share of the variance is kept."""
RELAXING = 200
UNTRAINED_STARTS = 64
KEPT_ERRORS = 5000
KEPT_NULL = 2000
OF_POINTS = (
    "distinct", "embedded", "point_pc1", "point_dimension", "tau1", "tau2", "tau3", "tau_real",
    "complex_share", "unstable_share", "overlap", "null", "readout_overlap", "jacobian_error",
    "inverse_error", "linear_error", "relaxation_10", "run_accuracy", "linear_run_accuracy",
    "single_run_accuracy", *(f"effect_{name}" for name in CLASSES), "negation_before",
    *(f"negation_{k}" for k in range(negation.STEPS + 1)),
)  # fmt: skip
"""The numbers that are None where there are too few fixed points, besides `points`."""

Arrays = dict[str, np.ndarray]
Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Subject:
    """A network and what it is read with."""

    network: Network
    untrained: Network
    fixed: FixedPoints
    documents: Documents
    words: tuple[str, ...]
    classes: dict[str, np.ndarray]
    """Tokens of each of CLASSES."""

    @property
    def trained(self) -> bool:
        """Whether a parameter moved: not where training diverged before its first epoch ended."""
        drawn = self.untrained.parameters
        return any(not torch.equal(v, drawn[n]) for n, v in self.network.parameters.items())


def analyse(subject: Subject, search: dict[str, Any], seed: int) -> tuple[Arrays, dict[str, Any]]:
    """Arrays (dynamics.npz), and the record: `numbers`, `tolerances`, `modifiers`, `pair`.

    K analysed points, S units of state, in the plane (2). Arrays: state_shares, untrained_shares
    and point_shares (of variance, by axis); density (2, B, B) of the states of negative and of
    positive documents with its edges density_x, density_y; readout (2,) and offset () of the line
    readout . plane + offset = 0; start (2,); path_* (T + 1, 2), activity_* (T + 1, S) of a positive
    and a negative document, predicted (T, 2) of the positive one; pair_first, pair_second
    (T + 1, 2), pair_places (2,); points (K, 2), theta, projected (K,), marked (3,);
    eigenvalues (3, S, 2), tau (K, 3), tau_marked (3, S); right (K, 2); left (3, 2);
    effects (K, 5) of CLASSES; inputs_* (3, W, 2) of words at the marked points; overlap (K,),
    null; errors; relaxation (50, 3): quartiles; negation (11, 5), negation_before (5,);
    modifiers (M, 2).
    """
    network, documents = subject.network, subject.documents
    readout = network.parameters["readout"]
    states = networks.visited(network, documents)
    plane = dynamics.principal(states, readout)
    at = points.at(subject.fixed, search["tolerance"], states)
    found = points.read(network, at) if subject.trained else None
    if found is None:
        return _without_points(subject, search, seed, states, plane, len(at))
    theta, projected, embedded = points.coordinates(found.linear.points, readout)
    marks = points.marked(theta)
    arrays: Arrays = {}
    numbers: Numbers = {}
    for part in (
        _states(subject, states, plane),
        _documents(subject, states, plane, found, int(marks[1]), seed),
        _points(subject, states, plane, found, theta, seed),
        _inputs(subject, plane, found, marks),
    ):
        arrays |= part[0]
        numbers |= part[1]
    shown = {"theta": theta, "projected": projected, "marked": marks}
    arrays |= {name: value.cpu().numpy() for name, value in shown.items()}
    arrays |= _spectra(found, marks)
    numbers |= {"embedded": float(embedded)} | _untrained(
        subject.untrained, documents, search, seed
    )
    context, record = _context(subject, found, theta)
    numbers |= {f"negation_{k}": finite(row[0]) for k, row in enumerate(context["negation"])}
    numbers["negation_before"] = finite(context["negation_before"][0])
    record["numbers"] = numbers
    record["tolerances"] = points.grid(network, subject.fixed, states)
    return arrays | context, record


def _without_points(
    subject: Subject,
    search: dict[str, Any],
    seed: int,
    states: Tensor,
    plane: Principal,
    count: int,
) -> tuple[Arrays, dict[str, Any]]:
    """What is left to say where no line can be read from the `count` points that were found.

    Of a network that was not trained nothing but the control.
    """
    arrays, numbers = _states(subject, states, plane)
    numbers = {**numbers, "points": float(count), **dict.fromkeys(OF_POINTS)}
    tolerances = points.grid(subject.network, subject.fixed, states)
    if not subject.trained:
        numbers |= dict.fromkeys(name for name in numbers if not name.startswith("untrained"))
        tolerances = [{**dict.fromkeys(row), "tolerance": row["tolerance"]} for row in tolerances]
    numbers |= _untrained(subject.untrained, subject.documents, search, seed)
    none: Arrays = {"points": np.zeros((0, 2))}
    return arrays | none | _no_context(), {
        "numbers": numbers,
        "tolerances": tolerances,
        "modifiers": [],
    }


def _flat(plane: Principal, states: Tensor) -> np.ndarray:
    """States (..., S) in the plane, (..., 2)."""
    found: np.ndarray = plane.project(states).cpu().numpy()
    return found


def _turned(plane: Principal, vectors: Tensor) -> np.ndarray:
    """Directions (..., S) in the plane, (..., 2)."""
    found: np.ndarray = (vectors.to(plane.axes) @ plane.axes[:2].mT).cpu().numpy()
    return found


def _shares(plane: Principal) -> np.ndarray:
    found: np.ndarray = plane.shares[:SHARES].cpu().numpy()
    return found


def _states(subject: Subject, states: Tensor, plane: Principal) -> tuple[Arrays, Numbers]:
    """The visited states, and those of the untrained network."""
    parameters, documents = subject.network.parameters, subject.documents
    control = dynamics.principal(networks.visited(subject.untrained, documents))
    flat = _flat(plane, states)
    label = np.repeat(documents.labels, documents.lengths)
    edges = [np.linspace(*np.quantile(flat[:, i], (0.001, 0.999)), BINS + 1) for i in (0, 1)]  # type: ignore[call-overload]
    density = [np.histogram2d(*flat[label == each].T, bins=edges)[0] for each in (0, 1)]  # type: ignore[call-overload]
    offset = parameters["readout"] @ plane.mean + parameters["bias"]
    arrays = {
        "state_shares": _shares(plane),
        "untrained_shares": _shares(control),
        "density": np.array(density),
        "density_x": edges[0],
        "density_y": edges[1],
        "readout": _turned(plane, parameters["readout"]),
        "offset": np.array(float(offset)),
        "start": _flat(plane, parameters["start"]),
    }
    shares, other = plane.shares, control.shares
    return arrays, {
        "states": float(len(states)),
        "mean_length": float(documents.lengths.mean()),
        "state_pc1": float(shares[0]),
        "state_pc2": float(shares[1]),
        "state_pc3": float(shares[2]),
        "state_dimension": finite(plane.participation),
        "untrained_pc1": float(other[0]),
        "untrained_pc2": float(other[1]),
        "untrained_dimension": finite(control.participation),
    }


def _documents(
    subject: Subject, states: Tensor, plane: Principal, found: Read, middle: int, seed: int
) -> tuple[Arrays, Numbers]:
    """Trajectories, and how well linear systems predict them; `middle` is a position of a point."""
    network, documents = subject.network, subject.documents
    arrays: Arrays = {}
    for name, which in zip(DRAWN, along.examples(network, documents), strict=False):
        tokens = along.tokens_of(documents, which)
        path = along.trajectory(network, tokens)
        arrays |= {f"path_{name}": _flat(plane, path), f"activity_{name}": path.cpu().numpy()}
        if name == "positive":
            predicted = along.predictions(network, found, tokens, path)
            arrays["predicted"] = _flat(plane, predicted)
    first, second, places = along.pair(
        documents, *(_strongest(subject.classes, name) for name in ("positive", "negative"))
    )
    arrays |= {
        "pair_first": _flat(plane, along.trajectory(network, first)),
        "pair_second": _flat(plane, along.trajectory(network, second)),
        "pair_places": np.array(places),
    }
    errors = along.step_errors(network, found, documents, states, seed)
    resting = states[networks.some(states, RELAXING, seed, "relaxing")]
    change = dynamics.relaxation(
        lambda h, x: networks.step(network, h, x), resting, networks.nothing(network)
    )
    quartiles = torch.tensor([0.25, 0.5, 0.75], dtype=change.dtype, device=change.device)
    arrays["errors"] = errors[:KEPT_ERRORS].cpu().numpy()
    arrays["relaxation"] = change.quantile(quartiles, dim=1).mT.cpu().numpy()
    whole, linear, single = along.run_accuracies(network, found, documents, middle)
    return arrays, {
        "linear_error": finite(errors.median()),
        "relaxation_10": finite(change[9].median()),
        "run_accuracy": whole,
        "linear_run_accuracy": linear,
        "single_run_accuracy": single,
    }


def _strongest(classes: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The tokens of a class and of its strong words, most typical first."""
    found: np.ndarray = np.concatenate([classes[f"strong_{name}"], classes[name]])
    return found


def _points(
    subject: Subject, states: Tensor, plane: Principal, found: Read, theta: Tensor, seed: int
) -> tuple[Arrays, Numbers]:
    """The fixed points, their manifold, and how the slowest mode lies to it."""
    readout = subject.network.parameters["readout"]
    at = found.linear.points
    manifold = dynamics.principal(at, readout)
    overlap, null = points.overlaps(found, manifold.direction, seed)
    tau = dynamics.time_constants(found.values)
    of_top = dynamics.time_constants(
        found.values.gather(1, found.rank[:, None].to(found.values.device))
    )[:, 0]
    arrays = {
        "points": _flat(plane, at),
        "point_shares": _shares(manifold),
        "tau": tau[:, :3].cpu().numpy(),
        "right": _turned(plane, found.right),
        "overlap": overlap.cpu().numpy(),
        "null": null[:KEPT_NULL].numpy(),
    }
    middle = at[theta.argsort()[len(theta) // 2]]
    spread = points.SAME * dynamics.spread(states)
    return arrays, {
        "points": float(len(at)),
        "distinct": float(len(dynamics.distinct(at, spread))),
        "point_pc1": float(manifold.shares[0]),
        "point_dimension": finite(manifold.participation),
        **{f"tau{i + 1}": finite(tau[:, i].median()) for i in range(3)},
        "tau_real": finite(of_top.median()),
        "complex_share": float((found.rank > 0).double().mean()),
        "unstable_share": float((found.values[:, 0].abs() > 1).double().mean()),
        "overlap": float(overlap.abs().mean()),
        "null": float(null.abs().mean()),
        "readout_overlap": abs(
            float(torch.nn.functional.cosine_similarity(readout, manifold.direction, 0))
        ),
        "jacobian_error": points.jacobian_error(subject.network, middle),
        "inverse_error": found.inverse_error,
    }


def _inputs(
    subject: Subject, plane: Principal, found: Read, marks: Tensor
) -> tuple[Arrays, Numbers]:
    """What words of each class do at the fixed points."""
    count = len(found.linear.points)
    effects = np.full((count, len(CLASSES)), np.nan)
    arrays: Arrays = {"effects": effects}
    numbers: Numbers = {}
    for column, name in enumerate(CLASSES):
        inputs = networks.embedded(subject.network, subject.classes[name])
        if len(inputs):
            effects[:, column] = points.pushes(found, inputs).mean(1).cpu().numpy()
        numbers[f"effect_{name}"] = finite(effects[:, column].mean())
        if name in DRAWN:
            moved = torch.einsum("kne,we->kwn", found.linear.inputs[marks], inputs)
            arrays[f"inputs_{name}"] = _turned(plane, moved)
    left = found.left[marks]
    arrays["left"] = _turned(plane, left / left.norm(dim=1, keepdim=True))
    return arrays, numbers


def _spectra(found: Read, marks: Tensor) -> Arrays:
    """Eigenvalues and time constants of all modes of the marked points."""
    values = found.values[marks]
    return {
        "eigenvalues": torch.view_as_real(values).cpu().numpy(),
        "tau_marked": dynamics.time_constants(values).cpu().numpy(),
    }


def _untrained(
    network: Network, documents: Documents, search: dict[str, Any], seed: int
) -> Numbers:
    """The control: the slowest mode at the fixed points of the network as it was drawn."""
    states = networks.visited(network, documents)
    fixed = dynamics.find(
        lambda h, x: networks.step(network, h, x),
        states[networks.some(states, min(UNTRAINED_STARTS, search["starts"]), seed, "starts")],
        networks.nothing(network),
        tol_q=search["tolerance"],
        max_steps=search["steps"],
    )
    rows = points.grid(network, fixed, states)
    return {f"untrained_{name}": rows[0][name] for name in ("found", "distinct", "tau1", "share")}


def _context(subject: Subject, found: Read, theta: Tensor) -> tuple[Arrays, dict[str, Any]]:
    """The effect of "not" on the words after it, and the words that have most such effect."""
    network, classes = subject.network, subject.classes
    inputs = {name: networks.embedded(network, classes[name]) for name in CLASSES}
    arrays = _no_context()
    if NOT not in subject.words:
        return arrays, {"modifiers": []}
    token = subject.words.index(NOT)
    before, later = negation.effects(network, found, theta, token, inputs)
    classed = np.concatenate([classes[name] for name in CLASSES if name != "neutral"])
    asked = torch.cat([inputs["positive"], inputs["negative"]])
    known = negation.candidates(subject.documents.tokens, classed, len(subject.words), token)
    tokens, strengths, plane = negation.modifiers(network, found, theta, known, asked)
    listed = [
        {"word": subject.words[each], "strength": finite(strength)}
        for each, strength in zip(tokens, strengths, strict=True)
    ]
    arrays |= {"negation": later, "negation_before": before, "modifiers": plane}
    return arrays, {"modifiers": listed}


def _no_context() -> Arrays:
    """The arrays of `_context` where nothing is known."""
    width = len(CLASSES)
    return {
        "negation": np.full((negation.STEPS + 1, width), np.nan),
        "negation_before": np.full(width, np.nan),
        "modifiers": np.zeros((0, 2)),
    }
