"""Named random streams.

Every random draw of the project comes from a stream that is named (`init`, `order`, `augment`,
`noise`, `split`, ...) and derived from `(seed, name)` alone, so no result depends on the order of
jobs, on the number of cores or on what ran before. torch's own generators, which layers like
dropout draw from, are seeded where such layers are built or trained, and put back after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def sequence(seed: int, name: str) -> np.random.SeedSequence:
    """The seed sequence of stream `name` under `seed`."""
    return np.random.SeedSequence(entropy=seed, spawn_key=tuple(name.encode()))


def numpy_stream(seed: int, name: str) -> np.random.Generator:
    """A NumPy generator for stream `name` under `seed`."""
    return np.random.Generator(np.random.PCG64(sequence(seed, name)))


def torch_stream(seed: int, name: str, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on `device` for stream `name` under `seed`."""
    import torch

    generator = torch.Generator(device=device)
    generator.manual_seed(int(sequence(seed, name).generate_state(1, np.uint64)[0] >> np.uint64(1)))
    return generator
