"""Kernels of networks with several outputs against dense Jacobians, in float64."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tensors import relative
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from firstorder.linearized import features, layers, recurrent
from firstorder.linearized.kernel import diagonal, ntk
from firstorder.linearized.probe import KernelError
from firstorder.linearized.recurrent import TangentError, as_steps
from firstorder.linearized.tangent import frozen, linearize, parameters_of

torch.set_num_threads(1)

F64 = torch.float64
OUTPUTS, TOKENS, WORDS = 3, 5, 11


class Tied(nn.Module):
    """A table of words that is used again, as the matrix of the last layer but one."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.back = nn.Embedding(WORDS, 4), nn.Linear(4, WORDS)
        self.back.weight = self.table.weight
        self.head = nn.Linear(WORDS, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.back(torch.tanh(self.table(x).sum(1)))))


class Twice(nn.Module):
    """A dense layer that is called twice, at different inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(6, 6), nn.Linear(6, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


class ConvolvedTwice(nn.Module):
    """A convolution that is called at two sizes of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(2, 2, 3, padding=1)
        self.head = nn.Linear(2 * 9, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        half = nn.functional.avg_pool2d(torch.tanh(self.layer(x)), 2)
        return self.head(torch.tanh(self.layer(half)).flatten(1))


class Apart(nn.Module):
    """Outputs of two layers, none of which uses the other's; a third layer has no influence."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, OUTPUTS - 1), nn.Linear(6, 1)
        self.without = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.two(x) + 0 * self.without(x)], 1)


class Recurrent(nn.Module):
    """A cell over time, its last state read out; weights are shared over the steps."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(4, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class ByHand(nn.Module):
    """A cell of dense layers, as one writes it, with a bare parameter for its first state."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.across = nn.Linear(3, 4), nn.Linear(4, 4, bias=False)
        self.start = nn.Parameter(torch.zeros(4))
        self.head = nn.Linear(4, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        h = self.start.expand(len(x), -1)
        for step in x.unbind(1):
            h = torch.tanh(self.inside(step) + self.across(h))
        return self.head(h)


class Words(nn.Module):
    """Tokens to vectors to a network that reads (N, T, D)."""

    def __init__(self, body: nn.Module, width: int = 4) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, width, padding_idx=0)
        self.body, self.head = body, nn.Linear(width, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(self.table(x))).mean(1))


class Attending(nn.Module):
    """Attention of a sequence to itself, or to its first tokens, with a causal mask."""

    def __init__(self, batch_first: bool, across: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=batch_first)
        self.across = across

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.attention.batch_first else x.transpose(0, 1)
        if self.across:
            out, _ = self.attention(x, x.sin(), x.cos())
        else:
            mask = nn.Transformer.generate_square_subsequent_mask(TOKENS, dtype=x.dtype)
            out, _ = self.attention(x, x, x, attn_mask=mask, need_weights=False)
        return out if self.attention.batch_first else out.transpose(0, 1)


class SequenceFirst(nn.Module):
    """A layer that reads (T, N, D)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.transpose(0, 1)).transpose(0, 1)


class Unpacked(nn.Module):
    """The output sequence of a recurrent layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


class Squared(nn.Module):
    """A bilinear layer, which no rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Bilinear(6, 6, 5), nn.Linear(5, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.inner(x, x)))


def after(*layers: nn.Module, features: int) -> nn.Module:
    """Layers, and a dense one to the outputs."""
    return nn.Sequential(*layers, nn.Tanh(), nn.Flatten(), nn.Linear(features, OUTPUTS))


def trained(norm: nn.Module) -> nn.Module:
    """A batch norm with running statistics that are not those of a new one."""
    generator = torch.Generator().manual_seed(7)
    norm.running_mean = torch.randn(norm.num_features, generator=generator)
    norm.running_var = torch.rand(norm.num_features, generator=generator) + 0.5
    return norm


