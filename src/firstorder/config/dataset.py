"""Datasets and label noise, as declared in `config/datasets.yaml` and the scales."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from firstorder.config.values import (
    Count,
    Deviations,
    Distinct,
    Means,
    Place,
    Rate,
    Sha256,
    Slug,
    Strict,
    unread,
)
from firstorder.errors import ConfigError

IN_PLACE = "in-place"
"""Stands among the names of raw files for all files of a container that is in place already."""


def _plain_name(name: str) -> str:
    """A name that stays in its folder, and may be part of a rule's file names."""
    if name in ("", ".", "..") or any(character in name for character in "/\\:\0"):
        raise ValueError("write a plain file name, without folders")
    if not re.fullmatch(r"[a-zA-Z0-9._+][a-zA-Z0-9._+-]*", name):
        raise ValueError("name it by letters, digits and `.`, `_`, `+`, `-` alone")
    if name == IN_PLACE:
        raise ValueError("it stands for files that are in place; give the file another name")
    return name


FileName = Annotated[str, AfterValidator(_plain_name)]


class File(Strict):
    """One raw file of a dataset, as published."""

    name: FileName
    """File name in `resources/<dataset>/`."""
    sha256: Sha256 | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    bytes: Count | None = None
    content_sha256: Sha256 | None = None
    """SHA-256 of what a .gz file unpacks to: a repacked copy of the same content is accepted."""
    urls: tuple[str, ...] = ()
    """Tried in order, after the dataset's local folders."""

    @property
    def has_checksum(self) -> bool:
        """Whether its own bytes can be verified, and not only what they unpack to."""
        return bool(self.sha256 or self.md5)

    @field_validator("urls")
    @classmethod
    def _encrypted(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not is_allowed_url(url):
                raise ValueError(f"{url}: only https is fetched (http from the own machine)")
        return urls


def _of_different_names(files: tuple[File, ...]) -> tuple[File, ...]:
    names = [file.name for file in files]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]} stands there twice; name each file once")
    return files


RawFiles = Annotated[tuple[File, ...], AfterValidator(_of_different_names)]


def is_allowed_url(url: str) -> bool:
    """Whether data may be fetched from `url`: https, or http from the loopback interface.

    A backslash, which some readers of addresses take for a slash, white space and control
    characters are refused: two libraries might see two hosts.
    """
    if re.search(r"[\\\s\x00-\x1f\x7f]", url):
        return False
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
        _ = urlsplit(url).port  # raises ValueError where it is no number
    except ValueError:
        return False
    if not url.lower().startswith(f"{scheme}://"):
        return False
    return bool(host) if scheme == "https" else scheme == "http" and is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether a host's name is that of the own machine."""
    return host in ("localhost", "127.0.0.1", "::1")


READERS = tuple(
    sorted(
        path.stem
        for path in Path(__file__).parents[1].glob("data/readers/*.py")
        if path.stem[0] != "_"
    )
)
"""The ready readers: the files of `firstorder/data/readers/`, which is not imported here."""


class Content(Strict):
    """What a published split decodes to: how it is known in any container."""

    count: Count
    """Its first images, of which the digests are."""
    sha256: Sha256
    """Of pixels and labels, see `firstorder.data.content.digest`."""
    unordered: Sha256 | None = None
    """The same in any order, see `firstorder.data.content.unordered_digest`."""


