"""A made-up dataset in the style of CIFAR-10, written in every container that a reader knows."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from firstorder.config import Content, Dataset, File
from firstorder.data.content import digest, unordered_digest
from firstorder.data.prepared import Split

CLASSES = ("ant", "bee", "cow")
COUNTS = {"train": 20, "test": 6}


def splits(channels: int = 3) -> dict[str, Split]:
    """Random images (N, channels, 32, 32), and labels in no order."""
    generator = np.random.default_rng(channels)
    return {
        split: Split(
            generator.integers(0, 256, (count, channels, 32, 32), dtype=np.uint8),
            generator.permutation(np.arange(count) % len(CLASSES)).astype(np.int64),
        )
        for split, count in COUNTS.items()
    }


def declaration(reader: str, published: dict[str, Split], **changes: Any) -> Dataset:
    """The dataset of `published`, known by its content."""
    channels = published["train"].images.shape[1]
    values: dict[str, Any] = {
        "title": "made-up",
        "reader": reader,
        "shape": (channels, 32, 32),
        "classes": CLASSES,
        "mean": (0.5,) * channels,
        "std": (0.25,) * channels,
        "source": "made here",
        "files": (File(name="not-published.tar.gz"),),
        "content": {
            name: Content(
                count=len(split.labels),
                sha256=digest(split),
                unordered=unordered_digest(split, len(split.labels)),
            )
            for name, split in published.items()
        },
        **COUNTS,
    }
    return Dataset.model_validate({**values, **changes})


class Python2Pickler(pickle._Pickler):
    """Writes every string as Python 2 did, in which the published batches were pickled."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self: Any, text: str | bytes) -> None:
        data = text.encode("latin1") if isinstance(text, str) else text
        self.write(b"T" + len(data).to_bytes(4, "little") + data)

    dispatch[str] = save_string
    dispatch[bytes] = save_string


def python2_pickle(value: Any) -> bytes:
    """`value` as pickled by Python 2, protocol 2."""
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")


def rows(split: Split) -> np.ndarray:
    """Images as rows of bytes."""
    return split.images[:].reshape(len(split.labels), -1)


def batches(split: Split) -> list[Split]:
    """Five equal parts."""
    parts = np.split(np.arange(len(split.labels)), 5)
    return [Split(split.images[part[0] : part[-1] + 1], split.labels[part]) for part in parts]


def python_files(found: dict[str, Split]) -> dict[str, bytes]:
    """The files of CIFAR-10's python version."""

    def batch(split: Split) -> bytes:
        return python2_pickle({"data": rows(split), "labels": split.labels.tolist()})

    return {
        "batches.meta": python2_pickle({"label_names": list(CLASSES)}),
        **{f"data_batch_{k}": batch(part) for k, part in enumerate(batches(found["train"]), 1)},
        "test_batch": batch(found["test"]),
    }


def binary_files(found: dict[str, Split]) -> dict[str, bytes]:
    """The files of CIFAR-10's binary version."""

    def records(split: Split) -> bytes:
        return np.concatenate([split.labels[:, None].astype(np.uint8), rows(split)], 1).tobytes()

    parts = enumerate(batches(found["train"]), 1)
    return {
        "batches.meta.txt": "\n".join(CLASSES).encode() + b"\n\n",
        **{f"data_batch_{k}.bin": records(part) for k, part in parts},
        "test_batch.bin": records(found["test"]),
    }


def idx_files(found: dict[str, Split]) -> dict[str, bytes]:
    """The four files of MNIST."""
    files = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for kind, array in (
            ("images", found[split].images[:][:, 0]),
            ("labels", found[split].labels.astype(np.uint8)),
        ):
            head = bytes((0, 0, 8, array.ndim)) + b"".join(
                n.to_bytes(4, "big") for n in array.shape
            )
            files[f"{prefix}-{kind}-idx{array.ndim}-ubyte"] = head + array.tobytes()
    return files


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files by their names below `folder`."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    """Write a gzipped tar archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            information = tarfile.TarInfo(name)
            information.size = len(content)
            archive.addfile(information, io.BytesIO(content))


def picture(image: np.ndarray) -> Image.Image:
    """A picture of an image (C, H, W)."""
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))


def png(image: np.ndarray) -> bytes:
    """An image (C, H, W) as the bytes of a PNG file."""
    stream = io.BytesIO()
    picture(image).save(stream, format="PNG")
    return stream.getvalue()


def _archived(found: dict[str, Split], folder: Path, version: str) -> None:
    inner, files = {
        "python": ("cifar-10-batches-py", python_files),
        "binary": ("cifar-10-batches-bin", binary_files),
    }[version]
    members = {f"{inner}/{name}": content for name, content in files(found).items()}
    write_archive(folder / f"cifar-10-{version}.tar.gz", members)


def _gunzipped(found: dict[str, Split], folder: Path, version: str) -> None:
    """As browsers leave it that unpack .gz."""
    _archived(found, folder, version)
    packed = folder / f"cifar-10-{version}.tar.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()


def _kaggle(found: dict[str, Split], folder: Path) -> None:
    """MNIST as Kaggle packs it: every file, and again in a folder of its other name."""
    for name, content in idx_files(found).items():
        write_files(folder, {name.replace("-idx", ".idx"): content, f"{name}/{name}": content})


def _arrays(found: dict[str, Split]) -> dict[str, np.ndarray]:
    return {
        f"{split}_{kind}": getattr(found[split], kind)[:]
        for split in found
        for kind in ("images", "labels")
    }


