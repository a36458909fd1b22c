"""The step that computes the centred scalar kernel of an initial network."""

from __future__ import annotations

import time

from firstorder import files, memory
from firstorder.data import support
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.robust_kernels import examples


def compute_scalar_kernel(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Theta of the network with one output, taken as that of every output, without its mean.

    kernel.npy (N, N) and test.npy (M, N), float32; kernel.json: what it took.
    """
    from firstorder.linearized.kernel import ntk
    from firstorder.linearized.normalised import centre_

    began = time.perf_counter()
    device = context.torch_device(spec["threads"])
    train, test = support.images(inputs["dataset"], spec)
    module = examples.network(spec, 1, spec["seed"]).to(device).eval()
    train, test = train.to(device), test.to(device)
    with memory.advising("lower memory_gib of this scale in config/studies/robust_kernels/"):
        kernel = ntk(module, train, memory_gib=spec["memory_gib"])
        rows = ntk(module, test, train, memory_gib=spec["memory_gib"])
    centre_(kernel, rows)
    files.write_array(outputs["kernel.npy"], kernel.numpy())
    files.write_array(outputs["test.npy"], rows.numpy())
    record = {"spec": dict(spec), "seconds": time.perf_counter() - began}
    files.write_json(outputs["kernel.json"], record | context.record(inputs.values()))
