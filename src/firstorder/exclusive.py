"""Run Snakemake so that a killed run can simply be started again.

`python -m firstorder.exclusive snakemake --cores 2` runs the command while it holds a lock of
the operating system on the folder. That lock goes with the process, however it ends, whereas
Snakemake's own stays behind after a kill. Snakemake's is lifted only when the last run from
here was killed; a lock of a Snakemake that somebody started by hand stays.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

from firstorder import terminal

FOLDER = Path(".snakemake")


def run(command: list[str]) -> int:
    """Run `command` (Snakemake and its arguments); its exit status, or 1 when one runs already."""
    FOLDER.mkdir(exist_ok=True)
    with open(FOLDER / "exclusive", "a+") as state:
        try:
            fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another run goes on in this folder; wait for its end", file=sys.stderr)
            return 1
        except OSError:  # a file system without locks
            return subprocess.call(command)
        state.seek(0)
        if state.read() == "running" and any((FOLDER / "locks").glob("*")):
            print("the last run was killed; continuing where it stopped", flush=True)
            subprocess.run([command[0], "--unlock", "--quiet", "all"], check=True)
        _note(state.fileno(), "running")
        # An interrupt is for Snakemake, which then ends its jobs; here only its end counts.
        # The command holds the lock too, should this process be killed and the command not.
        signal.signal(signal.SIGINT, lambda *_: None)
        status = subprocess.call(command, pass_fds=(state.fileno(),))
        if status >= 0:
            _note(state.fileno(), "")
    return status if status >= 0 else 128 - status


def _note(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


if __name__ == "__main__":
    terminal.any_text()
    sys.exit(run(sys.argv[1:]))
