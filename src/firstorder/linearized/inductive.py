"""Eigenfunctions that know the training examples only.

Eigenvectors of the kernel of all examples are transductive: the test examples help to define the
task. Here the eigenvectors are those of the training part, K u = lambda u, and a test example gets
the value of the function that they stand for (Nystrom's extension),

    u(x) = sum_n Theta(x, x_n) u_n / lambda,

which at a training example is u_n itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from firstorder.linearized.cg import times
from firstorder.linearized.spectrum import Spectrum


def extend(spectrum: Spectrum, test_kernel: Tensor) -> Tensor:
    """Values (k, M) of the k eigenfunctions of `spectrum` (its N training examples) at the rows of
    `test_kernel` (M, N).

    Raises ValueError where an eigenvalue is zero to rounding: it has no extension.
    """
    values = spectrum.values.to(test_kernel.device)
    least = len(spectrum.vectors.T) * torch.finfo(values.dtype).eps * float(values.max())
    if float(values.min()) <= least:
        known = int((values > least).sum())
        raise ValueError(f"only {known} of {len(values)} eigenvalues are not zero; ask for fewer")
    return times(test_kernel, spectrum.vectors.T.to(test_kernel.device)).T / values[:, None]


def everywhere(spectrum: Spectrum, test_kernel: Tensor) -> Tensor:
    """The eigenfunctions (k, N + M) at the training examples, then at the test examples."""
    extended = extend(spectrum, test_kernel)
    return torch.cat([spectrum.vectors.to(extended), extended], 1)
