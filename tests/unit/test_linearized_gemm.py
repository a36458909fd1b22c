"""Matrix products and the precision in which they are made."""

from __future__ import annotations

import pytest
import torch

from firstorder.linearized import gemm, tangent


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (64, 48, 300)])
def test_gram_is_the_product_with_the_transposed(
    dtype: torch.dtype, shape: tuple[int, int, int]
) -> None:
    m, n, k = shape
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(m, k, generator=generator, dtype=dtype)
    b = torch.randn(k, n, generator=generator, dtype=dtype).T  # not contiguous
    exact = a.double() @ b.double().T
    tolerance = 2e-6 if dtype == torch.float32 else 1e-13
    assert float((gemm.gram(a, b) - exact).abs().max()) <= tolerance * float(exact.abs().max())


def test_a_library_that_rounds_coarsely_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm, "_onednn", lambda a, b: (a.bfloat16() @ b.bfloat16().T).float())
    gemm._onednn_is_exact.cache_clear()
    try:
        assert not gemm._onednn_is_exact()
        a = torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
        exact = a.double() @ a.double().T
        assert float((gemm.gram(a, a) - exact).abs().max()) <= 2e-6 * float(exact.abs().max())
    finally:
        gemm._onednn_is_exact.cache_clear()


def test_a_missing_operator_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        raise AttributeError("no such operator")

    monkeypatch.setattr(gemm, "_onednn", missing)
    gemm._onednn_is_exact.cache_clear()
    try:
        assert not gemm._onednn_is_exact()
    finally:
        gemm._onednn_is_exact.cache_clear()


def test_full_precision_is_given_back_even_after_an_error() -> None:
    def switches() -> list[str]:
        backends = torch.backends
        convolution = backends.cudnn.conv  # type: ignore[attr-defined]
        return [backends.cuda.matmul.fp32_precision, convolution.fp32_precision]

    before = switches()
    with pytest.raises(RuntimeError), gemm.full_precision():
        assert switches() == ["ieee", "ieee"]
        raise RuntimeError
    assert switches() == before


def test_the_outputs_that_a_kernel_starts_from_are_made_in_full_precision() -> None:
    class Precision(torch.nn.Module):
        """Says whether TF32 is forbidden, 1 or 0 for every example."""

        def __init__(self) -> None:
            super().__init__()
            self.shift = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            convolution = torch.backends.cudnn.conv  # type: ignore[attr-defined]
            return x[:, 0] + self.shift + float(convolution.fp32_precision == "ieee")

    module, x = Precision(), torch.zeros(3, 1)
    delta = {"shift": torch.zeros(1)}
    assert not module(x).any()
    assert tangent.outputs(module, x, batch=2).tolist() == [1, 1, 1]
    assert tangent.linearize(module)(delta, x).tolist() == [1, 1, 1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_kernels_on_a_gpu_agree_with_those_on_the_cpu() -> None:
    from firstorder import models
    from firstorder.linearized.kernel import ntk

    # A smooth activation: products in another order may flip a ReLU whose input is almost zero.
    options = {"init": "lecun", "width": 0.25, "activation": "gelu"}
    module = models.build("resnet18", 1, (3, 16, 16), **options)
    x = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    host = ntk(module, x)
    device = ntk(module.cuda(), x.cuda())
    assert float((host - device).abs().max() / host.abs().max()) < 2e-5
