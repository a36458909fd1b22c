"""What a recurrent classifier does with documents: logits, labels and the states it visits."""

from __future__ import annotations

import torch
from torch import Tensor

from firstorder.data.text.documents import Documents
from firstorder.models import recurrent
from firstorder.training.padded import Sequences, by_length

EVALUATED_NUMBERS = 2**24
"""How many numbers of drives an evaluation batch may hold."""


def classify(name: str, parameters: recurrent.Parameters, documents: Documents) -> Tensor:
    """The predicted labels (D,) of `documents`, on the device of `parameters`."""
    return (evaluate(name, parameters, documents) > 0).long()


@torch.no_grad()
def evaluate(
    name: str, parameters: recurrent.Parameters, documents: Documents | Sequences
) -> Tensor:
    """The logits (D,) of `documents`, in their order."""
    if isinstance(documents, Documents):
        documents = Sequences(documents, parameters["b"].device)
    found = parameters["b"].new_empty(len(documents))
    for index in by_length(documents.lengths, EVALUATED_NUMBERS // len(parameters["b"])):
        tokens, lengths = documents.batch(index)
        state = recurrent.last(recurrent.states(name, parameters, tokens), lengths)
        found[index.to(found.device)] = recurrent.logits(parameters, state)
    return found


@torch.no_grad()
def visited(name: str, parameters: recurrent.Parameters, documents: Documents) -> Tensor:
    """The state (L, S) after every token, in the order of `documents.tokens`."""
    sequences = Sequences(documents, parameters["b"].device)
    found = parameters["b"].new_empty(len(documents.tokens), len(parameters["start"]))
    for index in by_length(sequences.lengths, EVALUATED_NUMBERS // len(parameters["b"])):
        tokens, lengths = sequences.batch(index)
        steps = torch.arange(len(tokens), device=found.device)[:, None]
        inside = steps < lengths
        where = sequences.offsets[index.to(found.device)] + steps
        found[where[inside]] = recurrent.states(name, parameters, tokens)[inside]
    return found


def before(states: Tensor, start: Tensor, documents: Documents) -> Tensor:
    """The state (L, S) from which each of the visited `states` (L, S) was reached."""
    found = states.roll(1, 0)
    found[torch.from_numpy(documents.offsets[:-1]).to(states.device)] = start
    return found
