"""The step that tests trained networks on every test set of their dataset.

Training looks at one test set. Some datasets have several (WebVision is also tested on ImageNet's
validation images), and their tables want the five best guesses too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firstorder import files, memory, specs
from firstorder.config import Cell, Config, channel_statistics
from firstorder.errors import DataError
from firstorder.provenance import record
from firstorder.studies.data import paths

if TYPE_CHECKING:
    from torch import Tensor, nn

GUESSES = 5


def evaluate(config: Config, cell: Cell, code: str = "") -> None:
    """Write tests.json of every seed of a cell: accuracies (fractions) on all test sets.

    `accuracies` holds `last_accuracy` and `top5_accuracy` of the test set, and
    `NAME_accuracy` and `NAME_top5_accuracy` of every further one, called NAME.
    """
    import torch

    from firstorder.data.prepared import read_prepared
    from firstorder.training.device import choose

    torch.set_num_threads(cell.recipe.threads)
    device = choose(config.settings.device)
    where = paths(config)
    prepared = read_prepared(where.dataset(cell.dataset))
    splits = {"": (prepared.test_images, prepared.test_labels), **prepared.extra_tests}
    for seed in cell.seeds:
        run = (cell.setting, cell.noise_name, cell.loss_name, seed)
        weights = where.run(*run, "weights.safetensors")
        module = _network(config, cell, weights).to(device)
        found: dict[str, float] = {}
        for name, (images, labels) in splits.items():
            with memory.advising("ask for more memory: evaluation takes images in small batches"):
                top1, top5 = _accuracies(config, cell, module, images, labels, device)
            found[f"{name}_accuracy" if name else "last_accuracy"] = top1
            found[f"{name}_top{GUESSES}_accuracy" if name else f"top{GUESSES}_accuracy"] = top5
        inputs = [where.dataset(cell.dataset), weights]
        files.write_json(
            where.run(*run, "tests.json"),
            {"spec": specs.cell_values(cell), "seed": seed, "accuracies": found}
            | record(config, code, inputs),
        )


def _network(config: Config, cell: Cell, weights: str) -> nn.Module:
    """The trained network and its score normalisation, in evaluation mode."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from torch import nn

    from firstorder import models
    from firstorder.losses import normalisation

    dataset, recipe = config.datasets[cell.dataset], cell.recipe
    classes = len(dataset.classes)
    parts = {
        "network": models.build(
            recipe.model, classes, dataset.shape, generator=None, **recipe.model_parameters
        ),
        "normaliser": normalisation.build(cell.loss.score_norm, classes),
    }
    try:
        state = load_file(weights)
        for prefix, part in parts.items():
            own = {
                name.removeprefix(f"{prefix}."): value
                for name, value in state.items()
                if name.startswith(f"{prefix}.")
            }
            part.load_state_dict(own)
    except FileNotFoundError:
        raise DataError(f"{weights}: no such file; ask Snakemake for it") from None
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{weights}: damaged ({reason}); delete it and run again") from None
    return nn.Sequential(*parts.values()).eval()


def _accuracies(
    config: Config, cell: Cell, module: nn.Module, images: Any, labels: Any, device: Any
) -> tuple[float, float]:
    """Shares of labelled images (N, C, H, W) whose label is the first, or among five, guesses."""
    import torch

    from firstorder.data.images import evaluation_view, standardise
    from firstorder.training.metrics import evaluation_batch

    mean, std = channel_statistics(config, cell)
    augment = {str(kind): value for kind, value in cell.recipe.augment.items()}
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
