"""Ours and its peers in turns, as one table: `make bench`, or

    python tests/benchmarks [--threads 2] [kernel kernel-torch ...]

Times are wall seconds: median and range of the repetitions; ratios are theirs over ours, turn by
turn. Every item runs in a process of its own. Peers that are not installed are named as such.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import bench_ceilings
import bench_dynamics
import bench_evaluation
import bench_kernel
import bench_linearized
import bench_recorded
import bench_spectrum
import bench_stacked
import bench_training
import torch
from timing import Line, print_header, print_line

ITEMS: dict[str, Callable[[], Iterator[Line]]] = {
    "ceilings": bench_ceilings.ceilings,
    "kernel": bench_kernel.lenet_jax,
    "kernel-torch": bench_kernel.lenet_torch,
    "kernel-outputs": bench_kernel.lenet_outputs,
    "resnet": bench_kernel.resnet_torch,
    "resnet-jax": bench_kernel.resnet_jax,
    "function-space": bench_linearized.in_function_space,
    "factored": bench_linearized.by_factors,
    "factored-jax": bench_linearized.by_factors_jax,
    "spectrum": bench_spectrum.top,
    "spectrum-large": bench_spectrum.large,
    "implicit": bench_spectrum.implicit,
    "training": bench_training.lines,
    "training-small": bench_training.small,
    "recorded": bench_recorded.recorded,
    "stacked": bench_stacked.stacked,
    "evaluation": bench_evaluation.evaluations,
    **bench_dynamics.ITEMS,
}


def available(item: str) -> bool:
    """Whether this machine can run an item."""
    return item != "recorded" or torch.cuda.is_available()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=", ".join(ITEMS))
    parser.add_argument("--here", action="store_true", help="one item in this process, no header")
    options = parser.parse_args()
    if unknown := set(options.items) - ITEMS.keys():
        parser.error(f"unknown items {sorted(unknown)}; allowed: {', '.join(ITEMS)}")
    if absent := [item for item in options.items if not available(item)]:
        parser.error(f"{', '.join(absent)}: needs a GPU")
    if options.here:
        torch.set_num_threads(options.threads)
        for line in ITEMS[options.items[0]]():
            print_line(line)
        return
    # An exported core type may send scipy's and numpy's library along a slower path.
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    print_header()
    for item in options.items or [name for name in ITEMS if available(name)]:
        command = [sys.executable, "-W", "ignore", str(Path(__file__).parent)]
        command += ["--here", "--threads", str(options.threads), item]
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
