"""Every shared path below `results/` and `resources/`, in one place.

The functions take values, or Snakemake's own `{wildcard}` strings, and then give a pattern. A
study names its own files below `Paths.study`.
"""

from __future__ import annotations

from firstorder.config import Config

TABLE_FORMATS = ("html", "csv", "md", "tex")
FIGURE_FORMATS = ("svg", "pdf", "png", "csv")


class Paths:
    """The paths of one scale."""

    def __init__(self, results: str, resources: str, scale: str) -> None:
        self.root = f"{results}/{scale}"
        self.resources = resources

    def raw(self, dataset: str, name: str) -> str:
        """A raw file. It is an output of no rule: Snakemake would delete it to make it anew."""
        return f"{self.resources}/{dataset}/{name}"

    def receipt(self, dataset: str, name: str) -> str:
        """What is known of a raw file that is in place: its hash."""
        return f"{self.root}/datasets/{dataset}/raw/{name}.json"

    def dataset(self, dataset: str) -> str:
        """A prepared dataset."""
        return f"{self.root}/datasets/{dataset}.safetensors"

    def study(self, study: str, *parts: str | int) -> str:
        """A file of a study."""
        return "/".join((self.root, study, *map(str, parts)))

    def artefact(self, study: str, artefact: str, kind: str) -> dict[str, str]:
        """All files of a table or figure by format, the most readable first."""
        formats = TABLE_FORMATS if kind == "table" else FIGURE_FORMATS
        return {suffix: f"{self.root}/{kind}s/{study}-{artefact}.{suffix}" for suffix in formats}

    def claims(self, suffix: str = "csv") -> str:
        return f"{self.root}/claims.{suffix}"

    @property
    def manifest(self) -> str:
        return f"{self.root}/manifest.json"

    @property
    def crate(self) -> str:
        return f"{self.root}/ro-crate-metadata.json"

    @property
    def paper(self) -> str:
        return f"{self.root}/paper.pdf"

    @property
    def page(self) -> str:
        """What people open first."""
        return f"{self.root}/index.html"

    @property
    def checkpoints(self) -> str:
        """Outside declared outputs: Snakemake deletes the outputs of a failed job."""
        return f"{self.root}/checkpoints"

    def log(self, step: str, *key: str) -> str:
        return f"{self.root}/logs/{'/'.join((step, *key))}.log"


def paths(config: Config) -> Paths:
    """The paths of a configuration."""
    settings = config.settings
    return Paths(settings.results, settings.resources, settings.scale)
