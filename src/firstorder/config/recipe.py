"""Recipes, as declared in `config/recipes.yaml`: how a network is trained."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from firstorder.config.values import (
    Count,
    Deviations,
    Distinct,
    Means,
    Place,
    Scalar,
    Strict,
    Threads,
    unread,
)
from firstorder.errors import ConfigError


class Recipe(Strict):
    """How a network is trained."""

    model: Place | None = None
    """Registered name or `file.py:function`; absent where a study names its own networks."""
    model_parameters: dict[str, Scalar] = {}
    train: Count | None = None
    """Use this many training examples (class-stratified); all when absent."""
    epochs: Count
    batch: Count = 128
    lr: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine", "linear", "step", "exponential", "one-cycle"] = "cosine"
    schedule_unit: Literal["epoch", "step"] = "epoch"
    """Whether the learning rate changes once an epoch or once a step."""
    milestones: Distinct[Count] = ()
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor of the `step` (at milestones) and `exponential` (every unit) schedules."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Annotated[float, Field(gt=0)] | None = None
    """Bound on the Euclidean norm of the gradient."""
    drop_last: bool = False
    evaluate_every: Count = 1
    """Epochs from one evaluation of the test set to the next; the last epoch always has one."""
    mean: Means | None = None
    std: Deviations | None = None
    """Instead of the dataset's, to standardise each channel: protocols differ in the last digit."""
    augment: dict[Literal["crop", "flip", "rotate", "resized-crop", "jitter"], Scalar] = {}
    """Augmentation, see `firstorder.data.images.augment`: crop (padding in pixels), flip
    (probability), rotate (largest angle in degrees), resized-crop (side in pixels), jitter
    (strength)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: Threads = 1
    """CPU threads of one training; in the recipe because sums depend on it in the last digit."""
    minutes: Count = 10
    """Time to ask a scheduler for, for one training."""
    memory_mb: Count = 2000
    """Memory to ask a scheduler for."""
    source: str = ""

    @field_validator("augment")
    @classmethod
    def _possible(cls, augment: dict[str, Scalar]) -> dict[str, Scalar]:
        for kind, value in augment.items():
            whole = kind in ("crop", "resized-crop")
            if type(value) is not int and (whole or type(value) is not float):
                raise ValueError(f"{kind}: {value!r}: write a {'whole ' if whole else ''}number")
            least, most = int(kind == "resized-crop"), 1 if kind == "flip" else math.inf
            if not least <= value <= most:
                bounds = f"from {least} to {most}" if kind == "flip" else f"of {least} or more"
                raise ValueError(f"{kind}: {value}: write a number {bounds}")
        return augment

    @model_validator(mode="after")
    def _read(self) -> Recipe:
        schedule = f"schedule: {self.schedule}"
        if self.schedule != "step":
            unread(self, schedule, "milestones")
        elif not self.milestones:
            raise ValueError("milestones: missing; schedule: step needs one")
        if self.schedule not in ("step", "exponential"):
            unread(self, schedule, "gamma")
        if self.schedule == "constant":
            unread(self, schedule, "schedule_unit")
        if not self.momentum:
            unread(self, "momentum: 0", "nesterov")
        return self


def check_batch(recipe: Recipe, count: int, what: str, where: str) -> None:
    """Refuse a recipe, declared at `where`, that would leave out all of `count` examples."""
    if recipe.drop_last and count < recipe.batch:
        raise ConfigError(
            f"{where}.batch: {recipe.batch} is not allowed with drop_last: {what} has {count} "
            "examples; choose a smaller batch"
        )


def check_augment(recipe: Recipe, shape: tuple[int, ...], what: str, where: str) -> None:
    """Refuse an augmentation that images of `shape` (C, H, W) do not allow."""
    channels, height, width = shape
    jitter, side = recipe.augment.get("jitter"), recipe.augment.get("resized-crop", 0)
    if jitter is not None and channels != 3:
        key, reason = f"jitter: {jitter}", f"{channels} channels, it takes 3"
    elif int(side) > min(height, width):
        key, reason = f"resized-crop: {side}", f"images of {height} x {width} pixels"
    else:
        return
    raise ConfigError(f"{where}.augment.{key} is not allowed: {what} has {reason}")
