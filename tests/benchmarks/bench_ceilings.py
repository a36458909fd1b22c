"""What the machine can do at best: products of matrices and copies of memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from timing import Line, Timing, alternate

from firstorder.linearized.gemm import batched_gram, gram

SIDE = 2048


def ceilings() -> Iterator[Line]:
    """GFLOP/s of float32 products and GB/s, with one thread and with two."""
    a = torch.randn(SIDE, SIDE)
    patches, gradients = torch.randn(64, 75, 1024), torch.randn(64, 6, 1024)
    source, target = torch.empty(2**28).fill_(1), torch.empty(2**28).fill_(0)
    threads = torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        item = f"ceiling, {count} thread{'s' if count > 1 else ''}"
        square = alternate({"ours": lambda: gram(a, a), "mkl": lambda: a @ a.T}, 9)
        yield _rates(item, f"product {SIDE}^3, MKL", square, "mkl", 2 * SIDE**3, "GFLOP/s")
        many = alternate(
            {
                "ours": lambda: batched_gram(gradients, patches),
                "mkl": lambda: torch.bmm(gradients, patches.mT),
            },
            25,
        )
        flops = 2 * 64 * 6 * 75 * 1024
        yield _rates(item, "64 products (6, 1024) (1024, 75), MKL", many, "mkl", flops, "GFLOP/s")
        memory = alternate({"ours": lambda: target.copy_(source), "read": lambda: source.sum()}, 5)
        size = 2 * source.numel() * 4
        yield _rates(item, "1 GiB copied; read (theirs)", memory, "read", size, "GB/s")
    torch.set_num_threads(threads)


def _rates(
    item: str, what: str, times: dict[str, Timing], peer: str, work: float, unit: str
) -> Line:
    ours, theirs = times["ours"], times[peer]
    second = work / 2 if unit == "GB/s" else work
    return Line(
        item,
        what,
        f"{work / ours.median / 1e9:.0f} {unit}",
        f"{second / theirs.median / 1e9:.0f} {unit}",
        "" if unit == "GB/s" else f"{theirs.median / ours.median:.2f}",
    )
