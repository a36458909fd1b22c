"""Readers: the same images from any container, and the right reason where they are others."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from containers import (
    CLASSES,
    COLOUR,
    COUNTS,
    GREY,
    binary_files,
    declaration,
    picture,
    png,
    splits,
    write_archive,
    write_files,
)
from pydantic import ValidationError

from firstorder.config import READERS, Dataset, Noise
from firstorder.data import content, locate, parts, readers
from firstorder.data.given import check as check_noise
from firstorder.data.lists import label_numbers
from firstorder.data.noise import corrupt
from firstorder.data.prepare import check, prepare
from firstorder.data.prepared import Split, read_prepared, write_prepared
from firstorder.data.readers import image_folder
from firstorder.errors import ConfigError, DataError, UserError

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="needs the extra `parquet`"
)


def reference(found: dict[str, Split], folder: Path) -> bytes:
    """The prepared file of `found`, from an `.npz`."""
    COLOUR["npz"][1](found, folder)
    prepare("d", declaration("npz", found), folder, folder / "reference.safetensors")
    return (folder / "reference.safetensors").read_bytes()


@pytest.mark.parametrize("declared", ["cifar", "image_folder"])
@pytest.mark.parametrize(
    "channels, container",
    [*((3, name) for name in COLOUR), *((1, name) for name in GREY)],
)
def test_every_container_prepares_to_the_same_bytes(
    channels: int, container: str, declared: str, tmp_path: Path
) -> None:
    found = splits(channels)
    for name in ("npz", "raw"):
        (tmp_path / name).mkdir()
    reader, write = {3: COLOUR, 1: GREY}[channels][container]
    write(found, tmp_path / "raw")
    dataset = declaration(declared, found)
    source = locate.find(dataset, tmp_path / "raw")
    assert source is not None and source.reader == reader
    prepare("d", dataset, tmp_path / "raw", tmp_path / "out.safetensors")
    assert (tmp_path / "out.safetensors").read_bytes() == reference(found, tmp_path / "npz")


@needs_pyarrow
@pytest.mark.parametrize("channels, image", [(3, "img"), (1, "image")])
def test_hugging_faces_parquet_prepares_to_the_same_bytes(
    channels: int, image: str, tmp_path: Path
) -> None:
    import pyarrow
    from pyarrow import parquet

    found = splits(channels)
    (tmp_path / "plain_text").mkdir()
    for split, (images, labels) in found.items():
        pictures = [{"bytes": png(each), "path": None} for each in images]
        table = pyarrow.table({image: pictures, "label": labels})
        parquet.write_table(table, tmp_path / f"plain_text/{split}-00000-of-00001.parquet")
    prepare("d", declaration("cifar", found), tmp_path, tmp_path / "out.safetensors")
    (tmp_path / "npz").mkdir()
    assert (tmp_path / "out.safetensors").read_bytes() == reference(found, tmp_path / "npz")


@pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed here"
)
def test_parquet_without_pyarrow_is_one_line(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_files(tmp_path, {f"{split}-00000-of-00001.parquet": b"PAR1"})
    with pytest.raises(DataError, match=r"needs pyarrow: pip install 'firstorder\[parquet\]'"):
        prepare("d", declaration("cifar", splits()), tmp_path, tmp_path / "out.safetensors")


def test_readers_are_named_as_their_files() -> None:
    assert "parquet" in READERS and "__init__" not in READERS
    for name in READERS:
        assert readers.named(name).name == name


@pytest.mark.parametrize("name", ["cifr", "", "PARQUET"])
def test_an_unknown_reader_is_refused_where_it_is_declared(name: str) -> None:
    with pytest.raises(ValidationError, match="choose from cifar, "):
        declaration(name, splits())


# The right reason


def changed(found: dict[str, Split], split: str, **parts: np.ndarray) -> dict[str, Split]:
    return {**found, split: found[split]._replace(**parts)}


def shuffled(found: dict[str, Split]) -> dict[str, Split]:
    order = np.random.default_rng(7).permutation(len(found["train"].labels))
    images, labels = found["train"]
    return {**found, "train": Split(images[:][order], labels[order])}


def other_pixel(found: dict[str, Split]) -> dict[str, Split]:
    images = found["train"].images[:].copy()
    images[-1, 0, 0, 0] ^= 1
    return changed(found, "train", images=images)


def other_label(found: dict[str, Split]) -> dict[str, Split]:
    labels = found["test"].labels.copy()
    labels[0] = (labels[0] + 1) % len(CLASSES)
    return changed(found, "test", labels=labels)


def too_few(found: dict[str, Split]) -> dict[str, Split]:
    images, labels = found["test"]
    return {**found, "test": Split(images[:-1], labels[:-1])}


@pytest.mark.parametrize(
    "change, reason",
    [
        (shuffled, "train: the published images in another order; name the files by their place"),
        (other_pixel, "train: not the published images and labels"),
        (other_label, "test: not the published images and labels"),
        (too_few, "test: 5 images instead of 6"),
    ],
)
def test_other_data_in_a_right_container_are_refused_with_the_reason(
    change: Any, reason: str, tmp_path: Path
) -> None:
    found = splits()
    write_files(tmp_path / "cifar-10-batches-bin", binary_files(change(found)))
    with pytest.raises(DataError, match=reason):
        prepare("d", declaration("cifar", found), tmp_path, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_the_first_images_may_be_all_that_is_known_of_a_split(tmp_path: Path) -> None:
    found = splits()
    dataset = declaration("cifar_binary", found)
    first = content.digest(found["test"], 4)
    known = {**dataset.content, "test": dataset.content["test"].model_copy()}
    known["test"] = known["test"].model_copy(update={"count": 4, "sha256": first})
    dataset = dataset.model_copy(update={"content": known})
    write_files(tmp_path, binary_files(found))
    prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    write_files(tmp_path, binary_files(other_label(found)))
    with pytest.raises(DataError, match="test: not the published"):
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")


def test_without_declared_content_only_the_declared_reader_is_tried(tmp_path: Path) -> None:
    found = splits()
    write_files(tmp_path, binary_files(found))
    dataset = declaration("cifar", found, content={})
    with pytest.raises(DataError, match=r"no such file: .*cifar-10-python\.tar\.gz"):
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")


def test_what_the_nearest_container_lacks_is_named(tmp_path: Path) -> None:
    found = splits()
    write_files(tmp_path / "cifar-10-batches-bin", binary_files(found))
    (tmp_path / "cifar-10-batches-bin/data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"no such file: \S*data_batch_4\.bin \(reader cifar_bin"):
        prepare("d", declaration("cifar", found), tmp_path, tmp_path / "out.safetensors")


# Where files are


@pytest.mark.parametrize("place", ["relative", "home", "absolute"])
def test_folders_may_be_relative_absolute_or_at_home(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    declared, real = {
        "relative": ("elsewhere", tmp_path / "raw/elsewhere"),
        "home": ("~/data", tmp_path / "home/data"),
        "absolute": (str(tmp_path / "data"), tmp_path / "data"),
    }[place]
    found = splits()
    write_files(real, binary_files(found))
    dataset = declaration("cifar_binary", found, folders=(declared,))
    source = locate.find(dataset, tmp_path / "raw")
    assert source is not None and source.folder.samefile(real)
    paths = locate.inputs(dataset, tmp_path / "raw")
    assert all(path.is_file() for path in paths) and len(paths) == 7
    prepare("d", dataset, tmp_path / "raw", tmp_path / "out.safetensors")


def test_a_path_of_ones_own_is_the_only_place(tmp_path: Path) -> None:
    found = splits()
    COLOUR["npz"][1](found, tmp_path)
    dataset = declaration("npz", found, path=str(tmp_path / "mine.npz"), content={}, files=())
    prepare("d", dataset, tmp_path / "raw", tmp_path / "out.safetensors")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "mine.npz").rename(tmp_path / "folder.npz/mine.npz")
    inside = dataset.model_copy(update={"path": str(tmp_path / "folder.npz")})
    prepare("d", inside, tmp_path, tmp_path / "inside.safetensors")
    prepared = [(tmp_path / f"{each}.safetensors").read_bytes() for each in ("out", "inside")]
    assert prepared[0] == prepared[1]
    dataset = dataset.model_copy(update={"path": str(tmp_path / "absent.npz")})
    with pytest.raises(DataError, match=r"no such file: \S*absent\.npz .*; correct `path"):
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")


def test_what_is_wrong_with_ones_own_data_is_seen_when_it_is_planned(tmp_path: Path) -> None:
    found = splits()
    absent = declaration("npz", found, path=str(tmp_path / "absent.npz"), content={}, files=())
    with pytest.raises(DataError, match=r"d: no such file: \S*absent\.npz"):
        locate.check("d", absent, tmp_path)
    with pytest.raises(DataError, match=r"reader 'absent\.py:read': no such file"):
        locate.check("d", declaration("absent.py:read", found, files=()), tmp_path)
    (tmp_path / "mine.py").write_text("def read(dataset, folder): ...\n")
    mine = declaration(f"{tmp_path}/mine.py:read", found, files=())
    with pytest.raises(DataError, match=r"d: no such file: \S*nowhere"):
        locate.check("d", mine, tmp_path / "nowhere")
    locate.check("d", mine, tmp_path)
    locate.check("d", declaration("cifar", found), tmp_path)  # it can be fetched later


def test_an_archive_under_another_name_is_not_taken_for_webvision(tmp_path: Path) -> None:
    (tmp_path / "cifar.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"no such file: \S*python\.tar\.gz \(reader cifar\)"):
        prepare("d", declaration("cifar", splits()), tmp_path, tmp_path / "out.safetensors")


@pytest.mark.parametrize("container", ["python unpacked", "binary archive", "npz", "image folder"])
def test_published_images_are_verified_and_then_resized(container: str, tmp_path: Path) -> None:
    found = splits()
    for name in ("npz", "raw"):
        (tmp_path / name).mkdir()
        COLOUR[{"raw": container}.get(name, name)][1](found, tmp_path / name)
        dataset = declaration("cifar", found, shape=(3, 48, 64), resize=True)
        prepare("d", dataset, tmp_path / name, tmp_path / f"{name}.safetensors")
    assert (tmp_path / "raw.safetensors").read_bytes() == (
        tmp_path / "npz.safetensors"
    ).read_bytes()
    images = read_prepared(tmp_path / "raw.safetensors").train_images
    assert images.shape == (20, 3, 48, 64)


# A test set held out


@pytest.mark.parametrize(
    "channels, container",
    [
        (3, "python unpacked"),
        (3, "binary files"),
        (3, "npz"),
        (3, "npy"),
        (3, "image folder"),
        (3, "csv"),
        (1, "idx packed"),
    ],
)
def test_a_test_set_that_is_held_out_need_not_be_there(
    channels: int, container: str, tmp_path: Path
) -> None:
    found = splits(channels)
    reader, write = {3: COLOUR, 1: GREY}[channels][container]
    write({"train": found["train"]} if reader == "npz" else found, tmp_path)
    for path in [*tmp_path.glob("**/test*"), *tmp_path.glob("t10k*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    changes = {"train": 14, "test": 6, "test_from": "train", "content": {}, "files": ()}
    dataset = declaration(reader, found, **changes)
    prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    assert np.bincount(read_prepared(tmp_path / "out.safetensors").test_labels).tolist() == [2] * 3
    wants_it = dataset.model_copy(update={"extra_tests": {"published": 6}})
    with pytest.raises(DataError, match="no such"):
        prepare("d", wants_it, tmp_path, tmp_path / "out.safetensors")


@pytest.mark.parametrize("container", ["npy", "image folder", "csv"])
def test_published_test_images_are_found_beside_a_set_that_is_held_out(
    container: str, tmp_path: Path
) -> None:
    found = splits()
    reader, write = COLOUR[container]
    write(found, tmp_path)
    dataset = declaration(
        reader, found, train=14, test=6, test_from="train", extra_tests={"published": 4}
    )
    prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    images, _ = read_prepared(tmp_path / "out.safetensors").extra_tests["published"]
    assert np.array_equal(images, found["test"].images[:4])


def test_a_held_out_test_set_has_the_class_shares_and_nothing_twice(tmp_path: Path) -> None:
    found = splits()
    write_files(tmp_path, binary_files(found))
    dataset = declaration(
        "cifar", found, train=14, test=6, test_from="train", extra_tests={"published": 4}
    )
    prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    images = read_prepared(tmp_path / "out.safetensors")
    assert np.bincount(images.test_labels).tolist() == [2, 2, 2]
    together = np.concatenate([images.train_images, images.test_images])
    assert np.array_equal(
        np.unique(together.reshape(20, -1), axis=0),
        np.unique(found["train"].images[:].reshape(20, -1), axis=0),
    )
    extra, labels = images.extra_tests["published"]
    assert np.array_equal(extra, found["test"].images[:4])
    assert np.array_equal(labels, found["test"].labels[:4])
    chosen = parts.train_indices(dataset, found["train"].labels)
    assert np.array_equal(images.train_images, found["train"].images[:][chosen])
    with pytest.raises(DataError, match=r"train: images \(20, .*, but 19 are declared"):
        prepare("d", dataset.model_copy(update={"train": 13}), tmp_path, tmp_path / "x.safetensors")


def test_further_test_sets_stay_beside_one_that_is_held_out() -> None:
    found = splits()
    dataset = declaration("npz", found, train=14, test=6, test_from="train")
    assert parts.divide(dataset, {**found, "more": found["test"]})["more"] is found["test"]


def test_a_smaller_held_out_set_lies_inside_a_larger() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 1000)
    assert set(np.flatnonzero(parts.held_out(labels, 50))) < set(
        np.flatnonzero(parts.held_out(labels, 100))
    )


# Folders of images and lists


def own(reader: str, **changes: Any) -> Dataset:
    return declaration(reader, splits(), content={}, files=(), **changes)


def test_images_without_a_number_come_by_class_and_name(tmp_path: Path) -> None:
    names = ["train/bee/b.png", "train/ant/z.png", "train/ant/a.png", "train/cow/1.png"]
    for shade, name in enumerate(names):
        write_files(tmp_path, {name: png(np.full((3, 32, 32), shade, np.uint8))})
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    found = image_folder.image_folder(
        own("image_folder"), {"train": tmp_path / "train", "test": tmp_path / "test"}
    )["train"]
    assert found.images[:][:, 0, 0, 0].tolist() == [2, 1, 0, 3]
    assert found.labels.tolist() == [0, 0, 1, 2]


def test_pictures_of_other_sizes_are_resized_where_that_is_declared(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for label, name in enumerate(CLASSES):
            image = generator.integers(0, 256, (3, 40 + label, 64), dtype=np.uint8)
            stream = io.BytesIO()
            picture(image).save(stream, format="JPEG")
            write_files(tmp_path, {f"{split}/{name}/a.JPG": stream.getvalue()})
    dataset = own("image_folder", train=3, test=3)
    with pytest.raises(DataError, match=r"64 x 40 pixels instead of 32 x 32; declare `resize"):
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    prepare(
        "d", dataset.model_copy(update={"resize": True}), tmp_path, tmp_path / "out.safetensors"
    )
    assert read_prepared(tmp_path / "out.safetensors").train_images.shape == (3, 3, 32, 32)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("train/dog/1.png", "not declared dog"),
        ("train/ant/1.bmp", r"neither .jpeg nor .jpg nor .png; move it away"),
        ("train/notes.txt", "not a folder of a class"),
    ],
)
def test_what_is_no_image_of_a_class_is_named(name: str, reason: str, tmp_path: Path) -> None:
    COLOUR["image folder"][1](splits(), tmp_path)
    write_files(tmp_path, {name: b"x"})
    with pytest.raises(DataError, match=reason):
        prepare("d", own("image_folder"), tmp_path, tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    "line, reason",
    [
        (b"../x.png,ant", "leaves the dataset's folder"),
        (b"/etc/passwd,ant", "leaves the dataset's folder"),
        (rb"im\0.png,ant", "write folders with /"),
        (b"a.png,dog", "'dog' is no class"),
        (
            b"id,breed\na.png,ant",
            "'breed' is no class of the dataset; a heading is path,label or class",
        ),
        (b"a.png", "1 columns"),
        (b"a\xff.png,ant", "line 1: not UTF-8 text"),
        (b"a.png,ant\n\xe9,bee", "line 2: not UTF-8 text"),
    ],
)
def test_a_line_that_is_no_image_and_label_is_named(
    line: bytes, reason: str, tmp_path: Path
) -> None:
    COLOUR["csv"][1](splits(), tmp_path)
    (tmp_path / "train.csv").write_bytes(line)
    with pytest.raises(DataError, match=rf"train\.csv: line \d.*{reason}|{reason}"):
        prepare("d", own("csv_labels"), tmp_path, tmp_path / "out.safetensors")


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_of_classes_are_not_taken_for_names(first: int, tmp_path: Path) -> None:
    """Of classes called 1 and 2, numbered 0 and 1."""
    write_files(tmp_path, {f"{each}.png": png(splits()["train"].images[0]) for each in "abc"})
    (tmp_path / "train.csv").write_text(f"a.png,{first}\nb.png,{first + 1}\n")
    (tmp_path / "test.csv").write_text("c.png,1\n")  # alone it might be taken for either
    dataset = own("csv_labels", train=2, test=1, classes=("1", "2"))
    prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    images = read_prepared(tmp_path / "out.safetensors")
    assert images.train_labels.tolist() == [0, 1]
    assert images.test_labels.tolist() == [1 - first]


def test_other_arrays_in_an_npz_are_passed_over(tmp_path: Path) -> None:
    found = splits()
    arrays = {f"{k}_{part}": getattr(found[k], part) for k in found for part in found[k]._fields}
    np.savez(tmp_path / "a.npz", **arrays, class_names=np.array(CLASSES))
    prepare("d", own("npz"), tmp_path, tmp_path / "out.safetensors")
    np.savez(tmp_path / "a.npz", images=arrays["train_images"], class_names=np.array(CLASSES))
    with pytest.raises(DataError, match=r"no train_images .*; it has images, class_names$"):
        prepare("d", own("npz"), tmp_path, tmp_path / "out.safetensors")
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(DataError, match=r"2 \.npz lie in it; leave one"):
        prepare("d", own("npz"), tmp_path, tmp_path / "out.safetensors")


def test_what_is_no_images_is_told_also_where_it_would_be_resized(tmp_path: Path) -> None:
    text = "import numpy as np\n\ndef read(*_):\n    x = np.zeros((9, 8, 8), 'u1')\n"
    (tmp_path / "mine.py").write_text(f"{text}    return {{'train': (x, np.zeros(9, int))}}")
    with pytest.raises(DataError, match=r"train: images \(9, 8, 8\), but 20"):
        dataset = own(f"{tmp_path}/mine.py:read", resize=True)
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    ("form", "reader", "suffix"),
    [("image folder", "image_folder", ""), ("csv", "csv_labels", ".csv")],
)
@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "val"), ("train", "Validation")])
def test_folders_and_lists_of_splits_have_their_usual_names(
    form: str, reader: str, suffix: str, names: tuple[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "raw"
    COLOUR[form][1](splits(), folder)
    for split, name in zip(("train", "test"), names, strict=True):
        (folder / f"{split}{suffix}").rename(folder / f"{name}{suffix}")
    prepare("d", own(reader), folder, tmp_path / "out.safetensors")
    assert read_prepared(tmp_path / "out.safetensors").test_images.shape == (6, 3, 32, 32)
    # Under two names there is one folder still, but a copy is another.
    first, again = (folder / f"{each}{suffix}" for each in (names[1], "testing"))
    again.hardlink_to(first) if suffix else again.symlink_to(first)
    assert locate.find(own(reader), folder) is not None
    again.unlink()
    again.touch() if suffix else again.mkdir()
    with pytest.raises(DataError, match="both are there; leave one"):
        locate.find(own(reader), folder)


@needs_pyarrow
@pytest.mark.parametrize(
    "names",
    [("data/train-00000-of-00001", "data/validation-00000-of-00001"), ("train/0000", "test/0000")],
)
def test_pictures_in_parquet_are_resized_where_that_is_declared(
    names: tuple[str, str], tmp_path: Path
) -> None:
    import pyarrow
    from pyarrow import parquet

    for name, (images, labels) in zip(names, splits().values(), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        table = pyarrow.table({"image": [png(each[:, 4:]) for each in images], "label": labels})
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"row 1: 32 x 28 pixels instead of 32 x 32; declare `res"):
        prepare("d", own("parquet"), tmp_path, tmp_path / "out.safetensors")
    prepare("d", own("parquet", resize=True), tmp_path, tmp_path / "out.safetensors")
    assert read_prepared(tmp_path / "out.safetensors").test_images.shape == (6, 3, 32, 32)


# Bounds


@pytest.mark.parametrize(
    "array, reason",
    [
        (np.zeros((20, 3, 32, 32), np.float32), r"train_images\S*: images are float32, not uint8"),
        (np.array([{}]), "it holds values of type object"),
    ],
)
def test_arrays_of_other_types_are_refused(array: np.ndarray, reason: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_images=array, train_labels=np.zeros(20, int))
    with pytest.raises(DataError, match=reason):
        prepare("d", own("npz"), tmp_path, tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    ("shape", "content"),
    [
        *(
            ("(-3, -2)", bytes(48)),
            ("(-6,)", bytes(48)),
            ("(True,)", bytes(8)),
            ("(6.0,)", bytes(48)),
        ),
        *((f"(0, {'9' * 400})", b""), (f"({'9' * 300},)", b""), (repr((1,) * 80), bytes(8))),
        *(("(" * 4000 + ")" * 4000, b""), ("((((", b""), ("'6'", bytes(48))),
    ],
)
def test_headers_of_arrays_that_make_no_sense_are_one_line(
    shape: str, content: bytes, tmp_path: Path
) -> None:
    from firstorder.data.readers import npz

    text = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content)
    with pytest.raises(DataError, match=r"a\.npy: not an array of numbers"):
        npz.read_npy(path)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.write(path, "train_images.npy")
    with pytest.raises(DataError, match=r"a\.npz: train_images\.npy: not an array of numbers"):
        prepare("d", own("npz"), tmp_path, tmp_path / "out.safetensors")


def test_an_archive_called_npy_is_one_line(tmp_path: Path) -> None:
    from firstorder.data.readers import npz

    np.savez(tmp_path / "a.npz", np.zeros(3))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(DataError, match="not an array of numbers"):
        npz.read_npy(tmp_path / "a.npy")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["train_labels.npy", "y_train.npy"])
def test_arrays_that_are_there_twice_are_refused(second: str, tmp_path: Path) -> None:
    arrays = {
        "train_images.npy": np.zeros((6, 4, 4), np.uint8),
        "train_labels.npy": np.zeros(6, int),
    }
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name, array in (*arrays.items(), (second, np.ones(6, int))):
            stream = io.BytesIO()
            np.save(stream, array)
            archive.writestr(name, stream.getvalue())
    with pytest.raises(DataError, match=r"is in it twice|train_labels and y_train are both in it"):
        prepare("d", own("npz"), tmp_path, tmp_path / "out.safetensors")


@needs_pyarrow
@pytest.mark.parametrize(
    "labels", [[0, None], [0.0, 1.9], ["0", "1"], [True, False], [2**64 - 1, 0]]
)
def test_labels_of_parquet_that_are_no_whole_numbers_are_refused(
    labels: list[Any], tmp_path: Path
) -> None:
    import pyarrow
    from pyarrow import parquet

    images = [png(np.zeros((3, 32, 32), np.uint8))] * 2
    kind = pyarrow.uint64() if labels[0] == 2**64 - 1 else None
    table = pyarrow.table({"image": images, "label": pyarrow.array(labels, kind)})
    parquet.write_table(table, tmp_path / "train-0.parquet")
    parquet.write_table(table, tmp_path / "test-0.parquet")
    with pytest.raises(DataError, match="is no whole number"):
        prepare("d", own("parquet"), tmp_path, tmp_path / "out.safetensors")


@needs_pyarrow
def test_labels_of_parquet_whose_names_have_another_order_are_refused(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    images = [png(image) for image in splits()["train"].images[:3]]
    table, dataset = pyarrow.table({"image": images, "label": [0, 1, 2]}), own("parquet")
    dataset = dataset.model_copy(update={"train": 3, "test": 3})

    def prepare_named(names: tuple[str, ...]) -> None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        noted = {"huggingface": json.dumps({"info": {"features": features}})}
        for split in ("train", "test"):
            path = tmp_path / f"{split}-0.parquet"
            parquet.write_table(table.replace_schema_metadata(noted), path)
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")

    prepare_named(CLASSES)
    with pytest.raises(DataError, match="its labels are cow, bee, ant, but ant, bee, cow are"):
        prepare_named(CLASSES[::-1])


def test_numbered_folders_of_all_splits_are_numbered_alike(tmp_path: Path) -> None:
    """Of classes called 1 and 2: folders 1 and 2 to train, 0 and 1 to test."""
    image = png(splits()["train"].images[0])
    write_files(tmp_path, {f"train/{each}/a.png": image for each in "12"})
    write_files(tmp_path, {f"test/{each}/a.png": image for each in "01"})
    dataset = own("image_folder", train=2, test=2, classes=("1", "2"))
    with pytest.raises(DataError, match=r"test: one folder a class .*missing 2; not declared 0"):
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    (tmp_path / "test/0").rename(tmp_path / "test/2")
    prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    assert read_prepared(tmp_path / "out.safetensors").train_labels.tolist() == [0, 1]


def test_one_class_in_two_spellings_of_its_name_is_refused(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
    write_files(tmp_path, {f"train/{each}/a.png": b"" for each in [*names, "b"]})
    write_files(tmp_path, {f"test/{each}/a.png": b"" for each in "éb"})
    dataset = own("image_folder", train=3, test=2, classes=("é", "b"))
    with pytest.raises(DataError, match="one name in two spellings; leave one"):
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")


def test_pixels_that_are_not_as_they_were_announced_are_refused(tmp_path: Path) -> None:
    class Lazy:
        dtype, shape = np.dtype(np.uint8), (4, 3, 2, 2)

        def __init__(self, block: np.ndarray) -> None:
            self.block = block

        def __getitem__(self, key: slice) -> np.ndarray:
            return self.block

    labels = np.zeros(4, np.int64)
    for block in (np.zeros(Lazy.shape, np.float32), np.zeros((3, 3, 2, 2), np.uint8)):
        with pytest.raises(DataError, match="where its reader announced uint8 of shape"):
            write_prepared(tmp_path / "d", "d", ("a",), {"train": Split(Lazy(block), labels)})
        assert not list(tmp_path.iterdir())


def test_folders_that_may_not_be_looked_into_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    look = os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("inner"):
            raise PermissionError
        return look(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("closed"))
    others = [str(tmp_path / "closed"), str(tmp_path / "closed/inner"), "absent", "a/../b"]
    assert locate.places(tmp_path, others) == (
        *(tmp_path, tmp_path / "absent", Path("absent"), tmp_path / "b", Path("b")),
    )


def test_archives_that_unpack_to_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firstorder.data import archives
    from firstorder.data.readers import idx, npz

    for module in (archives, npz):
        monkeypatch.setattr(module, "LARGEST", 100_000)
    monkeypatch.setattr(idx, "LARGEST", 100_000)
    bomb = bytes(1_000_000)
    write_archive(tmp_path / "tar/cifar-10-python.tar.gz", {"other": bomb})
    (tmp_path / "npz").mkdir()
    np.savez_compressed(tmp_path / "npz/a.npz", train_images=np.zeros(1_000_000, np.uint8))
    for reader in ("cifar", "npz"):
        folder = tmp_path / {"cifar": "tar", "npz": "npz"}[reader]
        with pytest.raises(DataError, match="unpacks to more than"):
            prepare("d", own(reader), folder, tmp_path / "out.safetensors")
    GREY["idx packed"][1](splits(1), tmp_path / "idx")
    import gzip

    (tmp_path / "idx/train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bomb))
    dataset = declaration("idx", splits(1), content={}, files=())
    with pytest.raises(DataError, match="holds more than the 100000 bytes"):
        prepare("d", dataset, tmp_path / "idx", tmp_path / "out.safetensors")


def test_pictures_are_decoded_when_a_block_is_asked_for(tmp_path: Path) -> None:
    COLOUR["image folder"][1](splits(), tmp_path)
    found = image_folder.image_folder(own("image_folder"), {"train": tmp_path / "train"})
    assert not isinstance(found["train"].images, np.ndarray)
    assert np.array_equal(found["train"].images[3:5], splits()["train"].images[3:5])


@pytest.mark.parametrize(
    ("container", "reader", "other"),
    [
        ("npy", "npz", "x_train.npy"),
        ("npy", "npz", "a.npz"),
        ("python unpacked", "cifar", "cifar-10-python.tar.gz"),
        ("python archive", "cifar", "cifar-10-python.tar"),
        ("image folder", "image_folder", "training/ant/0.png"),
    ],
)
def test_of_two_containers_of_ones_own_none_is_chosen(
    container: str, reader: str, other: str, tmp_path: Path
) -> None:
    COLOUR[container][1](splits(), tmp_path)
    prepare("d", own(reader), tmp_path, tmp_path / "out.safetensors")
    write_files(tmp_path, {other: b"another"})
    with pytest.raises(DataError, match="both are there; leave one"):
        prepare("d", own(reader), tmp_path, tmp_path / "out.safetensors")


def test_idx_files_lie_beside_what_they_unpack_to(tmp_path: Path) -> None:
    """As torchvision leaves them in the root of, for instance, KMNIST."""
    for container in ("idx packed", "idx unpacked"):
        GREY[container][1](splits(1), tmp_path)
    grey = own("idx", shape=(1, 32, 32), mean=(0.5,), std=(0.5,))
    prepare("d", grey, tmp_path, tmp_path / "out.safetensors")
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"another")
    with pytest.raises(DataError, match=r"t10k-labels.* both are there; leave one"):
        prepare("d", grey, tmp_path, tmp_path / "out.safetensors")


def test_idx_files_of_ones_own_lie_in_the_root_of_torchvision(tmp_path: Path) -> None:
    (tmp_path / "KMNIST/raw").mkdir(parents=True)
    GREY["idx packed"][1](splits(1), tmp_path / "KMNIST/raw")
    grey = own("idx", shape=(1, 32, 32), mean=(0.5,), std=(0.5,), path=str(tmp_path))
    prepare("d", grey, tmp_path / "d", tmp_path / "out.safetensors")


def test_of_several_npz_the_one_that_is_published_is_found(tmp_path: Path) -> None:
    """As in the folder where Keras keeps all its data."""
    COLOUR["npz"][1](splits(), tmp_path)
    (tmp_path / "imdb.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "few.npz", **{f"{k}_train": np.zeros((3, 32, 32, 3)) for k in "xy"})
    published = declaration("cifar", splits(), folders=(str(tmp_path),))
    found = locate.find(published, tmp_path / "d")
    assert found is not None and list(found.files.values()) == [tmp_path / "mine.npz"]
    prepare("d", published, tmp_path / "d", tmp_path / "out.safetensors")


def test_folders_are_those_of_the_project_or_beside_the_raw_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("mine", "resources/d/theirs"):
        Path(folder).mkdir(parents=True)
        COLOUR["npz"][1](splits(), Path(folder))
        published = declaration("npz", splits(), folders=(Path(folder).name,))
        found = locate.find(published, Path("resources/d"))
        assert found is not None and found.folder == Path(folder)


@pytest.mark.parametrize("reader", ["cifar", "cifar_binary"])
def test_a_shape_that_cifar_does_not_have_is_told(reader: str, tmp_path: Path) -> None:
    dataset = own(reader, shape=(3, 16, 16), path=str(tmp_path))
    with pytest.raises(DataError, match=r"shape: \[3, 16, 16\], .* \[3, 32, 32\]; .*resize: true"):
        check("d", dataset, tmp_path)


@pytest.mark.parametrize(
    ("text", "named"),
    [("folder / 'a.txt'", True), ("folder.parent / 'b.txt'", False), ("'data/b.txt'", True)],
)
def test_a_reader_of_ones_own_reads_what_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, named: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path, dict.fromkeys(["data/images/a.txt", "data/b.txt"], b"1"))
    body = (
        f"import json\nimport numpy as np\n\ndef read(dataset, folder):\n    open({text}).read()\n"
    )
    body += "    part = np.zeros((3, 3, 32, 32), np.uint8), np.arange(3)\n"
    file = tmp_path / "mine.py"  # by its whole name, since what it reads is known once for all
    file.write_text(f"{body}    return {{'train': part, 'test': part}}\n")
    dataset = own(f"{file}:read", train=3, test=3, path="data/images")
    if named:
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
        return
    with pytest.raises(
        UserError, match=r"mine\.py reads \S+b\.txt, .* outside of data/images; move"
    ):
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")


def test_a_reader_of_ones_own_may_look_through_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path, {"data/images/a.txt": b"1"})
    (tmp_path / "link").symlink_to("data/images")
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n\ndef read(dataset, folder):\n"
        "    [open(each / 'a.txt').read() for each in (folder, folder.resolve())]\n"
        "    part = np.zeros((3, 3, 32, 32), np.uint8), np.arange(3)\n"
        "    return {'train': part, 'test': part}\n"
    )
    for path in ("link", "data/../data/images"):
        dataset = own(f"{file}:read", train=3, test=3, path=path)
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")


def test_labels_of_ones_own_are_those_of_all_published_training_images(tmp_path: Path) -> None:
    found = splits()
    COLOUR["npz"][1](found, tmp_path)
    dataset = own("npz", train=14, test=6, test_from="train")
    prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    images = read_prepared(tmp_path / "out.safetensors")
    labels, rows = found["train"].labels, images.train_rows
    assert rows is not None and images.train_labels.tolist() == labels[rows].tolist()
    given = (labels + 1) % len(dataset.classes)
    (tmp_path / "given.txt").write_text("".join(f"{label}\n" for label in given))
    noise = Noise(kind="labels", path=str(tmp_path / "given.txt"))
    check_noise(noise, dataset, "noises.given")
    drawn = corrupt(images.train_labels, noise, dataset, 1, rows=rows, published=20)
    assert drawn.labels.tolist() == given[rows].tolist()
    (tmp_path / "given.txt").write_text("".join(f"{label}\n" for label in given[:14]))
    with pytest.raises(ConfigError, match=r"noises\.given: \S+: 14 labels for 20 training images"):
        check_noise(noise, dataset, "noises.given")


@pytest.mark.parametrize("other", ["train/0000.parquet", "validation-00000-of-00001.parquet"])
def test_of_two_spellings_of_parquet_none_is_chosen(other: str, tmp_path: Path) -> None:
    names = [f"{split}-00000-of-00002.parquet" for split in ("train", "test")]
    write_files(tmp_path, dict.fromkeys(names, b"PAR1"))
    found = locate.find(own("parquet"), tmp_path)
    assert found is not None and [path.name for path in found.files.values()] == names
    write_files(tmp_path, {other: b"PAR1"})
    with pytest.raises(DataError, match="both are there; leave one"):
        locate.find(own("parquet"), tmp_path)
    public = locate.find(declaration("parquet", splits()), tmp_path)
    assert public is not None and public.files == found.files


def test_a_further_test_set_in_parquet_is_not_taken_for_the_test_set(tmp_path: Path) -> None:
    names = [f"{split}-00000-of-00001.parquet" for split in ("train", "val")]
    write_files(tmp_path, dict.fromkeys(names, b"PAR1"))
    assert locate.find(own("parquet"), tmp_path) is not None
    assert locate.find(own("parquet", extra_tests={"val": 6}), tmp_path) is None


def test_a_folder_is_no_second_file_and_a_file_no_second_folder(tmp_path: Path) -> None:
    grey = declaration("idx", splits(1), content={}, files=())
    GREY["Kaggle"][1](splits(1), tmp_path / "grey")
    prepare("d", grey, tmp_path / "grey", tmp_path / "out.safetensors")
    COLOUR["image folder"][1](splits(), tmp_path / "colour")
    write_files(tmp_path / "colour", {"training": b"notes", "testing": b"notes"})
    prepare("d", own("image_folder"), tmp_path / "colour", tmp_path / "out.safetensors")


def test_an_archive_itself_may_be_the_path(tmp_path: Path) -> None:
    COLOUR["python archive"][1](splits(), tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    prepare("d", own("cifar", path=str(archive)), tmp_path / "x", tmp_path / "out.safetensors")
    assert read_prepared(tmp_path / "out.safetensors").train_images.shape[0] == COUNTS["train"]


def test_hidden_files_count_where_they_are_read(tmp_path: Path) -> None:
    """A list may name a hidden picture, and a path a hidden array."""
    COLOUR["csv"][1](splits(), tmp_path / "d")
    dataset = own("csv_labels", path=str(tmp_path / "d"))

    def known() -> str:
        return locate.fingerprint(locate.source("d", dataset, tmp_path))

    before = known()
    write_files(tmp_path / "d", {".DS_Store": b"1", "._a.png": b"1"})
    assert known() == before
    write_files(tmp_path / "d", {".a.png": b"1"})
    assert known() != before
    arrays = {f"{k}_{p}": getattr(s, p) for k, s in splits().items() for p in s._fields}
    np.savez(tmp_path / ".hidden.npz", **arrays)
    hidden = locate.source("d", own("npz", path=str(tmp_path / ".hidden.npz")), tmp_path)
    first = locate.fingerprint(hidden)
    np.savez(tmp_path / ".hidden.npz", **arrays, more=np.zeros(1))
    assert locate.fingerprint(hidden) != first


def test_a_further_test_set_is_not_taken_for_the_test_set(tmp_path: Path) -> None:
    COLOUR["image folder"][1](splits(), tmp_path)
    (tmp_path / "test").rename(tmp_path / "val")
    prepare("d", own("image_folder"), tmp_path, tmp_path / "out.safetensors")
    extra = own("image_folder", extra_tests={"val": COUNTS["test"]})
    with pytest.raises(DataError, match=r"no such file: \S*/test "):
        prepare("d", extra, tmp_path, tmp_path / "out.safetensors")


@pytest.mark.parametrize("heading", ["", "path,label\n", "\nfile,Class\n"])
def test_a_class_called_label_is_no_heading(heading: str, tmp_path: Path) -> None:
    image = splits()["train"].images[0]
    for split in ("train", "test"):
        write_files(tmp_path, {f"{split}-{each}.png": png(image) for each in "ab"})
        lines = f"{split}-a.png,label\n{split}-b.png,target\n"
        (tmp_path / f"{split}.csv").write_text(f"{heading}{lines}")
    dataset = own("csv_labels", train=2, test=2, classes=("label", "target"))
    if heading.startswith("path"):  # the one text that may be both: a class, so it is data
        with pytest.raises(DataError, match=r"train\.csv: line 1: \S*/path: no such picture"):
            prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
        return
    prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    assert read_prepared(tmp_path / "out.safetensors").train_labels.tolist() == [0, 1]


def _without_a_class(folder: Path) -> None:
    shutil.rmtree(folder / "train" / CLASSES[0])


def _without_its_images(folder: Path) -> None:
    for path in (folder / "train" / CLASSES[0]).iterdir():
        path.unlink()


def _one_less(folder: Path) -> None:
    next((folder / "test" / CLASSES[0]).glob("[0-9]*.png")).unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: None, None),
        (_without_a_class, f"one folder a class is expected: missing {CLASSES[0]}"),
        (_without_its_images, "train: images .*, but 20 are declared"),
        (_one_less, "test: images .*, but"),
    ],
)
def test_a_folder_of_pictures_is_checked_when_it_is_planned(
    change: Callable[[Path], None], reason: str | None, tmp_path: Path
) -> None:
    COLOUR["image folder"][1](splits(), tmp_path)
    change(tmp_path)
    if reason is None:
        check("d", own("image_folder"), tmp_path)
        return
    with pytest.raises(DataError, match=reason):
        check("d", own("image_folder"), tmp_path)


def test_a_class_without_an_image_is_refused(tmp_path: Path) -> None:
    COLOUR["csv"][1](splits(), tmp_path)
    classes = (*CLASSES, "yak")
    with pytest.raises(DataError, match="d: train: no image of yak to train on; correct its entry"):
        check("d", own("csv_labels", classes=classes), tmp_path)
    with pytest.raises(DataError, match="d: train: no image of yak"):
        prepare("d", own("csv_labels", classes=classes), tmp_path, tmp_path / "out.safetensors")


def test_a_class_that_the_test_takes_whole_is_refused(tmp_path: Path) -> None:
    """One cat in a tenth of the images: it is held out, and none is left to train on."""
    count = 40
    labels = np.array([0] + [1, 2] * 20)[:count]
    np.savez(
        tmp_path / "a.npz",
        train_images=np.zeros((count, 3, 32, 32), np.uint8), train_labels=labels,
    )  # fmt: skip
    held = parts.held_out(labels, 36)
    assert held[0]
    dataset = own("npz", train=4, test=36, test_from="train")
    with pytest.raises(DataError, match=f"no image of {CLASSES[0]} to train on"):
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    ("labels", "reason"), [([99] * 9, r"labels in \[99, 99\]"), ([0] * 5, "labels of shape")]
)
def test_labels_of_every_part_that_is_written_are_checked(
    labels: list[int], reason: str, tmp_path: Path
) -> None:
    found = splits()["train"]
    np.savez(
        tmp_path / "a.npz", train_images=found.images, train_labels=found.labels,
        test_images=found.images[:9], test_labels=np.array(labels),
    )  # fmt: skip
    sizes = {"train": 15, "test": 5, "test_from": "train", "extra_tests": {"published": 9}}
    with pytest.raises(DataError, match=f"d: published: .*{reason}"):
        prepare("d", own("npz", **sizes), tmp_path, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_more_published_test_images_than_there_are_are_seen_when_planned(tmp_path: Path) -> None:
    COLOUR["image folder"][1](splits(), tmp_path)
    sizes = {"train": 15, "test": 5, "test_from": "train", "extra_tests": {"published": 50}}
    with pytest.raises(DataError, match=r"d: published: images \(6, .*, but 50 are declared"):
        check("d", own("image_folder", **sizes), tmp_path)


def test_names_of_classes_may_be_composed_otherwise(tmp_path: Path) -> None:
    """A file system has the letter and its accent, the declaration one letter, or the reverse."""
    COLOUR["image folder"][1](splits(), tmp_path)
    for split in ("train", "test"):
        (tmp_path / split / CLASSES[0]).rename(tmp_path / split / "cafe\u0301")
    check("d", own("image_folder", classes=("caf\u00e9", *CLASSES[1:])), tmp_path)
    assert label_numbers(["caf\u00e9"], [("here", "cafe\u0301")]) == {"cafe\u0301": 0}


def test_a_broken_link_among_pictures_is_seen_when_planned(tmp_path: Path) -> None:
    COLOUR["image folder"][1](splits(), tmp_path)
    picture = next((tmp_path / "train" / CLASSES[0]).glob("[0-9]*.png"))
    picture.unlink()
    picture.symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=f"{picture.name}: no picture that can be read"):
        check("d", own("image_folder"), tmp_path)


def test_a_reader_of_ones_own_may_return_tensors(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import torch\n\n\ndef read(dataset, folder):\n"
        "    counts = {'train': dataset.train, 'test': dataset.test}\n"
        "    return {k: (torch.zeros(n, 3, 32, 32, dtype=torch.uint8), torch.arange(n) % 3)\n"
        "            for k, n in counts.items()}\n"
    )
    dataset = own(f"{tmp_path}/own.py:read", path=str(tmp_path))
    prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    assert read_prepared(tmp_path / "out.safetensors").train_labels.tolist()[:4] == [0, 1, 2, 0]


@pytest.mark.parametrize("spelled", ["", "./", ".//"])
def test_a_picture_with_two_labels_is_refused(spelled: str, tmp_path: Path) -> None:
    COLOUR["csv"][1](splits(), tmp_path)
    listed = (tmp_path / "train.csv").read_text().splitlines()
    path = next(line for line in listed if line.endswith(CLASSES[0])).split(",")[0]
    (tmp_path / "train.csv").write_text("\n".join([*listed, f"{spelled}{path},{CLASSES[1]}"]))
    with pytest.raises(DataError, match=f"is listed as {CLASSES[0]} and as {CLASSES[1]}"):
        prepare("d", own("csv_labels"), tmp_path, tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    ("spelled", "listed", "changes", "said"),
    [
        ("", "test", {}, r"test\.csv: line \d+: \S+ is listed in train\.csv and in test\.csv"),
        ("./", "test", {}, r"is listed in train\.csv and in test\.csv"),
        ("", "hard", {"extra_tests": {"hard": 2}}, r"is listed in train\.csv and in hard\.csv"),
        ("", "train", {"test_from": "train"}, r"train\.csv: line \d+: \S+ is listed twice"),
    ],
)
def test_a_picture_that_is_trained_and_tested_on_is_refused(
    spelled: str, listed: str, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    COLOUR["csv"][1](splits(), tmp_path)
    line = (tmp_path / "train.csv").read_text().splitlines()[-1]
    with (tmp_path / f"{listed}.csv").open("a") as stream:
        stream.write(f"\n{spelled}{line}\n")
    with pytest.raises(DataError, match=said):
        check("d", own("csv_labels", **changes), tmp_path)


def test_pictures_may_be_repeated_in_training_and_shared_by_test_sets(tmp_path: Path) -> None:
    image = splits()["train"].images[0]
    write_files(tmp_path, {f"{each}.png": png(image) for each in "abcd"})
    (tmp_path / "train.csv").write_text("a.png,ant\nb.png,bee\na.png,ant\n")
    (tmp_path / "test.csv").write_text("c.png,ant\nd.png,bee\n")
    (tmp_path / "hard.csv").write_text("d.png,bee\n")
    classes = ("ant", "bee")
    dataset = own("csv_labels", train=3, test=2, extra_tests={"hard": 1}, classes=classes)
    prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")
    assert read_prepared(tmp_path / "out.safetensors").train_labels.tolist() == [0, 1, 0]


def test_images_and_labels_that_do_not_fit_are_said_before_they_are_divided(tmp_path: Path) -> None:
    found = splits()
    np.savez(tmp_path / "a.npz", train_images=found["train"].images, train_labels=np.zeros(3, int))
    dataset = own("npz", train=2, test=1, test_from="train")
    with pytest.raises(DataError, match=r"images \(\d+, 3, 32, 32\) have labels of shape \(3,\)"):
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")


@pytest.mark.parametrize("shape", [(0, 3, 64, 64), (20, 3, 0, 0)])
def test_nothing_is_not_resized(shape: tuple[int, ...], tmp_path: Path) -> None:
    labels = np.arange(shape[0]) % len(CLASSES)
    arrays = {"train_images": np.zeros(shape, np.uint8), "train_labels": labels}
    np.savez(
        tmp_path / "a.npz", **arrays, **{k.replace("train", "test"): v for k, v in arrays.items()}
    )
    with pytest.raises(DataError, match=r"images \(\d+, 3, \d+, \d+\)( of uint8)?, but"):
        prepare("d", own("npz", resize=True), tmp_path, tmp_path / "out.safetensors")


@pytest.mark.parametrize(
    ("reader", "channels"), [("image_folder", 2), ("csv_labels", 4), ("idx", 3), ("cifar", 1)]
)
def test_channels_that_a_reader_does_not_know_are_refused(
    reader: str, channels: int, tmp_path: Path
) -> None:
    sides = {"shape": (channels, 32, 32), "mean": (0.5,) * channels, "std": (0.5,) * channels}
    with pytest.raises(DataError, match=f"d: shape: reader {reader} reads images of"):
        locate.check("d", own(reader, **sides), tmp_path)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise SystemExit(0)", r"failed: SystemExit: 0 \(\S*own\.py, line 2\)"),
        ("return folder['x']", r"failed: TypeError: .*\(\S*own\.py, line 2\)"),
    ],
)
def test_a_reader_of_ones_own_that_fails_is_said_in_one_line(
    body: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(f"def read(dataset, folder):\n    {body}\n")
    dataset = own(f"{tmp_path}/own.py:read", path=str(tmp_path))
    with pytest.raises(DataError, match=reason):
        prepare("d", dataset, tmp_path, tmp_path / "out.safetensors")


def test_a_reader_of_ones_own_takes_what_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def read(dataset):\n    pass\nvalue = 3\n")
    for name, reason in (("read", r"must take \(dataset, folder\)"), ("value", "has no function")):
        dataset = own(f"{tmp_path}/own.py:{name}", path=str(tmp_path))
        with pytest.raises(DataError, match=rf"{reason}[^?]*$"):
            locate.check("d", dataset, tmp_path)
