"""The cells against their formulas and against torch's, where torch has the same map."""

from __future__ import annotations

import pytest
import systems
import torch
from torch import Tensor, nn

from firstorder.models import recurrent

CELLS = sorted(recurrent.CELLS)
s = torch.sigmoid


def blocks(parameters: recurrent.Parameters, h: Tensor, x: Tensor) -> tuple[list, list]:
    """W x + b and U, gate by gate."""
    n = parameters["U"].shape[1]
    return list((x @ parameters["W"].mT + parameters["b"]).split(n, 1)), list(
        parameters["U"].split(n)
    )


def formula(name: str, parameters: recurrent.Parameters, h: Tensor, x: Tensor) -> Tensor:
    """The table of the rebuild's facts, written out."""
    d, U = blocks(parameters, h, x)
    if name == "vanilla":
        return torch.tanh(d[0] + h @ U[0].mT)
    if name == "ugrnn":
        u, c = s(d[0] + h @ U[0].mT), torch.tanh(d[1] + h @ U[1].mT)
        return u * h + (1 - u) * c
    if name == "gru":
        u, r = s(d[0] + h @ U[0].mT), s(d[1] + h @ U[1].mT)
        return u * h + (1 - u) * torch.tanh(d[2] + (r * h) @ U[2].mT)
    h, c = h.chunk(2, 1)
    f, i, o, g = (d[k] + h @ U[k].mT for k in range(4))
    c = s(f + 1) * c + s(i) * torch.tanh(g)
    return torch.cat([s(o) * torch.tanh(c), c], 1)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_its_formula(name: str) -> None:
    parameters = systems.cell(name)
    h, x = systems.normal(6, len(parameters["start"])), systems.normal(6, 5, seed=1)
    found = recurrent.cell(name).step(parameters, x, h)
    assert torch.allclose(found, formula(name, parameters, h, x), atol=1e-14)


def test_the_lstm_is_torchs_with_one_added_to_the_forget_bias() -> None:
    parameters = systems.cell("lstm")
    theirs = nn.LSTMCell(5, 7, dtype=torch.float64)
    f, i, o, g = (slice(7 * k, 7 * (k + 1)) for k in range(4))
    order = torch.cat([torch.arange(28)[part] for part in (i, f, g, o)])
    with torch.no_grad():
        theirs.weight_ih.copy_(parameters["W"][order])
        theirs.weight_hh.copy_(parameters["U"][order])
        theirs.bias_ih.copy_(parameters["b"][order])
        theirs.bias_hh.zero_()[7:14] = 1
    h, x = systems.normal(6, 14), systems.normal(6, 5, seed=1)
    found = recurrent.cell("lstm").step(parameters, x, h)
    assert torch.allclose(found, torch.cat(theirs(x, h.chunk(2, 1)), 1), atol=1e-14)


def test_the_gru_differs_from_torchs_by_where_it_resets() -> None:
    parameters = systems.cell("gru")
    theirs = nn.GRUCell(5, 7, dtype=torch.float64)
    order = torch.cat([torch.arange(7, 14), torch.arange(7), torch.arange(14, 21)])
    with torch.no_grad():
        theirs.weight_ih.copy_(parameters["W"][order])
        theirs.weight_hh.copy_(parameters["U"][order])
        theirs.bias_ih.copy_(parameters["b"][order])
        theirs.bias_hh.zero_()
    x = systems.normal(6, 5, seed=1)
    step = recurrent.cell("gru").step
    zero = torch.zeros(6, 7).double()
    assert torch.allclose(step(parameters, x, zero), theirs(x, zero), atol=1e-14)
    h = systems.normal(6, 7)
    assert (step(parameters, x, h) - theirs(x, h)).abs().max() > 0.01


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("length", [2, 9])  # by way of the vocabulary's drives, and without
def test_whole_sequences_are_repeated_steps(name: str, length: int) -> None:
    parameters = systems.cell(name)
    tokens = torch.randint(0, 20, (length, 4), generator=systems.generator())
    state = parameters["start"].expand(4, -1)
    visited = recurrent.states(name, parameters, tokens)
    for t in range(length):
        state = recurrent.cell(name).step(parameters, parameters["embedding"][tokens[t]], state)
        assert torch.allclose(visited[t], state, atol=1e-13)
    lengths = torch.tensor([length, 1, 2, 1])
    found = recurrent.last(visited, lengths)
    assert all(torch.equal(found[i], visited[lengths[i] - 1, i]) for i in range(4))
    logit = recurrent.logits(parameters, found)
    assert torch.allclose(logit, found @ parameters["readout"] + parameters["bias"])


@pytest.mark.parametrize("name", CELLS)
def test_fresh_parameters_have_the_published_scales(name: str) -> None:
    drawn = recurrent.initialise(name, 500, 40, 60, systems.generator(), gate_bias=2.0)
    assert drawn["U"].std() * 100**0.5 == pytest.approx(1, abs=0.05)
    assert drawn["W"].std() * 100**0.5 == pytest.approx(1, abs=0.05)
    gram = drawn["embedding"].mT @ drawn["embedding"]
    assert torch.allclose(gram, torch.eye(40), atol=1e-5)
    assert not drawn["start"].any()
    kept = 2.0 if recurrent.cell(name).gated else 0.0
    assert (drawn["b"][:60] == kept).all()
    assert not drawn["b"][60:].any()
    again = recurrent.initialise(name, 500, 40, 60, systems.generator(), gate_bias=2.0)
    assert all(torch.equal(drawn[key], again[key]) for key in drawn)


def test_the_norm_of_the_embedded_words_can_be_chosen() -> None:
    drawn = recurrent.initialise("gru", 500, 40, 60, systems.generator(), embedding_norm=1.5)
    assert drawn["embedding"].square().sum(1).mean().sqrt() == pytest.approx(1.5)
    as_drawn = recurrent.initialise("gru", 500, 40, 60, systems.generator())
    assert torch.equal(drawn["U"], as_drawn["U"])
