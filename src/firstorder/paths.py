"""Every path pattern below `results/` and `resources/`, in one place, for rules and code.

The functions take wildcard values; a rule passes Snakemake's own `{name}` strings and gets a
pattern back.
"""

from __future__ import annotations

TABLE_FORMATS = ("csv", "md", "tex", "html")
FIGURE_FORMATS = ("pdf", "svg", "png", "csv")


class Paths:
    """The paths of one scale."""

    def __init__(self, results: str, resources: str, scale: str) -> None:
        self.root = f"{results}/{scale}"
        self.resources = resources

    # data
    def raw(self, dataset: str, name: str) -> str:
        return f"{self.resources}/{dataset}/{name}"

    def dataset(self, dataset: str) -> str:
        return f"{self.root}/datasets/{dataset}.safetensors"

    # symmetrization
    def labels(self, dataset: str, noise: str, seed: str | int) -> str:
        return f"{self.root}/symmetrization/labels/{dataset}/{noise}/seed{seed}.npz"

    def run(self, setting: str, noise: str, loss: str, seed: str | int, name: str) -> str:
        """A file of one training: history.csv, summary.json, weights.safetensors or tests.json."""
        return f"{self.root}/symmetrization/runs/{setting}/{noise}/{loss}/seed{seed}/{name}"

    def tuning_run(self, setting: str, loss: str) -> str:
        """Validation accuracy of every weight decay of the grid, for one loss."""
        return f"{self.root}/symmetrization/tuning/{setting}/{loss}.csv"

    def tuned(self, setting: str, loss: str) -> str:
        """The weight decay chosen for one loss."""
        return f"{self.root}/symmetrization/tuning/{setting}/{loss}.json"

    # linearized
    def tangent(self, model: str, support: str, seed: str | int, name: str) -> str:
        """A file of one initialisation of a model on a support.

        init.safetensors, kernel.npy, outputs.npy, spectrum.npz, gradients.csv or nads.npz.
        """
        return f"{self.root}/linearized/{model}/{support}/seed{seed}/{name}"

    def tangent_run(self, model: str, support: str, seed: str | int, family: str, name: str) -> str:
        """A file of a family of tasks.

        ARM.csv, ARM.json, network-TASK.safetensors, alignment.csv, evolution.csv, energy.csv.
        """
        return self.tangent(model, support, seed, f"runs/{family}/{name}")

    # published
    def table(self, study: str, artefact: str, suffix: str = "csv") -> str:
        return f"{self.root}/tables/{study}-{artefact}.{suffix}"

    def figure(self, study: str, artefact: str, suffix: str = "svg") -> str:
        return f"{self.root}/figures/{study}-{artefact}.{suffix}"

    def artefact(self, study: str, artefact: str, kind: str) -> tuple[str, ...]:
        """All files of a table or figure, the most readable first."""
        if kind == "table":
            return tuple(self.table(study, artefact, suffix) for suffix in TABLE_FORMATS)
        return tuple(self.figure(study, artefact, suffix) for suffix in FIGURE_FORMATS)

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
    def report(self) -> str:
        return f"{self.root}/report.html"

    # kept outside declared outputs: Snakemake deletes the outputs of a failed job
    @property
    def checkpoints(self) -> str:
        return f"{self.root}/checkpoints"

    @property
    def plans(self) -> str:
        return f"{self.root}/plans"

    def log(self, rule: str, *wildcards: str) -> str:
        return f"{self.root}/logs/{'/'.join((rule, *wildcards))}.log"

    def benchmark(self, rule: str, *wildcards: str) -> str:
        return f"{self.root}/benchmarks/{'/'.join((rule, *wildcards))}.tsv"
