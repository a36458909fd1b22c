"""Losses and recipes, as declared in `config/losses.yaml` and `config/recipes.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from firstorder.config.values import Count, Scalar, Some, Strict

TUNED = "tuned"
"""Instead of a value: the tuning protocol chooses it."""


class LossChange(Strict):
    """What a dataset changes in a loss."""

    parameters: dict[str, Scalar] = {}
    """`tuned`: chosen by the tuning protocol from the loss's `choices`."""
    score_norm: Literal["none", "l2", "bn"] | None = None
    l1: Annotated[float, Field(ge=0)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | Literal["tuned"] | None = None


class Loss(Strict):
    """One row of the comparison: a loss, its hyper-parameters and what goes with it."""

    label: str
    """As printed in tables and legends."""
    function: str | None = None
    """Registered name (default: the entry's id), or `module:function`, or `file.py:function`."""
    parameters: dict[str, Scalar] = {}
    choices: dict[str, Some[Scalar]] = {}
    """The values from which tuning chooses a parameter that is `tuned` on a dataset."""
    score_norm: Literal["none", "l2", "bn"] = "none"
    """Normalisation of the scores before the loss: none, Euclidean norm, batch norm."""
    l1: Annotated[float, Field(ge=0)] = 0.0
    """Coefficient of the L1 norm of all trainable parameters, added to the loss."""
    weight_decay: Annotated[float, Field(ge=0)] | Literal["tuned"] | None = None
    """Instead of the recipe's; `tuned`: chosen by the tuning protocol."""
    datasets: dict[str, LossChange] = {}
    source: str = ""

    @property
    def tuned_parameters(self) -> list[str]:
        """The parameters that the tuning protocol chooses."""
        return [name for name, value in self.parameters.items() if value == TUNED]

    @property
    def tuned(self) -> bool:
        """Whether the tuning protocol chooses anything of this loss."""
        return bool(self.tuned_parameters) or self.weight_decay == TUNED

    def on(self, dataset: str) -> Loss:
        """This loss with what `dataset` changes."""
        change = self.datasets.get(dataset)
        if change is None:
            return self.model_copy(update={"datasets": {}})
        update = change.model_dump(exclude_none=True, exclude={"parameters"})
        parameters = {**self.parameters, **change.parameters}
        return self.model_copy(update={**update, "parameters": parameters, "datasets": {}})


class Recipe(Strict):
    """How a network is trained."""

    model: str
    model_parameters: dict[str, Scalar] = {}
    train: Count | None = None
    """Use this many training examples (class-stratified); all when absent."""
    epochs: Count
    batch: Count = 128
    lr: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine", "linear", "step", "exponential", "one-cycle"] = "cosine"
    schedule_unit: Literal["epoch", "step"] = "epoch"
    """Whether the learning rate changes once an epoch or once a step."""
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    """Factor of the `step` (at milestones) and `exponential` (every unit) schedules."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Annotated[float, Field(gt=0)] | None = None
    """Bound on the Euclidean norm of the gradient."""
    drop_last: bool = False
    evaluate_every: Count = 1
    """Epochs from one evaluation of the test set to the next; the last epoch always has one."""
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    """Instead of the dataset's, to standardise each channel: protocols differ in the last digit."""
    augment: dict[Literal["crop", "flip", "rotate", "resized-crop", "jitter"], Scalar] = {}
    """Augmentation: crop (padding in pixels), flip (probability), rotate (degrees), ..."""
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: Count = 1
    """CPU threads of one training; in the recipe because sums depend on it in the last digit."""
    minutes: Count = 10
    """Time to ask a scheduler for, for one training."""
    memory_mb: Count = 2000
    """Memory to ask a scheduler for."""
    source: str = ""
