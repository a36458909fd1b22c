"""What a network does along documents: trajectories, and their linear predictions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from firstorder import dynamics
from firstorder.data.text.documents import Documents
from firstorder.models import recurrent
from firstorder.studies.line_attractor import network as networks
from firstorder.studies.line_attractor.network import Network
from firstorder.studies.line_attractor.points import Read
from firstorder.training import trajectories
from firstorder.training.padded import Sequences

STEPS = 20_000
"""Steps whose linear prediction is compared."""
RUN = 200
"""Documents that are run wholly linearised."""
SHOWN = 150
"""Tokens of a document that is drawn."""


def examples(network: Network, documents: Documents) -> tuple[int, int]:
    """A positive and a negative document: of the longer half, those classified most surely."""
    logits = trajectories.evaluate(network.cell, network.parameters, documents).cpu().numpy()
    long = documents.lengths >= np.median(documents.lengths)
    sure = np.where(documents.labels == 1, logits, -logits)
    found = [
        np.where(long & (documents.labels == label), sure, -np.inf).argmax() for label in (1, 0)
    ]
    return int(found[0]), int(found[1])


def trajectory(network: Network, tokens: np.ndarray) -> Tensor:
    """The states (T + 1, S) along `tokens` (T,), the initial one first."""
    column = torch.from_numpy(np.asarray(tokens, np.int64))[:, None]
    column = column.to(network.parameters["b"].device)
    with torch.no_grad():
        states = recurrent.states(network.cell, network.parameters, column)[:, 0]
    return torch.cat([network.parameters["start"][None], states])


def tokens_of(documents: Documents, which: int) -> np.ndarray:
    """The first tokens of a document, as many as are drawn."""
    start, end = documents.offsets[which : which + 2]
    return documents.tokens[start:end][:SHOWN]


def pair(
    documents: Documents, positive: np.ndarray, negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Two sequences that differ by two tokens, and their places.

    A document of about median length, with the two most positive words at a third and two thirds
    of it, or the two most negative ones.
    """
    which = int(np.abs(documents.lengths - np.median(documents.lengths)).argmin())
    tokens = tokens_of(documents, which)
    places = len(tokens) // 3, 2 * len(tokens) // 3
    first, second = tokens.copy(), tokens.copy()
    for place, good, bad in zip(places, positive[:2], negative[:2], strict=False):
        first[place], second[place] = good, bad
    return first, second, places


def step_errors(
    network: Network, found: Read, documents: Documents, states: Tensor, seed: int
) -> Tensor:
    """Relative errors (M,) of one linear step about the nearest fixed point."""
    before = trajectories.before(states, network.parameters["start"], documents)
    index = networks.some(states, STEPS, seed, "steps")
    inputs = networks.embedded(network, documents.tokens[index.cpu().numpy()])
    errors, _, _ = dynamics.one_step(
        lambda h, x: networks.step(network, h, x), found.linear, before[index], inputs
    )
    return errors


def predictions(network: Network, found: Read, tokens: np.ndarray, path: Tensor) -> Tensor:
    """One linear step (T, S) from each state of `path` (T + 1, S) along `tokens` (T,)."""
    _, _, predicted = dynamics.one_step(
        lambda h, x: networks.step(network, h, x),
        found.linear,
        path[:-1],
        networks.embedded(network, tokens),
    )
    return predicted


def run_accuracies(
    network: Network, found: Read, documents: Documents, at: int
) -> tuple[float, float, float]:
    """Accuracies on the first RUN documents: of the network, and of it wholly linearised.

    About the nearest fixed point at every step, and about the point `at` alone.
    """
    few = documents.take(np.arange(min(RUN, len(documents))))
    true = trajectories.classify(network.cell, network.parameters, few).cpu().numpy()
    sequences = Sequences(few, network.parameters["b"].device)
    tokens, lengths = sequences.batch(torch.arange(len(few)))
    inputs = networks.embedded(network, tokens.cpu().numpy())
    starts = network.parameters["start"].expand(len(few), -1)
    linear = []
    for which in (None, at):
        states = dynamics.linear_run(found.linear, starts, inputs, which)
        last = recurrent.last(states, lengths)
        guessed = (recurrent.logits(network.parameters, last) > 0).long().cpu().numpy()
        linear.append(float((guessed == few.labels).mean()))
    return float((true == few.labels).mean()), linear[0], linear[1]
