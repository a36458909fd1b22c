"""The step that follows every loss on a fixed kernel from one first step on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from firstorder import files
from firstorder.data import support
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.studies.robust_kernels import examples

if TYPE_CHECKING:
    from torch import Tensor

    from firstorder.losses.registry import Loss


def follow_paths(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Full-batch gradient descent of every loss on the kernel, at learning rate lr / kappa.

    lr is N over the largest eigenvalue. paths.csv: along the steps, for every rate of the noise.
    first_step.csv and exact.json: the first step, and the unhinged loss over all steps, in float64
    on the first `exact` training examples.
    """
    from firstorder.linearized import multiclass
    from firstorder.linearized.multiclass import Part

    began = time.perf_counter()
    device = context.torch_device(spec["threads"])
    kernel, test = (each.to(device) for each in examples.read_kernels(inputs))
    clean, true = (each.to(device) for each in support.labels(inputs["dataset"], spec))
    losses, classes = _losses(spec), spec["classes"]
    rate = _step_size(kernel)
    rows: list[dict[str, Any]] = []
    for eta in spec["rates"]:
        given = examples.noisy(clean, eta, classes, "remainder", spec["seed"])
        runs = {
            name: multiclass.equal_first_step(loss.values, given, classes)
            for name, loss in losses.items()
        }
        paths = multiclass.train(
            Part(kernel, clean),
            Part(test, true),
            runs,
            multiclass.full_batch(rate, spec["steps"]),
            num_classes=classes,
        )
        for name in losses:
            rows += _rows_of(paths, name, eta)
    files.write_csv(outputs["paths.csv"], rows)
    size = spec["exact"]
    part = Part(kernel[:size, :size].double(), clean[:size])
    tested = Part(test[:, :size].double(), true)
    given = examples.noisy(part.labels, spec["rates"][0], classes, "remainder", spec["seed"])
    first = _first_steps(part, given, losses, classes)
    files.write_csv(outputs["first_step.csv"], first)
    exact = _constant(part, tested, given, classes, spec["steps"])
    record = {"spec": dict(spec), "statements": exact, "seconds": time.perf_counter() - began}
    files.write_json(outputs["exact.json"], record | context.record(inputs.values()))


def _losses(spec: Spec) -> dict[str, Loss]:
    from firstorder import losses

    return {
        each["slug"]: losses.build(each["function"], spec["classes"], **each["parameters"])
        for each in spec["losses"]
    }


def _step_size(kernel: Tensor) -> float:
    """N over the largest eigenvalue."""
    from firstorder.linearized.spectrum import block_krylov

    found, _ = block_krylov(
        lambda v: (kernel @ v.to(kernel)).to(v), len(kernel), 1, device=kernel.device
    )
    return len(kernel) / float(found.values[0])


def _rows_of(paths: Any, name: str, eta: float) -> list[dict[str, Any]]:
    column = paths.of(name)
    return [
        {
            "rate": eta,
            "loss": name,
            "step": step,
            "train_loss": float(paths.loss[row, column]),
            "train_accuracy": float(paths.train_accuracy[row, column]),
            "test_accuracy": float(paths.test_accuracy[row, column]),
            "wrong_fitted": float(paths.wrong_fitted[row, column]),
        }
        for row, step in enumerate(paths.steps)
    ]


def _first_steps(
    part: Any, given: Tensor, losses: Mapping[str, Loss], classes: int
) -> list[dict[str, Any]]:
    """kappa, whether the loss breaks ties, and the cosine of the first step with that of the mean
    classifier, over all training examples and outputs."""
    import torch

    from firstorder.linearized import mean_classifier, multiclass
    from firstorder.losses.equal_components import equal_components

    runs = {
        name: multiclass.equal_first_step(loss.values, given, classes)
        for name, loss in losses.items()
    }
    made = multiclass.train(part, part, runs, multiclass.full_batch(1.0, 1), num_classes=classes)
    expected = mean_classifier.coefficients(given, classes).cpu().flatten()
    rows = []
    for name, loss in losses.items():
        own = made.coefficients[made.of(name)].flatten()
        cosine = torch.nn.functional.cosine_similarity(own, expected, dim=0)
        rows.append(
            {
                "loss": name,
                "kappa": 1 / runs[name].scale,
                "breaks_ties": equal_components(loss).breaks_ties,
                "cosine": float(cosine),
                "error": float((own - expected).norm() / expected.norm()),
            }
        )
    return rows


def _constant(
    part: Any, test: Any, given: Tensor, classes: int, steps: int
) -> dict[str, float | int]:
    """The unhinged loss after one step and after all, against the closed form.

    `changed`: test predictions that differ between the first step and the last;
    `error`: relative, of the coefficients at the end.
    """
    from firstorder import losses
    from firstorder.linearized import mean_classifier, multiclass

    rate = _step_size(part.kernel)
    run = multiclass.equal_first_step(losses.build("unhinged", classes).values, given, classes)
    made = {
        count: multiclass.train(
            part,
            test,
            {"unhinged": run},
            multiclass.full_batch(rate, count),
            num_classes=classes,
            record=(0,),
        ).coefficients[0]
        for count in (1, steps)
    }
    kernel = test.kernel.cpu()
    early, late = ((kernel @ made[count]).argmax(1) for count in (1, steps))
    closed = mean_classifier.coefficients(given, classes, rate * steps).cpu()
    return {
        "steps": steps,
        "changed": int((early != late).sum()),
        "error": float((made[steps] - closed).norm() / closed.norm()),
    }