def _keras(found: dict[str, Split], folder: Path) -> None:
    arrays = {f"x_{split}": found[split].images[:].transpose(0, 2, 3, 1) for split in found}
    labels = {f"y_{split}": found[split].labels[:, None].astype(np.uint8) for split in found}
    np.savez_compressed(folder / "anything.npz", **arrays, **labels)


def _npy(found: dict[str, Split], folder: Path) -> None:
    for name, array in _arrays(found).items():
        np.save(folder / f"{name}.npy", array)


def _pictures(found: dict[str, Split], folder: Path) -> None:
    for split in found:
        for place, (image, label) in enumerate(zip(*found[split], strict=True)):
            name = f"{split}/{CLASSES[label]}/{place}_{CLASSES[label]}.png"
            write_files(folder, {name: png(image)})
    write_files(folder, {"train/ant/._0_ant.png": b"", "train/Thumbs.db": b"x", ".DS_Store": b""})


def _listed(found: dict[str, Split], folder: Path) -> None:
    for split in found:
        lines = ["file,label"]
        for place, (image, label) in enumerate(zip(*found[split], strict=True)):
            write_files(folder, {f"images/{split}-{place}.png": png(image)})
            lines.append(f"images/{split}-{place}.png,{CLASSES[label]}")
        # As a spreadsheet on Windows saves it.
        (folder / f"{split}.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())


Write = Callable[[dict[str, Split], Path], None]
COLOUR: dict[str, tuple[str, Write]] = {
    "python archive": ("cifar", lambda found, folder: _archived(found, folder, "python")),
    "python tar": ("cifar", lambda found, folder: _gunzipped(found, folder, "python")),
    "python unpacked": (
        "cifar",
        lambda found, folder: write_files(folder / "cifar-10-batches-py", python_files(found)),
    ),
    "python files without class names": (
        "cifar",
        lambda found, folder: write_files(
            folder, {k: v for k, v in python_files(found).items() if k != "batches.meta"}
        ),
    ),
    "binary archive": ("cifar_binary", lambda found, folder: _archived(found, folder, "binary")),
    "binary tar": ("cifar_binary", lambda found, folder: _gunzipped(found, folder, "binary")),
    "binary unpacked": (
        "cifar_binary",
        lambda found, folder: write_files(folder / "cifar-10-batches-bin", binary_files(found)),
    ),
    "binary files": (
        "cifar_binary",
        lambda found, folder: write_files(folder, binary_files(found)),
    ),
    "npz": ("npz", lambda found, folder: np.savez(folder / "mine.npz", **_arrays(found))),
    "keras npz": ("npz", _keras),
    "npy": ("npz", _npy),
    "image folder": ("image_folder", _pictures),
    "csv": ("csv_labels", _listed),
}
"""How colour images may lie in a folder: the reader that finds them, and what writes them."""
GREY: dict[str, tuple[str, Write]] = {
    "idx unpacked": ("idx", lambda found, folder: write_files(folder, idx_files(found))),
    "idx packed": (
        "idx",
        lambda found, folder: write_files(
            folder, {f"{k}.gz": gzip.compress(v) for k, v in idx_files(found).items()}
        ),
    ),
    "Kaggle": ("idx", _kaggle),
    "folders of a file": (
        "idx",
        lambda found, folder: write_files(
            folder, {f"{k}/{k}": v for k, v in idx_files(found).items()}
        ),
    ),
    "torchvision root": (
        "idx",
        lambda found, folder: write_files(folder / "madeup/raw", idx_files(found)),
    ),
    "image folder": ("image_folder", _pictures),
    "npz": ("npz", lambda found, folder: np.savez(folder / "mine.npz", **_arrays(found))),
}
"""The same for images with one channel."""


def write_jpeg(
    path: Path, size: tuple[int, int], colour: tuple[int, int, int], mode: str = "RGB"
) -> None:
    """Write a picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, format="JPEG", quality=95)


def webvision_folder(folder: Path) -> Dataset:
    """WebVision as published, of two of its classes and with one image of another; declared."""
    write_jpeg(folder / "google/q0001/a.jpg", (60, 40), (200, 0, 0))
    write_jpeg(folder / "google/q0002/b c.jpg", (20, 50), (0, 200, 0), mode="L")
    write_jpeg(folder / "google/q0003/c.jpg", (40, 40), (0, 0, 200), mode="CMYK")
    write_jpeg(folder / "val_images_256/val000001.jpg", (64, 64), (9, 9, 9))
    for synset in ("n01440764", "n01443537"):
        write_jpeg(folder / f"ilsvrc12_val/{synset}/ILSVRC2012_val_1.JPEG", (50, 32), (90, 90, 90))
    (folder / "train_filelist_google.txt").write_text(
        "google/q0001/a.jpg 0\ngoogle/q0002/b c.jpg 1\ngoogle/q0003/c.jpg 1\ngoogle/q0009/z.jpg 7\n"
    )
    (folder / "val_filelist.txt").write_text("val000001.jpg 1\nval050000.jpg 999\n")
    (folder / "synsets.txt").write_text(
        "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\nn01484850 shark\n"
    )
    return Dataset(
        title="WebVision",
        source="made here",
        reader="webvision",
        shape=(3, 32, 32),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        train=3,
        test=1,
        extra_tests={"ilsvrc12": 2},
        classes=("tench", "goldfish"),
        files=tuple(
            File(name=name)
            for name in ("train_filelist_google.txt", "val_filelist.txt", "synsets.txt")
        ),
    )