IMAGE, SIGNAL, VECTOR, SEQUENCE, TOKEN = (2, 6, 6), (2, 8), (6,), (5, 3), None
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...] | None]] = {
    "dense": (lambda: after(nn.Linear(6, 5), features=5), VECTOR),
    "dense at positions": (lambda: after(nn.Linear(3, 4, bias=False), features=20), SEQUENCE),
    "conv1d": (
        lambda: after(nn.Conv1d(2, 3, 3, 2, dilation=2, padding=1), features=9),
        SIGNAL,
    ),
    "conv2d": (lambda: after(nn.Conv2d(2, 3, 3, padding="same"), features=108), IMAGE),
    "conv2d, even and reflecting": (
        lambda: after(nn.Conv2d(2, 3, 2, padding=1, padding_mode="reflect"), features=147),
        IMAGE,
    ),
    "conv2d, groups": (lambda: after(nn.Conv2d(2, 4, 3, groups=2), features=64), IMAGE),
    "conv2d, many filters": (
        lambda: after(nn.Conv2d(2, 40, 5, bias=True), features=160),
        IMAGE,
    ),
    "transposed conv1d": (
        lambda: after(nn.ConvTranspose1d(2, 3, 3, 2, padding=1, output_padding=1), features=48),
        SIGNAL,
    ),
    "transposed conv2d, groups": (
        lambda: after(nn.ConvTranspose2d(2, 4, 3, groups=2, dilation=2), features=400),
        IMAGE,
    ),
    "batch norm": (
        lambda: after(nn.Conv2d(2, 3, 3), trained(nn.BatchNorm2d(3)), features=48),
        IMAGE,
    ),
    "batch norm of vectors": (
        lambda: after(nn.Linear(6, 5), trained(nn.BatchNorm1d(5)), features=5),
        VECTOR,
    ),
    "group norm": (lambda: after(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), features=64), IMAGE),
    "layer norm": (lambda: after(nn.Linear(6, 5), nn.LayerNorm(5), features=5), VECTOR),
    "layer norm of two axes": (lambda: after(nn.LayerNorm((5, 3)), features=15), SEQUENCE),
    "rms norm": (lambda: after(nn.RMSNorm(3), features=15), SEQUENCE),
    "embedding": (lambda: Words(nn.Identity()), TOKEN),
    "embedding, tied": (Tied, TOKEN),
    "attention": (lambda: Words(Attending(True, False)), TOKEN),
    "attention across": (lambda: Words(Attending(False, True)), TOKEN),
    "transformer": (
        lambda: Words(nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)),
        TOKEN,
    ),
    "transformer, sequence first": (
        lambda: Words(SequenceFirst(nn.TransformerEncoderLayer(4, 2, 8))),
        TOKEN,
    ),
    "rnn cell": (lambda: Recurrent(nn.RNNCell(3, 4)), SEQUENCE),
    "gru cell": (lambda: Recurrent(nn.GRUCell(3, 4)), SEQUENCE),
    "lstm cell": (lambda: Recurrent(nn.LSTMCell(3, 4)), SEQUENCE),
    "cell by hand": (ByHand, SEQUENCE),
    "gru as steps": (
        lambda: Words(Unpacked(as_steps(nn.GRU(4, 2, bidirectional=True, batch_first=True)))),
        TOKEN,
    ),
    "called twice": (Twice, VECTOR),
    "outputs apart": (Apart, VECTOR),
    "convolved twice": (ConvolvedTwice, IMAGE),
    "bilinear": (Squared, VECTOR),
    "prelu": (lambda: after(nn.Linear(6, 5), nn.PReLU(), features=5), VECTOR),
    "in place": (lambda: after(nn.Linear(6, 5), nn.SELU(inplace=True), features=5), VECTOR),
    "instance norm": (
        lambda: after(nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4, affine=True), features=64),
        IMAGE,
    ),
}


