"""The step that tests trained networks on every test set of their dataset.

Training looks at one test set. Some datasets have several (WebVision is also tested on ImageNet's
validation images), and their tables want the five best guesses too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firstorder import arrays, files, memory, streams
from firstorder.errors import DataError
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.symmetrization.training import read_tuned

if TYPE_CHECKING:
    from torch import Tensor, nn

    from firstorder.losses.normalisation import ScoreNorm

GUESSES = 5
TOLERATED = 0.01
"""Share of the test set by which the evaluation may differ from the training's own: that may have
been on another device or in bfloat16, whose rounding decides between nearly equal scores."""


def evaluate(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Write tests.json of every seed of a cell: accuracies (fractions) on all test sets.

    `accuracies` holds `last_accuracy` and `top5_accuracy` of the test set, and
    `NAME_accuracy` and `NAME_top5_accuracy` of every further one, called NAME.
    """
    from firstorder.data.prepared import read_prepared

    device = context.torch_device(spec["recipe"]["threads"])
    prepared = read_prepared(inputs["dataset"])
    splits = {"": (prepared.test_images, prepared.test_labels), **prepared.extra_tests}
    norm = spec["score_norm"]
    if "tuned" in inputs:
        norm = read_tuned(inputs["tuned"])["chosen"]["score_norm"]
    for seed in spec["seeds"]:
        weights = inputs[f"{seed}/weights.safetensors"]
        module = _network(spec, norm, seed, weights).to(device)
        found: dict[str, float] = {}
        for name, (images, labels) in splits.items():
            with memory.advising("ask for more memory: evaluation takes images in small batches"):
                top1, top5 = _accuracies(spec, module, images, labels, device)
            found[f"{name}_accuracy" if name else "last_accuracy"] = top1
            found[f"{name}_top{GUESSES}_accuracy" if name else f"top{GUESSES}_accuracy"] = top5
        _check(found["last_accuracy"], inputs[f"{seed}/correct.npz"], spec["recipe"]["model"])
        files.write_json(
            outputs[f"{seed}/tests.json"],
            {"spec": dict(spec), "seed": seed, "accuracies": found}
            | context.record([inputs["dataset"], weights]),
        )


def _check(accuracy: float, path: str, model: str) -> None:
    """Raise DataError where a network is not the one that was trained, of which `path` tells."""
    right = arrays.read_bits(path)
    if not len(right):  # after divergence
        return
    if abs(accuracy * len(right) - right.sum()) > 1 + TOLERATED * len(right):
        raise DataError(
            f"{path}: test accuracy {right.mean():.4f} after training, {accuracy:.4f} of the "
            f"network built again: {model} keeps state elsewhere than in weights and buffers; make "
            "it a buffer"
        )


def _network(spec: Spec, norm: ScoreNorm, seed: int, weights: str) -> nn.Module:
    """The trained network and its score normalisation, in evaluation mode.

    Built from the seed of its training: it may have drawn more than its weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torch import nn

    from firstorder import models
    from firstorder.data.images import seen_shape
    from firstorder.losses import normalisation
    from firstorder.models.state import load_state

    recipe, images = spec["recipe"], spec["images"]
    classes, shape = images["classes"], seen_shape(tuple(images["shape"]), recipe["augment"])
    parts = {
        "network": models.build(
            recipe["model"],
            classes,
            shape,
            generator=streams.torch_stream(seed, "init"),
            **recipe["model_parameters"],
        ),
        "normaliser": normalisation.build(norm, classes),
    }
    try:
        state = load_file(weights)
        for prefix, part in parts.items():
            own = {
                name.removeprefix(f"{prefix}."): value
                for name, value in state.items()
                if name.startswith(f"{prefix}.")
            }
            load_state(part, own)
    except FileNotFoundError:
        raise files.missing(weights) from None
    except (SafetensorError, RuntimeError) as error:
        raise files.damaged(weights, error) from None
    return nn.Sequential(*parts.values()).eval()


def _accuracies(
    spec: Spec, module: nn.Module, images: Any, labels: Any, device: Any
) -> tuple[float, float]:
    """Shares of labelled images (N, C, H, W) whose label is the first, or among five, guesses."""
    import torch

    from firstorder.data.images import evaluation_view, standardise
    from firstorder.training.metrics import evaluation_batch

    mean, std, augment = spec["images"]["mean"], spec["images"]["std"], spec["recipe"]["augment"]
    size = evaluation_batch(device.type, images[:1].size)
    right: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(labels), size):
            batch = torch.from_numpy(images[start : start + size]).to(device)
            if augment:
                batch = evaluation_view(batch, augment)
            scores = module(standardise(batch, mean, std))
            guesses = scores.topk(min(GUESSES, scores.shape[1]), dim=1).indices.cpu()
            own = torch.from_numpy(labels[start : start + size])
            right.append(guesses == own[:, None])
    hits = torch.cat(right).double()
    return float(hits[:, 0].mean()), float(hits.sum(1).mean())
