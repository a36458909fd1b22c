"""Arrays in files: read as they were written, or refused in one line."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from firstorder import arrays
from firstorder.errors import DataError

RIGHT = np.arange(21) % 3 == 0


def test_arrays_and_bits_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    arrays.write(path, one=np.arange(3), two=np.eye(2))
    found = arrays.read(path, "one", "two")
    assert found["one"].tolist() == [0, 1, 2] and found["two"].tolist() == [[1, 0], [0, 1]]
    for right in (RIGHT, RIGHT[:0], None):
        arrays.write_bits(path, right)
        assert arrays.read_bits(path).tolist() == ([] if right is None else right.tolist())


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for read in (lambda: arrays.read(path, "one"), lambda: arrays.mapped(path)):
        with pytest.raises(DataError, match=r"a\.npz: no such file; run the workflow"):
            read()
    arrays.write(path, one=np.arange(3))
    with pytest.raises(DataError, match=r"a\.npz: damaged \(.*two.*\); delete it and run again"):
        arrays.read(path, "two")
    with pytest.raises(DataError, match=r"a\.npz: damaged \(not one array\)"):
        arrays.mapped(path)


def test_with_any_byte_altered_arrays_are_the_same_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    arrays.write_bits(path, RIGHT)
    whole, chance, refused = path.read_bytes(), random.Random(0), 0
    for at in range(len(whole)):
        altered = bytearray(whole)
        altered[at] ^= chance.randrange(1, 256)
        path.write_bytes(altered)
        try:
            assert arrays.read_bits(path).tolist() == RIGHT.tolist()
        except DataError as error:
            refused += 1
            assert str(error).startswith(f"{path}: damaged (")
    assert refused > len(whole) / 4