class Dataset(Strict):
    """A dataset: its shape, its raw files, how to read and normalise it, its label-flip map."""

    title: str
    reader: Place
    """Which reader decodes the raw files: a file of `firstorder/data/readers/`, or a function of
    your own, `file.py:function`."""
    path: Place | None = None
    """Where data of your own lie: a folder or a file, from the project's folder or absolute."""
    raw: Slug | None = None
    """The folder below `resources/` with the raw files, where it has another dataset's name."""
    shape: tuple[Count, Count, Count]
    """Channels, height, width."""
    resize: bool = False
    """Resize the published images (bilinear) to `shape`."""
    train: Count
    test: Count
    test_from: Literal["test", "train"] = "test"
    """`train`: a fixed part of the published training images, stratified by class, is the test
    set; the first published test images may be the extra test set `published`."""
    extra_tests: dict[Slug, Count] = {}
    """Further test sets that the reader finds, by name, with their sizes."""
    content: dict[Slug, Content] = {}
    """The published splits by what they decode to: any container of them is accepted."""
    classes: Distinct[str] = ()
    """Class names in label order; empty for images without labels."""
    mean: Means
    std: Deviations
    """Per channel, of pixel values scaled to [0, 1]."""
    asymmetric: dict[int, int] | Literal["blocks"] = {}
    """Class-dependent noise: true class -> the class that it is mistaken for.
    `blocks`: within blocks of five classes each turns into the next (CIFAR-100)."""
    semantic_groups: tuple[int, ...] = ()
    """Super-class of every class, for the `semantic` blocks convention."""
    human: dict[str, str] = {}
    """Human annotations: name -> key in `human_file`."""
    human_sha256: dict[str, Sha256] = {}
    """Human annotations: name -> SHA-256 of the published labels as little-endian int64."""
    human_file: File | None = None
    """The labels that people gave; fetched only when human noise is asked for."""
    files: RawFiles = ()
    """The raw files that the reader needs."""
    folders: tuple[Place, ...] = ()
    """Local folders that may hold the raw files, tried before any download; relative ones lie
    in `resources/<dataset>/` or in the project."""
    help: str = ""
    """What to do when the raw files cannot be had: which package or file would help."""
    source: str

    @field_validator("reader")
    @classmethod
    def _known(cls, reader: str) -> str:
        if ":" not in reader and reader not in READERS:
            raise ValueError(f"choose from {', '.join(READERS)}, or name a file.py:function")
        return reader

    @model_validator(mode="after")
    def _consistent(self) -> Dataset:
        channels, classes = self.shape[0], len(self.classes)
        if len(self.mean) != channels or len(self.std) != channels:
            raise ValueError(f"mean and std need one value for each of the {channels} channels")
        for name in set(self.content) - {"train", "test", *self.extra_tests}:
            raise ValueError(f"content: {name} is no split; write train, test or an extra test")
        for name in self.extra_tests:
            if name.endswith(("_images", "_labels")):
                raise ValueError(f"extra_tests: {name}: leave out its ending")
        for name in {"train", "test"} & set(self.extra_tests):
            raise ValueError(f"extra_tests: {name} is no further test set; give it another name")
        if self.test_from == "test" and "published" in self.extra_tests:
            raise ValueError("extra_tests: published is for test_from: train; else it is the test")
        if isinstance(self.asymmetric, dict):
            for pair in self.asymmetric.items():
                if pair[0] == pair[1]:
                    raise ValueError(f"asymmetric: {pair[0]} -> {pair[1]} changes nothing")
                if not all(0 <= label < classes for label in pair):
                    raise ValueError(
                        f"asymmetric: {pair[0]} -> {pair[1]}: labels end at {classes - 1}"
                    )
        if self.semantic_groups and len(self.semantic_groups) != classes:
            raise ValueError(f"semantic_groups needs one value for each of the {classes} classes")
        if self.files and ":" in self.reader:
            raise ValueError("files are fetched for the ready readers; give one's own a path")
        if self.path is not None:
            unread(self, "path", "folders", "raw")
        if bool(self.human) != (self.human_file is not None):
            raise ValueError("human annotations need a human_file, and the other way round")
        if not set(self.human_sha256) <= set(self.human):
            raise ValueError("human_sha256 names an annotation that is not in human")
        return self

    @property
    def unverified(self) -> bool:
        """Whether its files lie where somebody put them, and nothing says what they hold."""
        return not self.content and (self.path is not None or not self.files)


READS = {
    "symmetric": ("rate", "sampler", "include_true_class"),
    "asymmetric": ("rate", "sampler", "blocks"),
    "pairflip": ("rate", "sampler"),
    "instance": ("rate",),
    "human": ("annotation",),
    "matrix": ("path", "sampler"),
    "labels": ("path",),
}
"""What each kind of noise reads: another option would be printed and change nothing."""


