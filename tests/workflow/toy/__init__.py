"""A study in forty lines: the mean pixel of a dataset, its table, its claim."""

from pathlib import Path

from firstorder.config import Artefact, Claim, ClaimId, Config, Strict, lookup
from firstorder.jobs.job import Job
from firstorder.jobs.paths import paths
from firstorder.jobs.study import Selected, Step, Study


class Select(Strict):
    dataset: str


class Declared(Strict):
    title: str
    paper: str
    artefacts: dict[str, Artefact[Select]]
    claims: dict[ClaimId, Claim[Select]]


class Scale(Strict):
    power: float


def check(config: Config, study_file: Path, scale_file: Path) -> None:
    for name, artefact in config.studies["toy"].declared.artefacts.items():
        lookup(config.datasets, artefact.select.dataset, "dataset", f"{study_file}: {name}")


def outputs(config: Config, dataset: str) -> dict[str, str]:
    return {"mean": paths(config).study("toy", f"{dataset}.json")}


def measure_job(config: Config, dataset: str) -> Job:
    return Job(
        step="measure",
        key=(dataset,),
        spec={"power": config.studies["toy"].scale.power},
        inputs={"dataset": paths(config).dataset(dataset)},
        outputs=outputs(config, dataset),
        code=("toy.steps:measure",),
    )


def select(config: Config, selection: Select, reads: tuple[str, ...]) -> Selected:
    named = {name: outputs(config, selection.dataset)[name] for name in reads}
    dataset = selection.dataset
    return Selected({"dataset": dataset}, named, data=dataset, datasets=(dataset,))


def every(config: Config) -> list[tuple[str, ...]]:
    artefacts = config.studies["toy"].declared.artefacts.values()
    return sorted({(artefact.select.dataset,) for artefact in artefacts})


STUDY = Study(
    name="toy",
    declared=Declared,
    scale=Scale,
    check=check,
    steps=(
        Step("measure", "toy.steps:measure", ("dataset",), "Measure.", outputs, measure_job, every),
    ),
    select=select,
)
