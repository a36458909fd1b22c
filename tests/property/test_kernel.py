"""Tangent kernels against dense Jacobians by automatic differentiation, in float64."""

from __future__ import annotations

from types import MethodType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import relative
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from firstorder import models
from firstorder.linearized import alignment, factored
from firstorder.linearized.features import feature_map
from firstorder.linearized.kernel import diagonal, ntk
from firstorder.linearized.layers import Patches, Rows
from firstorder.linearized.tangent import linearize, parameters_of

torch.set_num_threads(1)

F64 = torch.float64
CASES: dict[str, tuple[str, tuple[int, int, int], dict[str, Any]]] = {
    "mlp": ("mlp", (1, 6, 6), {"hidden": 9}),
    "lenet": ("lenet", (3, 8, 8), {}),
    "lenet-gelu": ("lenet", (1, 8, 8), {"activation": "gelu"}),
    "resnet": ("resnet18", (3, 8, 8), {"width": 0.0625}),
    "resnet-zero": ("resnet18", (1, 8, 8), {"width": 0.0625, "zero_init_residual": True}),
}


class Shared(nn.Module):
    """A weight that is used twice: no layer owns its gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 5)
        self.head = nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


class Functional(nn.Module):
    """A layer whose weight is used without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x.sin(), self.layer.weight, self.layer.bias)


class InPlace(nn.Module):
    """Changes in place what leaves its layers, much of it for large inputs alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        large = x.abs().amax(1) > 10
        h = self.first(x)
        h[large] = 0.5
        h = self.second(torch.tanh(h))
        if bool(large.any()):
            h[large] *= 0.3
        out = self.third(torch.tanh(h))
        out += h
        return self.head(torch.tanh(out))


class Standardised(nn.Linear):
    """A dense layer of another function."""

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(1, keepdim=True)
        return nn.functional.linear(input, weight, self.bias)


class StandardisedConvolution(nn.Conv1d):
    """A convolution of another function, where torch leaves room for one."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight - weight.mean(1, keepdim=True), bias)


def patched() -> nn.Linear:
    """A dense layer that computes another function than its class."""
    layer = nn.Linear(5, 6)

    def forward(self: nn.Linear, input: Tensor) -> Tensor:
        return nn.functional.linear(input, self.weight.sin(), self.bias)

    layer.forward = MethodType(forward, layer)  # type: ignore[method-assign]
    return layer


def hooked() -> nn.Linear:
    """A dense layer whose output a hook changes."""
    layer = nn.Linear(5, 6)
    layer.register_forward_hook(lambda _, inputs, out: out.sin())
    return layer


