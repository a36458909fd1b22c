"""Read the published pickles without running them.

A pickle is a program, and Python's unpickler is not safe against a crafted one even where it may
call nothing. This reader knows the few instructions that the published CIFAR and CIFAR-N files
use (protocols 2 to 4), and builds only this: one dictionary from text to numbers, text, lists of
such values, and arrays of integers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import numpy as np

from firstorder.errors import DataError

INTEGERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}
"""Types that an array may have."""
LONGEST_INTEGER = 16
"""Bytes of an integer that the published files cannot exceed."""
LONGEST_TUPLE = 16
"""Items of a tuple; the state of a type has 8."""
SHARE = 3
"""Bytes that a pickle may make, over its own size: text becomes bytes, bytes become an array."""


class _Name(Enum):
    """The functions that arrays need; they are never called."""

    RECONSTRUCT = "_reconstruct"
    NDARRAY = "ndarray"
    DTYPE = "dtype"
    ENCODE = "encode"


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy", "ndarray"): _Name.NDARRAY,
    ("numpy", "dtype"): _Name.DTYPE,
    ("_codecs", "encode"): _Name.ENCODE,
}


@dataclass
class _Type:
    """The type of an array, complete once its byte order is known."""

    code: str
    order: str = ""


@dataclass
class _Array:
    """An array that the next BUILD fills, and where the memo keeps it."""

    keys: list[int] = field(default_factory=list)


class _Mark:
    """Where the items of a container begin."""


class _RefusedError(Exception):
    """What the pickle asks for is not in the published files."""


def load_plain(data: bytes, where: str) -> Any:
    """The dictionary, or other single value, that is pickled in `data`.

    `where` names the file in the DataError that a damaged or foreign pickle raises. Strings of
    Python 2 come out as bytes.
    """
    try:
        return _Machine(data).run()
    except _RefusedError as error:
        raise DataError(f"{where}: not plain data: {error}; replace it") from None
    except IndexError:
        raise DataError(f"{where}: not plain data: its stack is empty; replace it") from None


class _Machine:
    """The interpreter: a position in the data, a stack, and a memo."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.left = SHARE * len(data) + 1024
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value that is pickled."""
        while True:
            code = self.take(1)[0]
            if code == ord("."):
                return _finished(self.stack.pop())
            step = _STEPS.get(code)
            if step is None:
                raise _RefusedError(f"instruction {code:#04x} is in no published file")
            step(self)

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        piece = self.data[self.position : self.position + count]
        if len(piece) != count:
            raise _RefusedError("pickle data was truncated")
        self.position += count
        return piece

    def number(self, form: str) -> int:
        """The next little-endian integer of a struct format."""
        return struct.unpack(f"<{form}", self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """Text up to the next line end."""
        end = self.data.find(b"\n", self.position, self.position + 256)
        if end < 0:
            raise _RefusedError("a name has no end")
        name = self.data[self.position : end]
        self.position = end + 1
        return name.decode("latin1")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def made(self, size: int) -> None:
        """Count bytes that are made, against a pickle that makes many from few."""
        self.left -= size
        if self.left < 0:
            raise _RefusedError("it makes more data than it holds")

    def items(self) -> list[Any]:
        """Everything above the last mark, which goes."""
        for start in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[start], _Mark):
                found = self.stack[start + 1 :]
                del self.stack[start:]
                return found
        raise _RefusedError("a container has no beginning")

    def remember(self, key: int) -> None:
        value = self.stack[-1]
        if isinstance(value, _Array):
            value.keys.append(key)
        self.memo[key] = value

    def recall(self, key: int) -> None:
        if key not in self.memo:
            raise _RefusedError(f"it names the value {key}, which is not there")
        self.push(self.memo[key])


def _finished(value: Any) -> Any:
    if isinstance(value, (_Array, _Type, _Name, _Mark)):
        raise _RefusedError("it ends in the middle of an array")
    return value


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, bytes))


def _text(machine: _Machine, size: int) -> None:
    try:
        machine.push(machine.take(size).decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        raise _RefusedError("text that is not UTF-8") from None


def _long(machine: _Machine) -> None:
    size = machine.number("B")
    if size > LONGEST_INTEGER:
        raise _RefusedError(f"an integer of {size} bytes")
    machine.push(int.from_bytes(machine.take(size), "little", signed=True))


def _append(machine: _Machine, values: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, list) or not all(map(_is_scalar, values)):
        raise _RefusedError("a list may hold numbers and text")
    target.extend(values)


def _set(machine: _Machine, pairs: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, dict) or len(pairs) % 2:
        raise _RefusedError("items without their dictionary")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if not isinstance(key, (str, bytes)):
            raise _RefusedError("a dictionary whose keys are not text")
        if not _is_scalar(value) and not isinstance(value, (list, np.ndarray)):
            raise _RefusedError(f"{key!r} is no number, text, list or array")
        target[key] = value


def _tuple(machine: _Machine, values: list[Any]) -> None:
    """Tuples are arguments: of scalars, of names and types, or of one tuple of sizes."""
    if len(values) > LONGEST_TUPLE:  # longer ones could be looked through again and again
        raise _RefusedError(f"a tuple of {len(values)}")
    for value in values:
        flat = isinstance(value, tuple) and all(isinstance(size, int) for size in value)
        if not (_is_scalar(value) or flat or isinstance(value, (_Name, _Type))):
            raise _RefusedError("a tuple of what no array needs")
    machine.push(tuple(values))


def _pop(machine: _Machine, count: int) -> list[Any]:
    if len(machine.stack) < count:
        raise _RefusedError("its stack is empty")
    values = machine.stack[len(machine.stack) - count :]
    del machine.stack[len(machine.stack) - count :]
    return values


def _global(machine: _Machine, module: Any, name: Any) -> None:
    found = None
    if isinstance(module, str) and isinstance(name, str):
        found = _NAMES.get((module, name))
    if found is None:
        raise _RefusedError(f"it asks for {str(module)[:80]}.{str(name)[:80]}")
    machine.push(found)


def _reduce(machine: _Machine) -> None:
    """The three calls that arrays need, done here and not by the function that is named."""
    function, arguments = _pop(machine, 2)
    match function, arguments:
        case _Name.RECONSTRUCT, (_Name.NDARRAY, (0,), b"b" | "b"):
            machine.push(_Array())
        case _Name.DTYPE, (str() | bytes() as code, _, _):
            name = code if isinstance(code, str) else code.decode("latin1")
            if name not in INTEGERS:
                raise _RefusedError(f"it holds values of type {name[:20]!r}")
            machine.push(_Type(name, "|" if name.endswith("1") else ""))
        case _Name.ENCODE, (str() as text, "latin1" | "latin-1"):
            machine.made(len(text))
            try:
                machine.push(text.encode("latin1"))
            except UnicodeEncodeError:
                raise _RefusedError("bytes beyond 255") from None
        case _Name.ENCODE, (_, str() as encoding):
            raise _RefusedError(f"it asks for the encoding {encoding[:20]!r}")
        case _:
            raise _RefusedError("it asks for a call that no array needs")


def _build(machine: _Machine) -> None:
    """The state of a type (its byte order) or of an array (its shape, type and bytes)."""
    target, state = _pop(machine, 2)
    if isinstance(target, _Type) and isinstance(state, tuple) and len(state) >= 2:
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise _RefusedError("a type without a byte order")
        machine.push(_remembered(machine, target, _Type(target.code, order)))
        return
    match target, state:
        case _Array(), (
            1,
            tuple() as shape,
            _Type() as kind,
            bool() | 0 | 1 as by_column,
            bytes() as content,
        ):
            machine.made(len(content))
            array = _array(shape, kind, content, "F" if by_column else "C")
            for key in target.keys:
                machine.memo[key] = array
            machine.push(array)
        case _:
            raise _RefusedError("a state that no array has")


def _remembered(machine: _Machine, old: Any, new: Any) -> Any:
    """`new`, also where the memo holds `old`: the few types of a file."""
    keys = [key for key, value in machine.memo.items() if value is old]
    machine.made(8 * len(machine.memo))
    machine.memo.update(dict.fromkeys(keys, new))
    return new


def _array(shape: tuple[Any, ...], kind: _Type, content: bytes, order: Literal["C", "F"]) -> Any:
    sizes = [size for size in shape if isinstance(size, int) and 0 <= size < 2**40]
    if len(sizes) != len(shape) or not 1 <= len(shape) <= 4 or not kind.order:
        raise _RefusedError("an array of an impossible shape or type")
    count = 1
    for size in sizes:
        count *= size
    dtype = np.dtype(f"{kind.order if kind.order != '|' else '='}{kind.code}")
    if count * dtype.itemsize != len(content):
        raise _RefusedError(f"{len(content)} bytes do not make an array {tuple(sizes)}")
    array = np.frombuffer(content, dtype).reshape(sizes, order=order)
    return array.astype(dtype.newbyteorder("="), order="C")  # a copy, which may be written to


def _get(form: str) -> Callable[[_Machine], None]:
    return lambda machine: machine.recall(machine.number(form))


def _put(form: str) -> Callable[[_Machine], None]:
    return lambda machine: machine.remember(machine.number(form))


def _constant(value: Any) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(value)


def _protocol(machine: _Machine) -> None:
    if (version := machine.number("B")) not in (2, 3, 4):
        raise _RefusedError(f"pickle protocol {version}; the published files have 2")


def _frame(machine: _Machine) -> None:
    machine.take(8)  # the length of a frame says nothing that is needed


def _memoize(machine: _Machine) -> None:
    machine.remember(len(machine.memo))


def _stack_global(machine: _Machine) -> None:
    _global(machine, *_pop(machine, 2))


_STEPS: dict[int, Callable[[_Machine], None]] = {
    0x80: _protocol,
    0x95: _frame,
    ord("("): lambda machine: machine.push(_Mark()),
    ord("}"): lambda machine: machine.push({}),
    ord("]"): lambda machine: machine.push([]),
    ord(")"): lambda machine: machine.push(()),
    ord("N"): _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    ord("J"): lambda machine: machine.push(machine.number("i")),
    ord("K"): lambda machine: machine.push(machine.number("B")),
    ord("M"): lambda machine: machine.push(machine.number("H")),
    0x8A: _long,
    ord("G"): lambda machine: machine.push(struct.unpack(">d", machine.take(8))[0]),
    ord("U"): lambda machine: machine.push(machine.take(machine.number("B"))),
    ord("T"): lambda machine: machine.push(machine.take(machine.number("I"))),
    ord("C"): lambda machine: machine.push(machine.take(machine.number("B"))),
    ord("B"): lambda machine: machine.push(machine.take(machine.number("I"))),
    0x8C: lambda machine: _text(machine, machine.number("B")),
    ord("X"): lambda machine: _text(machine, machine.number("I")),
    0x85: lambda machine: _tuple(machine, _pop(machine, 1)),
    0x86: lambda machine: _tuple(machine, _pop(machine, 2)),
    0x87: lambda machine: _tuple(machine, _pop(machine, 3)),
    ord("t"): lambda machine: _tuple(machine, machine.items()),
    ord("a"): lambda machine: _append(machine, _pop(machine, 1)),
    ord("e"): lambda machine: _append(machine, machine.items()),
    ord("s"): lambda machine: _set(machine, _pop(machine, 2)),
    ord("u"): lambda machine: _set(machine, machine.items()),
    ord("q"): _put("B"),
    ord("r"): _put("I"),
    0x94: _memoize,
    ord("h"): _get("B"),
    ord("j"): _get("I"),
    ord("c"): lambda machine: _global(machine, machine.line(), machine.line()),
    0x93: _stack_global,
    ord("R"): _reduce,
    ord("b"): _build,
}
"""What each instruction does (Lib/pickletools.py names them)."""
