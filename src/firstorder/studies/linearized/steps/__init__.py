"""The steps of the linearized study."""

from __future__ import annotations

import sys


def say(what: str, done: int, total: int) -> None:
    """Say in the log how far a step is."""
    print(f"{what} {done} of {total}", file=sys.stderr, flush=True)
