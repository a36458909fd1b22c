"""The whole configuration, and what the user edits: `config/config.yaml`, `config/scales.yaml`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from firstorder.config.dataset import Dataset
from firstorder.config.loss import Loss
from firstorder.config.recipe import Recipe
from firstorder.config.values import Apart, Slug, Some, Strict


class Settings(Strict):
    """config/config.yaml: what the user edits."""

    scale: Slug = "smoke"
    studies: Some[str]
    """Folders of `config/studies/`, in the order in which they are published."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    results: Apart = "results"
    resources: Apart = "resources"
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    """A training writes a checkpoint at least this often."""
    agent: str = ""
    """Who runs the workflow, for the description of the results (RO-Crate); empty: not said."""


class Scale(Strict):
    """An entry of config/scales.yaml; how much a study runs is in its `SCALE.yaml`."""

    data: str
    hardware: str


@dataclass(frozen=True)
class StudyConfig:
    """One study: what it publishes, and how much of it a scale runs, as its own models."""

    declared: Any
    """config/studies/NAME/study.yaml"""
    scale: Any
    """config/studies/NAME/SCALE.yaml"""


@dataclass(frozen=True)
class Config:
    """The whole configuration. A step never sees it: jobs are made from it."""

    settings: Settings
    scale: Scale
    datasets: dict[str, Dataset]
    losses: dict[str, Loss]
    recipes: dict[str, Recipe]
    studies: dict[str, StudyConfig]
    """The chosen studies, by name."""
    root: Path = field(default=Path("config"), compare=False)
    """The folder that was read, for messages."""