def build(case: str, count: int = 7) -> tuple[nn.Module, Tensor]:
    """A network with random parameters, none of them zero, and its inputs."""
    make, shape = CASES[case]
    generator = torch.Generator().manual_seed(1)
    module = make().to(F64)
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn(value.shape, generator=generator, dtype=F64) * 0.5)
    if shape is None:
        return module, torch.randint(WORDS, (count, TOKENS), generator=generator)
    return module, torch.randn(count, *shape, generator=generator, dtype=F64)


def jacobian(module: nn.Module, x: Tensor) -> Tensor:
    """J (N, K, P) by reverse mode, one example after the other."""
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    parameters = parameters_of(module)

    def row(example: Tensor) -> Tensor:
        parts = jacrev(lambda p: functional_call(module, p, (example[None],))[0])(parameters)
        return torch.cat([part.reshape(OUTPUTS, -1) for part in parts.values()], 1)

    return torch.stack([row(example) for example in x])


@pytest.mark.parametrize("case", CASES)
def test_kernels_of_several_outputs_are_products_of_the_jacobian(case: str) -> None:
    module, x = build(case)
    J = jacobian(module, x)
    full = torch.einsum("nkp,mlp->nmkl", J, J)
    trace = torch.einsum("nmkk->nm", full)
    own = torch.einsum("nnkl->nkl", full)
    assert relative(ntk(module, x, outputs="full", dtype=F64), full) < 1e-10
    assert relative(ntk(module, x, outputs="trace", dtype=F64), trace) < 1e-10
    some = ntk(module, x[:4], x[2:], outputs="full", dtype=F64, memory_gib=1e-6)
    assert relative(some, full[:4, 2:]) < 1e-10
    some = ntk(module, x[:4], x[2:], outputs="trace", dtype=F64, memory_gib=1e-6)
    assert relative(some, trace[:4, 2:]) < 1e-10
    assert relative(diagonal(module, x, outputs="full", batch=3), own) < 1e-10
    assert relative(diagonal(module, x, outputs="trace", batch=3), trace.diagonal()) < 1e-10
    by_rows = ntk(module, x, outputs="full", dtype=F64, method="jacobian")
    assert relative(by_rows, full) < 1e-10


ROWS = {
    "embedding, tied": {"table.weight", "back.bias"},
    "transformer, sequence first": None,
    "cell by hand": {"start"},
    "bilinear": {"inner.weight", "inner.bias"},
    "prelu": {"1.weight"},
    "instance norm": {"1.weight", "1.bias"},
    "in place": set(),
}
"""The parameters without factors of their own; None: some."""


@pytest.mark.parametrize("case", CASES)
def test_layers_of_known_kinds_have_their_own_factors(case: str) -> None:
    module, x = build(case)
    covered, _, _ = features._covered(module, x[:2], "full")
    rest = {name for name, _ in module.named_parameters()} - covered
    expected = ROWS.get(case, set())
    assert rest == expected if expected is not None else rest


@pytest.mark.parametrize("case", ["dense", "embedding", "gru cell", "conv2d, many filters"])
def test_full_kernel_is_symmetric_in_examples_and_outputs_together(case: str) -> None:
    module, x = build(case)
    K = ntk(module, x, outputs="full", dtype=F64)
    assert torch.equal(K, K.permute(1, 0, 3, 2))
    square = K.transpose(1, 2).reshape(len(x) * OUTPUTS, -1)
    assert torch.linalg.eigvalsh(square)[0] > -1e-12 * square.trace()


