"""Networks at their start: their tangent kernels and the spectra of these."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from firstorder import arrays, files
from firstorder.errors import DataError
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.memory import advising
from firstorder.studies.linearized.networks import draw, examples, load, state_of, write_state
from firstorder.studies.linearized.steps import say

if TYPE_CHECKING:
    import torch
    from torch import Tensor


GRADIENTS = ("k", "eigenvalue", "alignment")
CHECKED = (1, 2, 5, 10)
"""The eigenvectors whose alignment is also computed by gradients, without the kernel."""


def compute_kernel(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Initialise a model; write its weights, its outputs and its tangent kernel on a support."""
    from firstorder.linearized.kernel import ntk
    from firstorder.linearized.tangent import outputs as outputs_of

    device = context.torch_device(spec["threads"])
    images = examples(inputs["dataset"], spec["support"]).images.to(device)
    module = draw(spec)
    write_state(outputs["init.safetensors"], state_of(module))
    module.to(device)
    memory = spec["memory_gib"]
    train = spec["support"]["train"]
    with advising(f"lower train (now {train}) of the support in config/studies/linearized/"):
        ntk(
            module,
            images,
            memory_gib=memory,
            out=outputs["kernel.npy"],
            progress=partial(say, "kernel"),
        )
        scores = outputs_of(module, images).cpu().numpy()
    files.write_array(outputs["outputs.npy"], scores)


def decompose(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Decompose a kernel: the leading eigenvalues of the Gram matrix and its eigenvectors.

    Some eigenvalues are set beside the alignment of their eigenvectors by the gradients of the
    network: they agree only if the kernel is that of the network.
    """
    from firstorder.linearized import spectrum
    from firstorder.linearized.alignment import from_gradients
    from firstorder.linearized.mapped import opened

    device = context.torch_device(spec["threads"])
    gram = opened(inputs["kernel.npy"])
    if not bool(gram.diagonal().isfinite().all()):
        raise DataError(
            f"{inputs['kernel.npy']}: not finite: the outputs of the network at its start are too "
            "large, or its inputs are not finite"
        )
    found = spectrum.decompose(gram, spec["eigenvectors"], device)
    arrays.write(
        outputs["spectrum.npz"],
        eigenvalues=found.values.numpy(),
        eigenvectors=found.vectors.numpy(),
        trace=gram.diagonal().double().sum().numpy(),
        n_train=np.int64(spec["support"]["train"]),
    )
    images = examples(inputs["dataset"], spec["support"]).images.to(device)
    module = load(spec, inputs["init.safetensors"]).to(device)
    rows = []
    for k in (k for k in CHECKED if k <= len(found.values)):
        aligned = from_gradients(module, images, found.vectors[k - 1].to(device), batch=64)
        value = float(found.values[k - 1])
        rows.append({"k": k, "eigenvalue": value, "alignment": float(aligned)})
    files.write_csv(outputs["gradients.csv"], rows, GRADIENTS)
    arrays.write(outputs["inductive.npz"], **_inductive(spec, gram, device))


def _inductive(spec: Spec, gram: Tensor, device: torch.device) -> dict[str, np.ndarray]:
    """Eigenfunctions of the kernel of the training examples, at all: as many as tasks need."""
    from firstorder.linearized import inductive, spectrum

    train, wanted = spec["support"]["train"], spec["inductive"]
    if not wanted:
        return {"eigenvalues": np.zeros(0), "eigenvectors": np.zeros((0, 0))}
    found = spectrum.decompose(gram[:train, :train], wanted, device)
    try:
        functions = inductive.everywhere(found, gram[train:, :train].to(device))
    except ValueError as error:
        raise DataError(
            f"the kernel of the {train} training examples: {error}: lower the `tasks` of the "
            "inductive families on this support"
        ) from None
    return {
        "eigenvalues": found.values.cpu().numpy(),
        "eigenvectors": functions.cpu().numpy(),
    }
