"""The loop: what it learns, what it records, what it leaves alone."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from firstorder import losses, models, streams
from firstorder.config import Recipe
from firstorder.data import images
from firstorder.losses import normalisation
from firstorder.training import loop
from firstorder.training.checkpoint import Checkpoint
from firstorder.training.data import Data, layout
from firstorder.training.metrics import COLUMNS, labelling
from firstorder.training.result import Result

pytestmark = pytest.mark.usefixtures("one_thread")

cross_entropy = functional.cross_entropy


def digits(count: int = 1437, wrong: int = 0) -> Data:
    bunch = load_digits()
    order = torch.randperm(len(bunch.target), generator=torch.Generator().manual_seed(0))
    images = (torch.from_numpy(bunch.images) * 255 / 16).to(torch.uint8)[order, None]
    clean = torch.from_numpy(bunch.target).long()[order]
    labels = clean[:count].clone()
    labels[:wrong] = (labels[:wrong] + 1) % 10
    return Data(images[:count], labels, clean[:count], images[1437:], clean[1437:])


def recipe(**changes: object) -> Recipe:
    values = {"model": "mlp", "epochs": 2, "batch": 64, "lr": 0.05, "clip": 5.0}
    return Recipe.model_validate(values | changes)


def network(seed: int = 1, name: str = "mlp", classes: int = 10) -> nn.Module:
    return models.build(name, classes, (1, 8, 8), generator=streams.torch_stream(seed, "init"))


def bits(module: nn.Module) -> list[Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def run(module: nn.Module, data: Data, recipe: Recipe, **options: Any) -> Result:
    loss = options.pop("loss", cross_entropy)
    return loop.train(module, data, recipe, loss, options.pop("seed", 1), **options)


def test_a_few_seconds_on_digits_reach_95_percent() -> None:
    result = run(network(), digits(), recipe(epochs=30, lr=0.1))
    assert result.status == "finished"
    assert result.last is not None and (result.last["test_accuracy"] or 0) > 0.95
    assert (result.final["train_accuracy"] or 0) > 0.98
    assert result.steps == 30 * math.ceil(1437 / 64)


def test_the_same_run_twice_has_the_same_bits_and_touches_no_global_stream() -> None:
    before = torch.get_rng_state()
    first, again = network(name="cnn4"), network(name="cnn4")
    data, augmented = digits(300, wrong=50), recipe(augment={"crop": 1})
    one, two = run(first, data, augmented), run(again, data, augmented)
    assert torch.equal(before, torch.get_rng_state())
    assert one.history == two.history and one.final == two.final
    assert all(torch.equal(a, b) for a, b in zip(bits(first), bits(again), strict=True))
    other = network(name="cnn4")
    run(other, data, augmented, seed=2)
    assert not torch.equal(bits(first)[0], bits(other)[0])


class FunctionalDropout(nn.Module):
    def forward(self, scores: Tensor) -> Tensor:
        return functional.dropout(scores, 0.5, self.training)


class Scales(nn.Module):
    """Scores that do not look at the image."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.linspace(-1, 1, 10))

    def forward(self, images: Tensor) -> Tensor:
        return self.scales.expand(len(images), 10)


RANDOM = {
    "dropout": nn.Dropout(0.5),
    "alpha": nn.AlphaDropout(0.5),
    "rrelu": nn.RReLU(),
    "functional": FunctionalDropout(),
}