class Noise(Strict):
    """A model of label noise on the training labels."""

    kind: Literal["symmetric", "asymmetric", "pairflip", "instance", "human", "matrix", "labels"]
    """`matrix` and `labels` are your own, in the file `path`."""
    rate: Rate = 0.0
    sampler: Literal["remainder", "floor", "class", "iid", "sequential"] = "remainder"
    """How labels are drawn from the transition matrix of the noise, if it has one. `remainder`:
    counts by largest remainder, so that each class is within half a label of its rate; `floor`:
    the counts for every ordered pair of classes rounded down (the published protocol); `class`:
    exact counts per class; `iid`: every label drawn; `sequential`: asymmetric noise class after
    class on labels that have changed already, as the released code of eps-softmax."""
    path: Place | None = None
    """Your own noise: a CSV file with the K x K transition matrix (row: true class), or a file
    with the label of every training image (.npy, or one a line)."""
    include_true_class: bool = False
    """Symmetric noise that redraws from all K classes, the true one included."""
    blocks: Literal["index", "semantic"] = "index"
    """Asymmetric noise on CIFAR-100: blocks of consecutive class indices (as published) or
    semantic super-classes."""
    annotation: str | None = None
    """Human noise: which annotation."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Noise:
        for name, field in type(self).model_fields.items():
            unread = name not in ("kind", *READS[self.kind])
            if unread and getattr(self, name) != field.default:
                raise ValueError(f"noise of kind {self.kind} reads no {name}; leave it out")
        for name in ("annotation", "path"):
            if name in READS[self.kind] and getattr(self, name) is None:
                raise ValueError(f"noise of kind {self.kind} needs the key {name}")
        if self.sampler == "sequential" and self.kind != "asymmetric":
            raise ValueError("sampler: sequential is for asymmetric noise")
        return self

    def highest(self, classes: int) -> float:
        """The highest rate: at that of symmetric noise a label says nothing of its class."""
        if self.kind == "symmetric" and not self.include_true_class:
            return (classes - 1) / classes
        return 1.0

    @classmethod
    def parse(cls, slug: str) -> Noise:
        """The noise named by a slug such as `symmetric-0.4`, `instance-0.2` or `human-worst`."""
        kind, _, value = slug.partition("-")
        if kind in ("matrix", "labels"):
            raise ConfigError(f"noise {slug!r}: declare it under `noises:`, with its path")
        if kind == "human":
            return cls(kind="human", annotation=value)
        try:
            if "_" in value:  # float() takes it for a digit separator: 0_1 would be 1
                raise ValueError(value)
            return cls(kind=kind, rate=float(value))  # type: ignore[arg-type]
        except (ValueError, ValidationError):
            raise ConfigError(
                f"noise {slug!r}: write KIND-RATE with KIND one of symmetric, asymmetric, "
                "pairflip, instance and RATE in [0, 1], or human-ANNOTATION, or declare it "
                "under `noises:`"
            ) from None


def check_noise(noise: Noise, dataset: Dataset, name: str, where: str) -> None:
    """Refuse noise that is impossible on `dataset` (called `name`), naming the key `where`."""
    classes = len(dataset.classes)
    if classes < 2:
        raise ConfigError(f"{where}: {name} has no classes; label noise needs two")
    if noise.kind == "symmetric":
        most = noise.highest(classes)
        if noise.rate > most:
            raise ConfigError(
                f"{where}: rate {noise.rate:g} is not allowed: symmetric noise on the {classes} "
                f"classes of {name} takes rates in [0, {most:g}]"
            )
    elif noise.kind == "asymmetric" and noise.rate and not dataset.asymmetric:
        raise ConfigError(f"{where}: {name} has no asymmetric map; give one in datasets.yaml")
    elif noise.kind == "human" and noise.annotation not in dataset.human:
        raise ConfigError(
            f"{where}: human annotation {noise.annotation!r} is unknown for {name}; "
            f"allowed: {', '.join(dataset.human) or 'none'}"
        )
    if noise.path is not None and not Path(noise.path).expanduser().is_file():
        raise ConfigError(f"{where}: {noise.path}: no such file (below {Path.cwd()})")
    if noise.sampler == "sequential" and dataset.asymmetric == "blocks":
        raise ConfigError(f"{where}: sampler: sequential needs an asymmetric map, not blocks")
    if noise.blocks == "semantic" and dataset.asymmetric != "blocks":
        raise ConfigError(f"{where}: `blocks: semantic` needs `asymmetric: blocks` of {name}")
    if noise.blocks == "semantic" and not dataset.semantic_groups:
        raise ConfigError(f"{where}: {name} declares no semantic_groups for `blocks: semantic`")
