"""When a training writes its checkpoint, and how it goes on from one."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from firstorder.training import checkpoint as checkpoints
from firstorder.training.checkpoint import Checkpoint
from firstorder.training.stopping import Stop

if TYPE_CHECKING:
    from firstorder.training.loop import Training

log = logging.getLogger("firstorder")


class Saver:
    """Writes the state of a training when it is time to, and before a signal takes effect."""

    def __init__(self, training: Training, checkpoint: Checkpoint | None, stop: Stop) -> None:
        self.training = training
        self.stop = stop
        self.written = time.monotonic()
        self.checkpoint = checkpoint and replace(
            # A generator's state is of its device, and each seed is a run of its own.
            checkpoint,
            spec=f"{checkpoint.spec} seed{training.seed} {training.device.type}",
        )

    def resume(self) -> None:
        """Continue from the checkpoint, if there is one of this run."""
        stored = checkpoints.load(self.checkpoint) if self.checkpoint else None
        if stored is not None:
            tensors, state = stored
            self.training.load(tensors, state)
            at = self.training.position
            log.info("resumed in epoch %d, after %d steps", at.epoch, at.steps)

    def due(self) -> bool:
        """Whether to save at this step."""
        if self.checkpoint is None:
            return False
        waited = time.monotonic() - self.written
        return self.stop.number is not None or waited > self.checkpoint.seconds

    def save_if_due(self) -> None:
        """Save if it is time to."""
        if self.due():
            self.save()

    def save(self) -> None:
        """Write the checkpoint, then let a held signal have its effect."""
        assert self.checkpoint is not None
        state = asdict(self.training.position) | {"seconds": self.training.seconds()}
        checkpoints.save(self.checkpoint, self.training.tensors(), state)
        self.written = time.monotonic()
        if self.stop.number is not None:
            self.stop.deliver()
