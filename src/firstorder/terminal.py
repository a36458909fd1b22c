"""Standard output and error, which must not end a job because they cannot show a letter."""

from __future__ import annotations

import io
import sys


def any_text() -> None:
    """Let what a stream's encoding lacks (an `é` on ASCII) appear escaped instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
