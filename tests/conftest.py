"""What holds for every test."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Take interrupts again where a shell started the tests in the background, without them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
