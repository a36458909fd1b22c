"""Preparation: raw files as published become one checked file of tensors."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import pickle
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from containers import python2_pickle, webvision_folder
from PIL import ExifTags, Image
from safetensors.numpy import load_file

from firstorder.config import Dataset, File
from firstorder.data import pictures
from firstorder.data.fetch import place
from firstorder.data.prepare import prepare
from firstorder.data.prepared import Split, read_prepared, write_prepared
from firstorder.data.readers import photo_patches
from firstorder.data.readers.cifar import cifar
from firstorder.data.readers.digits import digits
from firstorder.data.readers.idx import read_idx
from firstorder.data.subset import stratified_subset
from firstorder.errors import DataError
from firstorder.streams import numpy_stream

DECLARED = {
    name: Dataset.model_validate(entry)
    for name, entry in yaml.safe_load(
        (Path(__file__).parents[2] / "config" / "datasets.yaml").read_text()
    ).items()
}


def declare(**changes: Any) -> Dataset:
    values: dict[str, Any] = {
        "title": "test",
        "shape": (1, 28, 28),
        "train": 6,
        "test": 4,
        "classes": ("a", "b", "c"),
        "mean": (0.5,),
        "std": (0.5,),
        "source": "made here",
    }
    return Dataset.model_validate({**values, **changes})


def as_file(path: Path) -> File:
    return File(name=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


# Declarations


@pytest.mark.parametrize("name", DECLARED)
def test_every_downloadable_file_has_a_published_checksum_and_size(name: str) -> None:
    dataset = DECLARED[name]
    for file in (*dataset.files, *([dataset.human_file] if dataset.human_file else [])):
        if file.urls:
            assert file.sha256 and file.bytes
            assert dataset.help


def test_declared_checksums_are_those_of_torchvision() -> None:
    from torchvision.datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST

    for name, source in (("mnist", MNIST), ("fashion_mnist", FashionMNIST)):
        assert {file.name: file.md5 for file in DECLARED[name].files} == dict(source.resources)
    for name, archive in (("cifar10", CIFAR10), ("cifar100", CIFAR100)):
        (file,) = DECLARED[name].files
        assert (file.name, file.md5) == (archive.filename, archive.tgz_md5)
        assert file.urls[0] == archive.url


def test_semantic_groups_are_twenty_of_five_classes() -> None:
    assert np.bincount(DECLARED["cifar100"].semantic_groups).tolist() == [5] * 20


# Bundled data


@pytest.mark.parametrize("name", ["digits", "digits16", "photo_patches"])
def test_bundled_datasets_prepare_to_their_declared_statistics(name: str, tmp_path: Path) -> None:
    prepare(name, DECLARED[name], tmp_path, tmp_path / "a.safetensors")
    prepare(name, DECLARED[name], tmp_path, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    images = read_prepared(tmp_path / "a.safetensors")
    values = images.train_images / 255
    assert values.mean((0, 2, 3)) == pytest.approx(DECLARED[name].mean, abs=1e-4)
    assert values.std((0, 2, 3)) == pytest.approx(DECLARED[name].std, abs=1e-4)
    assert images.classes == DECLARED[name].classes


def test_digits_are_split_once_and_evenly() -> None:
    splits = digits(DECLARED["digits"], {})
    assert len(splits["train"].labels) == 1400
    assert set(np.bincount(splits["test"].labels)) == {39, 40}
    together = np.concatenate([splits["train"].images[:], splits["test"].images[:]])
    from sklearn.datasets import load_digits

    assert np.rint(together * (16 / 255)).sum() == load_digits().data.sum()


def test_training_and_test_patches_share_no_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn import datasets

    # The held-out columns are painted blue, the others red.
    painted = SimpleNamespace(images=[np.zeros((427, 640, 3), np.uint8) for _ in range(2)])

    generator = np.random.default_rng(0)
    for photo, (left, right) in zip(painted.images, photo_patches.HELD_OUT, strict=True):
        photo[..., 0] = generator.integers(1, 256, photo.shape[:2])
        photo[:, left:right, 2] = photo[:, left:right, 0]
        photo[:, left:right, 0] = 0
    monkeypatch.setattr(datasets, "load_sample_images", lambda: painted)
    splits = photo_patches.photo_patches(declare(reader="photo_patches", train=300, test=100), {})
    assert splits["train"].images[:][:, 2].max() == 0
    assert splits["test"].images[:][:, 0].max() == 0


def test_patches_differ_and_begin_alike_for_any_count() -> None:
    splits = photo_patches.photo_patches(DECLARED["photo_patches"], {})
    images = splits["train"].images[:]
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)
    fewer = photo_patches.photo_patches(declare(reader="photo_patches", train=50, test=5), {})
    assert np.array_equal(fewer["train"].images[:], images[:50])
    assert (splits["train"].labels == -1).all()


# IDX files


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def idx_dataset(folder: Path, **changes: Any) -> tuple[Dataset, dict[str, np.ndarray]]:
    generator = np.random.default_rng(1)
    arrays = {
        "train-images-idx3-ubyte.gz": generator.integers(0, 256, (6, 28, 28), dtype=np.uint8),
        "train-labels-idx1-ubyte.gz": np.array([0, 1, 2, 0, 1, 2], np.uint8),
        "t10k-images-idx3-ubyte.gz": generator.integers(0, 256, (4, 28, 28), dtype=np.uint8),
        "t10k-labels-idx1-ubyte.gz": np.array([2, 1, 0, 2], np.uint8),
    }
    for name, array in arrays.items():
        write_idx(folder / name, array)
    files = tuple(as_file(folder / name) for name in arrays)
    return declare(reader="idx", files=files, **changes), arrays


def test_idx_files_become_tensors(tmp_path: Path) -> None:
    dataset, arrays = idx_dataset(tmp_path)
    prepare("tiny", dataset, tmp_path, tmp_path / "tiny.safetensors")
    images = read_prepared(tmp_path / "tiny.safetensors")
    assert np.array_equal(images.train_images[:, 0], arrays["train-images-idx3-ubyte.gz"])
    assert images.test_labels.tolist() == [2, 1, 0, 2]
    assert images.train_labels.dtype == np.int64
    assert images.classes == ("a", "b", "c")
    loaded = load_file(tmp_path / "tiny.safetensors")
    assert np.array_equal(loaded["test_images"], images.test_images)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"train": 7}, "train: images .6, 1, 28, 28., but 7"),
        ({"shape": (1, 28, 27)}, "are declared"),
        ({"classes": ("a", "b")}, "labels in .0, 2. instead of .0, 1."),
        ({"extra_tests": {"more": 3}}, "more: the raw files have no such images"),
    ],
)
def test_data_that_differ_from_their_declaration_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    dataset, _ = idx_dataset(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        prepare("tiny", dataset, tmp_path, tmp_path / "tiny.safetensors")
    assert not (tmp_path / "tiny.safetensors").exists()


def test_a_truncated_gzip_file_is_named(tmp_path: Path) -> None:
    idx_dataset(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: damaged"):
        read_idx(path, 3)
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + bytes(12) + b"more"))
    with pytest.raises(DataError, match="do not make an array"):
        read_idx(path, 3)
    path.write_bytes(gzip.compress(b"<html>"))
    with pytest.raises(DataError, match="not an IDX file"):
        read_idx(path, 3)


def test_a_raw_file_that_changed_is_refused_before_it_is_read(tmp_path: Path) -> None:
    dataset, _ = idx_dataset(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.zeros(4, np.uint8))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz: expected SHA-256"):
        prepare("tiny", dataset, tmp_path, tmp_path / "tiny.safetensors")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"no such file: .*t10k-labels-idx1-ubyte\.gz .*place it"):
        prepare("tiny", dataset, tmp_path, tmp_path / "tiny.safetensors")


DEBIAN = Path(DECLARED["fashion_mnist"].folders[0])


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs the package dataset-fashion-mnist")
def test_debians_fashion_mnist_is_the_published_one(tmp_path: Path) -> None:
    dataset = DECLARED["fashion_mnist"]
    for file in dataset.files:
        unlisted = file.model_copy(update={"urls": ()})
        place("fashion_mnist", unlisted, tmp_path, dataset.folders)
    prepare("fashion_mnist", dataset, tmp_path, tmp_path / "fashion_mnist.safetensors")
    images = read_prepared(tmp_path / "fashion_mnist.safetensors")
    assert np.bincount(images.train_labels).tolist() == [6000] * 10
    assert images.train_images.mean() / 255 == pytest.approx(dataset.mean[0], abs=1e-4)
    assert images.train_images.std() / 255 == pytest.approx(dataset.std[0], abs=1e-4)


# CIFAR archives


def batch(count: int, key: str, classes: int, seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
    labels = [(seed + index) % classes for index in range(count)]
    return {"data": pixels, key: labels, "batch_label": "x"}


def write_archive(path: Path, members: dict[str, Any]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            data = content if isinstance(content, bytes) else python2_pickle(content)
            information = tarfile.TarInfo(name)
            information.size = len(data)
            archive.addfile(information, io.BytesIO(data))


def cifar10_members() -> dict[str, Any]:
    folder = "cifar-10-batches-py"
    return {
        "../../escaped": b"never written",
        f"{folder}/batches.meta": {"label_names": ["a", "b", "c"]},
        **{f"{folder}/data_batch_{k}": batch(2, "labels", 3, k) for k in range(1, 6)},
        f"{folder}/test_batch": batch(4, "labels", 3, 9),
        f"{folder}/readme.html": b"<html>",
    }


def cifar_dataset(path: Path, **changes: Any) -> Dataset:
    values = {
        "shape": (3, 32, 32),
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
        "train": 10,
        "files": (as_file(path),),
    }
    return declare(reader="cifar", **{**values, **changes})


def test_cifar10_batches_are_joined_in_published_order(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    members = cifar10_members()
    write_archive(path, members)
    prepare("tiny", cifar_dataset(path), tmp_path, tmp_path / "tiny.safetensors")
    images = read_prepared(tmp_path / "tiny.safetensors")
    assert images.train_labels.tolist() == [1, 2, 2, 0, 0, 1, 1, 2, 2, 0]
    second = members["cifar-10-batches-py/data_batch_2"]["data"].reshape(-1, 3, 32, 32)
    assert np.array_equal(images.train_images[2:4], second)
    assert not (tmp_path.parent / "escaped").exists()


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    path = tmp_path / "cifar-100-python.tar.gz"
    coarse = {"coarse_labels": [0] * 10}
    write_archive(
        path,
        {
            "cifar-100-python/meta": {
                "fine_label_names": ["a", "b", "c"],
                "coarse_label_names": [],
            },
            "cifar-100-python/train": {**batch(10, "fine_labels", 3, 1), **coarse},
            "cifar-100-python/test": batch(4, "fine_labels", 3, 2),
        },
    )
    prepare("tiny", cifar_dataset(path), tmp_path, tmp_path / "tiny.safetensors")
    assert read_prepared(tmp_path / "tiny.safetensors").train_labels.tolist()[:4] == [1, 2, 0, 1]


def test_an_archive_with_a_missing_foreign_or_damaged_member_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    members = cifar10_members()
    del members["cifar-10-batches-py/test_batch"]
    write_archive(path, members)
    with pytest.raises(DataError, match="lacks cifar-10-batches-py/test_batch"):
        cifar(cifar_dataset(path), {path.name: path})
    write_archive(path, {**cifar10_members(), "cifar-10-batches-py/test_batch": b"\x80\x02]q"})
    with pytest.raises(DataError, match="test_batch: not plain data: pickle data was truncated"):
        cifar(cifar_dataset(path), {path.name: path})
    write_archive(path, cifar10_members())
    with pytest.raises(DataError, match="its classes are a, b, c"):
        cifar(cifar_dataset(path, classes=("b", "a", "c")), {path.name: path})
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="damaged archive"):
        cifar(cifar_dataset(path), {path.name: path})


class Command:
    """A pickle of this is a program."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this program ran",))


