"""WebVision mini: the first 50 classes of WebVision 1.0's Google part, and its two test sets.

Expected below `resources/webvision/` (or another of the dataset's folders), as published:
the lists train_filelist_google.txt, val_filelist.txt and synsets.txt; the training images
where the list says (google/...); val_images_256/; and, for the second test set, the
ILSVRC 2012 validation images sorted into folders by synset: ilsvrc12_val/n01440764/*.JPEG.

Every image is resized to a shorter side of 256 and cropped in the centre, 16 GB in all: they are
decoded in blocks while the dataset is written. How the camera was held is not looked at, as in the
published protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from firstorder.config import Dataset
from firstorder.data.lists import inside, is_clutter, lines
from firstorder.data.pictures import JPEG, Decoded
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, reader
from firstorder.errors import DataError

LISTS = ("train_filelist_google.txt", "val_filelist.txt", "synsets.txt")


def layouts(dataset: Dataset, folder: Path) -> Iterator[dict[str, Path]]:
    """The lists, in this folder or in `info/` as unpacked; where they are, that of the images."""
    lists = {}
    for name in LISTS:
        there = [place for place in (folder / name, folder / "info" / name) if place.exists()]
        lists[name] = there[0] if there else folder / name
    found = all(path.exists() for path in lists.values())
    yield {**lists, **({"images": folder} if found else {})}


@reader("webvision", layouts=layouts, streamed=True)
def webvision(dataset: Dataset, files: Files) -> dict[str, Split]:
    """The splits train, test (WebVision's validation images) and ilsvrc12."""
    folder = files["images"]
    # The lists may lie in one of the dataset's folders and the images in another.
    roots = [folder, *(folder / Path(other).expanduser() for other in dataset.folders)]
    classes = len(dataset.classes)
    train = _listed(files["train_filelist_google.txt"], classes)
    test = _listed(files["val_filelist.txt"], classes)
    ilsvrc12 = _sorted_by_synset(roots, _synsets(files["synsets.txt"], classes))

    def split(examples: list[tuple[Path, int]]) -> Split:
        labels = np.array([label for _, label in examples], dtype=np.int64)
        paths = tuple(path for path, _ in examples)
        return Split(Decoded(paths, dataset.shape, formats=JPEG, upright=False), labels)

    return {
        "train": split([(_find(roots, path), label) for path, label in train]),
        "test": split([(_find(roots, f"val_images_256/{path}"), label) for path, label in test]),
        "ilsvrc12": split(ilsvrc12),
    }


def _listed(file: Path, classes: int) -> list[tuple[str, int]]:
    """The (path, label) lines of a list whose label is below `classes`."""
    examples = []
    for number, line in lines(file):
        path, _, label = line.rpartition(" ")
        if not path or not (label.isascii() and label.isdecimal()) or len(label) > 9:
            raise DataError(f"{file}: line {number}: {line[:80]!r} is not `path label`")
        inside(path, f"{file}: line {number}")
        if int(label) < classes:
            examples.append((path, int(label)))
    return examples


def _synsets(file: Path, classes: int) -> list[str]:
    """WordNet ids such as n01440764, in label order."""
    found = [line.split()[0] for _, line in lines(file)][:classes]
    for synset in found:
        if not (synset.startswith("n") and synset[1:].isdecimal() and synset.isascii()):
            raise DataError(f"{file}: {synset!r} is not a synset such as n01440764")
    return found


def _sorted_by_synset(roots: list[Path], synsets: list[str]) -> list[tuple[Path, int]]:
    examples = []
    for label, synset in enumerate(synsets):
        folder = _find(roots, f"ilsvrc12_val/{synset}")
        images = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in (".jpeg", ".jpg") and not is_clutter(path.name)
        )
        examples += [(path, label) for path in images]
    return examples


def _find(roots: list[Path], relative: str) -> Path:
    for root in roots:
        if (path := root / relative).exists():
            return path
    raise DataError(f"{roots[0] / relative}: no such file; WebVision's images must be placed there")
