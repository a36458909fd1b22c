"""What jobs of the study read of the configuration, as parts of their specs."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from firstorder.config import Config, ConfigError, lookup
from firstorder.studies.linearized.grid import GAUSSIAN, scale_of, study_of
from firstorder.studies.linearized.settings import Family, Network, Support

UNREAD_OF_RECIPE = {
    "model", "model_parameters", "train", "mean", "std", "minutes", "memory_mb", "source",
}  # fmt: skip
"""What no training of this study reads: its networks and data come from families and supports."""
UNREAD_OF_LINEAR = UNREAD_OF_RECIPE | {"threads", "precision"}
"""What no linear model reads either: its threads are those of the scale."""


def network_spec(config: Config, model: str) -> dict[str, Any]:
    """The network of a model of the study and its parameters."""
    network = network_of(config, model)
    return {"model": network.model, "model_parameters": dict(network.model_parameters)}


def support_spec(config: Config, support: str) -> dict[str, Any]:
    """The examples of a support and how their pixels are standardised."""
    declared = support_of(config, support)
    dataset = config.datasets[declared.dataset]
    return {
        "shape": list(dataset.shape),
        "support": {
            "train": declared.train,
            "test": declared.test,
            "mean": list(dataset.mean),
            "std": list(dataset.std),
        },
    }


def tasks_spec(
    config: Config, family: Family, seed: str, unread: Set[str] = UNREAD_OF_RECIPE
) -> dict[str, Any]:
    """The tasks of a family, how they are trained, and the seed of subsets and batches.

    `unread` are the options of the recipe that the job does not read.
    """
    recipe = config.recipes[family.recipe]
    return {
        **(_classes(config, family.support) if family.kind == "binary" and family.support else {}),
        "kind": family.kind,
        "tasks": list(family.tasks),
        "steps": family.steps,
        "recipe": recipe.model_dump(mode="json", exclude=set(unread)),
        "seed": seed_of(seed),
    }


def _classes(config: Config, support: str) -> dict[str, int]:
    """How many classes the dataset of a support has, be they among its examples or not."""
    return {"classes": len(config.datasets[support_of(config, support).dataset].classes)}


def inductive(config: Config, model: str, support: str) -> int:
    """How many inductive eigenfunctions the tasks on a model's kernel need."""
    families = scale_of(config).families.values()
    asked = [
        max(family.tasks)
        for family in families
        if family.kind == "inductive" and family.support == support and model in family.models
    ]
    return max(asked, default=0)


def seed_of(seed: str) -> int:
    """A seed of a key. Raises ConfigError where it is none."""
    if not seed.isdecimal() or len(seed) > len(str(2**63)) or int(seed) >= 2**63:
        raise ConfigError(f"seed {seed!r} is not allowed: write a whole number from 0, below 2⁶³")
    return int(seed)


def network_of(config: Config, model: str) -> Network:
    """A model of the study, by its name."""
    return lookup(study_of(config).models, model, "model")


def support_of(config: Config, support: str) -> Support:
    """A support of the scale, by its name."""
    return lookup(scale_of(config).supports, support, "support")


def family_of(config: Config, name: str, support: str) -> Family:
    """A family of the scale on a support. Raises ConfigError where it lives on another."""
    family = lookup(scale_of(config).families, name, "family")
    own = family.support or GAUSSIAN
    if own != support:
        raise ConfigError(f"family {name!r} lives on {own!r}, not on {support!r}")
    return family