def test_a_pickled_program_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    write_archive(
        path, {**cifar10_members(), "cifar-10-batches-py/test_batch": pickle.dumps(Command())}
    )
    with pytest.raises(DataError, match=r"it asks for .*print"):
        prepare("tiny", cifar_dataset(path), tmp_path, tmp_path / "tiny.safetensors")
    assert capsys.readouterr().out == ""


# WebVision


def test_webvision_keeps_the_first_classes_and_both_test_sets(tmp_path: Path) -> None:
    dataset = webvision_folder(tmp_path)
    prepare("webvision", dataset, tmp_path, tmp_path / "w.safetensors")
    images = read_prepared(tmp_path / "w.safetensors")
    assert images.train_images.shape == (3, 3, 32, 32)
    assert images.train_labels.tolist() == [0, 1, 1]
    assert images.test_labels.tolist() == [1]
    ilsvrc12, labels = images.extra_tests["ilsvrc12"]
    assert ilsvrc12.shape == (2, 3, 32, 32) and labels.tolist() == [0, 1]
    assert images.train_images[0, 0].min() > 190 and images.train_images[0, 1].max() < 10
    assert (images.train_images[1, 0] == images.train_images[1, 2]).all()


def test_webvisions_pictures_stay_as_they_were_stored(tmp_path: Path) -> None:
    dataset = webvision_folder(tmp_path)
    image, exif = Image.new("RGB", (64, 64)), Image.Exif()
    image.paste((255, 255, 255), (0, 0, 64, 32))
    exif[ExifTags.Base.Orientation] = 6
    image.save(tmp_path / "google/q0001/a.jpg", exif=exif)
    prepare("webvision", dataset, tmp_path, tmp_path / "w.safetensors")
    rows = read_prepared(tmp_path / "w.safetensors").train_images[0, 0].mean(axis=1)
    assert rows[:12].min() > 240 and rows[20:].max() < 15


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (201, 333), (256, 256), (31, 500)])
def test_squares_equal_torchvisions_resize_and_centre_crop(size: tuple[int, int]) -> None:
    from torchvision.transforms import functional

    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    expected = functional.center_crop(functional.resize(image, 64), [64, 64])
    assert np.array_equal(pictures.square(image, 64), np.asarray(expected))


