"""Losses, as declared in `config/losses.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from firstorder.config.values import Place, Scalar, Some, Strict

TUNED = "tuned"
"""Instead of a value: the tuning protocol chooses it."""


class LossChange(Strict):
    """What a dataset changes in a loss."""

    parameters: dict[str, Scalar] = {}
    """`tuned`: chosen by the tuning protocol from the loss's `choices`."""
    score_norm: Literal["none", "l2", "bn", "tuned"] | None = None
    l1: Annotated[float, Field(ge=0)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | Literal["tuned"] | None = None
    lr: Annotated[float, Field(gt=0)] | Literal["tuned"] | None = None


class Loss(Strict):
    """One row of the comparison: a loss, its hyper-parameters and what goes with it."""

    label: str
    """As printed in tables and legends."""
    function: Place | None = None
    """Registered name (default: the entry's id), or `module:function`, or `file.py:function`."""
    parameters: dict[str, Scalar] = {}
    choices: dict[str, Some[Scalar]] = {}
    """The values from which tuning chooses a parameter that is `tuned` on a dataset."""
    score_norm: Literal["none", "l2", "bn", "tuned"] = "none"
    """Normalisation of the scores before the loss: none, Euclidean norm, batch norm."""
    l1: Annotated[float, Field(ge=0)] = 0.0
    """Coefficient of the L1 norm of all trainable parameters, added to the loss."""
    weight_decay: Annotated[float, Field(ge=0)] | Literal["tuned"] | None = None
    """Instead of the recipe's; `tuned`: chosen by the tuning protocol."""
    lr: Annotated[float, Field(gt=0)] | Literal["tuned"] | None = None
    """Instead of the recipe's learning rate. What is `tuned` here or in `score_norm` is chosen
    under an equal budget, together with all else that is tuned."""
    datasets: dict[str, LossChange] = {}
    source: str = ""

    @property
    def tuned_parameters(self) -> list[str]:
        """The parameters that the tuning protocol chooses."""
        return [name for name, value in self.parameters.items() if value == TUNED]

    @property
    def tuned(self) -> bool:
        """Whether the tuning protocol chooses anything of this loss."""
        return bool(self.tuned_parameters) or TUNED in (self.weight_decay, self.score_norm, self.lr)

    def on(self, dataset: str) -> Loss:
        """This loss with what `dataset` changes."""
        change = self.datasets.get(dataset)
        if change is None:
            return self.model_copy(update={"datasets": {}})
        update = change.model_dump(exclude_none=True, exclude={"parameters"})
        parameters = {**self.parameters, **change.parameters}
        return self.model_copy(update={**update, "parameters": parameters, "datasets": {}})