class Gated(nn.Module):
    """A layer that large inputs alone reach."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.head, self.rest = layer, nn.Linear(6, 1), nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = x[:, :, None] / 50 if isinstance(self.layer, nn.Conv1d) else x / 50
        open = x.abs().amax(1, keepdim=True) > 10
        return self.rest(x) + open * self.head(torch.tanh(self.layer(seen).flatten(1)))


def rarely_large() -> Tensor:
    """12 inputs, of which those that are compared with autograd are small."""
    x = torch.randn(12, 5, generator=torch.Generator().manual_seed(3), dtype=F64)
    x[[3, 5, 8]] *= 100
    return x


def build(case: str, dtype: torch.dtype = F64) -> tuple[nn.Module, Tensor]:
    """A network with random weights, running statistics and BN scales, and 7 inputs."""
    name, shape, parameters = CASES[case]
    generator = torch.Generator().manual_seed(1)
    module = models.build(name, 1, shape, generator=generator, init="lecun", **parameters)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = torch.randn(layer.num_features, generator=generator)
            layer.running_var = torch.rand(layer.num_features, generator=generator) + 0.5
    x = torch.randn(7, *shape, generator=generator, dtype=F64)
    return module.to(dtype).train(), x.to(dtype)


def jacobian(module: nn.Module, x: Tensor) -> Tensor:
    """J (N, P) by reverse mode, batch norm in evaluation mode."""
    training = module.training
    module.eval()
    parameters = {name: value.detach() for name, value in module.named_parameters()}
    parts = jacrev(lambda p: functional_call(module, p, (x,))[:, 0])(parameters)
    module.train(training)
    return torch.cat([part.reshape(len(x), -1) for part in parts.values()], 1)


@pytest.mark.parametrize("case", CASES)
def test_kernel_is_the_gram_matrix_of_the_jacobian(case: str) -> None:
    module, x = build(case)
    J = jacobian(module, x)
    for method in ("auto", "layers", "jacobian"):
        assert relative(ntk(module, x, dtype=F64, method=method), J @ J.T) < 1e-10
        assert relative(ntk(module, x, x[:3], dtype=F64, method=method), J @ J[:3].T) < 1e-10
    assert relative(diagonal(module, x), J.square().sum(1)) < 1e-10


@pytest.mark.parametrize("case", CASES)
def test_kernel_in_float32_keeps_its_digits(case: str) -> None:
    module, x = build(case)
    exact = ntk(module, x, dtype=F64, method="jacobian")
    assert relative(ntk(module.float(), x.float()).double(), exact) < 5e-6


@pytest.mark.parametrize("case", CASES)
def test_kernel_is_symmetric_and_positive_semidefinite(case: str) -> None:
    module, x = build(case)
    K = ntk(module, x, dtype=F64)
    assert torch.equal(K, K.T)
    assert torch.linalg.eigvalsh(K)[0] > -1e-12 * K.trace()


@pytest.mark.parametrize("case", ["lenet", "resnet-zero"])
def test_a_small_memory_budget_changes_nothing(case: str) -> None:
    module, x = build(case)
    assert relative(ntk(module, x, dtype=F64, memory_gib=1e-6), ntk(module, x, dtype=F64)) < 1e-12
    rectangular = ntk(module, x[:5], x, dtype=F64, memory_gib=1e-6)
    assert relative(rectangular, ntk(module, x, dtype=F64)[:5]) < 1e-12


def test_exhausted_memory_halves_the_block_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from firstorder.linearized import kernel

    module, x = build("lenet")
    whole, fill, sizes = ntk(module, x, dtype=F64), kernel._fill, []

    def failing(*arguments: Any) -> None:
        sizes.append(arguments[5])
        if arguments[5] > 2:
            raise torch.OutOfMemoryError("no memory")
        fill(*arguments)

    monkeypatch.setattr(kernel, "_fill", failing)
    assert relative(ntk(module, x, dtype=F64), whole) < 1e-12
    assert sizes == [512, 256, 128, 64, 32, 16, 8, 4, 2, 2, 2, 2]


@pytest.mark.parametrize("module", [Shared(), Functional(), nn.Bilinear(5, 5, 1)])
def test_layers_of_unknown_structure_fall_back_to_the_jacobian(module: nn.Module) -> None:
    if isinstance(module, nn.Bilinear):
        bilinear = module

        class Square(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = bilinear

            def forward(self, x: Tensor) -> Tensor:
                return self.inner(x, x)

        module = Square()
    module = module.double()
    x = torch.randn(6, 5, dtype=F64, generator=torch.Generator().manual_seed(2))
    J = jacobian(module, x)
    assert relative(ntk(module, x, dtype=F64), J @ J.T) < 1e-10


def test_a_layer_keeps_its_factor_where_its_tensors_are_changed_in_place() -> None:
    torch.manual_seed(0)
    module, x = InPlace().to(F64), rarely_large()
    J = jacobian(module, x)
    for method in ("auto", "layers"):
        assert relative(ntk(module, x, dtype=F64, method=method), J @ J.T) < 1e-10
        # A block without large inputs, then one that has them.
        some = ntk(module, x[:3], x, dtype=F64, method=method)
        assert relative(some, J[:3] @ J.T) < 1e-10
    assert relative(diagonal(module, x, batch=3), J.square().sum(1)) < 1e-10
    features = feature_map(module, x[:2])(x)
    assert set(features.layers) == {"first", "second", "third", "head"}


@pytest.mark.parametrize(
    "make",
    [lambda: Standardised(5, 6), lambda: StandardisedConvolution(5, 6, 1), patched, hooked],
    ids=["subclass", "convolution", "patched", "hooked"],
)
def test_a_layer_of_another_function_has_no_rule_though_the_probe_does_not_reach_it(
    make: Any,
) -> None:
    torch.manual_seed(0)
    module, x = Gated(make()).to(F64), rarely_large()
    J = jacobian(module, x)
    assert relative(ntk(module, x, dtype=F64), J @ J.T) < 1e-10


FROZEN = {
    "a layer": ["0.weight", "0.bias"],
    "a part of a layer": ["2.weight"],
    "all, of what is only looked at": ["0.weight", "0.bias", "2.weight", "2.bias", "4.weight",
                                       "4.bias"],
}  # fmt: skip


@pytest.mark.parametrize("case", FROZEN)
def test_kernel_and_linearization_are_of_the_parameters_that_are_trained(case: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 1)
    ).to(F64)  # fmt: skip
    x = torch.randn(9, 5, dtype=F64)
    fixed = FROZEN[case]
    for name, value in module.named_parameters():
        value.requires_grad_(name not in fixed)
    trained = {n: v.detach() for n, v in module.named_parameters() if v.requires_grad}
    trained = trained or {n: v.detach() for n, v in module.named_parameters()}
    assert set(parameters_of(module)) == set(trained)
    parts = jacrev(lambda p: functional_call(module, p, (x,))[:, 0])(trained)
    J = torch.cat([part.reshape(len(x), -1) for part in parts.values()], 1)
    for method in ("auto", "jacobian"):
        assert relative(ntk(module, x, dtype=F64, method=method), J @ J.T) < 1e-10
    assert relative(diagonal(module, x), J.square().sum(1)) < 1e-10
    y = torch.randn(9, dtype=F64)
    aligned = (J.T @ y).square().sum() / y.square().sum()
    assert float(alignment.from_gradients(module, x, y)) == pytest.approx(float(aligned))
    assert alignment.with_trace(module, x, y)[0] == pytest.approx(float(aligned))
    delta = {n: torch.randn_like(v) for n, v in trained.items()}
    flat = torch.cat([value.flatten() for value in delta.values()])
    assert relative(linearize(module, offset=False)(delta, x), J @ flat) < 1e-10
    own = factored.factor(module, x)
    assert relative(factored.product(own, {n: v[None] for n, v in delta.items()})[:, 0],
                    J @ flat) < 1e-10  # fmt: skip


def test_kernel_of_a_linear_model_is_x_x_transposed_plus_one() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).double()
    x = torch.randn(9, 3, 2, 2, dtype=F64, generator=torch.Generator().manual_seed(3))
    X = x.flatten(1)
    assert relative(ntk(module, x, dtype=F64), X @ X.T + 1) < 1e-12


def test_only_live_layers_are_kept_when_residual_branches_start_at_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    module = models.build(
        "resnet18", 1, (3, 32, 32), generator=generator, init="lecun", zero_init_residual=True
    )
    x = torch.randn(2, 3, 32, 32, generator=generator)
    factors = feature_map(module, x)(x)
    names = {name for layer in factors.layers.values() for name in _names(layer)}
    sizes = {name: value.numel() for name, value in module.named_parameters()}
    assert sum(sizes[name] for name in names) == 180_033


def _names(layer: object) -> list[str]:
    if isinstance(layer, Rows):
        return list(layer.shapes)
    return [name for name in (layer.weight, layer.bias) if name]  # type: ignore[attr-defined]


@given(
    channels=st.integers(1, 3),
    outputs=st.integers(1, 4),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    bias=st.booleans(),
    patches=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_convolution_factors_match_the_jacobian(
    channels: int, outputs: int, kernel: int, stride: int, padding: int, bias: bool, patches: bool
) -> None:
    generator = torch.Generator().manual_seed(4)
    convolution = nn.Conv2d(channels, outputs, kernel, stride, padding, bias=bias)
    side = (5 + 2 * padding - kernel) // stride + 1
    module = nn.Sequential(
        convolution, nn.Tanh(), nn.Flatten(), nn.Linear(outputs * side * side, 1)
    ).double()
    x = torch.randn(4, channels, 5, 5, dtype=F64, generator=generator)
    J = jacobian(module, x)
    assert relative(ntk(module, x, dtype=F64, method="layers"), J @ J.T) < 1e-10
    if patches:
        own = convolution.weight.numel() + (outputs if bias else 0)
        factor = _patch_form(convolution, module, x)
        exact = J[:, :own]
        assert relative(factor.gram(factor), exact @ exact.T) < 1e-10
        assert relative(factor.squared_norms(), exact.square().sum(1)) < 1e-10
        r = torch.randn(4, 2, dtype=F64, generator=generator)
        back = factor.transposed(r)
        flat = torch.cat([value.flatten(1) for value in back.values()], 1)
        assert relative(flat, r.T @ exact) < 1e-10
        assert relative(factor.product(back), exact @ (r.T @ exact).T) < 1e-10


def _patch_form(convolution: nn.Conv2d, module: nn.Sequential, x: Tensor) -> Patches:
    z = convolution(x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(module[1:](z).sum(), z)
    assert not isinstance(convolution.padding, str)
    padding = (convolution.padding[0], convolution.padding[1])
    patches = nn.functional.unfold(
        x, convolution.kernel_size, padding=padding, stride=convolution.stride
    )
    bias = "0.bias" if convolution.bias is not None else None
    return Patches(patches.mT, gradient.flatten(2).mT, "0.weight", bias, convolution.weight.shape)


@pytest.mark.parametrize("case", CASES)
def test_factored_products_equal_those_with_the_dense_jacobian(case: str) -> None:
    module, x = build(case)
    J, generator = jacobian(module, x), torch.Generator().manual_seed(5)
    factors = factored.factor(module, x, block=3)
    r = torch.randn(len(x), 4, dtype=F64, generator=generator)
    back = factored.transposed(factors, r)
    flat = torch.cat([back[name].flatten(1) for name, _ in module.named_parameters()], 1)
    assert relative(flat, r.T @ J) < 1e-10
    delta = {
        name: torch.randn(2, *value.shape, dtype=F64, generator=generator)
        for name, value in module.named_parameters()
    }
    dense = torch.cat([value.flatten(1) for value in delta.values()], 1)
    assert relative(factored.product(factors, delta), J @ dense.T) < 1e-10
    assert relative(factored.product(factors, back), J @ (J.T @ r)) < 1e-10
