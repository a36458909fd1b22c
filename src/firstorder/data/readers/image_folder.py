"""Pictures in one folder for each class: `train/CLASS/*.png`, `test/CLASS/*.png`.

Where all file names of a split hold one number each, and no two the same (`10008_airplane.png`),
the images come in the order of these numbers, so that a published order survives; otherwise by
class and name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from firstorder.config import Dataset
from firstorder.data import parts
from firstorder.data.lists import composed, is_clutter
from firstorder.data.pictures import SUFFIXES, pictures_of
from firstorder.data.prepared import Split
from firstorder.data.readers import Files, only, reader
from firstorder.errors import DataError

SPELLINGS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation"),
}
"""What the folder, or the list, of a split may be called, where no other split has the name."""


def layouts(dataset: Dataset, folder: Path) -> Iterator[dict[str, Path]]:
    """The folders of the splits."""
    yield {
        split: only((folder / name for name in spellings(dataset, split)), dataset, Path.is_dir)
        for split in parts.wanted(dataset)
    }


def spellings(dataset: Dataset, split: str) -> tuple[str, ...]:
    """The names of a split's folder, likeliest first; each also with a capital."""
    others = {*parts.wanted(dataset)} - {split}
    names = [name for name in SPELLINGS.get(split, (split,)) if name not in others]
    return (*names, *(name.capitalize() for name in names if name != name.capitalize()))


@reader("image_folder", layouts=layouts, channels=(1, 3), streamed=True)
def image_folder(dataset: Dataset, files: Files) -> dict[str, Split]:
    """A split for every folder; images are decoded in blocks while the dataset is written."""
    places = {split: _class_folders(folder) for split, folder in files.items()}
    names = _names(dataset, {files[split]: found for split, found in places.items()})
    return {
        split: _split(dataset, [found[name] for name in names]) for split, found in places.items()
    }


def _split(dataset: Dataset, places: list[Path]) -> Split:
    examples: list[tuple[Path, int]] = []
    for label, place in enumerate(places):
        for path in sorted(place.iterdir()):
            if is_clutter(path.name):
                continue
            if path.suffix.lower() not in SUFFIXES:
                raise DataError(f"{path}: neither {' nor '.join(SUFFIXES)}; move it away")
            if not path.is_file():
                raise DataError(f"{path}: no picture that can be read; replace it, or its link")
            examples.append((path, label))
    examples = in_order(examples)
    labels = np.array([label for _, label in examples], dtype=np.int64)
    return Split(pictures_of(dataset, tuple(path for path, _ in examples)), labels)


def _class_folders(folder: Path) -> dict[str, Path]:
    """The folders of classes in that of a split, by name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if is_clutter(path.name):
            continue
        if not path.is_dir():
            raise DataError(f"{path}: not a folder of a class; move it away")
        if (twin := found.setdefault(composed(path.name), path)) != path:
            raise DataError(f"{path} and {twin}: one name in two spellings; leave one")
    return found


def _names(dataset: Dataset, splits: Mapping[Path, Mapping[str, Path]]) -> tuple[str, ...]:
    """The names of the classes' folders in label order, in all splits: of classes, or labels."""
    classes = tuple(map(composed, dataset.classes))
    for names in (classes, tuple(map(str, range(len(classes))))):
        if all(set(found) == set(names) for found in splits.values()):
            return names
    folder, found = next(each for each in splits.items() if set(each[1]) != set(classes))
    missing = [name for name in classes if name not in found]
    extra = sorted(found.keys() - set(classes))
    raise DataError(
        f"{folder}: one folder a class is expected: missing {', '.join(missing) or 'none'}; "
        f"not declared {', '.join(extra) or 'none'}"
    )


def in_order(examples: list[tuple[Path, int]]) -> list[tuple[Path, int]]:
    """Examples (path, label) by the only number in their names, if that says their order."""
    numbers = [re.findall(r"[0-9]+", path.stem) for path, _ in examples]
    if any(len(found) != 1 for found in numbers):
        return examples
    places = [int(found[0]) for found in numbers if len(found[0]) <= 18]
    if len(set(places)) != len(examples):
        return examples
    return [example for _, example in sorted(zip(places, examples, strict=True))]
