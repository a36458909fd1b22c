"""How much of the studies is run, on which data: `config/scales/` and `config/config.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from firstorder.config.datasets import Dataset, Noise
from firstorder.config.studies import Studies
from firstorder.config.training import Loss, Recipe
from firstorder.config.values import Count, FamilyName, Folder, Scalar, Seed, Slug, Some, Strict


class Setting(Strict):
    """A dataset with the recipe by which networks are trained on it."""

    dataset: str
    recipe: str


class Cells(Strict):
    """(setting, noise) pairs: the product of settings and noises."""

    settings: tuple[str, ...]
    noises: tuple[Slug, ...]
    note: str = ""
    """Printed in the caption, for instance what stands in for data that this scale lacks."""


def _listed(cells: Any) -> Any:
    """One product stands for a list of one."""
    return [cells] if isinstance(cells, dict) else cells


_CELLS = Cells.model_json_schema()
CellGroup = Annotated[
    tuple[Cells, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [_CELLS, {"type": "array", "items": _CELLS}]}),
]
"""A product of settings and noises, or a list of such products; an empty one leaves them out."""


class Tuning(Strict):
    """The tuning protocol: train on a noisy part, choose by clean accuracy on the rest."""

    noise: Slug = "symmetric-0.8"
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    split_seed: int = 42
    weight_decays: tuple[float, ...]
    l1_factors: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    """For losses with an L1 penalty: multiples of its coefficient, in place of weight decays."""
    seeds: Some[Seed] = (1,)


class SymmetrizationScale(Strict):
    seeds: Some[Seed]
    settings: dict[Slug, Setting]
    noises: dict[Slug, Noise] = {}
    """Noises whose options differ from the defaults, by name."""
    cells: dict[str, CellGroup]
    losses: dict[str, tuple[str, ...]] = {}
    """Groups of losses that differ from the study's at this scale."""
    tuning: Tuning | None = None


class Support(Strict):
    """The examples on which kernels live: the first `train` and `test` ones of a fixed shuffle."""

    dataset: str
    train: Count
    test: Count


class Family(Strict):
    """Tasks that are trained in the same way, for several models and seeds."""

    support: str | None = None
    """Absent for tasks that make their own inputs (NADs)."""
    models: Some[str]
    seeds: Some[Seed]
    recipe: str
    tasks: Some[Count]
    """Eigenfunction or NAD indices (from 1), or training-set sizes."""
    watch: tuple[Count, ...] = ()
    """Tasks whose kernel is followed through training."""
    watch_points: Count = 500
    """Training examples on which the evolving kernel's spectrum is computed."""
    options: dict[str, Scalar] = {}


class LinearizedScale(Strict):
    supports: dict[Slug, Support]
    families: dict[FamilyName, Family]
    memory_gib: Annotated[float, Field(gt=0)] = 4.0
    """Memory that kernel computations may take."""
    kernel_minutes: Count = 10
    """Time to ask a scheduler for, for one kernel or its spectrum."""
    eigenvectors: Count = 1000
    """How many leading eigenvectors are kept."""
    threads: Count = 1
    """CPU threads of a kernel, a spectrum or a training in function space."""


class Scale(Strict):
    """config/scales/NAME.yaml: which part of both studies is run, on which data."""

    title: str
    data: str
    hardware: str
    symmetrization: SymmetrizationScale
    linearized: LinearizedScale


class Settings(Strict):
    """config/config.yaml: what the user edits."""

    scale: Slug = "smoke"
    studies: tuple[Literal["symmetrization", "linearized"], ...] = ("symmetrization", "linearized")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    results: Folder = "results"
    resources: Folder = "resources"
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    """A training writes a checkpoint at least this often."""


class Config(Strict):
    """The whole configuration, resolved."""

    settings: Settings
    scale: Scale
    datasets: dict[Slug, Dataset]
    losses: dict[Slug, Loss]
    recipes: dict[Slug, Recipe]
    studies: Studies
