"""The steps that every study shares: raw files, verified, and datasets as tensors.

A raw file is the output of no rule, since Snakemake deletes outputs to make them anew: `fetch`
places it once, and writes a receipt with its hash, which is what other steps depend on. Where a
dataset is in place in another container, or is the user's own, one receipt stands for all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstorder.config import IN_PLACE, Config, ConfigError, Dataset, File, lookup
from firstorder.errors import DataError
from firstorder.jobs import code
from firstorder.jobs import study as studies
from firstorder.jobs.job import Demand, Files, Job, Spec
from firstorder.jobs.paths import paths
from firstorder.jobs.study import step

if TYPE_CHECKING:
    from firstorder.data.locate import Source
    from firstorder.jobs.context import Context

UNDECODED = {
    "title", "source", "help", "files", "folders", "path", "raw", "asymmetric", "semantic_groups",
    "human", "human_file", "human_sha256",
}  # fmt: skip
"""What a declaration says of a dataset besides how its raw files are decoded."""
STANDARD = {"mean", "std"}
"""What no reader reads but, perhaps, one of the user's own."""


def fetch(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Place one raw file below `resources/`, verified; write its receipt.

    For a container that is in place already only the receipt is written.
    """
    from firstorder import files
    from firstorder.data import locate
    from firstorder.data.fetch import place

    aside = context.aside
    if "file" not in spec:
        found = in_place(spec, aside["path"])
        digest = locate.fingerprint(found)
        if spec["sha256"] not in (None, digest):
            raise DataError(f"{found.folder}: changed since it was planned; start again")
        files.write_json(outputs["receipt"], {"path": str(found.folder), "sha256": digest})
        return
    path = place(
        spec["dataset"],
        File.model_validate({**spec["file"], "urls": aside["urls"]}),
        Path(aside["path"]).parent,
        aside["folders"],
        aside["help"],
    )
    files.write_json(outputs["receipt"], {"path": str(path), "sha256": locate.digest(path)})


def prepare(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Decode the raw files of a dataset into one file of tensors."""
    from firstorder.data import locate
    from firstorder.data import prepare as decode

    aside = context.aside
    others = locate.places(Path(aside["raw"]), aside["folders"])[1:]
    declared = _declared(spec).model_copy(
        update={"folders": tuple(str(each.absolute()) for each in others)}
    )
    if IN_PLACE in inputs:
        folder = _container(inputs[IN_PLACE], aside["path"], spec["name"], declared)
    else:
        folder = _one_folder(list(inputs.values()))
    decode.prepare(spec["name"], declared, folder, Path(outputs["dataset"]))


def in_place(spec: Spec, path: str) -> Source:
    """The container in the folder `path`. DataError where public data in it are not as published.

    Of data of one's own only `prepare` can tell, whose code decodes them.
    """
    from firstorder.data import locate
    from firstorder.data import prepare as decode

    declared = _declared(spec)
    found = locate.source(spec["name"], declared, Path(path))
    if declared.content and ":" not in declared.reader:
        decode.read(spec["name"], declared, found)
    return found


def _declared(spec: Spec) -> Dataset:
    """The declaration as far as decoding goes."""
    channels = spec["dataset"]["shape"][0]
    return Dataset.model_validate(
        {
            "title": spec["title"] or spec["name"],
            "source": "",
            "mean": (0.0,) * channels,
            "std": (1.0,) * channels,
            **spec["dataset"],
            "files": spec["files"],
        }
    )


def _container(receipt: str, path: str, name: str, declared: Dataset) -> Path:
    """The folder `path` of a container whose files still are what its receipt says.

    The folder may be another than that of the receipt, which is known by its files alone.
    """
    from firstorder.data import locate

    _, expected = _received(receipt)
    if locate.fingerprint(locate.source(name, declared, Path(path))) != expected:
        raise DataError(
            f"{path}: not the files that {receipt} names; put those back, or delete the receipt "
            "and run again to verify these"
        )
    return Path(path)


def _one_folder(receipts: Sequence[str]) -> Path:
    """The folder of the raw files that receipts name; of bundled data, which have none, any."""
    folders = {Path(raw_file(receipt)).parent: receipt for receipt in receipts}
    if len(folders) > 1:
        places = " and ".join(map(str, folders))
        raise DataError(
            f"the raw files of one dataset are in {places}; delete {Path(receipts[0]).parent} and "
            "run again to place them together"
        )
    return next(iter(folders), Path())


def raw_file(receipt: str) -> str:
    """The path of a raw file, which still is what its receipt says. DataError when it is not.

    Of a corpus it may be the folder of its unpacked archive.
    """
    from firstorder.data import locate

    path, expected = _received(receipt)
    if not Path(path).exists():
        raise DataError(f"{path}: no such file; delete {receipt} and run again to place it")
    if locate.digest(Path(path)) != expected:
        raise DataError(
            f"{path}: not the file that {receipt} names; put that back, or delete the receipt "
            "and run again to verify this one"
        )
    return path


def _received(receipt: str) -> tuple[str, str]:
    """Path and digest that a receipt names."""
    from firstorder import files

    try:
        found = files.read_json(receipt)
        return str(found["path"]), str(found["sha256"])
    except FileNotFoundError:
        raise files.missing(receipt) from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{receipt}: damaged; delete it and run again") from None


def dataset_spec(declared: Dataset) -> dict[str, Any]:
    """What decides the prepared form of a dataset, besides its files."""
    unread = UNDECODED if ":" in declared.reader else UNDECODED | STANDARD
    return declared.model_dump(mode="json", exclude=unread)


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


def own_digest(file: File, folder: Path, folders: Sequence[str | Path]) -> dict[str, str]:
    """What a raw file is that only the user knows: one without a checksum, of no address.

    It may change, and then is placed, or received, again.
    """
    if file.urls or file.has_checksum or file.content_sha256:
        return {}
    from firstorder.data import locate

    found, _ = locate.copy_of(file, locate.places(folder, folders))
    return {} if found is None else {"sha256": locate.digest(found)}


def _checksums(file: File) -> dict[str, Any]:
    """What a raw file is. Where it comes from does not matter."""
    return file.model_dump(mode="json", exclude={"urls"})


def raw_folder(config: Config, dataset: str) -> Path:
    """The folder below `resources/` with the raw files of `dataset`."""
    return Path(paths(config).raw(config.datasets[dataset].raw or dataset, "x")).parent


def _by_hand(declared: Dataset) -> bool:
    """Whether a dataset is the user's own: none of its files is declared, and it is not bundled."""
    if declared.path is not None or ":" in declared.reader:
        return True
    return _registered_with(declared.reader, "layouts") and not declared.files


def _registered_with(reader: str, keyword: str) -> bool:
    """Whether the decorator of a ready reader says `keyword`; seen without importing it."""
    found = code.registry("firstorder.data.readers")
    return any(each.name == reader and keyword in each.keywords for each in found)


def raw_names(config: Config, dataset: str) -> tuple[str, ...]:
    """The raw files that `dataset` is prepared from: those declared, or IN_PLACE.

    What is not here is to be fetched; another container that is here makes that unnecessary.
    """
    declared = lookup(config.datasets, dataset, "dataset")
    own, folder = tuple(file.name for file in declared.files), raw_folder(config, dataset)
    if _by_hand(declared):
        return (IN_PLACE,)
    if not own or all((folder / name).exists() for name in own):
        return own  # the common cases, without the readers
    from firstorder.data import locate

    found = locate.find(declared, folder)
    if found is None:
        return own
    # Fetching looks for each by its name, in these folders and in none below them.
    looked_in = locate.places(folder, declared.folders)
    placed = {path.name for path in found.files.values() if path.parent in looked_in}
    return own if set(own) <= placed else (IN_PLACE,)


def _prepare_spec(config: Config, dataset: str) -> dict[str, Any]:
    declared = config.datasets[dataset]
    return {
        "name": dataset,
        # It tells where the files lie: the root folder of torchvision has a folder for each title.
        # A reader of the user's own sees it too; errors of the others say the name.
        "title": declared.title if _title_is_read(declared) else "",
        "dataset": dataset_spec(declared),
        "files": [_checksums(file) for file in declared.files],
    }


def _title_is_read(declared: Dataset) -> bool:
    """Whether the reader may be `idx`, also in the place of another one, or is the user's own."""
    # `locate` tries other containers only of files that it can tell by their content.
    may_be_idx = declared.shape[0] == 1 and bool(declared.content and declared.files)
    return declared.reader == "idx" or ":" in declared.reader or may_be_idx


def _in_place_job(config: Config, dataset: str) -> Job:
    from firstorder.data import locate

    declared = lookup(config.datasets, dataset, "dataset")
    found = locate.find(declared, raw_folder(config, dataset))
    path = str(found.folder if found else raw_folder(config, dataset))
    # Public data are known by what is declared of them; what is one's own may change.
    digest = locate.fingerprint(found) if found and _by_hand(declared) else None
    return Job(
        step="fetch",
        key=(dataset, IN_PLACE),
        spec={**_prepare_spec(config, dataset), "sha256": digest},
        inputs={},
        outputs=_receipt(config, dataset, IN_PLACE),
        code=(),
        demand=_decoding(declared),
        aside={"path": path, "urls": (), "folders": (), "help": declared.help},
    )


def _fetch_job(config: Config, dataset: str, name: str) -> Job:
    if name == IN_PLACE:
        return _in_place_job(config, dataset)
    file, declared = _file(config, dataset, name), config.datasets[dataset]
    folder = raw_folder(config, dataset)
    return Job(
        step="fetch",
        key=(dataset, name),
        spec={
            "dataset": dataset,
            "file": _checksums(file),
            **own_digest(file, folder, declared.folders),
        },
        inputs={},
        outputs=_receipt(config, dataset, name),
        code=(),
        demand=Demand(megabytes=500, minutes=60),
        aside={
            "path": str(folder / name),
            "urls": file.urls,
            "folders": declared.folders,
            "help": declared.help,
        },
    )


def _receipt(config: Config, dataset: str, file: str) -> Files:
    return {"receipt": paths(config).receipt(dataset, file)}


def _prepare_job(config: Config, dataset: str) -> Job:
    declared = lookup(config.datasets, dataset, "dataset")
    names = raw_names(config, dataset)
    return Job(
        step="prepare",
        key=(dataset,),
        spec=_prepare_spec(config, dataset),
        inputs={name: paths(config).receipt(dataset, name) for name in names},
        outputs=_prepared(config, dataset),
        code=("firstorder.data.steps:prepare", *_reader_code(declared.reader)),
        demand=_decoding(declared),
        aside={
            **(_in_place_job(config, dataset).aside if IN_PLACE in names else {}),
            "raw": str(raw_folder(config, dataset)),
            "folders": declared.folders,
            "data": True,
        },
    )


def _decoding(declared: Dataset) -> Demand:
    """Raw and prepared pixels, unless they pass in blocks."""
    streamed = _registered_with(declared.reader, "streamed")
    return Demand(megabytes=2000 + (0 if streamed else 3 * megabytes(declared)), minutes=60)


def _reader_code(reader: str) -> tuple[str, ...]:
    """The code of a reader, which is found by its name."""
    return (reader,) if ":" in reader else code.registered("firstorder.data.readers", reader)


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
        others = [declared.human_file.name] if declared.human_file else []
        whole = paths(config).dataset(name) in read
        yield from ((name, file) for file in (raw_names(config, name) if whole else ()))
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
    """Refuse data of the user's own that are read and not there, before anything is planned."""
    own = {name for name, declared in config.datasets.items() if _by_hand(declared)}
    if not own:
        return
    from firstorder.data import locate
    from firstorder.data import prepare as decode

    read = _read(config)
    for name in sorted(own):
        if paths(config).dataset(name) in read:
            declared, folder = config.datasets[name], raw_folder(config, name)
            locate.check(name, declared, folder)
            decode.check(name, declared, folder)


STEPS = (
    step(
        "firstorder.data.steps:fetch", ("dataset", "file"), _receipt, _fetch_job, _needed_files,
        help="Place one raw FILE of DATASET below resources/, verified.",
    ),
    step(
        "firstorder.data.steps:prepare", ("dataset",), _prepared, _prepare_job, _needed,
        help="Decode the raw files of DATASET into tensors.",
    ),
)  # fmt: skip