@pytest.mark.parametrize("case", ["conv2d", "embedding", "lstm cell", "transformer"])
def test_kernels_of_many_blocks_equal_those_of_one(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firstorder.linearized import kernel

    module, x = build(case, 9)
    whole = ntk(module, x, outputs="full", dtype=F64)
    monkeypatch.setattr(kernel, "WIDTH", 2 * OUTPUTS)
    assert relative(ntk(module, x, outputs="full", dtype=F64), whole) < 1e-12


def test_one_output_is_the_trace_of_one_output() -> None:
    module = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.randn(5, 6)
    assert torch.equal(ntk(module, x), ntk(module, x, outputs="trace"))
    assert torch.equal(ntk(module, x), ntk(module, x, outputs="full")[:, :, 0, 0])


def test_several_outputs_are_not_taken_for_one() -> None:
    module, x = build("dense")
    with pytest.raises(ValueError, match='outputs="trace" or "full"'):
        ntk(module, x)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_a_fused_recurrent_layer_gets_one_line_with_the_mend(kind: type[nn.RNNBase]) -> None:
    module = Words(Unpacked(kind(4, 4, batch_first=True)))
    x = torch.randint(WORDS, (3, TOKENS))
    with pytest.raises(TangentError, match=r"recurrent\.as_steps\(layer\)") as caught:
        ntk(module, x, outputs="trace")
    assert "\n" not in str(caught.value)
    assert "body.layer" in str(caught.value) and kind.__name__ in str(caught.value)


class Locked(nn.Linear):
    """What it holds cannot be copied."""

    def __init__(self) -> None:
        super().__init__(3, 1)
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: torch.jit.script(nn.Linear(3, 1)), "not supported on ScriptModules"),
        (lambda: nn.utils.weight_norm(nn.Linear(3, 1)), "cannot be copied: .*weight_norm"),
        (Locked, "Locked cannot be copied: .*lock"),
        (lambda: nn.Linear(3, 1, dtype=torch.complex64), "weight is complex"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_cannot_be_linearized_is_refused(make: Callable[[], nn.Module], reason: str) -> None:
    module = make()
    with pytest.raises(TangentError, match=reason) as caught:
        ntk(module, torch.randn(3, 3))
    assert "\n" not in str(caught.value)


def test_sparse_gradients_change_no_kernel() -> None:
    module, x = build("embedding")
    dense = ntk(module, x, outputs="full", dtype=F64)
    module.table.sparse = True
    assert ntk(module, x, outputs="full", dtype=F64).equal(dense)


class Thinned(nn.Linear):
    """Has an option of its own that is called like one of torch's."""

    def __init__(self) -> None:
        super().__init__(6, 1)
        self.sparse = True

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * (x > 0) if self.sparse else x)


def test_options_of_ones_own_layers_stay() -> None:
    module, x = Thinned(), torch.randn(5, 6)
    assert frozen(module)(x).equal(module(x))


