"""What `config/studies/line_attractor/` may hold: texts, artefacts, claims, and what is run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from firstorder.config import (
    Artefact,
    Claim,
    ClaimId,
    Config,
    Count,
    FileName,
    Place,
    RawFiles,
    Seed,
    Sha256,
    Slug,
    Some,
    Strict,
    unread,
)

NAME = "line_attractor"
CellName = Literal["vanilla", "ugrnn", "gru", "lstm"]
Positive = Annotated[float, Field(gt=0)]
Several = Annotated[int, Field(ge=2, le=10**12)]
"""Documents of which both labels may be: one has one label."""


class Select(Strict):
    """Which networks an artefact or a claim draws on."""

    corpora: tuple[Slug, ...] | None = None
    """Of these corpora; of all when absent."""
    cells: tuple[CellName, ...] | None = None
    """With these cells; with all when absent."""
    one: bool = False
    """Only the first corpus that is run and, of it, the first cell, in the order given above."""


class Corpus(Strict):
    """Labelled texts: their raw files, and how to read them."""

    title: str
    reader: Literal["synthetic", "sst", "imdb", "yelp", "csv"]
    """`csv` reads your own train.csv and test.csv with the columns text and label."""
    files: RawFiles = ()
    """Raw files in `resources/<corpus>/`."""
    in_place: tuple[FileName, ...] = ()
    """Other containers of the same texts: of a folder or an archive with one of these names in
    `resources/<corpus>/`, the texts are verified by `content` instead."""
    content: Sha256 | None = None
    """SHA-256 of all texts with their labels (`read.content`)."""
    folders: tuple[Place, ...] = ()
    """Local folders that may hold the raw files, tried before any download."""
    help: str = ""
    """What to do when the raw files cannot be had."""
    source: str


class Declared(Strict):
    """study.yaml"""

    title: str
    paper: str
    cells: dict[CellName, str]
    """How every cell is printed, in the order of tables."""
    corpora: dict[Slug, Corpus]
    artefacts: dict[Slug, Artefact[Select]]
    claims: dict[ClaimId, Claim[Select]] = {}


class Text(Strict):
    """How much of a corpus is read, and which of its words are known."""

    train: Several | None = None
    """Training documents, the first of a fixed shuffle; all when absent. How many to draw, of the
    synthetic corpus."""
    test: Count | None = None
    validation: Annotated[float, Field(ge=0.001, lt=1)] = 0.1
    """Share of the training documents that is held out, where the corpus has no such split."""
    min_count: Count = 1
    """A word that is known occurs at least so often in the training documents."""
    max_size: Annotated[int, Field(ge=3, le=10**12)] | None = None
    """Words and the two reserved tokens at most, the most frequent first."""
    longest: Count | None = None
    """Documents are cut to their first so many tokens."""
    classes: Count = 100
    """Words of each class: positive, negative, neutral."""
    bag: Several | None = None
    """Training documents that the bag of words is fitted on, the first; all when absent."""
    class_min_count: Count = 10
    """Words of a class occur at least so often in the training documents."""


class Recipe(Strict):
    """A network and its training: `training.sequence_recipe`."""

    embedding: Count = 128
    units: Annotated[int, Field(ge=3, le=10**12)] = 256
    """Three at least: so many principal components and time constants are reported."""
    epochs: Count = 4
    batch: Count = 64
    lr: Positive = 1e-3
    schedule: Literal["exponential", "cosine", "constant"] = "exponential"
    decay: Positive = 0.2
    decay_steps: Count = 1000
    clip: Positive | None = 5.0
    word_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    gate_bias: float = 0.0
    embedding_norm: Positive | None = None

    @model_validator(mode="after")
    def _read(self) -> Recipe:
        if self.schedule != "exponential":
            unread(self, f"schedule: {self.schedule}", "decay", "decay_steps")
        return self


class Search(Strict):
    """How fixed points are searched for and read."""

    documents: Count = 1000
    """Test documents whose states are analysed, the first of a fixed shuffle."""
    starts: Count = 500
    """Visited states from which the search starts."""
    steps: Count = 6000
    tolerances: Some[Positive] = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    """Values of q at which points are kept."""
    tolerance: Positive = 1e-8
    """The one of them at which points are analysed."""


class Set(Strict):
    """A corpus at a scale: what is read of it, and which networks are trained on it."""

    cells: Some[CellName]
    text: Text = Text()
    recipe: Recipe
    search: Search = Search()
    note: str = ""
    """Printed in captions: what differs from the published data."""
    minutes: Count = 30
    """Time to ask a scheduler for, for one training."""


class Scale(Strict):
    """SCALE.yaml"""

    seeds: Some[Seed]
    corpora: dict[Slug, Set]


def declared(config: Config) -> Declared:
    """What the study publishes."""
    found: Declared = config.studies[NAME].declared
    return found


def scale(config: Config) -> Scale:
    """What the scale runs of the study."""
    found: Scale = config.studies[NAME].scale
    return found
