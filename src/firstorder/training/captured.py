"""A training step as one launch: on a GPU small networks wait for Python, not for arithmetic.

A step is some hundred kernels, each launched by the host in about ten microseconds. A CUDA graph
records them once and launches all of them at once; it is the same kernels on the same addresses,
so what a step computes must not depend on anything that Python decides from step to step, nor on
random numbers of the host.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from firstorder.training.loop import Shown, Training

log = logging.getLogger("firstorder")


class CapturedStep:
    """`Training.descend` on batches of one size, recorded; its state is the training's own."""

    def __init__(self, training: Training, index: Tensor) -> None:
        """Record the step on batches as large as `index` (B,). No weight or stream moves."""
        self.index = index.clone()
        self.lr = torch.zeros((), device=index.device)
        before = [value.clone() for value in _state(training)]
        with torch.no_grad():  # a buffer that cannot be written is found while nothing has moved
            torch._foreach_copy_(_state(training), before)
        generators = (training.augmenting, training.drawing)
        drawn = [generator.get_state() for generator in generators]
        on_host = torch.default_generator.get_state()
        try:
            self._warm_up(training)
            self.graph = torch.cuda.CUDAGraph()
            for generator in generators:
                self.graph.register_generator_state(generator)
            with torch.cuda.graph(self.graph):
                self.shown = self._descend(training)
            if not torch.equal(torch.default_generator.get_state(), on_host):
                raise RuntimeError("a layer or the loss draws random numbers on the host")
        finally:
            with torch.no_grad():
                torch._foreach_copy_(_state(training), before)
            for generator, state in zip(generators, drawn, strict=True):
                generator.set_state(state)

    def _warm_up(self, training: Training) -> None:
        """Let libraries allocate what they allocate at first use, outside the recording."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self._descend(training)
        torch.cuda.current_stream().wait_stream(stream)

    def _descend(self, training: Training) -> Shown:
        return training.descend(self.index, training.data.labels[self.index], self.lr)

    def __call__(self, index: Tensor, lr: float) -> Shown:
        """One step on the examples at `index` (B,)."""
        self.index.copy_(index)
        self.lr.fill_(lr)
        self.graph.replay()
        loss, norm, largest, predictions = self.shown
        return loss.clone(), norm.clone(), largest.clone(), predictions.clone()


def capture(training: Training, index: Tensor) -> CapturedStep | None:
    """The recorded step; None, with a line in the log, where a network or loss cannot be recorded.

    Such a one waits for the GPU within a step, for instance to look at a number, or draws on the
    host.
    """
    try:
        return CapturedStep(training, index)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        log.info("steps are launched kernel by kernel: they cannot be recorded (%s)", reason)
        return None


def _state(training: Training) -> list[Tensor]:
    """Every tensor that a step changes."""
    modules = (training.module, training.normaliser)
    return [
        *(value.detach() for module in modules for value in module.parameters()),
        *(value for module in modules for value in module.buffers()),
        *training.optimiser.momenta,
    ]
