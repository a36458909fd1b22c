"""Human labels: the published rates, and a reader that builds integer arrays and nothing else."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from firstorder.config import Dataset, File, Noise
from firstorder.data import human
from firstorder.data.noise import corrupt
from firstorder.data.parts import train_indices
from firstorder.errors import DataError
from firstorder.files import sha256

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("FIRSTORDER_CIFAR_N", ROOT.parent / "shared" / "data" / "cifar-n"))
CIFAR10, CIFAR100 = FOLDER / "CIFAR-10_human.pt", FOLDER / "CIFAR-100_human.pt"
DIGESTS = {
    CIFAR10: "873e69c39cb9b5e97fb6bae2d60bb59b38a5cbc31d2b868f7903dcb2b9dd2310",
    CIFAR100: "bd2d80409754d420292d622e15e25248ba21e37d27429efac49c8da723f44394",
}
published = pytest.mark.skipif(
    not (CIFAR10.is_file() and CIFAR100.is_file()),
    reason="the CIFAR-N files are not here; name their folder in FIRSTORDER_CIFAR_N",
)


def cifar(classes: int, human: dict[str, str]) -> Dataset:
    return Dataset(
        title="CIFAR",
        reader="cifar",
        shape=(3, 32, 32),
        train=50000,
        test=10000,
        classes=tuple(str(i) for i in range(classes)),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        human=human,
        human_file=File(name="labels.pt"),
        source="test",
    )


@published
@pytest.mark.parametrize("path", [CIFAR10, CIFAR100], ids=["CIFAR-10N", "CIFAR-100N"])
def test_the_files_are_those_published(path):
    assert sha256(path) == DIGESTS[path]


@published
@pytest.mark.parametrize(
    "path, key, clean, percent",
    [
        (CIFAR10, "aggre_label", "clean_label", 9.01),
        (CIFAR10, "random_label1", "clean_label", 17.234),
        (CIFAR10, "random_label2", "clean_label", 18.122),
        (CIFAR10, "random_label3", "clean_label", 17.640),
        (CIFAR10, "worse_label", "clean_label", 40.208),
        (CIFAR100, "noisy_label", "clean_label", 40.20),
        (CIFAR100, "noisy_coarse_label", "clean_coarse_label", 26.40),
    ],
)
def test_human_labels_are_wrong_at_the_published_rates(path, key, clean, percent):
    vectors = human.read(path)
    assert len(vectors[key]) == 50000
    assert np.isclose(100 * (vectors[key] != vectors[clean]).mean(), percent, atol=0.01)


@published
def test_the_worst_annotators_confuse_what_is_published():
    clean = human.read(CIFAR10)["clean_label"]
    noise = Noise(kind="human", annotation="worst")
    data = cifar(10, {"worst": "worse_label"})
    result = corrupt(clean, noise, data, 1, human=CIFAR10)
    automobile, cat, deer, dog, horse, truck = 1, 3, 4, 5, 7, 9
    published_flips = {
        (truck, automobile): 0.282,
        (automobile, truck): 0.247,
        (cat, dog): 0.206,
        (dog, cat): 0.183,
        (deer, horse): 0.152,
    }
    for pair, share in published_flips.items():
        assert np.isclose(result.realised[pair], share, atol=5e-4)
    sizes = np.bincount(result.labels)
    assert (sizes.min(), sizes.max()) == (4040, 6053)
    assert np.isclose(result.flipped.mean(), 0.40208)
    assert np.array_equal(result.labels, corrupt(clean, noise, data, 2, human=CIFAR10).labels)


@published
def test_human_labels_of_cifar100_have_the_published_spread():
    vectors = human.read(CIFAR100)
    data = cifar(100, {"fine": "noisy_label"})
    noise = Noise(kind="human", annotation="fine")
    realised = corrupt(vectors["clean_label"], noise, data, 1, human=CIFAR100).realised
    kept = np.diag(realised)
    assert np.isclose(kept.min(), 0.126, atol=5e-4)
    assert np.isclose(kept.max(), 0.92, atol=5e-3)
    assert np.isclose((realised - np.diag(kept)).max(), 0.326, atol=5e-4)


def write(path: Path, value: object, zipped: bool = True, protocol: int = 2) -> Path:
    """A file as torch writes it, or a pickle without a zip archive."""
    data = pickle.dumps(value, protocol=protocol)
    if not zipped:
        path.write_bytes(data)
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
    return path


LABELS = {
    "clean_label": np.arange(6, dtype=np.int64),
    "worse_label": np.array([0, 1, 2, 0, 0, 0], dtype=np.int64),
    "coarse": [0, 0, 0, 1, 1, 1],
}


@pytest.mark.parametrize("zipped", [True, False])
def test_archives_and_plain_pickles_are_read(tmp_path, zipped):
    vectors = human.read(write(tmp_path / "labels.pt", LABELS, zipped))
    assert list(vectors) == list(LABELS)
    for key, vector in vectors.items():
        assert vector.dtype == np.int64
        assert np.array_equal(vector, LABELS[key])


class Hostile:
    def __init__(self, call: tuple) -> None:
        self.call = call

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        (os.system, ("echo harm",)),
        (eval, ("1 + 1",)),
        (np.load, ("/etc/passwd",)),
        (getattr, ("", "join")),
        (bytes.decode, (b"x", "rot13")),
    ],
    ids=["system", "eval", "numpy.load", "getattr", "decode"],
)
def test_a_pickle_that_asks_for_anything_else_is_refused(tmp_path, call, zipped):
    path = write(tmp_path / "labels.pt", {**LABELS, "x": Hostile(call)}, zipped)
    with pytest.raises(DataError, match=r"not a CIFAR-N label file.*it asks for"):
        human.read(path)


@pytest.mark.parametrize(
    "value",
    [
        {**LABELS, "x": np.array([{}], dtype=object)},
        {**LABELS, "x": np.array(["a"])},
        {**LABELS, "x": np.array([1.5])},
        {**LABELS, "x": ["a"]},
        {**LABELS, "x": np.zeros((2, 2), dtype=np.int64)},
        {"worse_label": LABELS["worse_label"]},
        [1, 2, 3],
    ],
)
def test_a_file_without_vectors_of_integers_is_refused(tmp_path, value):
    with pytest.raises(DataError, match="not a CIFAR-N label file"):
        human.read(write(tmp_path / "labels.pt", value))


def test_damaged_and_missing_files_are_named(tmp_path):
    path = tmp_path / "labels.pt"
    with pytest.raises(DataError, match="no such file"):
        human.read(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"labels.pt: not a CIFAR-N label file"):
        human.read(path)
    write(path, LABELS)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="not a CIFAR-N label file"):
        human.read(path)


def test_the_files_true_labels_must_be_the_datasets(tmp_path):
    path = write(tmp_path / "labels.pt", LABELS)
    data = cifar(6, {"worst": "worse_label", "none": "absent"})
    noise = Noise(kind="human", annotation="worst")
    result = corrupt(np.arange(6), noise, data, 1, human=path)
    assert result.labels.tolist() == [0, 1, 2, 0, 0, 0]
    with pytest.raises(DataError, match="clean_label differs from the labels of the dataset"):
        corrupt(np.arange(6)[::-1], noise, data, 1, human=path)
    with pytest.raises(DataError, match="no annotation 'absent'; it has clean_label, worse_label"):
        corrupt(np.arange(6), Noise(kind="human", annotation="none"), data, 1, human=path)
    with pytest.raises(DataError, match="needs the CIFAR-N file"):
        corrupt(np.arange(6), noise, data, 1)


def declared(project: Path) -> Dataset:
    """CIFAR-10 as the project declares it."""
    text = (project / "config" / "datasets.yaml").read_text()
    return Dataset.model_validate(yaml.safe_load(text)["cifar10"])


@published
def test_labels_that_were_changed_by_hand_are_refused(tmp_path, project):
    data = declared(project)
    noise = Noise(kind="human", annotation="worst")
    vectors = human.read(CIFAR10)
    assert corrupt(vectors["clean_label"], noise, data, 1, human=CIFAR10).flipped.mean() > 0.4
    vectors["worse_label"][:50] = (vectors["worse_label"][:50] + 1) % 10
    path = write(tmp_path / "labels.pt", vectors)
    with pytest.raises(DataError, match=r"worse_label: these are not the published labels"):
        corrupt(vectors["clean_label"], noise, data, 1, human=path)


@published
def test_no_flipped_bit_of_a_label_file_changes_a_label_unnoticed(tmp_path, project):
    data = declared(project)
    noise = Noise(kind="human", annotation="worst")
    clean = human.read(CIFAR10)["clean_label"]
    right = corrupt(clean, noise, data, 1, human=CIFAR10).labels
    content = CIFAR10.read_bytes()
    generator = np.random.default_rng(0)
    path = tmp_path / "labels.pt"
    for _ in range(40):
        changed = bytearray(content)
        changed[generator.integers(len(content))] ^= 1 << generator.integers(8)
        path.write_bytes(changed)
        try:
            labels = corrupt(clean, noise, data, 1, human=path).labels
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert np.array_equal(labels, right)


def test_a_part_of_the_training_set_gets_its_own_labels(tmp_path):
    clean = np.arange(200) % 10
    given = (clean + 1) % 10
    path = write(tmp_path / "labels.pt", {"clean_label": clean, "worse_label": given})
    data = cifar(10, {"worst": "worse_label"}).model_copy(
        update={"train": 150, "test": 50, "test_from": "train"}
    )
    chosen = train_indices(data, clean)
    assert len(chosen) == 150
    result = corrupt(clean[chosen], Noise(kind="human", annotation="worst"), data, 1, human=path)
    assert np.array_equal(result.labels, given[chosen])
