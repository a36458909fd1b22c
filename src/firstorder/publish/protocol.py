"""How the networks of a study are trained, as rows of a table, from the configuration alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from firstorder.publish.numerals import number

COLUMNS = (
    "Trained", "Data", "Model", "Epochs", "Batch", "Rate", "Schedule", "Decay", "Seeds",
)  # fmt: skip
"""Rate is the learning rate, decay the weight decay."""
Row = dict[str, str]
NETWORKS = {
    "mlp": "MLP",
    "lenet": "LeNet",
    "cnn4": "CNN-4",
    "cnn8": "CNN-8",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
}
"""How the project's networks are printed."""


class Recipe(Protocol):
    """What every study's recipe says."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def schedule(self) -> Any: ...


def trained(
    name: str, data: str, model: str, recipe: Recipe, decay: float, seeds: Iterable[int]
) -> Row:
    """One row, by column."""
    numbers = recipe.epochs, recipe.batch, number(recipe.lr), recipe.schedule, number(decay)
    values = (name, data, model, *map(str, numbers), ", ".join(map(str, seeds)))
    return dict(zip(COLUMNS, values, strict=True))


def network(name: str) -> str:
    """A network as printed; a user's own by its name."""
    return NETWORKS.get(name, name)


def examples(title: str, train: int | None, test: int | None = None) -> str:
    """Data as printed: `CIFAR-10, 40,000 + 10,000` are training and test examples."""
    counts = " + ".join(f"{count:,}" for count in (train, test) if count is not None)
    return f"{title}, {counts}" if counts else title
