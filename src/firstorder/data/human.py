"""Human annotations of CIFAR (CIFAR-10N and CIFAR-100N, Wei et al. 2022).

The published `.pt` files are pickles of a dictionary of integer arrays or lists, in the order of
the training set. A pickle may call anything, so this reader lets it build integer arrays and
nothing else.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from firstorder.errors import DataError

CLEAN = "clean_label"
"""Key of the true labels."""

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First value of torch's format without a zip archive; two more values precede the object."""

INTEGERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"b"}
"""Types that arrays of the file may have; `b` is that of a fresh, empty array."""


def read(path: str | Path) -> dict[str, np.ndarray]:
    """All label vectors of a CIFAR-N file, by key, int64 (N,).

    Raises DataError when the file is not a dictionary of integer vectors, or asks for anything
    but NumPy's integer arrays.
    """
    try:
        loaded = _load(Path(path))
        if not isinstance(loaded, dict) or CLEAN not in loaded:
            raise pickle.UnpicklingError(f"no dictionary with {CLEAN!r}")
        return {str(key): _vector(key, value) for key, value in loaded.items()}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # a hostile or damaged pickle may raise anything
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a CIFAR-N label file ({reason}); fetch it again") from None


def annotation(path: str | Path, key: str, clean: np.ndarray) -> np.ndarray:
    """The labels under `key`, after checking that the file's true labels are `clean` (N,)."""
    vectors = read(path)
    if key not in vectors:
        raise DataError(f"{path}: no annotation {key!r}; it has {', '.join(vectors)}")
    if not np.array_equal(vectors[CLEAN], clean):
        raise DataError(
            f"{path}: {CLEAN} differs from the labels of the dataset; "
            "both must be the whole training set in its published order"
        )
    if vectors[key].shape != clean.shape:
        raise DataError(f"{path}: {key} has {vectors[key].size} labels for {clean.size} examples")
    return vectors[key]


def _load(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            first = _Integers(stream).load()
            if first != LEGACY_MAGIC:
                return first
            return [_Integers(stream).load() for _ in range(3)][-1]
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        return _Integers(io.BytesIO(archive.read(name))).load()


def _vector(key: object, value: object) -> np.ndarray:
    vector = np.asarray(value)
    if vector.ndim != 1 or vector.dtype.kind not in "iu":
        raise pickle.UnpicklingError(f"{key!r} is no vector of integers")
    return vector.astype(np.int64)


class _Integers(pickle.Unpickler):
    """An unpickler that can name four harmless functions of this module."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct"):
                return _empty
            case ("numpy", "ndarray"):
                return np.ndarray
            case ("numpy", "dtype"):
                return _integer_type
            case ("_codecs", "encode"):
                return _bytes
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _empty(kind: type, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """An empty array, which the pickle fills next."""
    return np.ndarray(shape if kind is np.ndarray else (), _integer_type(code.decode()))


def _integer_type(code: str, *flags: bool) -> np.dtype:
    if code not in INTEGERS:
        raise pickle.UnpicklingError(f"it holds values of type {code!r}")
    return np.dtype(code, *flags)


def _bytes(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")
