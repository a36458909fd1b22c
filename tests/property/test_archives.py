"""Damaged files of every container: what comes out is right, or one line says what is wrong."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from containers import (
    CLASSES,
    Split,
    declaration,
    idx_files,
    png,
    python_files,
    splits,
    write_archive,
    write_files,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstorder.data.prepare import prepare
from firstorder.errors import DataError

FUZZ = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def tar(found: dict[str, Split]) -> tuple[str, bytes]:
    path = Path("made.tar.gz")
    members = {f"cifar-10-batches-py/{k}": v for k, v in python_files(found).items()}
    write_archive(path, members)
    return "cifar-10-python.tar.gz", path.read_bytes()


def uncompressed_tar(found: dict[str, Split]) -> tuple[str, bytes]:
    name, content = tar(found)
    return name, gzip.decompress(content)


def npz(found: dict[str, Split]) -> tuple[str, bytes]:
    stream = io.BytesIO()
    arrays = {f"{split}_images": found[split].images[:] for split in found}
    labels = {f"{split}_labels": found[split].labels for split in found}
    np.savez_compressed(stream, **arrays, **labels)
    return "mine.npz", stream.getvalue()


def idx(found: dict[str, Split]) -> tuple[str, bytes]:
    files = idx_files(found)
    write_files(Path("raw"), files)
    return "train-images-idx3-ubyte", files["train-images-idx3-ubyte"]


def packed_idx(found: dict[str, Split]) -> tuple[str, bytes]:
    files = {f"{name}.gz": gzip.compress(content) for name, content in idx_files(found).items()}
    write_files(Path("raw"), files)
    return "train-labels-idx1-ubyte.gz", files["train-labels-idx1-ubyte.gz"]


def folder(found: dict[str, Split]) -> tuple[str, bytes]:
    for split in found:
        for place, (image, label) in enumerate(zip(*found[split], strict=True)):
            write_files(Path("raw"), {f"{split}/{CLASSES[label]}/{place}.png": png(image)})
    image, label = found["train"].images[0], found["train"].labels[0]
    return f"train/{CLASSES[label]}/0.png", png(image)


CONTAINERS: dict[str, tuple[str, int, Callable[[dict[str, Split]], tuple[str, bytes]]]] = {
    "tar.gz": ("cifar", 3, tar),
    "tar": ("cifar", 3, uncompressed_tar),
    "npz": ("npz", 3, npz),
    "idx": ("idx", 1, idx),
    "idx.gz": ("idx", 1, packed_idx),
    "png": ("image_folder", 3, folder),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_damage_is_found_or_changes_nothing(
    container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader, channels, write = CONTAINERS[container]
    found = splits(channels)
    dataset = declaration(reader, found)
    name, content = write(found)
    write_files(Path("raw"), {name: content})
    prepare("d", dataset, "raw", "right.safetensors")
    right = Path("right.safetensors").read_bytes()
    refused = 0

    @FUZZ
    @given(data=st.data())
    def damaged(data: st.DataObject) -> None:
        nonlocal refused
        # Headers are where the danger is: half of the places are among the first bytes.
        places = st.integers(0, len(content) - 1) | st.integers(0, min(600, len(content) - 1))
        changed = bytearray(content)
        for _ in range(data.draw(st.integers(1, 3))):
            changed[data.draw(places)] ^= 1 << data.draw(st.integers(0, 7))
        kept = data.draw(st.just(len(content)) | st.integers(0, len(content)))
        write_files(Path("raw"), {name: bytes(changed[:kept])})
        Path("out.safetensors").unlink(missing_ok=True)
        try:
            prepare("d", dataset, "raw", "out.safetensors")
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
            assert not Path("out.safetensors").exists()
        else:
            assert Path("out.safetensors").read_bytes() == right

    damaged()
    assert refused > 10


def test_a_zip_whose_sizes_lie_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train_images.npy", bytes(2_000_000))
    content = path.read_bytes()
    size = (2_000_000).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (100).to_bytes(4, "little")))
    with pytest.raises(DataError, match=r"damaged archive|not an array"):
        prepare("d", declaration("npz", splits()), tmp_path, tmp_path / "out.safetensors")