def test_a_damaged_or_missing_picture_is_named(tmp_path: Path) -> None:
    dataset = webvision_folder(tmp_path)
    path = tmp_path / "google/q0001/a.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"a\.jpg: cannot decode"):
        prepare("webvision", dataset, tmp_path, tmp_path / "w.safetensors")
    path.unlink()
    with pytest.raises(DataError, match=r"a\.jpg: no such file"):
        prepare("webvision", dataset, tmp_path, tmp_path / "w.safetensors")


@pytest.mark.parametrize("line", ["../../etc/passwd 0", "/etc/passwd 0", "google/a.jpg", "a.jpg x"])
def test_a_list_cannot_point_outside_its_folder(tmp_path: Path, line: str) -> None:
    dataset = webvision_folder(tmp_path)
    (tmp_path / "train_filelist_google.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=r"train_filelist_google\.txt: line 1"):
        prepare("webvision", dataset, tmp_path, tmp_path / "w.safetensors")


# The prepared file


def tiny_prepared(path: Path) -> None:
    labels = np.array([0, 1, 1], np.int64)
    images = np.arange(3 * 2 * 2 * 3, dtype=np.uint8).reshape(3, 3, 2, 2)
    write_prepared(
        path, "tiny", ("a", "b"), {"train": Split(images, labels), "test": Split(images, labels)}
    )


def test_a_prepared_file_reads_back_and_its_arrays_are_private(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    tiny_prepared(path)
    before = path.read_bytes()
    images = read_prepared(path)
    images.train_images[:] = 0
    assert path.read_bytes() == before
    assert read_prepared(path).train_images.sum() == images.test_images.sum() > 0


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_a_truncated_prepared_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "tiny.safetensors"
    tiny_prepared(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"tiny\.safetensors: truncated or not a dataset"):
        read_prepared(path)


def test_a_tampered_prepared_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    tiny_prepared(path)
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    renamed = bytes(data).replace(b'"test_labels"', b'"test_labelz"')
    path.write_bytes(renamed)
    with pytest.raises(DataError, match="test_labels is missing"):
        read_prepared(path)
    data[8 + length] = 77  # the first label
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"labels in .1, 77. instead of .0, 1."):
        read_prepared(path)
    header = json.loads(bytes(data[8 : 8 + length]))
    assert header["__metadata__"]["dataset"] == "tiny"
    with pytest.raises(DataError, match="no such file; prepare"):
        read_prepared(tmp_path / "absent.safetensors")


# Stratified subsets


def test_a_stratified_subset_keeps_class_shares() -> None:
    labels = np.repeat(np.arange(10), 50)
    chosen = stratified_subset(labels, 123, numpy_stream(1, "split"))
    assert len(np.unique(chosen)) == 123 and (np.diff(chosen) > 0).all()
    assert set(np.bincount(labels[chosen])) == {12, 13}


def test_smaller_subsets_lie_inside_larger_ones() -> None:
    labels = np.random.default_rng(0).integers(0, 7, 1000) ** 2
    subsets = [
        set(stratified_subset(labels, count, numpy_stream(1, "split")))
        for count in (10, 99, 500, 1000)
    ]
    for smaller, larger in itertools.pairwise(subsets):
        assert smaller < larger


def test_subsets_depend_on_the_stream_and_on_nothing_else() -> None:
    labels = np.repeat(np.arange(10), 50)
    first, again, other = (
        stratified_subset(labels, 100, numpy_stream(seed, "split")) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
