"""Termination signals, held back until the training has written its checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether a signal has asked the training to stop."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.previous: dict[int, Any] = {}

    def hold(self) -> None:
        """Take over SIGTERM and SIGINT, unless they are ignored or this is not the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self.previous[number] = signal.signal(number, self.receive)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; a second one no longer waits."""
        if self.number is not None:
            self.deliver()
        self.number = number

    def release(self) -> None:
        """Give the signals back to whoever handled them before."""
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous.clear()

    def deliver(self) -> NoReturn:
        """Let the held signal have its effect; exit as after it if it has none."""
        assert self.number is not None
        self.release()
        signal.raise_signal(self.number)
        raise SystemExit(128 + self.number)


@contextmanager
def held_signals(hold: bool) -> Iterator[Stop]:
    """Hold termination signals back while the block runs (if `hold`)."""
    stop = Stop()
    if hold:
        stop.hold()
    try:
        yield stop
    finally:
        stop.release()
    if stop.number is not None:  # it came after the last step
        stop.deliver()
