"""Unpickle arrays and plain containers, nothing else.

A pickle is a program. The published CIFAR files are pickles, so they are read by an unpickler
that knows the few names which arrays need and refuses every other.
"""

from __future__ import annotations

import codecs
import io
import pickle
from typing import Any

import numpy as np

from firstorder.errors import DataError


def load_plain(data: bytes, where: str) -> Any:
    """The arrays, bytes, strings, numbers, lists and dictionaries pickled in `data`.

    `where` names the file in the DataError that a damaged or foreign pickle raises. Strings of
    Python 2 come out as bytes.
    """
    try:
        return _Plain(io.BytesIO(data), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        raise DataError(f"{where}: not plain data: {error}") from None
    except Exception as error:
        # A damaged pickle fails anywhere: in the stream, in a constructor, in an array's state.
        raise DataError(f"{where}: damaged ({type(error).__name__}: {error})") from None


def _encode_latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes into an old pickle."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text in {encoding}")
    return codecs.encode(text, "latin1")


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): _encode_latin1,
}


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None
