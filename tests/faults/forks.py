"""Verbs of the command line as processes of their own, without the seconds of torch's import.

Run as a program this is a process that has imported everything and computed nothing. It reads a
JSON object a line, forks a child that runs `firstorder` as that object says, answers with the
child's number and, at its end, with its exit status as `subprocess` gives it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CRASHED = 70
"""Exit status of a child that ends with a traceback."""


@dataclass
class Child:
    """A verb that runs."""

    server: subprocess.Popen[str]
    pid: int
    log: Path

    def wait(self) -> Done:
        """Wait for its end."""
        assert self.server.stdout is not None
        return Done(int(self.server.stdout.readline()), self.log.read_text())


@dataclass(frozen=True)
class Done:
    """How a verb ended, and all that it printed."""

    status: int
    text: str

    def line(self) -> str:
        """The message of a verb that refused, which is its last line and no traceback."""
        assert self.status == 1, (self.status, self.text)
        assert "Traceback" not in self.text, self.text
        last = self.text.rstrip("\n").splitlines()[-1]
        assert last.startswith("firstorder: "), self.text
        assert self.text.count("firstorder: ") == 1, self.text
        return last.removeprefix("firstorder: ")


class Verbs:
    """Starts verbs, one at a time."""

    def __init__(self, logs: Path) -> None:
        self.logs, self.count = logs, 0
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **{key: value for key, value in os.environ.items() if key != "FIRSTORDER_PLAN"},
                # Records name the commit, which must not change because somebody commits meanwhile.
                "FIRSTORDER_COMMIT": "0" * 40,
            },
        )

    def start(self, folder: Path, *arguments: str, before: str = "", bytes: int = -1) -> Child:
        """Start `firstorder ARGUMENTS` in `folder`.

        `before` is Python code that runs first; no file may grow beyond `bytes`, if given.
        """
        assert self.server.stdin is not None and self.server.stdout is not None
        self.count += 1
        log = self.logs / f"{self.count}.log"
        log.touch()
        request = {
            "folder": str(folder),
            "arguments": arguments,
            "log": str(log),
            "before": before,
            "bytes": bytes,
        }
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return Child(self.server, int(self.server.stdout.readline()), log)

    def run(self, folder: Path, *arguments: str, before: str = "", bytes: int = -1) -> Done:
        """Run `firstorder ARGUMENTS` in `folder` to its end."""
        return self.start(folder, *arguments, before=before, bytes=bytes).wait()

    def close(self) -> None:
        """End the process."""
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait()


def serve() -> None:
    """Fork a child for every line of the standard input."""
    import pandas  # noqa: F401
    import torch  # noqa: F401

    import firstorder.linearized.kernel
    import firstorder.training.loop  # noqa: F401

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(json.loads(line))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def child(request: dict[str, Any]) -> None:
    """Run the command line as `request` says, and end the process."""
    from firstorder import cli

    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND)
    for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.chdir(request["folder"])
    sys.argv = ["firstorder", *request["arguments"]]
    status = CRASHED
    try:
        exec(request["before"], {})
        if request["bytes"] >= 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["bytes"],) * 2)
        cli.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
