"""Claims that follow from definitions: measured on small tensors, in float64, not on runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from firstorder.bounds import Classes, Positive, Share
from firstorder.publish.numerals import number
from firstorder.publish.registry import Results, claim
from firstorder.publish.verdict import Verdict, combine, exact, not_run
from firstorder.streams import torch_stream
from firstorder.studies.symmetrization.claims_certain import (
    ROUNDING,
    labels_of,
    losses_of,
    random_scores,
)

if TYPE_CHECKING:
    from firstorder.losses.registry import Loss

# torch and the losses are imported where they are used: most claims need neither.


def _gradients(loss: Loss, scores: np.ndarray) -> np.ndarray:
    """Gradients (B, K, K) in the scores of the loss of every label: [b, y] = dL(s_b, y)/ds_b."""
    import torch

    s = torch.from_numpy(scores).requires_grad_()
    values = loss.values(s)
    columns = [torch.autograd.grad(v.sum(), s, retain_graph=True)[0] for v in values.unbind(1)]
    return torch.stack(columns, dim=1).numpy()


@claim("constant-gradient")
def constant_gradient(results: Results, *, classes: Classes = 10) -> Verdict:
    """P10: the unhinged gradient is 1/K − e_y whatever the scores; MAE's depends on them."""
    from firstorder.losses import build

    scores = random_scores(classes)
    gradients = {
        name: _gradients(build(name, num_classes=classes), scores)
        for name in ("unhinged", "mae", "ce")
    }
    off = float(np.abs(gradients["unhinged"] - (1 / classes - np.eye(classes))).max())
    norms = {name: np.linalg.norm(each, axis=2) for name, each in gradients.items()}
    ratio = {name: float(norm.max() / norm.min()) for name, norm in norms.items()}
    text = (
        f"On random scores of {classes} classes the gradient of the unhinged loss leaves 1/K − e_y "
        f"by at most {number(off, 2)}, while the norm of CE's varies by a factor "
        f"{ratio['ce']:,.0f} and that of MAE's by {ratio['mae']:,.0f}."
    )
    found = (
        exact(off, ROUNDING, "below", name="error of the unhinged gradient"),
        exact(ratio["mae"], 10.0, name="largest over least norm of MAE"),
    )
    return combine(found, "all", text)


@claim("same-first-steps")
def same_first_steps(
    results: Results, *, classes: Classes = 10, scale: Positive = 0.001, cosine: Share = 0.99
) -> Verdict:
    """P11: from equal scores CE and unhinged step alike in the weights; MAE takes 1/K of the step.

    Measured on a multilayer perceptron. `scale`: of its last layer against how it is drawn;
    `cosine`: the least between two steps.
    """
    steps = {name: _step(name, classes, scale) for name in ("unhinged", "ce", "mae")}
    size = {name: float(np.linalg.norm(step)) for name, step in steps.items()}
    ce_cosine, mae_cosine = (
        float(steps[name] @ steps["unhinged"]) / size[name] / size["unhinged"]
        for name in ("ce", "mae")
    )
    ratio, small = (size[name] / size["unhinged"] for name in ("ce", "mae"))
    text = (
        f"With the last layer of a network scaled by {scale:g} the gradient of CE in its weights "
        f"has cosine {ce_cosine:.4f} to that of unhinged and {ratio:.3f} of its norm; that of MAE "
        f"cosine {mae_cosine:.4f} and {small:.3f} of the norm, against 1/K = {1 / classes:.3f}."
    )
    found = (
        exact(ce_cosine, cosine, name="cosine of CE and unhinged"),
        exact(mae_cosine, cosine, name="cosine of MAE and unhinged"),
        exact(ratio - 1, 0.05, "within", name="norm of CE over that of unhinged, − 1"),
        exact(
            small * classes - 1,
            0.05,
            "within",
            name="K times the norm of MAE over that of unhinged, − 1",
        ),
    )
    return combine(found, "all", text)


def _step(name: str, classes: int, scale: float, examples: int = 200) -> np.ndarray:
    """Gradient in all weights, as one vector, of a loss of the same network on the same batch."""
    import torch

    from firstorder import losses, models

    generator = torch_stream(0, "claims")
    network = models.build("mlp", classes, (1, 8, 8), generator=generator).double()
    inputs = torch.randn(examples, 1, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (examples,), generator=generator)
    weights = list(network.parameters())
    with torch.no_grad():
        for weight in weights[-2:]:  # of the last layer, and its bias
            weight.mul_(scale)
    value = losses.build(name, num_classes=classes)(network(inputs), labels)
    return torch.cat([slope.flatten() for slope in torch.autograd.grad(value, weights)]).numpy()


@claim("noise-identity", reads=("definitions",))
def noise_identity(results: Results, *, classes: Classes = 10, rate: Share = 0.4) -> Verdict:
    """P12: under noise the mean gradient of a symmetric loss is (1 − ηK/(K−1)) times the clean one.

    Of every symmetric loss that is selected. The mean over noisy labels is a finite sum: the true
    label has weight 1 − η, every other one η/(K − 1).
    """
    from firstorder.losses import build, is_symmetric

    scores = random_scores(classes, 2.0, examples=50)
    truth = np.arange(len(scores)) % classes
    weights = np.full((len(scores), classes), rate / (classes - 1))
    weights[np.arange(len(scores)), truth] = 1 - rate
    factor = 1 - rate * classes / (classes - 1)

    def off(loss: Loss) -> float:
        gradients = _gradients(loss, scores)
        mean = np.einsum("by,byk->bk", weights, gradients)
        clean = factor * gradients[np.arange(len(scores)), truth]
        return float(np.linalg.norm(mean - clean) / np.linalg.norm(clean))

    label = labels_of(results)
    symmetric = {
        label[name]: off(loss) for name, loss in losses_of(results, classes) if is_symmetric(loss)
    }
    if not symmetric:
        return not_run("No symmetric loss is selected.")
    ce = off(build("ce", num_classes=classes))
    text = (
        f"At η = {rate:g} the mean of the noisy gradients of {len(symmetric)} symmetric losses "
        f"differs from {factor:.3f} times the clean one by at most "
        f"{number(max(symmetric.values()), 2)} of its norm; for CE by {ce:.3f}."
    )
    errors = [exact(error, ROUNDING, "below", name=name) for name, error in symmetric.items()]
    return combine((*errors, exact(ce, 0.1, name="error of CE")), "all", text)
