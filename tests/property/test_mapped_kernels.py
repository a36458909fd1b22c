"""Kernels in files and views of them give what whole matrices give, and are not copied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from firstorder.errors import DataError
from firstorder.linearized import gemm, mapped, spectrum
from firstorder.linearized.kernel import ntk

torch.set_num_threads(1)


@pytest.fixture
def kernel() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(90, 40, generator=generator) * torch.logspace(0, -2, 40)
    return rows @ rows.T


@pytest.fixture
def file(kernel: Tensor, tmp_path: Path) -> Path:
    np.save(tmp_path / "kernel.npy", kernel.numpy())
    return tmp_path / "kernel.npy"


def test_rows_of_a_view_are_those_of_the_matrix(kernel: Tensor, file: Path) -> None:
    index = torch.tensor([7, 3, 80, 3])
    for own in (kernel, mapped.opened(file)):
        assert torch.equal(mapped.rows(own, index), kernel[index])
        assert torch.equal(mapped.rows(own, index, slice(10, 60)), kernel[index][:, 10:60])
        assert torch.equal(mapped.rows(own[5:], index, slice(10)), kernel[5:][index][:, :10])


def test_changes_to_a_mapped_kernel_stay_in_memory(kernel: Tensor, file: Path) -> None:
    mapped.opened(file).zero_()
    assert torch.equal(mapped.opened(file), kernel)


@pytest.mark.parametrize("block", [1, 90 * 4 * 7, 2**28])
def test_products_in_blocks_are_those_of_the_matrix(
    kernel: Tensor, file: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "BLOCK_BYTES", block)
    v = torch.randn(90, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    exact = kernel.double() @ v
    for own in (kernel, mapped.opened(file)):
        found = mapped.product(own, v).double()
        assert float((found - exact).abs().max() / exact.abs().max()) < 1e-6
    part = mapped.product(kernel[20:, :50], v[:50]).double()
    assert float((part - kernel[20:, :50].double() @ v[:50]).abs().max()) < 1e-5


def test_a_large_view_is_multiplied_in_parts(
    kernel: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gemm, "VIEW_NUMBERS", 200)
    b = torch.randn(4, 50, generator=torch.Generator().manual_seed(2))
    view = kernel[3:77, 20:70]
    exact = view.double() @ b.double().T
    assert float((gemm.gram(view, b).double() - exact).abs().max() / exact.abs().max()) < 1e-6


def test_the_spectrum_of_a_mapped_kernel_is_that_of_the_kernel(
    kernel: Tensor, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = spectrum.decompose(kernel, 5)
    monkeypatch.setattr(spectrum, "DENSE", 50)
    found = spectrum.decompose(mapped.opened(file), 5)
    assert torch.allclose(found.values, exact.values, rtol=1e-5)
    assert torch.allclose(found.vectors, exact.vectors, atol=1e-3)


def test_a_file_that_is_no_kernel_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"kernel\.npy: no such file"):
        mapped.opened(tmp_path / "kernel.npy")
    (tmp_path / "kernel.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match=r"kernel\.npy: damaged"):
        mapped.opened(tmp_path / "kernel.npy")


def test_a_kernel_in_a_file_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x = torch.randn(3000, 4, generator=torch.Generator().manual_seed(3))
    ntk(module, x[:600])  # what is allocated once
    before = own_memory()
    on_disk = ntk(module, x, out=tmp_path / "kernel.npy")
    assert own_memory() - before < on_disk.nbytes / 4


def own_memory() -> int:
    """Bytes that the process holds beside mapped files."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs Linux")
    lines = dict(line.split(":") for line in status.read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) * 1024
