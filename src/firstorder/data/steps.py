"""The steps that every study shares: raw files, verified, and datasets as tensors.

A raw file is the output of no rule, since Snakemake deletes outputs to make them anew: `fetch`
places it once, and writes a receipt with its hash, which is what other steps depend on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstorder.config import Config, ConfigError, Dataset, File, lookup
from firstorder.errors import DataError
from firstorder.jobs import study as studies
from firstorder.jobs.job import Demand, Files, Job, Spec
from firstorder.jobs.paths import paths
from firstorder.jobs.study import Step

if TYPE_CHECKING:
    from firstorder.jobs.context import Context

UNDECODED = {
    "title", "source", "help", "files", "folders", "mean", "std", "asymmetric", "semantic_groups",
    "human", "human_file",
}  # fmt: skip
"""What a declaration says of a dataset besides how its raw files are decoded."""


def fetch(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Place one raw file below `resources/`, verified; write its receipt."""
    from firstorder import files
    from firstorder.data import fetch as download

    place, path = context.aside, context.aside["path"]
    download.fetch(
        spec["dataset"],
        File.model_validate({**spec["file"], "urls": place["urls"]}),
        place["folders"],
        Path(path),
        place["help"],
    )
    files.write_json(outputs["receipt"], {"path": path, "sha256": files.sha256(path)})


def prepare(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Decode the raw files of a dataset into one file of tensors."""
    from firstorder.data import prepare as decode

    channels = spec["dataset"]["shape"][0]
    undecided = {"title": "", "source": "", "mean": (0.0,) * channels, "std": (1.0,) * channels}
    declared = Dataset.model_validate({**undecided, **spec["dataset"], "files": spec["files"]})
    folders = {Path(raw_file(receipt)).parent for receipt in inputs.values()}
    assert len(folders) <= 1, folders
    decode.prepare(
        spec["name"],
        declared,
        next(iter(folders), Path()),
        Path(outputs["dataset"]),
    )


def raw_file(receipt: str) -> str:
    """The path of a raw file, which still is what its receipt says. DataError when it is not."""
    from firstorder import files

    try:
        found = files.read_json(receipt)
        path, expected = str(found["path"]), str(found["sha256"])
    except FileNotFoundError:
        raise DataError(f"{receipt}: no such file; ask Snakemake for it") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{receipt}: damaged; delete it and run again") from None
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file; delete {receipt} and run again to place it")
    if files.sha256(path) != expected:
        raise DataError(
            f"{path}: not the file that {receipt} names; put that back, or delete the receipt "
            "and run again to verify this one"
        )
    return path


def dataset_spec(declared: Dataset) -> dict[str, Any]:
    """What decides the prepared form of a dataset, besides its files."""
    return declared.model_dump(mode="json", exclude=UNDECODED)


def megabytes(declared: Dataset) -> int:
    """Size of a prepared dataset in MiB: one byte a pixel."""
    channels, height, width = declared.shape
    images = declared.train + declared.test + sum(declared.extra_tests.values())
    return images * channels * height * width // 2**20 + 1


def _file(config: Config, dataset: str, name: str) -> File:
    declared = lookup(config.datasets, dataset, "dataset")
    known = {file.name: file for file in declared.files}
    if declared.human_file is not None:
        known[declared.human_file.name] = declared.human_file
    if name not in known:
        raise ConfigError(
            f"{dataset} has no raw file {name!r}; it has {', '.join(known) or 'none'}"
        )
    return known[name]


def _checksums(file: File) -> dict[str, Any]:
    """What a raw file is. Where it comes from does not matter."""
    return file.model_dump(mode="json", exclude={"urls"})


def _fetch_job(config: Config, dataset: str, name: str) -> Job:
    file, declared = _file(config, dataset, name), config.datasets[dataset]
    return Job(
        step="fetch",
        key=(dataset, name),
        spec={"dataset": dataset, "file": _checksums(file)},
        inputs={},
        outputs=_receipt(config, dataset, name),
        code=(),
        demand=Demand(megabytes=500, minutes=60),
        aside={
            "path": paths(config).raw(dataset, name),
            "urls": file.urls,
            "folders": declared.folders,
            "help": declared.help,
        },
    )


def _receipt(config: Config, dataset: str, file: str) -> Files:
    return {"receipt": paths(config).receipt(dataset, file)}


def _prepare_job(config: Config, dataset: str) -> Job:
    declared = lookup(config.datasets, dataset, "dataset")
    streamed = declared.reader == "webvision"
    return Job(
        step="prepare",
        key=(dataset,),
        spec={
            "name": dataset,
            "dataset": dataset_spec(declared),
            "files": [_checksums(file) for file in declared.files],
        },
        inputs={file.name: paths(config).receipt(dataset, file.name) for file in declared.files},
        outputs=_prepared(config, dataset),
        code=("firstorder.data.steps:prepare",),
        # Raw and prepared pixels, unless they pass in blocks.
        demand=Demand(megabytes=2000 + (0 if streamed else 3 * megabytes(declared)), minutes=60),
    )


def _prepared(config: Config, dataset: str) -> Files:
    return {"dataset": paths(config).dataset(dataset)}


def _needed(config: Config) -> Iterator[tuple[str, ...]]:
    """The datasets that steps of the studies read."""
    read = _read(config)
    yield from ((name,) for name in config.datasets if paths(config).dataset(name) in read)


def _needed_files(config: Config) -> Iterator[tuple[str, ...]]:
    """The raw files of these datasets, and those that steps of the studies read by themselves."""
    read = _read(config)
    for name, declared in config.datasets.items():
        own = [file.name for file in declared.files]
        others = [declared.human_file.name] if declared.human_file else []
        whole = paths(config).dataset(name) in read
        yield from ((name, file) for file in (own if whole else []))
        yield from ((name, file) for file in others if paths(config).receipt(name, file) in read)


def _read(config: Config) -> set[str]:
    return {
        path
        for study in studies.chosen(config)
        for step in study.steps
        for key in step.every(config)
        for path in step.job(config, *key).inputs.values()
    }


def check(config: Config) -> None:
    """Refuse nothing: a dataset is checked where it is declared."""


STEPS = (
    Step(
        name="fetch",
        run="firstorder.data.steps:fetch",
        keys=("dataset", "file"),
        help="Place one raw FILE of DATASET below resources/, verified.",
        outputs=_receipt,
        job=_fetch_job,
        every=_needed_files,
    ),
    Step(
        name="prepare",
        run="firstorder.data.steps:prepare",
        keys=("dataset",),
        help="Decode the raw files of DATASET into tensors.",
        outputs=_prepared,
        job=_prepare_job,
        every=_needed,
    ),
)
