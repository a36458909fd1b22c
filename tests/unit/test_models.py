"""Networks: sizes of the papers, weights from an explicit generator, layers that hooks see."""

from __future__ import annotations

import itertools
import math
from typing import Any, get_args

import pytest
import torch
from torch import nn

from firstorder import models
from firstorder.errors import ConfigError
from firstorder.jobs import functions
from firstorder.models.initialisers import fan_in, truncated_normal
from firstorder.models.layers import Activation, activation, same_padding
from firstorder.models.resnet import Padding

COLOUR, GREY, DIGITS = (3, 32, 32), (1, 28, 28), (1, 8, 8)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("name", "classes", "shape", "count"),
    [
        ("mlp", 1, COLOUR, 317_501),
        ("mlp", 1, GREY, 88_701),
        ("mlp", 1, (1, 32, 32), 112_701),
        ("lenet", 1, COLOUR, 136_121),
        ("lenet", 1, (1, 32, 32), 135_821),
        ("lenet", 1, GREY, 107_021),
        ("resnet18", 1, COLOUR, 11_169_345),
        ("resnet18", 1, (1, 32, 32), 11_168_193),
        ("cnn8", 10, COLOUR, 1_639_794),
        ("cnn4", 10, GREY, 422_090),
        ("resnet34", 100, COLOUR, 21_328_292),
    ],
)
def test_parameter_counts_are_those_of_the_papers(
    name: str, classes: int, shape: tuple[int, int, int], count: int
) -> None:
    module = models.build(name, classes, shape)
    assert sum(p.numel() for p in module.parameters()) == count


def test_resnet18_has_the_batch_norm_buffers_of_the_paper() -> None:
    module = models.build("resnet18", 1, COLOUR)
    statistics = [b for name, b in module.named_buffers() if "running" in name]
    assert sum(b.numel() for b in statistics) == 9_600


def test_zero_initialised_residuals_leave_180033_live_parameters() -> None:
    module = models.build("resnet18", 1, COLOUR, init="lecun", zero_init_residual=True).eval()
    images = torch.randn(2, *COLOUR, generator=generator())
    gradients = torch.autograd.grad(module(images).sum(), list(module.parameters()))
    live = [g for g in gradients if g.abs().max() > 0]
    assert sum(g.numel() for g in live) == 180_033


@pytest.mark.parametrize("name", ["cnn4", "cnn8"])
def test_pooling_before_relu_gives_the_bits_of_the_peers_order(name: str) -> None:
    ours = models.build(name, 10, COLOUR, generator=generator())
    assert isinstance(ours, nn.Sequential)
    layers = list(ours)
    for at, (layer, after) in enumerate(itertools.pairwise(ours)):
        if isinstance(layer, nn.MaxPool2d):
            assert isinstance(after, nn.ReLU)
            layers[at : at + 2] = [after, layer]
    images = torch.randn(16, *COLOUR, generator=generator())
    results = [
        torch.autograd.grad(module(images).square().sum(), list(module.parameters()))
        for module in (ours, nn.Sequential(*layers))
    ]
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@pytest.mark.parametrize("name", ["mlp", "lenet", "cnn4", "cnn8", "resnet18", "resnet34"])
@pytest.mark.parametrize("classes", [1, 10])
def test_every_model_scores_small_images(name: str, classes: int) -> None:
    small = {"width": 0.125} if name.startswith("resnet") else {}
    module = models.build(name, classes, DIGITS, generator=generator(), **small)
    assert module(torch.rand(3, *DIGITS)).shape == (3, classes)


@pytest.mark.parametrize("init", ["kaiming", "lecun", "torch"])
def test_weights_depend_on_the_generator_alone(init: str) -> None:
    before = torch.get_rng_state()
    first = models.build("cnn4", 10, DIGITS, generator=generator(), init=init)
    torch.rand(7)
    torch.set_rng_state(before)
    again = models.build("cnn4", 10, DIGITS, generator=generator(), init=init)
    other = models.build("cnn4", 10, DIGITS, generator=generator(2), init=init)
    assert torch.equal(before, torch.get_rng_state())
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first[0].weight, other[0].weight)
    models.initialise(other, init, generator())
    assert torch.equal(first[0].weight, other[0].weight)


def test_lecun_is_a_truncated_normal_of_variance_one_over_fan_in() -> None:
    module = models.build("mlp", 1, COLOUR, hidden=500, init="lecun")
    layer = module[1]
    deviation = 1 / math.sqrt(fan_in(layer))
    assert layer.weight.std().item() == pytest.approx(deviation, rel=0.01)
    assert layer.weight.abs().max().item() <= 2 * deviation / 0.8796
    assert layer.weight.abs().max().item() > 2.2 * deviation
    assert not layer.bias.any()


def test_a_seed_draws_the_same_truncated_normal_under_every_version_of_torch() -> None:
    weight = torch.empty(400)
    truncated_normal(weight, 1.0, generator())
    expected = torch.tensor([-1.5256, -0.7502, -0.6540, -1.6095])
    torch.testing.assert_close(weight[:4], expected, rtol=0, atol=1e-4)
    again = torch.tensor([0.5565, -0.3608, -1.0920])  # the first of those that were beyond two
    torch.testing.assert_close(weight[[26, 44, 55]], again, rtol=0, atol=1e-4)
    assert weight.abs().max() <= 2


