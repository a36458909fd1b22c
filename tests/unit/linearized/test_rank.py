"""Kernels without the eigenvectors that are asked for, or with numbers that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from firstorder import arrays
from firstorder.errors import DataError
from firstorder.jobs.context import Context
from firstorder.studies.linearized.eigenvectors import read_eigenvectors
from firstorder.studies.linearized.steps import kernel


def test_an_eigenvector_beyond_the_rank_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "spectrum.npz")
    values = np.array([5.0, 1.0, 1e-3, 1e-8, -1e-9])
    arrays.write(path, eigenvalues=values, eigenvectors=np.eye(5))
    assert read_eigenvectors(path, 3).shape == (5, 5)
    with pytest.raises(DataError, match="eigenvector 4 is noise: the kernel has rank 3"):
        read_eigenvectors(path, 4)


def test_a_kernel_with_numbers_that_are_none_is_refused(tmp_path: Path) -> None:
    path, gram = tmp_path / "kernel.npy", np.eye(4, dtype=np.float32)
    gram[2, 2] = np.nan
    np.save(path, gram)
    spec = {"threads": 1, "eigenvectors": 2}
    with pytest.raises(DataError, match=r"kernel\.npy: not finite"):
        kernel.decompose(spec, {"kernel.npy": str(path)}, {}, Context(device="cpu"))


def test_an_eigenfunction_of_the_training_kernel_beyond_its_rank_is_refused() -> None:
    gram = torch.ones(5, 5)
    spec = {"support": {"train": 4}, "inductive": 3}
    with pytest.raises(DataError, match=r"only 1 of 3 eigenvalues are not zero.*lower the `tasks`"):
        kernel._inductive(spec, gram, torch.device("cpu"))