class SharedTwice(nn.Module):
    """A layer that is called twice by two names, and another one with its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.other, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 1)
        self.second = self.first
        self.other.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.other(self.second(self.first(x).tanh()).tanh()).tanh())


def test_shared_layers_and_weights_stay_so_from_call_to_call() -> None:
    module, x = SharedTwice().to(F64), torch.randn(7, 6, dtype=F64)
    parameters = dict(module.named_parameters())
    rows = [torch.autograd.grad(module(each[None]).sum(), [*parameters.values()]) for each in x]
    J = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    for method in ("auto", "jacobian"):
        assert relative(ntk(module, x, dtype=F64, method=method, memory_gib=1e-6), J @ J.T) < 1e-10
    step = {name: torch.randn_like(value) for name, value in parameters.items()}
    moved = J @ torch.cat([step[name].flatten() for name in parameters])
    linear = linearize(module, offset=False)
    for _ in range(3):
        assert relative(linear(step, x), moved) < 1e-10


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_steps_compute_what_the_fused_layer_computes(
    kind: type[nn.RNNBase], batch_first: bool, bidirectional: bool
) -> None:
    layer = kind(3, 4, 2, batch_first=batch_first, bidirectional=bidirectional).to(F64).eval()
    x = torch.randn(5, 6, 3, dtype=F64)
    steps = as_steps(layer).eval()
    for module in (steps, frozen(steps)):
        (out, state), (own, end) = layer(x), module(x)
        assert relative(own, out) < 1e-12
        for a, b in zip(end, state, strict=True):
            assert relative(a, b) < 1e-12
    again, expected = steps(x, end)[0], layer(x, state)[0]
    assert relative(again, expected) < 1e-12


def test_recurrent_layers_with_projections_have_no_steps() -> None:
    with pytest.raises(TangentError, match="proj_size"):
        recurrent.as_steps(nn.LSTM(3, 4, proj_size=2))


@pytest.mark.parametrize("case", ["attention", "transformer", "gru cell"])
def test_a_frozen_network_computes_the_same_function(case: str) -> None:
    module, x = build(case)
    torch.backends.mha.set_fastpath_enabled(False)
    assert relative(frozen(module)(x), module.eval()(x)) < 1e-12


@pytest.mark.parametrize("case", ["attention", "transformer", "lstm cell", "embedding"])
def test_linearization_of_several_outputs_is_the_jacobian(case: str) -> None:
    module, x = build(case)
    J, generator = jacobian(module, x), torch.Generator().manual_seed(2)
    delta = {
        name: torch.randn(value.shape, generator=generator, dtype=F64)
        for name, value in parameters_of(module).items()
    }
    if "table.weight" in delta:  # forward mode moves the padding, which reverse mode does not
        delta["table.weight"][0] = 0
    flat = torch.cat([value.flatten() for value in delta.values()])
    linear = linearize(module, offset=False, outputs="trace")
    assert relative(linear(delta, x), J @ flat) < 1e-10


def test_a_wrong_factor_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = build("dense")
    right = layers.Outer.gram
    monkeypatch.setattr(layers.Outer, "gram", lambda a, b: 1.01 * right(a, b))
    with pytest.raises(KernelError, match="differs from autograd"):
        ntk(module, x, outputs="trace")


def test_a_wrong_rule_falls_back_to_the_jacobian(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module, x = build("dense")
    J = jacobian(module, x)
    rule = features.rule_of

    def wrong(layer: nn.Module):
        found = rule(layer)
        if found is None or layer.in_features != 6:
            return found
        return lambda layer, names, calls: found(
            layer, names, [layer_rules.Call(2 * call.inputs, call.gradients) for call in calls]
        )

    from firstorder.linearized import layer_rules

    monkeypatch.setattr(features, "rule_of", wrong)
    features._say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            K = ntk(module, x, outputs="trace", dtype=F64)
            assert relative(K, torch.einsum("nkp,mkp->nm", J, J)) < 1e-10
    assert [record.getMessage() for record in caplog.records] == [
        "Sequential: rows of the Jacobian, not factors of layers, for 0.weight, 0.bias"
    ]


def test_examples_that_meet_in_a_batch_have_no_kernel() -> None:
    module = after(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, track_running_stats=False), features=48)
    with pytest.raises(KernelError, match="track_running_stats"):
        ntk(module, torch.randn(4, *IMAGE), outputs="trace")


def test_a_kernel_is_written_into_a_file(tmp_path: Path) -> None:
    module, x = build("conv2d")
    K = ntk(module, x, outputs="full", dtype=F64)
    path = tmp_path / "kernel.npy"
    mapped = ntk(module, x, outputs="full", dtype=F64, out=path)
    assert torch.equal(mapped, K)
    assert np.array_equal(np.load(path), K.numpy())
    assert [each.name for each in tmp_path.iterdir()] == ["kernel.npy"]


def test_a_kernel_that_fails_leaves_no_file(tmp_path: Path) -> None:
    module, x = build("conv2d")

    def stop(done: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ntk(module, x, outputs="trace", out=tmp_path / "kernel.npy", progress=stop)
    assert not list(tmp_path.iterdir())


def test_a_kernel_is_written_into_an_array_of_its_shape() -> None:
    module, x = build("dense")
    K = ntk(module, x, outputs="trace")
    array = np.empty((7, 7), np.float32)
    assert ntk(module, x, outputs="trace", out=array).data_ptr() == array.ctypes.data
    assert np.array_equal(array, K.numpy())
    with pytest.raises(ValueError, match=r"out is \(7, 6\)"):
        ntk(module, x, outputs="trace", out=np.empty((7, 6), np.float32))
