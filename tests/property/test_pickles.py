"""The reader of pickles: what the published files hold, and nothing that a crafted one asks for."""

from __future__ import annotations

import pickle
import pickletools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstorder.data.pickles import load_plain
from firstorder.errors import DataError

CLAIM = settings(derandomize=True, deadline=2000, max_examples=400)
PROTOCOLS = (2, 3, 4)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.binary(min_size=1)
)
ARRAYS = st.builds(
    lambda values, kind: np.array(values).astype(kind),
    st.lists(st.integers(0, 100), min_size=1, max_size=20),
    st.sampled_from(["u1", "i1", "<i2", ">i4", "i8", "u8"]),
)
VALUES = st.dictionaries(
    st.text() | st.binary(min_size=1), SCALARS | ARRAYS | st.lists(SCALARS), max_size=6
)


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(one, other)
    return type(one) is type(other) and one == other


@CLAIM
@given(value=VALUES, protocol=st.sampled_from(PROTOCOLS))
def test_what_the_published_files_may_hold_comes_back(value: dict, protocol: int) -> None:
    back = load_plain(pickle.dumps(value, protocol=protocol), "here")
    assert list(back) == list(value)
    assert all(equal(back[key], value[key]) for key in value)


def test_python_2_strings_come_out_as_bytes() -> None:
    assert load_plain(b"\x80\x02}q\x01U\x04dataq\x02K\x03s.", "here") == {b"data": 3}


def test_arrays_by_column_come_out_by_row() -> None:
    array = np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    back = load_plain(pickle.dumps({"x": array}, protocol=2), "here")["x"]
    assert np.array_equal(back, array) and back.flags.c_contiguous and back.flags.writeable


CODES = sorted({ord(code.code) for code in pickletools.opcodes})
PIECES = st.one_of(
    st.sampled_from(CODES).map(lambda code: bytes([code])),
    st.binary(max_size=6),
    st.sampled_from(
        [
            b"cnumpy\nndarray\n",
            b"cnumpy\ndtype\n",
            b"cnumpy.core.multiarray\n_reconstruct\n",
            b"c_codecs\nencode\n",
            b"X\x02\x00\x00\x00i8",
            b"\x80\x02",
            b"(K\x00K\x01",
            b"q\x00h\x00",
            b"r\xff\xff\xff\x7f",
            b"B\xff\xff\xff\x7f",
            b"\x8a\xff",
        ]
    ),
)


@CLAIM
@given(pieces=st.lists(PIECES, max_size=40))
def test_any_bytes_end_in_a_value_or_in_one_line(pieces: list[bytes]) -> None:
    data = b"".join(pieces) + b"."
    tracemalloc.start()
    try:
        load_plain(data, "here")
    except DataError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
    finally:
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


@CLAIM
@given(data=st.data())
def test_damage_to_a_published_file_ends_in_a_value_or_in_one_line(data: st.DataObject) -> None:
    value = {"labels": [1, 2, 3], "data": np.arange(12, dtype=np.uint8), b"names": ["a", "b"]}
    content = bytearray(pickle.dumps(value, protocol=data.draw(st.sampled_from(PROTOCOLS))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        load_plain(bytes(content), "here")
    except DataError as error:
        assert "\n" not in str(error)


class Call:
    """A pickle of this calls `function` with `arguments`, and then sets `state`."""

    def __init__(self, function: Any, arguments: tuple, state: Any = None) -> None:
        self.parts = (function, arguments, state)

    def __reduce__(self) -> tuple:
        return self.parts


RECONSTRUCT = np.empty(0).__reduce__()[0]


@pytest.mark.parametrize(
    "value",
    [
        Call(eval, ("1",)),
        Call(np.ndarray, ((10**10,), "u1")),
        Call(RECONSTRUCT, (np.ndarray, (10**10,), b"b")),
        Call(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (2**40,), np.dtype("u1"), False, b"")),
        Call(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (2,), np.dtype("O"), False, [1, 2])),
        Call(np.dtype, ("O8",)),
        {"x": np.array([1.5])},
        {"x": {"y": 1}},
        {1: 2},
        {"x": [[1]]},
        {"x": 2**500},
    ],
    ids=lambda value: str(getattr(value, "parts", value))[:40],
)
def test_what_no_published_file_holds_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match="not plain data"):
        load_plain(pickle.dumps(value, protocol=2), "here")


def test_a_pickle_that_makes_much_from_little_is_refused() -> None:
    """Text is kept once and made into bytes again and again."""
    text = b"X\x10\x27\x00\x00" + b"a" * 10000 + b"q\x01"
    again = b"c_codecs\nencode\nh\x01X\x06\x00\x00\x00latin1\x86R"
    with pytest.raises(DataError, match="makes more data than it holds"):
        load_plain(b"\x80\x02" + text + again * 1000 + b".", "here")


def test_nested_containers_do_not_hang() -> None:
    doubled = b"\x80\x02)" + b"q\x01h\x01h\x01\x86" * 60 + b"."
    for data in (doubled, b"\x80\x02" + b"]" * 10**6 + b"a" * (10**6 - 1) + b"."):
        with pytest.raises(DataError, match="not plain data"):
            load_plain(data, "here")


def test_protocols_that_no_published_file_has_are_refused() -> None:
    for protocol in (0, 5):
        with pytest.raises(DataError, match="not plain data"):
            load_plain(pickle.dumps({"x": [1, 2]}, protocol=protocol), "here")
