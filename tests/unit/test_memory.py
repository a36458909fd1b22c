"""Shortages of memory are known by what torch, CUDA and NumPy say of them."""

from __future__ import annotations

import resource
import sys

import pytest
import torch

from firstorder import memory
from firstorder.errors import OutOfMemoryError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a"),
            "CUDA out of memory. Tried to allocate 2.00 GiB",
        ),
        (
            RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later."),
            "CUDA error: out of memory",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`"),
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`",
        ),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
            "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "can't allocate memory"),
        (MemoryError(), "the machine has no more"),
    ],
)
def test_a_shortage_is_one_line(error: Exception, reason: str) -> None:
    assert memory.shortage(error) == reason
    with pytest.raises(OutOfMemoryError) as raised, memory.advising("use less"):
        raise error
    assert str(raised.value) == f"out of memory ({reason}); use less"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        ValueError("CUDA error: out of memory"),
    ],
)
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert memory.shortage(error) is None
    with pytest.raises(type(error)) as raised, memory.advising("use less"):
        raise error
    assert raised.value is error


def test_the_most_that_a_process_has_held_is_in_bytes_on_every_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 2**24 < memory.peak() < 2**40
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monkeypatch.setattr(sys, "platform", "darwin")
    assert most <= memory.peak() < 1024 * most
