"""What the studies publish and claim, as declared in `config/studies/`."""

from __future__ import annotations

from typing import Any, Literal

from firstorder.config.values import FamilyName, Scalar, Slug, Strict


class Selection(Strict):
    """Which results of its study an artefact or a claim needs, by the names of groups."""

    cells: str | None = None
    """Symmetrization: a group of (setting, noise) pairs of the scale."""
    losses: str | None = None
    """Symmetrization: a group of losses of the study."""
    family: FamilyName | None = None
    """Linearized: a family of tasks of the scale; gives models, support and seeds."""
    also: tuple[FamilyName, ...] = ()
    """Linearized: more families. A model is taken from the first one of a kind that has it."""
    models: tuple[str, ...] | None = None
    """Linearized: only these models of the families."""
    dataset: str | None = None
    """Linearized: only families on this dataset."""
    files: tuple[str, ...] = ()
    """Which files of every selected training or initialisation.
    Symmetrization: summary.json, history.csv, tests.json, tuning.json, labels.npz.
    Linearized: names below the initialisation's folder, as in `paths.Paths.tangent`;
    `runs/binary/ARM.csv` belongs to the family `binary`, `runs/FAMILY/ARM.csv` (as it is written)
    to each of `family` and `also`, like every file that is not below `runs/`."""


class Artefact(Strict):
    """A table or figure, declared once; targets, inputs and captions follow from it."""

    kind: Literal["table", "figure"]
    title: str
    caption: str
    where: str
    """Its place in the paper that is rebuilt, or `beyond the paper`."""
    draw: str
    """Name of the function of `firstorder.publish` that makes it."""
    select: Selection = Selection()
    options: dict[str, Any] = {}
    published: str | None = None
    """Name of the file of `config/published/` with the published numbers."""


class Claim(Strict):
    """A qualitative statement of a paper, as a predicate over results."""

    title: str
    where: str
    predicate: str
    """Name of the function of `firstorder.publish.claims` that judges it."""
    select: Selection = Selection()
    options: dict[str, Any] = {}


class Variants(Strict):
    """A family of losses that differ in one setting; each gets a slug of its own."""

    losses: tuple[str, ...]
    vary: Literal["parameter", "score_norm", "weight_decay"]
    parameter: str | None = None
    values: tuple[Scalar, ...]
    slug: str
    """Format of the new names, with {loss} and {value}."""
    label: str
    """Format of the new labels, with {label} and {value}."""


class SymmetrizationStudy(Strict):
    """config/studies/symmetrization.yaml"""

    title: str
    paper: str
    losses: dict[str, tuple[str, ...]]
    """Groups of losses."""
    variants: dict[str, Variants] = {}
    """Families of losses; each is also a group under its own name."""
    artefacts: dict[Slug, Artefact]
    claims: dict[str, Claim] = {}


class TangentModel(Strict):
    """A scalar-output network of the linearized study."""

    label: str
    model: str
    model_parameters: dict[str, Scalar] = {}


class LinearizedStudy(Strict):
    """config/studies/linearized.yaml"""

    title: str
    paper: str
    models: dict[Slug, TangentModel]
    artefacts: dict[Slug, Artefact]
    claims: dict[str, Claim] = {}


class Studies(Strict):
    symmetrization: SymmetrizationStudy
    linearized: LinearizedStudy
