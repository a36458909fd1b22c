"""A headless Chromium, driven through its DevTools protocol over two pipes."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-pipe", "--window-size=1300,850",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
SECONDS = 60.0


def program() -> str | None:
    """The first Chromium on the path."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page of a running browser; keeps every event that it reports."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._pending, self._last = write, read, b"", 0
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    _session: str | None = None

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + SECONDS
        while True:
            answer = self._receive(until)
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def evaluate(self, expression: str, context: int | None = None) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        where = {} if context is None else {"contextId": context}
        found = self.call(
            "Runtime.evaluate",
            expression=expression, returnByValue=True, awaitPromise=True, **where,
        )  # fmt: skip
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str, context: int | None = None) -> None:
        """Wait until a JavaScript expression is true."""
        until = time.monotonic() + SECONDS
        while not self.evaluate(f"!!({expression})", context):
            assert time.monotonic() < until, expression
            time.sleep(0.05)

    def inside(self, expression: str) -> int:
        """A JavaScript context in the page's frame, once an expression is true in it.

        To be given to `evaluate`. A frame that was still loading has another one afterwards.
        """
        until = time.monotonic() + SECONDS
        while True:
            tree = self.call("Page.getFrameTree")["frameTree"]
            frame = tree["childFrames"][-1]["frame"]["id"]
            made = self.call("Page.createIsolatedWorld", frameId=frame)
            try:
                if self.evaluate(f"!!({expression})", made["executionContextId"]):
                    return int(made["executionContextId"])
            except AssertionError as error:
                if "Cannot find context" not in str(error):
                    raise
            assert time.monotonic() < until, expression
            time.sleep(0.05)

    def _receive(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._pending:
            ready, _, _ = select.select([self._read], [], [], until - time.monotonic())
            assert ready, "the browser does not answer"
            self._pending += os.read(self._read, 1 << 20)
        message, _, self._pending = self._pending.partition(b"\0")
        return dict(json.loads(message))


@contextmanager
def running(profile: Path) -> Iterator[Browser]:
    """Start the browser with an empty profile; end it at the end."""
    executable = program()
    assert executable is not None
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    # Chromium reads commands from descriptor 3 and answers on 4.
    script = f'exec "$@" 3<&{to_read} 4>&{from_write}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", executable, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(to_read, from_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(from_write)
    try:
        yield Browser(to_write, from_read)
    finally:
        os.close(to_write)  # the browser ends when its pipe closes
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(from_read)
