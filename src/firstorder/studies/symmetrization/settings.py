"""What `config/studies/symmetrization/` may hold: what is published, and what a scale runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from firstorder.config import (
    Artefact,
    Claim,
    ClaimId,
    Config,
    Count,
    Distinct,
    Noise,
    Scalar,
    Seed,
    Slug,
    Some,
    Strict,
)

NAME = "symmetrization"
LossName = str
"""The type of an option that names a loss, so that `check` refuses one that there is not."""
FamilyName = str
"""The type of an option that names a family of variants."""
Heading = str
"""The type of an option that heads columns."""


class Select(Strict):
    """Which results an artefact or a claim draws on, by the names of groups."""

    cells: str | None = None
    """A group of (setting, noise) pairs; absent for what is computed from definitions."""
    losses: str | None = None
    """A group of losses."""


class Variants(Strict):
    """A family of losses that differ in one setting; each gets a slug of its own."""

    losses: Distinct[str]
    vary: Literal["parameter", "score_norm", "weight_decay", "budget"]
    """`budget`: everything that can be tuned of a loss is, under an equal budget."""
    parameter: str | None = None
    values: Distinct[Scalar]
    slug: str
    """Format of the new names, with {loss} and {value}."""
    label: str
    """Format of the new labels, with {label} and {value}."""


class Declared(Strict):
    """study.yaml"""

    title: str
    paper: str
    cells: Distinct[str]
    """Groups of (setting, noise) pairs, which the scales fill."""
    losses: dict[str, Distinct[str]]
    """Groups of losses."""
    variants: dict[str, Variants] = {}
    """Families of losses; each is also a group under its own name."""
    artefacts: dict[Slug, Artefact[Select]]
    claims: dict[ClaimId, Claim[Select]] = {}


class Setting(Strict):
    """A dataset with the recipe by which networks are trained on it."""

    dataset: str
    recipe: str


class Cells(Strict):
    """(setting, noise) pairs: the product of settings and noises."""

    settings: Distinct[str]
    noises: Distinct[Slug]
    note: str = ""
    """Printed in the caption, for instance what stands in for data that this scale lacks."""


def _listed(cells: Any) -> Any:
    """One product stands for a list of one."""
    return (cells,) if isinstance(cells, dict) else cells


_CELLS = Cells.model_json_schema()
CellGroup = Annotated[
    tuple[Cells, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [_CELLS, {"type": "array", "items": _CELLS}]}),
]
"""A product of settings and noises, or a list of such products; an empty one leaves them out."""


class Budget(Strict):
    """Tuning under an equal budget: so many configurations for every loss, chosen together.

    The declared configuration is one of them, the others are spread over the product of learning
    rates, penalties, normalisations (of losses that have one) and the loss's own `choices`.
    """

    configurations: Annotated[int, Field(ge=2)] = 8
    lr_factors: Some[Annotated[float, Field(gt=0)]] = (0.3, 1.0, 3.0)
    """Multiples of the recipe's learning rate."""
    score_norms: Some[Literal["none", "l2", "bn"]] = ("none", "l2", "bn")


class Tuning(Strict):
    """The tuning protocol: train on a noisy part, choose by clean accuracy on the rest.

    Seeds are pooled. Of the values within one standard error of the best the declared one is
    chosen, else the one of the smallest step, else the first.
    """

    noise: Slug = "symmetric-0.8"
    train: Count | None = None
    """Tune on at most this many of a recipe's training examples (class-stratified), validation
    included; on all where absent."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.3
    split_seed: Seed = 42
    weight_decays: Some[Annotated[float, Field(ge=0)]]
    l1_factors: Some[Annotated[float, Field(gt=0)]] = (0.1, 0.3, 1.0, 3.0, 10.0)
    """For losses with an L1 penalty: multiples of its coefficient, in place of weight decays."""
    seeds: Annotated[Distinct[Seed], Field(min_length=3)] = (1, 2, 3)
    budget: Budget = Budget()


class Scale(Strict):
    """SCALE.yaml"""

    seeds: Some[Seed]
    settings: dict[Slug, Setting]
    noises: dict[Slug, Noise] = {}
    """Noises whose options differ from the defaults, by name."""
    cells: dict[str, CellGroup] = {}
    """The pairs of every group of the study; none where a group is absent."""
    losses: dict[str, Distinct[str]] = {}
    """Groups of losses that differ from the study's at this scale."""
    tuning: Tuning | None = None


def declared(config: Config) -> Declared:
    """What the study publishes."""
    found: Declared = config.studies[NAME].declared
    return found


def scale(config: Config) -> Scale:
    """What the scale runs of the study."""
    found: Scale = config.studies[NAME].scale
    return found
