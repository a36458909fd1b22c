"""The step that reads the texts of a corpus into tokens."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstorder import files, streams
from firstorder.errors import DataError
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec

if TYPE_CHECKING:
    from firstorder.data.text.documents import Documents

Words = list[list[str]]
Splits = dict[str, tuple[Words, list[int]]]
"""train, test and, where the corpus has one, validation: words of every document, and labels."""
Raw = dict[str, tuple[list[str], list[int]]]
YELP = "yelp_review_polarity_csv/{split}.csv"
"""Members of the published archive."""


def read_text(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Write documents.npz (see `data.text.documents`) and its record, corpus.json.

    The record holds for every split what `data.text.documents.statistics` says, after cutting,
    and the share of the documents that were cut.
    """
    from firstorder.data.steps import raw_file
    from firstorder.data.text import documents
    from firstorder.data.text.words import RESERVED

    paths = {name: Path(raw_file(inputs[name])) for name in spec["files"]}
    if spec["reader"] == "synthetic":
        words, splits = _synthetic(spec)
    else:
        texts = _texts(spec, list(paths.values()))
        words, splits = encoded(texts, spec)
        for name, split in splits.items():
            if not len(split):
                given = len(texts["train"][0]) + len(texts["validation"][0])
                raise DataError(
                    f"{', '.join(map(str, paths.values()))}: no {name} documents of {given} "
                    "training ones and those for testing; give more"
                )
        if len(words) == len(RESERVED):
            raise DataError(
                f"{', '.join(map(str, paths.values()))}: no word occurs {spec['min_count']} times "
                "in the training documents; lower text.min_count"
            )
    record: dict[str, Any] = {"words": len(words), "splits": {}}
    for name, split in splits.items():
        cut = split if spec["longest"] is None else split.up_to(spec["longest"])
        share = float((split.lengths > cut.lengths).mean())
        record["splits"][name] = documents.statistics(cut) | {"cut_share": share}
        splits[name] = cut
    documents.save(outputs["documents.npz"], words, splits)
    files.write_json(
        outputs["corpus.json"], {"spec": dict(spec), **record} | context.record(inputs.values())
    )


def _synthetic(spec: Spec) -> tuple[tuple[str, ...], dict[str, Documents]]:
    """The synthetic corpus; its validation documents are drawn beside the training documents."""
    from firstorder.data.text import synthetic

    counts = {
        "train": spec["train"],
        "validation": max(1, round(spec["train"] * spec["validation"])),
        "test": spec["test"],
    }
    drawn = {
        name: synthetic.sample(count, streams.numpy_stream(0, f"documents {name}"))
        for name, count in counts.items()
    }
    return synthetic.vocabulary().words, drawn


def _texts(spec: Spec, paths: list[Path]) -> Splits:
    """The documents of a corpus as words, in its own splits."""
    from firstorder.data.text import trees

    if spec["reader"] == "sst":
        train, validation, test = (trees.binary(trees.read_trees(path)) for path in paths)
        return {"train": train, "validation": validation, "test": test}
    raw = _raw(spec, paths)
    if spec["content"] is not None and content(raw) != spec["content"]:
        raise DataError(
            f"{paths[0]}: not the published texts; move it away, and the published file is fetched"
        )
    return held_out(raw, spec)


def _raw(spec: Spec, paths: list[Path]) -> Raw:
    """The texts of a corpus without a validation split."""
    from firstorder.data.text import reviews, tables

    if spec["reader"] == "imdb":
        return reviews.read_reviews(paths[0])
    if spec["reader"] == "yelp":
        return _yelp(paths[0])
    return dict(zip(("train", "test"), map(tables.read_table, paths), strict=True))


def _yelp(path: Path) -> Raw:
    from firstorder.data.text import tables

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for split in ("train", "test"):
            name = YELP.format(split=split)
            try:
                with tarfile.open(path) as archive:
                    stream = archive.extractfile(name)
                    assert stream is not None
                    table = Path(folder, f"{split}.csv")
                    table.write_bytes(stream.read())
            except (tarfile.TarError, OSError, EOFError, KeyError) as error:
                raise DataError(f"{path}: no {name} in it ({error}); fetch it again") from None
            found[split] = tables.read_yelp(table)
            table.unlink()
    return found


def content(raw: Raw) -> str:
    """SHA-256 of all texts with their labels, in the order of the splits."""
    digest = hashlib.sha256()
    for split in ("train", "test"):
        for text, label in zip(*raw[split], strict=True):
            digest.update(f"{split}\0{label}\0{text}\0".encode())
    return digest.hexdigest()


def held_out(raw: Raw, spec: Spec) -> Splits:
    """Words of the splits, with a validation split of a fixed shuffle of the training texts.

    `train` and `test` of the spec keep the first documents of such a shuffle.
    """
    from firstorder.data.text.words import tokenise

    found: Splits = {}
    for name in ("train", "test"):
        texts, labels = raw[name]
        order = streams.numpy_stream(0, f"documents {name}").permutation(len(texts)).tolist()
        kept = order if spec[name] is None else order[: spec[name]]
        found[name] = [tokenise(texts[i]) for i in kept], [labels[i] for i in kept]
    words, labels = found["train"]
    count = max(1, round(len(words) * spec["validation"]))
    found["validation"] = words[:count], labels[:count]
    found["train"] = words[count:], labels[count:]
    return found


def encoded(splits: Splits, spec: Spec) -> tuple[tuple[str, ...], dict[str, Documents]]:
    """The vocabulary of the training documents, and all splits in its tokens."""
    from firstorder.data.text.words import vocabulary

    known = vocabulary(splits["train"][0], min_count=spec["min_count"], max_size=spec["max_size"])
    found = {}
    for name in ("train", "validation", "test"):
        words, labels = splits[name]
        kept = [i for i, document in enumerate(words) if document]
        found[name] = known.encode([words[i] for i in kept], [labels[i] for i in kept])
    return known.words, found