def test_kaiming_fills_the_uniform_bounds_of_the_peers() -> None:
    module = models.build("cnn4", 10, GREY, generator=generator(), init="kaiming")
    convolutions = [m for m in module if isinstance(m, nn.Conv2d)]
    linears = [m for m in module if isinstance(m, nn.Linear)]
    for layer in (*convolutions, *linears):
        inputs = fan_in(layer)
        sides = inputs if isinstance(layer, nn.Conv2d) else inputs + layer.out_features
        assert 0.95 < layer.weight.abs().max().item() / math.sqrt(6 / sides) <= 1
        assert layer.bias.abs().max().item() <= 1 / math.sqrt(inputs)


def test_gelu_is_the_tanh_approximation() -> None:
    x = torch.linspace(-3, 3, 50, dtype=torch.float64)
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    assert torch.allclose(activation("gelu")(x), 0.5 * x * (1 + torch.tanh(inner)))


def test_same_padding_puts_the_odd_zero_after_the_image() -> None:
    assert same_padding(32, 3, 2) == (0, 1)
    assert same_padding(7, 3, 2) == (1, 1)
    assert same_padding(32, 3, 1) == (1, 1)
    assert same_padding(32, 1, 2) == (0, 0)


def test_torch_draws_by_default_what_the_initialiser_of_that_name_draws() -> None:
    """Every weight and bias is uniform up to 1/sqrt(fan_in)."""
    module = models.build("cnn4", 10, GREY, generator=generator(), init="torch")
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            fresh = type(layer)(*shape_of(layer))
            bound = fan_in(layer) ** -0.5
            for drawn in (layer.weight, fresh.weight):
                assert drawn.abs().max() <= bound
                assert math.isclose(drawn.std().item(), bound / math.sqrt(3), rel_tol=0.1)
            assert layer.bias is None or layer.bias.abs().max() <= bound


def shape_of(layer: torch.nn.Conv2d | torch.nn.Linear) -> tuple[int, ...]:
    """What the constructor of a layer of the same size takes."""
    if isinstance(layer, torch.nn.Linear):
        return layer.in_features, layer.out_features
    return layer.in_channels, layer.out_channels, layer.kernel_size[0]


@pytest.mark.parametrize(("init", "before", "after"), [("lecun", 0, 1), ("kaiming", 1, 1)])
def test_strided_convolutions_pad_as_the_study_they_belong_to(
    init: str, before: int, after: int
) -> None:
    module = models.build("resnet18", 1, (1, 16, 16), init=init, width=0.125)
    block = next(b for b in module.blocks if b.conv1.stride == (2, 2))
    images = torch.randn(1, block.conv1.in_channels, 16, 16, generator=generator())
    padded = nn.functional.pad(images, (before, after, before, after))
    expected = nn.functional.conv2d(padded, block.conv1.weight, stride=2)
    torch.testing.assert_close(block.conv1(block.pad(images)), expected)


def test_no_activation_is_shared_or_in_place() -> None:
    for name in models.names():
        if name == "resnet50":
            continue
        module = models.build(name, 10, COLOUR)
        uses: list[nn.Module] = []
        for layer in module.modules():
            if isinstance(layer, nn.ReLU):
                assert not layer.inplace
                layer.register_forward_hook(lambda m, _i, _o, uses=uses: uses.append(m))
        module.eval()(torch.zeros(1, *COLOUR))
        assert len(uses) == len(set(uses)) > 0


@pytest.mark.parametrize(
    ("name", "parameters", "named"),
    [
        ("vgg", {}, ("'vgg'", "cnn8", "mlp")),
        ("mlp", {"width": 3}, ("'width'", "hidden", "depth", "init")),
        ("mlp", {"activation": "tanh"}, ("'tanh'", "gelu", "relu")),
        ("mlp", {"init": "he"}, ("'he'", "kaiming", "lecun")),
        ("resnet18", {"padding": "full"}, ("'full'", "same", "torch")),
    ],
)
def test_unknown_names_are_answered_with_the_allowed_ones(
    name: str, parameters: dict[str, object], named: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as raised:
        models.build(name, 10, DIGITS, **parameters)
    message = str(raised.value)
    assert "\n" not in message
    assert all(word in message for word in named)


def test_an_image_too_small_for_the_poolings_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 8 pixels"):
        models.build("cnn8", 10, (3, 4, 4))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mlp", {"hidden": 0}),
        ("mlp", {"depth": -1}),
        ("mlp", {"activation": "rellu"}),
        ("lenet", {"width": 0.0}),
        ("cnn4", {"activation": "tanh"}),
        ("cnn8", {"activation": "tanh"}),
        ("resnet18", {"width": -1.0}),
        ("resnet34", {"padding": "some"}),
        ("resnet50", {"zero_init_residual": "yes"}),
    ],
)
def test_a_parameter_that_no_network_can_have_is_refused_when_planned(
    name: str, parameters: dict[str, Any]
) -> None:
    (key,) = parameters
    with pytest.raises(ConfigError, match=rf"here\.model_parameters\.{key}: .* is not allowed"):
        functions.check_model(name, parameters, "here")


def test_planning_allows_the_activations_and_paddings_that_networks_have() -> None:
    for name in get_args(Activation):
        functions.check_model("mlp", {"activation": name, "depth": 0}, "here")
        assert isinstance(activation(name), nn.Module)
    for padding in get_args(Padding):
        models.build("resnet18", 2, DIGITS, padding=padding, width=0.02)