@pytest.mark.parametrize("layer", RANDOM)
def test_layers_draw_from_seed_and_step_and_touch_no_global_stream(layer: str) -> None:
    data = digits(64)
    alike = Data(data.images, data.labels * 0, data.clean * 0, data.test_images, data.test_labels)
    before = torch.get_rng_state()

    def trained(seed: int) -> Tensor:
        module = nn.Sequential(Scales(), RANDOM[layer])
        run(module, alike, recipe(batch=32), seed=seed)
        return bits(module)[0]

    first = trained(1)
    torch.rand(3)
    assert torch.equal(trained(1), first)
    assert not torch.equal(trained(2), first)  # their orders differ, but all examples are alike
    torch.set_rng_state(before)
    trained(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_step_draws_anew() -> None:
    masks = []
    module = nn.Sequential(Scales(), nn.Dropout(0.5))
    module[1].register_forward_hook(lambda layer, _, out: masks.append((out == 0, layer.training)))
    run(module, digits(64), recipe(batch=32))
    drawn = [mask for mask, training in masks if training]
    assert len(drawn) == 4
    assert not any(torch.equal(drawn[i], drawn[j]) for i in range(4) for j in range(i))


def test_evaluation_and_callbacks_change_no_weight() -> None:
    plain, watched = network(name="cnn4"), network(name="cnn4")
    data = digits(200)
    run(plain, data, recipe())
    small = Data(data.images, data.labels, data.clean, data.images[:3], data.clean[:3])
    run(watched, small, recipe(), record_start=True, on_epoch=lambda *_: {"noticed": 1.0})
    assert all(torch.equal(a, b) for a, b in zip(bits(plain), bits(watched), strict=True))


def test_spaced_evaluations_change_no_weight_and_never_miss_the_last_epoch() -> None:
    often, rarely = network(), network()
    data = digits(200)
    every = run(often, data, recipe(epochs=5))
    spaced = run(rarely, data, recipe(epochs=5, evaluate_every=2))
    assert all(torch.equal(a, b) for a, b in zip(bits(often), bits(rarely), strict=True))
    assert [row["test_accuracy"] is not None for row in spaced.history] == [
        False, True, False, True, True
    ]  # fmt: skip
    for name in ("test_loss", "test_accuracy"):
        assert spaced.history[1][name] == every.history[1][name]
    assert spaced.last == every.last and spaced.final == every.final
    assert spaced.best is not None and spaced.best["epoch"] in (2, 4, 5)


def test_the_first_epoch_equals_a_plain_torch_loop() -> None:
    data, chosen = digits(200), recipe(epochs=1, weight_decay=1e-3)
    ours, theirs = network(name="cnn4"), network(name="cnn4")
    result = run(ours, data, chosen, l1=1e-4)
    optimiser = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    order = torch.randperm(200, generator=streams.torch_stream(1, "order"))
    losses, norms = [], []
    for index in order.split(64):
        scores = theirs(data.images[index] / 255)
        loss = cross_entropy(scores, data.labels[index])
        penalty = sum(p.abs().sum() for p in theirs.parameters())
        optimiser.zero_grad()
        (loss + 1e-4 * penalty).backward()
        norms.append(nn.utils.clip_grad_norm_(theirs.parameters(), 5.0))
        optimiser.step()
        losses.append(loss.detach() * len(index))
    for a, b in zip(bits(ours), bits(theirs), strict=True):
        assert torch.allclose(a.double(), b.double(), rtol=1e-5, atol=1e-6)
    assert result.last is not None
    assert result.last["train_loss"] == pytest.approx(sum(losses).item() / 200, rel=1e-5)
    assert result.last["grad_norm"] == pytest.approx(torch.stack(norms).mean().item(), rel=1e-5)


def test_rows_hold_the_columns_of_the_contract() -> None:
    noisy = run(network(), digits(300, wrong=60), recipe())
    assert [list(row) for row in noisy.history] == [list(COLUMNS)] * 2
    assert [row["epoch"] for row in noisy.history] == [1, 2]
    assert all(value is not None for value in noisy.history[0].values())
    clean = run(network(), digits(300), recipe())
    assert clean.history[0]["wrong_fitted"] is None
    assert clean.history[0]["wrong_corrected"] is None
    assert clean.history[0]["train_accuracy"] == clean.history[0]["clean_accuracy"]


def test_wrong_labels_are_counted_as_fitted_or_corrected() -> None:
    labels = torch.tensor([0, 1, 2, 2, 1])
    clean = torch.tensor([0, 1, 2, 0, 0])
    predictions = torch.tensor([0, 1, 0, 2, 0])
    assert labelling(predictions, labels, clean).tolist() == [3 / 5, 3 / 5, 1 / 2, 1 / 2]


def test_predictions_are_those_of_the_normalised_scores() -> None:
    class Flip(nn.Module):
        def forward(self, scores: Tensor) -> Tensor:
            return -scores

    module, data = network(), digits(300)
    result = run(module, data, recipe(epochs=5, lr=0.2), normaliser=Flip())
    scores = module(data.test_images / 255)
    accuracy = (scores.argmin(1) == data.test_labels).double().mean().item()
    assert result.last is not None and result.last["test_accuracy"] == accuracy > 0.5
    assert result.last["score_max"] is not None and result.last["score_max"] > 0


def test_normalised_scores_keep_running_statistics_and_survive_a_last_batch_of_one() -> None:
    normaliser = normalisation.build("bn", 10)
    result = run(network(name="cnn4"), digits(129), recipe(), normaliser=normaliser)
    assert result.status == "finished" and result.steps == 4
    assert int(normaliser.state_dict()["num_batches_tracked"]) == 4


def test_a_single_score_predicts_by_its_sign_and_the_start_is_recorded() -> None:
    data = digits(400)
    binary = Data(
        data.images,
        (data.labels > 4).long(),
        (data.labels > 4).long(),
        data.test_images,
        (data.test_labels > 4).long(),
    )

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(scores[:, 0], labels.float())

    module = network(classes=1)
    initial = [p.detach().clone() for p in module.parameters()]

    def distance(epoch: int, module: nn.Module, row: dict[str, Any]) -> dict[str, float]:
        moved = zip(module.parameters(), initial, strict=True)
        return {"distance": sum((p.detach() - q).square().sum().item() for p, q in moved)}

    chosen = recipe(epochs=40, lr=0.1, schedule="linear", schedule_unit="step", drop_last=True)
    result = run(module, binary, chosen, loss=loss, record_start=True, on_epoch=distance)
    assert [row["epoch"] for row in result.history] == list(range(41))
    assert result.history[0]["distance"] == 0 and (result.history[-1]["distance"] or 0) > 0
    assert result.history[0]["train_loss"] == pytest.approx(math.log(2), abs=0.2)
    assert (result.history[-1]["test_accuracy"] or 0) > 0.85
    assert result.best is not None and result.best["epoch"] > 0


def test_the_first_step_below_a_loss_is_recorded() -> None:
    values = [0.3, 0.2, 0.05, 0.3, 0.001, 0.005]
    step = iter(range(100))

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        if not scores.requires_grad:
            return scores.sum() * 0
        return scores.sum() * 0 + values[next(step)]

    result = run(network(), digits(192), recipe(), loss=loss)
    assert result.first_below == {"0.1": 3, "0.01": 5}


@pytest.mark.parametrize("epoch", [1, 2])
def test_divergence_is_a_result(epoch: int) -> None:
    calls = iter(range(100))

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        value = cross_entropy(scores, labels)
        if scores.requires_grad and next(calls) == 3 * (epoch - 1) + 1:
            return value * torch.inf
        return value

    result = run(network(), digits(192), recipe(epochs=4), loss=loss)
    assert result.status == "diverged"
    assert [row["epoch"] for row in result.history] == list(range(1, epoch))
    assert (result.best is None) == (result.last is None) == (epoch == 1)
    assert set(result.final.values()) == {None}


def test_an_unbounded_loss_diverges_without_a_crash() -> None:
    def unhinged(scores: Tensor, labels: Tensor) -> Tensor:
        return (scores.mean(1) - scores.gather(1, labels[:, None])[:, 0]).mean()

    steep = recipe(epochs=60, lr=1e4, clip=None, schedule="constant")
    result = run(network(), digits(192), steep, loss=unhinged)
    assert result.status == "diverged" and len(result.history) < 60


def test_a_loss_that_draws_gets_a_generator_of_its_own() -> None:
    class Drawing:
        batch = "draws"

        def __init__(self) -> None:
            self.seen: list[float] = []

        def __call__(
            self, scores: Tensor, labels: Tensor, generator: torch.Generator | None = None
        ) -> Tensor:
            if generator is not None:
                self.seen.append(torch.rand((), generator=generator).item())
            return cross_entropy(scores, labels)

    first, again = Drawing(), Drawing()
    run(network(), digits(192), recipe(epochs=1), loss=first)
    run(network(), digits(192), recipe(epochs=1), loss=again)
    assert len(set(first.seen)) == 3 and first.seen == again.seen


def test_bfloat16_trains_and_scores_stay_float32() -> None:
    seen: set[torch.dtype] = set()

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        seen.add(scores.dtype)
        return cross_entropy(scores, labels)

    module = network(name="cnn4")
    result = run(module, digits(300), recipe(precision="bfloat16", epochs=8), loss=loss)
    assert seen == {torch.float32}
    assert all(p.dtype == torch.float32 for p in module.parameters())
    assert result.last is not None and (result.last["test_accuracy"] or 0) > 0.7


def test_augmentation_sees_raw_images_and_evaluation_does_not_see_it() -> None:
    seen: set[torch.dtype] = set()

    def blank(batch: Tensor, generator: torch.Generator) -> Tensor:
        seen.add(batch.dtype)
        return torch.zeros_like(batch)

    data = digits(192)
    result = run(network(), data, recipe(lr=1e-9), augment=blank)
    assert seen == {torch.uint8}
    reference = run(network(), data, recipe(lr=1e-9))
    assert result.final == reference.final
    assert result.history[0]["train_loss"] != reference.history[0]["train_loss"]


def test_standardised_images_give_the_same_run_as_raw_ones() -> None:
    data = digits(192)
    ready = Data(
        data.images / 255, data.labels, data.clean, data.test_images / 255, data.test_labels
    )
    assert run(network(), data, recipe()).history == run(network(), ready, recipe()).history


def test_progress_leaves_a_few_plain_lines_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    run(network(), digits(128), recipe(epochs=20), progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10 and lines[-1].startswith("epoch 20/20 train loss")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_never_waits_for_the_gpu(precision: str) -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (64, 3, 16, 16), generator=generator).to(torch.uint8)
    labels = torch.randint(0, 10, (64,), generator=generator)
    every = {"resized-crop": 12, "crop": 1, "flip": 0.5, "rotate": 20, "jitter": 0.4}
    training = loop.Training(
        models.build("cnn4", 10, (3, 12, 12), generator=streams.torch_stream(1, "init")),
        Data(pictures, labels, labels, pictures, labels),
        recipe(augment=every, precision=precision, momentum=0.9, weight_decay=1e-3),
        cross_entropy,
        1,
        torch.device("cuda"),
        normaliser=normalisation.build("bn", 10),
        l1=1e-4,
        weight_decay=1e-3,
        standardise=lambda batch: images.standardise(batch, (0.5,) * 3, (0.25,) * 3),
        augment=None,
    )
    index = torch.arange(64, device="cuda")
    training.step(index, training.data.labels, 0.1)  # brings constants to the device
    torch.cuda.set_sync_debug_mode("error")
    try:
        training.step(index, training.data.labels, 0.1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_learns_and_repeats_its_bits(precision: str) -> None:
    chosen, data = recipe(epochs=10, precision=precision, augment={"crop": 1}), digits(600)
    first, again = network(name="cnn4"), network(name="cnn4")
    one = run(first, data, chosen, device="cuda")
    two = run(again, data, chosen, device="cuda")
    assert one.history == two.history
    assert all(torch.equal(a, b) for a, b in zip(bits(first), bits(again), strict=True))
    assert one.last is not None and (one.last["test_accuracy"] or 0) > 0.8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_recorded_step_is_the_step(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = recipe(
        epochs=6, precision=precision, augment={"crop": 1}, schedule="linear",
        schedule_unit="step", weight_decay=1e-3,
    )  # fmt: skip
    data, networks = digits(600), (network(name="cnn4"), network(name="cnn4"))
    nlnl = losses.build("nlnl", 10)  # it draws
    recorded = run(networks[0], data, chosen, loss=nlnl, device="cuda", l1=1e-5)
    monkeypatch.setattr(loop, "capture", lambda training, index: None)
    launched = run(networks[1], data, chosen, loss=nlnl, device="cuda", l1=1e-5)
    for one, other in zip(recorded.history, launched.history, strict=True):
        assert one["lr"] == other["lr"]
        # Recorded, the learning rate is a factor on the device: the last bits differ, and grow.
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=2e-2)
    for a, b in zip(bits(networks[0]), bits(networks[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=5e-2, atol=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_recorded_step_drops_what_a_launched_one_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> Tensor:
        module = nn.Sequential(Scales(), nn.Dropout(0.5))
        run(module, digits(640), recipe(), device="cuda")
        return bits(module)[0]

    recorded = trained()
    monkeypatch.setattr(loop, "capture", lambda training, index: None)
    torch.testing.assert_close(trained(), recorded, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_network_that_draws_on_the_host_is_trained_kernel_by_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OnHost(nn.Module):
        def forward(self, scores: Tensor) -> Tensor:
            return scores * float(torch.rand(()))

    def trained() -> Tensor:
        module = nn.Sequential(Scales(), OnHost())
        run(module, digits(640), recipe(), device="cuda")
        return bits(module)[0]

    seen = trained()
    monkeypatch.setattr(loop, "capture", lambda training, index: None)
    assert torch.equal(trained(), seen)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_a_gpu_resumes_to_the_same_bits(tmp_path: Path) -> None:
    chosen, data = recipe(epochs=4, augment={"crop": 1}), digits(600)
    whole, cut = network(name="cnn4"), network(name="cnn4")
    reference = run(whole, data, chosen, device="cuda")
    place = Checkpoint(tmp_path / "at", "spec", 0.0)

    def stop(epoch: int, module: nn.Module, row: Any) -> dict[str, float]:
        if epoch == 3:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(network(name="cnn4"), data, chosen, device="cuda", checkpoint=place, on_epoch=stop)
    again = run(cut, data, chosen, device="cuda", checkpoint=place)
    assert again.history == reference.history
    assert all(torch.equal(a, b) for a, b in zip(bits(cut), bits(whole), strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_loss_that_looks_at_a_number_is_trained_kernel_by_kernel() -> None:
    def looking(scores: Tensor, labels: Tensor) -> Tensor:
        loss = cross_entropy(scores, labels)
        return loss if float(loss) > 0 else 2 * loss

    data, chosen = digits(600), recipe(epochs=3)
    looked, plain = network(), network()
    one = run(looked, data, chosen, loss=looking, device="cuda")
    assert one.history[-1]["train_loss"] < one.history[0]["train_loss"]
    run(plain, data, chosen, device="cuda")
    for a, b in zip(bits(looked), bits(plain), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


NARROW_SHORTCUT = """
import torch
from torch import nn
from torch.nn import functional
from firstorder.config import Recipe
from firstorder.training import loop
from firstorder.training.checkpoint import Checkpoint
from firstorder.training.data import Data
module = nn.Sequential(nn.Conv2d(3, 8, 1, stride=2), nn.Flatten(), nn.Linear(8 * 16 * 16, 10))
images, labels = torch.full((64, 3, 32, 32), 9, dtype=torch.uint8), torch.arange(64) % 10
recipe = Recipe.model_validate({"model": "cnn4", "epochs": 20, "batch": 16, "lr": 0.01})
data = Data(images, labels, labels, images, labels)
print(loop.train(module, data, recipe, functional.cross_entropy, 1).status)
"""


def test_narrow_strided_shortcuts_stay_within_memory_on_processors_with_avx2_alone() -> None:
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", NARROW_SHORTCUT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "finished\n"), done.stderr


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (nn.Conv2d(7, 16, 1, stride=2), torch.contiguous_format),
        (nn.Conv2d(32, 64, 1, stride=(1, 2), groups=8), torch.contiguous_format),
        (nn.Conv2d(8, 16, 1, stride=2), torch.channels_last),
        (nn.Conv2d(3, 16, 1), torch.channels_last),
        (nn.Conv2d(3, 16, 3, stride=2), torch.channels_last),
    ],
)
def test_other_networks_compute_with_channels_last(
    part: nn.Module, expected: torch.memory_format
) -> None:
    module = nn.Sequential(nn.Sequential(part), nn.ReLU())
    assert layout(module, (part.in_channels, 8, 8)) == expected
    assert all(each.training for each in module.modules())
